"""The same volume from the workers of a cluster, whatever becomes of them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from types import SimpleNamespace

import numpy as np
import pytest
from distributed import Client, LocalCluster, Security

import tomoprior
from tomoprior import TiltSeries
from tomoprior.adapters.dask import DaskExecutor
from tomoprior.errors import BackendError, InputError
from tomoprior.running.slabs.executors import SecureScheduler, worker_device

GIVEN = {"num_iter": 30, "slab": 8, "device": "cpu"}


@pytest.fixture(scope="module")
def client():
    env = {"OMP_NUM_THREADS": "1"}
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="localhost:0", memory_limit=0, env=env) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def known(series, tmp_path_factory):
    out = tmp_path_factory.mktemp("known") / "v.zarr"
    tomoprior.reconstruct(series, "sirt", out=out, **GIVEN)
    return out


def test_workers_give_the_same_bytes(series, known, client, tmp_path, bytes_of):
    out = tmp_path / "v.zarr"
    counts = []
    found = tomoprior.reconstruct(series, "sirt", out=out, scheduler=client, progress=lambda *a: counts.append(a[:2]), **GIVEN)
    assert counts == [(i, 10) for i in range(1, 11)]
    assert bytes_of(out) == bytes_of(known)
    each = found.provenance["slabs"]["each"]
    assert {slab["host"] for slab in each}
    # by its address too, and what slabs leave open is settled by one of them
    tv = tomoprior.reconstruct(
        series, "tv", out=tmp_path / "tv.zarr", scheduler=client.scheduler.address, num_iter=10, slab=32, device="cpu"
    )
    assert len({slab["settled"]["reg_par"] for slab in tv.provenance["slabs"]["each"]}) == 1


@pytest.mark.slow
def test_an_array_in_memory_goes_by_the_disk_and_not_by_the_scheduler(client, make_series, tmp_path):
    series = make_series((12, 80, 160))
    assert series.projections.nbytes > 1 << 20
    seen = []

    class Watched(DaskExecutor):
        def run(self, work, slabs):
            from cloudpickle import dumps

            seen.append((len(dumps(work)), type(work.projections).__name__))
            yield from super().run(work, slabs)

    from tomoprior import plugins

    before = plugins.load
    plugins.load = lambda group, name: Watched if name == "dask" else before(group, name)
    try:
        found = tomoprior.reconstruct(series, "wbp", out=tmp_path / "v.mrc", scheduler=client, slab=32, device="cpu")
    finally:
        plugins.load = before
    assert seen[0][0] < 20_000
    assert seen[0][1] == "RawArray"
    whole = tomoprior.reconstruct(series, "wbp", device="cpu")
    np.testing.assert_array_equal(found.volume[...], whole.volume)


def test_the_scheduler_has_one_task_a_slab(series, client, tmp_path):
    most = []

    def watch(done, total, values):
        most.append(client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))

    tomoprior.reconstruct(series, "sirt", out=tmp_path / "v.npy", scheduler=client, progress=watch, **GIVEN)
    assert max(most) <= 10 + 2  # ten slabs, and the question itself


def test_an_error_of_a_slab_is_told_and_ends_the_run(series, client, tmp_path):
    data = series.projections.copy()
    data[3, 41, 5] = np.nan
    with pytest.raises(InputError, match="rows 40 to 48 are NaN or infinite, in tilts 3"):
        tomoprior.reconstruct(TiltSeries(data, series.geometry), "sirt", out=tmp_path / "v.npy", scheduler=client, **GIVEN)
    for _ in range(100):  # what was given up is forgotten in a moment
        if client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) <= 1:
            break
        time.sleep(0.1)
    else:
        pytest.fail("slabs of a run that ended in an error are still being done")


@pytest.mark.slow
def test_workers_that_are_killed_are_replaced(series, known, client, tmp_path, bytes_of):
    killed = []

    def kill(done, total, values):
        # the nannies know the processes of their workers: the workers themselves, which may be dead, are not asked
        pids = sorted(nanny.pid for nanny in client.cluster.workers.values() if nanny.pid not in (None, *killed))
        if done in (1, 3, 5) and pids:
            os.kill(pids[0], signal.SIGKILL)
            killed.append(pids[0])

    tomoprior.reconstruct(series, "sirt", out=tmp_path / "v.zarr", scheduler=client, progress=kill, **GIVEN)
    assert killed
    assert bytes_of(tmp_path / "v.zarr") == bytes_of(known)


def test_the_memory_is_that_of_workers_which_answer_at_last(client, monkeypatch):
    executor = DaskExecutor(client)
    answers = iter([{}, {}, {"tcp://a:1": ("a", 1000), "tcp://a:2": ("a", 900), "tcp://b:1": ("b", 2000)}])
    with executor:
        monkeypatch.setattr(executor, "_client", SimpleNamespace(run=lambda *_, **__: next(answers)))
        monkeypatch.setattr(executor, "workers", 3)
        assert executor.memory("cpu") == 3 * 450  # two workers of a machine share 900 bytes


def test_workers_that_never_answer_are_an_error(client, monkeypatch):
    monkeypatch.setattr("tomoprior.adapters.dask.ANSWER_TIME", 0.0)
    with DaskExecutor(client) as executor:
        monkeypatch.setattr(executor, "_client", SimpleNamespace(run=lambda *_, **__: {}))
        with pytest.raises(BackendError, match="no worker of the Dask cluster answers"):
            executor.memory("cpu")


@pytest.mark.parametrize(
    ("requested", "place", "count", "environment", "device"),
    [
        ("auto", 0, 0, {}, "auto"),
        ("cpu", 1, 4, {}, "cpu"),
        ("auto", 0, 4, {}, "cuda:0"),
        ("cuda", 3, 4, {}, "cuda:3"),
        ("auto", 5, 4, {}, "cuda:1"),
        ("cuda:2", 0, 4, {}, "cuda:2"),
        # dask-cuda: all of them, the worker's own first
        ("auto", 3, 4, {"CUDA_VISIBLE_DEVICES": "3,0,1,2"}, "cuda:0"),
    ],
)
def test_each_worker_has_a_gpu_of_its_own(requested, place, count, environment, device):
    assert worker_device(requested, place, count, environment) == device


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate, which is its own authority, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=tomoprior"]
    subprocess.run([*command, "-out", str(files[0]), "-keyout", str(files[1])], check=True, capture_output=True)
    return files


@pytest.mark.slow
def test_a_scheduler_with_tls_takes_a_client_with_its_files_and_no_other(series, certificate, tmp_path, monkeypatch):
    cert, key = map(str, certificate)
    files = {
        f"tls_{role}_{kind}": path
        for role in ("scheduler", "worker", "client")
        for kind, path in (("cert", cert), ("key", key))
    }
    security = Security(require_encryption=True, tls_ca_file=cert, **files)
    with LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address="localhost:0", memory_limit=0, security=security, silence_logs=60
    ) as cluster:
        address = cluster.scheduler_address
        assert address.startswith("tls://")
        scheduler = SecureScheduler(address, certificate[0], *certificate)
        found = tomoprior.reconstruct(series, "wbp", out=tmp_path / "v.npy", scheduler=scheduler, slab=40, device="cpu")
        np.testing.assert_array_equal(found.volume[...], tomoprior.reconstruct(series, "wbp", device="cpu").volume)
        monkeypatch.setattr("tomoprior.adapters.dask.PATIENCE", "2s")
        for stranger, message in ((address, "needs TLS files"), (address.replace("tls", "tcp"), "no Dask scheduler answers")):
            with pytest.raises(BackendError, match=message):
                tomoprior.reconstruct(series, "wbp", out=tmp_path / "w.npy", scheduler=stranger, slab=40, device="cpu")
