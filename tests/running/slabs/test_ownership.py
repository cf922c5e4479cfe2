"""A folder, file or link that a run did not make is refused, and nothing in it is touched."""

from __future__ import annotations

import os

import numpy as np
import pytest

import tomoprior
from tomoprior.errors import OutputExistsError
from tomoprior.running.slabs.journal import Journal

GIVEN = {"slab": 40, "device": "cpu"}


def snapshot(folder):
    """Every entry below a folder with its kind and content."""
    entries = {}
    for path in sorted(folder.rglob("*")):
        kind = "link" if path.is_symlink() else "folder" if path.is_dir() else "file" if path.is_file() else "pipe"
        content = os.readlink(path) if kind == "link" else path.read_bytes() if kind == "file" else b""
        entries[str(path.relative_to(folder))] = (kind, content)
    return entries


def stop(done, total, values):
    raise KeyboardInterrupt


def begun(series, out):
    """An unfinished run of two slabs, of which one is finished."""
    with pytest.raises(KeyboardInterrupt):
        tomoprior.reconstruct(series, "wbp", out=out, progress=stop, **GIVEN)
    return Journal(out).folder


def foreign_folder(series, out, elsewhere):
    (Journal(out).folder / "mine").mkdir(parents=True)
    (Journal(out).folder / "mine" / "thesis.txt").write_text("years of work")


def foreign_run_record(series, out, elsewhere):
    Journal(out).folder.mkdir()
    (Journal(out).folder / "run.json").write_text('{"program": "another", "version": 1}')


def slabs_without_a_run_record(series, out, elsewhere):
    (begun(series, out) / "run.json").unlink()


def foreign_file_in_our_folder(series, out, elsewhere):
    (begun(series, out) / "thesis.txt").write_text("years of work")


def foreign_file_among_the_slab_records(series, out, elsewhere):
    (begun(series, out) / "slabs" / "thesis.json").write_text("years of work")


def link_to_another_folder(series, out, elsewhere):
    Journal(out).folder.symlink_to(elsewhere)


def link_to_an_empty_folder(series, out, elsewhere):
    (elsewhere / "empty").mkdir()
    Journal(out).folder.symlink_to(elsewhere / "empty")


def link_for_the_lock(series, out, elsewhere):
    Journal(out).folder.mkdir()
    (Journal(out).folder / "lock").symlink_to(elsewhere / "thesis.txt")


def link_for_the_lock_of_our_run(series, out, elsewhere):
    (begun(series, out) / "lock").symlink_to(elsewhere / "thesis.txt")


def link_for_the_slab_records(series, out, elsewhere):
    folder = begun(series, out)
    (folder / "slabs").rename(elsewhere / "slabs")
    (folder / "slabs").symlink_to(elsewhere / "slabs")


def link_deep_inside_the_volume(series, out, elsewhere):
    (begun(series, out) / out.name / "0" / "c" / "mine").symlink_to(elsewhere / "thesis.txt")


def pipe_for_the_run_record(series, out, elsewhere):
    Journal(out).folder.mkdir()
    os.mkfifo(Journal(out).folder / "run.json")


def pipe_for_a_slab_record(series, out, elsewhere):
    os.mkfifo(begun(series, out) / "slabs" / "00001.json")


def pipe_deep_inside_the_volume(series, out, elsewhere):
    os.mkfifo(begun(series, out) / out.name / "0" / "c" / "9")


def link_that_leads_nowhere(series, out, elsewhere):
    Journal(out).folder.symlink_to(elsewhere / "nothing")


def second_name_of_the_volume(series, out, elsewhere):
    os.link(begun(series, out) / out.name / "zarr.json", elsewhere / "backup")


def file_in_its_place(series, out, elsewhere):
    Journal(out).folder.write_text("years of work")


@pytest.mark.parametrize(
    "prepare",
    [
        foreign_folder, foreign_run_record, slabs_without_a_run_record, foreign_file_in_our_folder,
        foreign_file_among_the_slab_records, link_to_another_folder,
        link_to_an_empty_folder, link_for_the_lock, link_for_the_lock_of_our_run, link_for_the_slab_records,
        link_deep_inside_the_volume, file_in_its_place, pipe_for_the_run_record, pipe_for_a_slab_record,
        pipe_deep_inside_the_volume, link_that_leads_nowhere, second_name_of_the_volume,
    ],
    ids=lambda prepare: prepare.__name__,
)  # fmt: skip
@pytest.mark.parametrize("more", [{}, {"resume": True}, {"overwrite": True}], ids=["plain", "resume", "overwrite"])
def test_what_is_foreign_is_refused_and_nothing_is_touched(series, tmp_path, prepare, more):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "thesis.txt").write_text("years of work")
    prepare(series, tmp_path / "v.zarr", elsewhere)
    before = snapshot(tmp_path)
    with pytest.raises(OutputExistsError, match=r"left as it is|a run never writes|second name elsewhere"):
        tomoprior.reconstruct(series, "wbp", out=tmp_path / "v.zarr", **more, **GIVEN)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("names", [(), ("lock",), ("lock", ".run.json.0123abcd")], ids=str)
def test_the_folder_of_a_start_that_was_killed_is_taken_over(series, tmp_path, names):
    folder = tmp_path / "v.npy.partial"
    folder.mkdir()
    for name in names:
        (folder / name).write_text("")
    tomoprior.reconstruct(series, "wbp", out=tmp_path / "v.npy", **GIVEN)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["v.npy", "v.npy.json"]


def test_a_foreign_file_that_comes_during_the_run_stays(series, tmp_path):
    out = tmp_path / "v.npy"

    def add(done, total, values):
        (Journal(out).folder / "thesis.txt").write_text("years of work")

    tomoprior.reconstruct(series, "wbp", out=out, progress=add, **GIVEN)
    assert out.exists()
    assert [p.name for p in Journal(out).folder.iterdir()] == ["thesis.txt"]


def test_a_run_that_is_cleared_and_killed_can_be_begun_anew(series, tmp_path, monkeypatch):
    out = tmp_path / "v.npy"
    folder = begun(series, out)
    remove = Journal._remove_entries

    def killed(self, keep):
        remove(self, keep | {"slabs", "v.npy"})
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "_remove_entries", killed)
        with pytest.raises(KeyboardInterrupt):
            tomoprior.reconstruct(series, "sirt", num_iter=2, out=out, overwrite=True, **GIVEN)
    folder.mkdir(exist_ok=True)
    found = tomoprior.reconstruct(series, "sirt", num_iter=2, out=out, resume=True, **GIVEN)
    whole = tomoprior.reconstruct(series, "sirt", num_iter=2, device="cpu").volume
    np.testing.assert_array_equal(found.volume[...], whole)  # no slab of wbp is among them


def test_a_second_run_is_told_that_one_is_at_work(series, tmp_path):
    out = tmp_path / "v.npy"
    messages = []

    def second(done, total, values):
        for more in ({}, {"resume": True}, {"overwrite": True}):
            with pytest.raises(OutputExistsError) as refusal:
                tomoprior.reconstruct(series, "wbp", out=out, **more, **GIVEN)
            messages.append(str(refusal.value))

    tomoprior.reconstruct(series, "wbp", out=out, progress=second, **GIVEN)
    assert messages
    assert all(f"is being written by process {os.getpid()}" in message for message in messages)


def test_a_folder_that_is_replaced_by_a_link_after_the_check_is_noticed(series, tmp_path, monkeypatch):
    out, elsewhere = tmp_path / "v.npy", tmp_path / "elsewhere"
    (elsewhere / "slabs").mkdir(parents=True)
    (elsewhere / "slabs" / "thesis.txt").write_text("years of work")
    check = Journal.check_owner
    calls = []

    def replaced(self):
        check(self)
        calls.append(self.folder)
        if len(calls) == 2:  # the first check is that of the arguments, before the lock
            self.folder.symlink_to(elsewhere)

    monkeypatch.setattr(Journal, "check_owner", replaced)
    with pytest.raises(OutputExistsError, match="a link and is left as it is"):
        tomoprior.reconstruct(series, "wbp", out=out, **GIVEN)
    assert len(calls) == 2
    assert snapshot(elsewhere) == {"slabs": ("folder", b""), "slabs/thesis.txt": ("file", b"years of work")}


def test_nothing_is_removed_from_a_folder_that_takes_the_place_of_ours(series, tmp_path):
    out, elsewhere = tmp_path / "v.npy", tmp_path / "elsewhere"
    (elsewhere / "slabs").mkdir(parents=True)
    (elsewhere / "slabs" / "thesis.txt").write_text("years of work")
    folder = Journal(out).folder

    def replace(done, total, values):
        folder.rename(tmp_path / "moved")
        elsewhere.rename(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tomoprior.reconstruct(series, "wbp", out=out, progress=replace, **GIVEN)
    assert (folder / "slabs" / "thesis.txt").read_text() == "years of work"
