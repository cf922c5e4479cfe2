"""Free memory and processors: every control group from the process's own to the root counts, in both versions."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tomoprior import memory

MIB = 2**20
V1_UNLIMITED = 9223372036854771712

#: Lines of ``mountinfo``: the number of fields before the dash varies.
V2_MOUNT = "30 23 0:26 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1_MEMORY_MOUNT = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory"
V1_CPU_MOUNT = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def v2(root: Path, files: dict[str, str], group: str = "/job/step") -> Path:
    files = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    return write(root, {"proc/self/cgroup": f"0::{group}", "proc/self/mountinfo": V2_MOUNT, **files})


def v1(root: Path, files: dict[str, str]) -> Path:
    files = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    groups = "9:name=systemd:/\n4:memory:/job/step\n2:cpu,cpuacct:/job/step\n0::/"
    return write(root, {"proc/self/cgroup": groups, "proc/self/mountinfo": f"{V1_MEMORY_MOUNT}\n{V1_CPU_MOUNT}", **files})


def test_a_nested_group_counts_under_an_unlimited_parent(tmp_path: Path) -> None:
    root = v2(
        tmp_path,
        {
            "job/step/memory.max": str(600 * MIB),
            "job/step/memory.current": str(100 * MIB),
            "job/memory.max": "max",
            "job/memory.current": str(5000 * MIB),
        },
    )
    assert memory.group_memory(root) == 500 * MIB


def test_a_nested_group_of_version_1_counts_under_an_unlimited_parent(tmp_path: Path) -> None:
    root = v1(
        tmp_path,
        {
            "memory/job/step/memory.limit_in_bytes": str(600 * MIB),
            "memory/job/step/memory.usage_in_bytes": str(100 * MIB),
            "memory/job/memory.limit_in_bytes": str(V1_UNLIMITED),
            "memory/job/memory.usage_in_bytes": str(5000 * MIB),
        },
    )
    assert memory.group_memory(root) == 500 * MIB


def test_the_parent_counts_where_it_leaves_less(tmp_path: Path) -> None:
    root = v2(
        tmp_path,
        {
            "job/step/memory.max": str(600 * MIB),
            "job/step/memory.current": str(100 * MIB),
            "job/memory.max": str(800 * MIB),
            "job/memory.current": str(700 * MIB),
        },
    )
    assert memory.group_memory(root) == 100 * MIB


@pytest.mark.parametrize(("make", "prefix", "limit", "used", "cache"), [
    (v2, "job/step/", "memory.max", "memory.current", "inactive_file"),
    (v1, "memory/job/step/", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
])  # fmt: skip
def test_the_file_cache_of_a_group_is_free(tmp_path: Path, make, prefix: str, limit: str, used: str, cache: str) -> None:
    statistics = f"active_file 7\n{cache} {300 * MIB}\nslab 5"
    root = make(tmp_path, {prefix + limit: str(600 * MIB), prefix + used: str(500 * MIB), f"{prefix}memory.stat": statistics})
    assert memory.group_memory(root) == 400 * MIB


def test_a_mount_of_a_part_of_the_tree_starts_at_that_part(tmp_path: Path) -> None:
    """Docker without a namespace of its own: the path is the host's, the mount shows the container's group as its root."""
    mount = V1_MEMORY_MOUNT.replace("0:32 / ", "0:32 /docker/abc ")
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/docker/abc/inner",
            "proc/self/mountinfo": mount,
            "sys/fs/cgroup/memory/inner/memory.limit_in_bytes": str(300 * MIB),
            "sys/fs/cgroup/memory/inner/memory.usage_in_bytes": "0",
        },
    )
    assert memory.group_memory(root) == 300 * MIB


@pytest.mark.parametrize("group", ["/elsewhere", "/../../host"])
def test_a_group_outside_the_mount_is_read_at_the_mount(tmp_path: Path, group: str) -> None:
    root = v2(tmp_path, {"memory.max": str(300 * MIB), "memory.current": str(MIB)}, group)
    assert memory.group_memory(root) == 299 * MIB


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"job/step/memory.max": "max", "job/step/memory.current": "5"},
        {"job/step/memory.max": "600"},
        {"job/step/memory.max": "", "job/step/memory.current": "5"},
    ],
    ids=["no files", "max", "no use", "empty"],
)
def test_without_a_limit_nothing_is_withheld(tmp_path: Path, files: dict[str, str]) -> None:
    assert memory.group_memory(v2(tmp_path, files)) == sys.maxsize
    assert memory.group_memory(tmp_path / "empty") == sys.maxsize


def test_the_least_of_machine_groups_and_process_is_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=900))
    monkeypatch.setattr(memory, "group_memory", lambda: 800)
    monkeypatch.setattr(memory, "_process_memory", lambda: sys.maxsize)
    assert memory.available() == 800
    monkeypatch.setattr(memory, "_process_memory", lambda: 700)
    assert memory.available() == 700
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=600))
    assert memory.available() == 600
    monkeypatch.setattr(memory, "group_memory", lambda: -5)  # a group above its limit
    assert memory.available() == 0


def test_the_limits_of_the_process_count(monkeypatch: pytest.MonkeyPatch) -> None:
    used = SimpleNamespace(memory_info=lambda: SimpleNamespace(vms=300, data=200))
    limits = {resource.RLIMIT_AS: 1000, resource.RLIMIT_DATA: 800}
    monkeypatch.setattr("psutil.Process", lambda: used)
    monkeypatch.setattr("resource.getrlimit", lambda which: (limits[which], resource.RLIM_INFINITY))
    assert memory._process_memory() == 600  # 800 - 200
    limits[resource.RLIMIT_DATA] = resource.RLIM_INFINITY
    assert memory._process_memory() == 700  # 1000 - 300


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"job/step/cpu.max": "200000 100000", "job/cpu.max": "max 100000"}, 2),
        ({"job/step/cpu.max": "max 100000", "job/cpu.max": "350000 100000"}, 3),
        ({"job/step/cpu.max": "50000 100000"}, 1),
        ({"job/step/cpu.max": "max 100000"}, 8),
        ({"job/step/cpu.max": "99"}, 8),
        ({}, 8),
    ],
    ids=["own quota", "parent's quota", "half a processor", "max", "damaged", "missing"],
)
def test_processors_are_those_of_the_quota_rounded_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert memory.cpu_count(v2(tmp_path, files)) == expected


@pytest.mark.parametrize(("quota", "expected"), [("300000", 3), ("-1", 8)])
def test_processors_follow_the_quota_of_version_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    root = v1(tmp_path, {"cpu,cpuacct/job/cpu.cfs_quota_us": quota, "cpu,cpuacct/job/cpu.cfs_period_us": "100000"})
    assert memory.cpu_count(root) == expected


def test_the_affinity_counts_where_it_is_less_than_the_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert memory.cpu_count(v2(tmp_path, {"job/step/cpu.max": "400000 100000"})) == 1
