"""The finished parts of a method in their folder, and what a second comparison may replace."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tomoprior import Geometry
from tomoprior.comparison.result import Comparison, Entry
from tomoprior.comparison.store import DATA, MARK, Store, check_earlier_results, lock_folder, write_outputs
from tomoprior.errors import OutputExistsError


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs" / "tv", "mine")


def other(store):
    """The store of another input or of other settings in the same folder."""
    return Store(store.folder, "other")


def test_parts_belong_to_one_digest(store):
    store.put("held_out", {"error": 0.5})
    assert store.get("held_out") == {"error": 0.5}
    assert other(store).get("held_out") is None
    assert store.finished_parts() == ["held_out"]
    assert other(store).finished_parts() == []


def test_a_part_without_a_record_is_absent(store):
    assert store.get("planted") is None
    store.put("planted", {})
    (store.folder / "planted.json").write_text(json.dumps({"digest": "mine", "value": [1, 2]}))
    assert store.get("planted") is None


def test_only_parts_of_another_digest_are_removed(store):
    store.put("held_out", {"error": 0.5})
    for name in ("halves", "outcome"):
        other(store).put(name, {"status": "done"})
    store.remove_others()
    assert {path.name for path in store.folder.iterdir()} == {"held_out.json"}


def test_one_part_of_another_digest_is_another_result(store):
    assert store.other_settings() is None
    store.put("held_out", {"error": 0.5})
    assert store.other_settings() is None
    other(store).put("halves", {})
    assert store.other_settings() == {}  # nobody knows which
    other(store).put("outcome", {"settings": {"num_iter": 3}})
    assert store.other_settings() == {"num_iter": 3}


def test_the_settings_that_differ_are_named(store, tmp_path):
    other(store).put("outcome", {"settings": {"num_iter": 3, "reg_par": 2.0}})
    with pytest.raises(OutputExistsError, match=r"of tv with other settings \(num_iter 3\); give another folder"):
        check_earlier_results(tmp_path, {"tv": (store, {"num_iter": 4, "reg_par": 2.0})})
    with pytest.raises(OutputExistsError, match="of tv with other data or options, or of another version"):
        check_earlier_results(tmp_path, {"tv": (store, {"num_iter": 3, "reg_par": 2.0})})


def test_a_report_on_more_methods_is_not_replaced(store, tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps({"entries": [{"label": "tv"}, {"label": "wbp"}]}))
    with pytest.raises(OutputExistsError, match="also covers wbp; name them too"):
        check_earlier_results(tmp_path, {"tv": (store, {})})
    check_earlier_results(tmp_path, {"tv": (store, {}), "wbp": (store, {}), "cn": (store, {})})


def test_arrays_come_back_in_single_precision(store):
    values = np.linspace(0, 1, 24).reshape(2, 3, 4)
    store.put_array("volume", values.astype(np.float32))
    np.testing.assert_array_equal(store.array("volume"), values.astype(np.float32))
    assert store.array("volume").dtype == np.float32


def test_a_folder_is_marked_and_the_input_of_a_killed_run_is_removed(tmp_path):
    out = tmp_path / "out"
    with lock_folder(out) as runs:
        (runs / f"{DATA}old").mkdir()
        (runs / f"{DATA}old" / "projections.npy").write_bytes(b"1")
    assert (out / MARK).exists()
    with lock_folder(out) as runs:
        assert not list(runs.glob(f"{DATA}*"))


def test_volumes_are_written_with_their_standard_deviation(tmp_path, monkeypatch):
    geometry = Geometry(np.deg2rad([-60.0, 0.0, 60.0]), (4, 5, 6), voxel_size=2.0, unit="nanometer")
    volume, std = np.random.default_rng(0).random((2, 4, 5, 6), np.float32)
    entries = (
        Entry("fine", "cn", {"num_iter": 5}, volume=volume, std=std),
        Entry("wbp", "wbp", {}, volume=2 * volume),
        Entry("tv", "tv", {}, "failed", "why"),
    )
    written = {}
    monkeypatch.setattr("tomoprior.comparison.report.write_report", lambda *_, **__: None)
    monkeypatch.setattr("tomoprior.comparison.store.write", lambda result, path, **_: written.update({path: result}))
    write_outputs(Comparison("series", geometry, entries), tmp_path, "mrc")
    fine, wbp = written.values()
    assert list(written) == [tmp_path / "volumes" / "fine.mrc", tmp_path / "volumes" / "wbp.mrc"]
    np.testing.assert_array_equal(fine.volume, volume)
    np.testing.assert_array_equal(fine.std, std)
    assert fine.provenance == {"method": "cn", "settings": {"num_iter": 5}}
    assert (fine.voxel_size, wbp.std) == (2.0, None)
