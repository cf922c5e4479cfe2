"""Slab by slab from file to file: the same volume, its record, and what is asked for again."""

from __future__ import annotations

import json

import dask.array
import h5py
import numpy as np
import pytest
import zarr

import tomoprior
from tomoprior import Geometry, TiltSeries
from tomoprior.errors import FormatError, InputError, OutputExistsError, SettingsError
from tomoprior.formats import open_stack
from tomoprior.running.slabs.journal import Journal
from tomoprior.series.mending import RepairedArray
from tomoprior.storage.lazy import WrappedArray

FAST = {"sirt": {"num_iter": 4}, "wbp": {}, "cgls": {"num_iter": 3}, "sart": {"num_iter": 1}, "fourier": {}}


@pytest.mark.parametrize(
    "method", ["sirt", "wbp", *(pytest.param(name, marks=pytest.mark.slow) for name in ("cgls", "sart", "fourier"))]
)
def test_methods_that_go_slice_by_slice_give_the_same_bits(series, tmp_path, method):
    whole = tomoprior.reconstruct(series, method, device="cpu", **FAST[method])
    for slab in (7, 32):
        out = tmp_path / f"{slab}.zarr"
        found = tomoprior.reconstruct(series, method, out=out, slab=slab, device="cpu", **FAST[method])
        np.testing.assert_array_equal(found.volume[...], whole.volume)
    assert found.volume[3:5, 7].shape == (2, 24)  # lazy, indexed as NumPy's


@pytest.mark.parametrize("extension", ["mrc", "h5", "tif", "npy", "zarr"])
def test_every_format_is_written_as_in_one_piece(series, tmp_path, bytes_of, extension):
    for name, slab in (("one", 1000), ("many", 32)):
        (tmp_path / name).mkdir()
        tomoprior.reconstruct(series, "wbp", out=tmp_path / name / f"v.{extension}", slab=slab, device="cpu")
    one, many = (bytes_of(tmp_path / name / f"v.{extension}") for name in ("one", "many"))
    assert one == many
    stack = open_stack(tmp_path / "many" / f"v.{extension}")
    assert (stack.voxel_size, stack.unit) == (pytest.approx(8.0), "angstrom")
    assert sorted(p.name for p in (tmp_path / "many").iterdir()) == [f"v.{extension}", f"v.{extension}.json"]


@pytest.mark.slow
def test_a_volume_whose_slabs_are_thinner_than_a_chunk(series, tmp_path):
    whole = tomoprior.reconstruct(series, "wbp", device="cpu")
    found = tomoprior.reconstruct(series, "wbp", out=tmp_path / "v.zarr", slab=7, device="cpu")
    np.testing.assert_array_equal(found.volume[...], whole.volume)
    assert zarr.open_group(tmp_path / "v.zarr", mode="r")["0"].shards[1] == 1  # no shard reaches over a border


def test_the_record_says_what_was_done_to_each_slab(series, tmp_path):
    result = tomoprior.reconstruct(series, "tv", out=tmp_path / "v.mrc", slab=32, num_iter=20, device="cpu")
    record = json.loads((tmp_path / "v.mrc.json").read_text())
    assert record["settings"]["reg_par"] == "held-out"
    assert Geometry.from_dict(record["geometry"]) == series.geometry
    assert [s["rows"] for s in record["slabs"]["each"]] == [[0, 32], [32, 64], [64, 80]]
    assert (record["slabs"]["rows"], record["slabs"]["halo"], record["slabs"]["blend"]) == (32, 16, 8)
    settled = {s["settled"]["reg_par"] for s in record["slabs"]["each"]}
    assert len(settled) == 1  # what the slab in the middle chose holds for all
    assert record["residual"] == pytest.approx(result.provenance["residual"])
    assert record["versions"]["tomoprior"]


def test_weights_initial_volume_and_mask_are_cut_too(series, tmp_path):
    rng = np.random.default_rng(0)
    shape = series.geometry.shape
    weighted = TiltSeries(series.projections, series.geometry, weights=rng.uniform(0.5, 2, series.geometry.range_shape))
    given = {"initial": rng.normal(size=shape).astype(np.float32), "num_iter": 3, "device": "cpu"}
    for mask in (rng.random(shape) > 0.3, rng.random((shape[0], shape[2])) > 0.3):
        mask = mask.astype(np.float32)
        whole = tomoprior.reconstruct(weighted, "sirt", mask=mask, **given)
        out = tmp_path / f"v{mask.ndim}.npy"
        found = tomoprior.reconstruct(weighted, "sirt", out=out, slab=32, mask=mask, **given)
        np.testing.assert_array_equal(found.volume[...], whole.volume)
    with pytest.raises(InputError, match="mask has shape"):
        tomoprior.reconstruct(series, "sirt", out=tmp_path / "w.npy", mask=np.ones((3, 3)))


def test_shifts_along_y_are_seen_across_borders(series, tmp_path):
    shifts = np.stack([np.linspace(-2.3, 2.4, 21), np.zeros(21)], 1)
    moved = TiltSeries(series.projections, Geometry(series.geometry.angles, series.geometry.shape, shifts=shifts))
    whole = tomoprior.reconstruct(moved, "sirt", num_iter=4, device="cpu")
    found = tomoprior.reconstruct(moved, "sirt", out=tmp_path / "v.npy", slab=32, num_iter=4, device="cpu")
    inner = np.abs(found.volume[...] - whole.volume)[:, 4:-4]
    assert inner.max() < 0.05 * np.abs(whole.volume).max()


@pytest.mark.parametrize("kind", ["dask", "zarr", "hdf5", "file"])
def test_the_input_may_be_anywhere(series, tmp_path, kind):
    whole = tomoprior.reconstruct(series, "wbp", device="cpu")
    data = series.projections
    if kind == "dask":
        source = dask.array.from_array(data, chunks=(5, 17, 24))
    elif kind == "zarr":
        source = zarr.create_array(tmp_path / "p.zarr", data=data, chunks=(5, 17, 24))
    elif kind == "hdf5":
        with h5py.File(tmp_path / "p.h5", "w") as file:
            file["p"] = data
        source = h5py.File(tmp_path / "p.h5", "r")["p"]
    else:
        from tomoprior.formats import write_series

        write_series(series, tmp_path / "p.mrc")
        source = open_stack(tmp_path / "p.mrc").data
    found = tomoprior.reconstruct(TiltSeries(source, series.geometry), "wbp", out=tmp_path / "v.mrc", slab=32, device="cpu")
    np.testing.assert_array_equal(found.volume[...], whole.volume)


def test_some_tilts_binned_of_a_lazy_series(series, tmp_path):
    lazy = TiltSeries(zarr.create_array(tmp_path / "p.zarr", data=series.projections), series.geometry)
    chosen = [0, 3, 4, 10, 20]
    whole = tomoprior.reconstruct(series.select(chosen).binned(2), "wbp", device="cpu")
    found = tomoprior.reconstruct(lazy.select(chosen).binned(2), "wbp", out=tmp_path / "v.mrc", slab=10, device="cpu")
    np.testing.assert_array_equal(found.volume[...], whole.volume)


def test_pixels_that_are_not_finite_are_told_or_mended(series, tmp_path):
    data = series.projections.copy()
    data[3, 31:34, 5], data[20, 40, :3] = np.nan, np.inf
    broken = TiltSeries(data, series.geometry)
    with pytest.raises(InputError, match=r"NaN or infinite, in tilts 3; --repair"):
        tomoprior.reconstruct(broken, "wbp", out=tmp_path / "v.npy", slab=32, device="cpu")
    mended = TiltSeries(RepairedArray(WrappedArray(data, tmp_path / "p")), series.geometry)
    found = tomoprior.reconstruct(mended, "wbp", out=tmp_path / "w.npy", slab=32, device="cpu")
    known = tomoprior.reconstruct(series, "wbp", device="cpu").volume
    assert np.isfinite(found.volume[...]).all()
    assert np.abs(found.volume[...] - known).max() < 0.5 * np.abs(known).max()
    # what was begun stays, and another input is not taken for the same
    with pytest.raises(OutputExistsError, match="holds 0 slab"):
        tomoprior.reconstruct(series, "wbp", out=tmp_path / "v.npy", slab=32, device="cpu")
    with pytest.raises(InputError, match="another input"):
        tomoprior.reconstruct(mended, "wbp", out=tmp_path / "v.npy", slab=32, resume=True, device="cpu")


class _Stopped(Exception):
    pass


def _stop_after(n):
    def progress(done, total, values):
        if done == n:
            raise _Stopped

    return progress


@pytest.mark.parametrize("method", [pytest.param("sirt", marks=pytest.mark.slow), "tv"])
def test_what_was_stopped_goes_on_to_the_same_bytes(series, tmp_path, bytes_of, method):
    given = {"num_iter": 4, "slab": 16, "device": "cpu"}
    (tmp_path / "a").mkdir()
    tomoprior.reconstruct(series, method, out=tmp_path / "a" / "v.zarr", **given)
    out = tmp_path / "v.zarr"
    with pytest.raises(_Stopped):
        tomoprior.reconstruct(series, method, out=out, progress=_stop_after(2), **given)
    assert not out.exists()
    assert len(Journal(out).done()) == 2
    with pytest.raises(OutputExistsError, match=r"holds 2 slab\(s\) of an earlier run: --resume continues"):
        tomoprior.reconstruct(series, method, out=out, **given)
    calls = []
    tomoprior.reconstruct(
        series, method, out=out, resume=True, progress=lambda *a: calls.append(a[:2]), **{**given, "slab": "auto"}
    )
    assert calls[0][0] == 3
    assert calls[-1] == (5, 5)
    assert bytes_of(out) == bytes_of(tmp_path / "a" / "v.zarr")
    assert not Journal(out).folder.exists()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"num_iter": 5}, "settings: num_iter"),
        ({"slab": 32}, "plan: rows"),
        ({"seed": 1}, "seed"),
        ({"backend": "astra-2d"}, "projector: backend"),
        ({"mask": np.ones((12, 24), np.float32)}, "mask"),
    ],
)
def test_a_run_is_not_gone_on_with_by_another(series, tmp_path, change, what):
    given = {"num_iter": 4, "slab": 16, "device": "cpu"}
    with pytest.raises(_Stopped):
        tomoprior.reconstruct(series, "sirt", out=tmp_path / "v.mrc", progress=_stop_after(1), **given)
    with pytest.raises(InputError, match=f"started with another {what}"):
        tomoprior.reconstruct(series, "sirt", out=tmp_path / "v.mrc", resume=True, **{**given, **change})
    assert len(Journal(tmp_path / "v.mrc").done()) == 1


def test_a_changed_geometry_is_not_the_same_run(series, tmp_path):
    with pytest.raises(_Stopped):
        tomoprior.reconstruct(series, "wbp", out=tmp_path / "v.mrc", slab=16, progress=_stop_after(1), device="cpu")
    geometry = Geometry(series.geometry.angles, series.geometry.shape, center=12.5, voxel_size=8.0, unit="angstrom")
    moved = series.with_geometry(geometry)
    with pytest.raises(InputError, match="started with another geometry: center"):
        tomoprior.reconstruct(moved, "wbp", out=tmp_path / "v.mrc", slab=16, resume=True, device="cpu")


def test_an_output_is_replaced_only_when_asked_and_only_at_the_end(series, tmp_path):
    out = tmp_path / "v.zarr"
    tomoprior.reconstruct(series, "wbp", out=out, slab=32, device="cpu")
    before = np.asarray(open_stack(out).data[...])
    with pytest.raises(OutputExistsError, match="exists"):
        tomoprior.reconstruct(series, "sirt", out=out, slab=32, num_iter=1, device="cpu")
    with pytest.raises(_Stopped):
        tomoprior.reconstruct(
            series, "sirt", out=out, slab=32, num_iter=1, overwrite=True, progress=_stop_after(1), device="cpu"
        )
    np.testing.assert_array_equal(open_stack(out).data[...], before)
    tomoprior.reconstruct(series, "sirt", out=out, slab=32, num_iter=1, overwrite=True, device="cpu")
    assert np.abs(open_stack(out).data[...] - before).max() > 0.01


def test_what_an_earlier_output_had_beside_it_goes_with_it(series, tmp_path):
    out, std = tmp_path / "v.npy", tmp_path / "v_std.npy"
    np.save(out, np.zeros(3)), np.save(std, np.zeros(3))
    tomoprior.reconstruct(series, "wbp", out=out, slab=32, overwrite=True, device="cpu")
    assert not std.exists()


def test_a_run_killed_between_the_moves_is_finished_by_the_next(series, tmp_path, monkeypatch):
    from tomoprior.running.slabs import finishing

    out = tmp_path / "v.mrc"
    moves = []

    put_in_place = finishing.put_in_place

    def move(made, target):
        moves.append(target)
        if len(moves) == 2:
            raise _Stopped
        put_in_place(made, target)

    with monkeypatch.context() as patched:
        patched.setattr(finishing, "put_in_place", move)
        with pytest.raises(_Stopped):
            tomoprior.reconstruct(series, "wbp", out=out, slab=32, device="cpu")
    assert not out.exists()
    found = tomoprior.reconstruct(series, "wbp", out=out, slab=32, resume=True, device="cpu")
    np.testing.assert_array_equal(found.volume[...], tomoprior.reconstruct(series, "wbp", device="cpu").volume)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["v.mrc", "v.mrc.json"]


@pytest.mark.parametrize("extension", ["mrc", "zarr"])
def test_a_link_is_followed(series, tmp_path, extension):
    (tmp_path / "disk").mkdir()
    out, real = tmp_path / f"v.{extension}", tmp_path / "disk" / f"volume.{extension}"
    out.symlink_to(real)  # which leads nowhere yet
    given = {"out": out, "slab": 32, "device": "cpu"}
    with pytest.raises(_Stopped):
        tomoprior.reconstruct(series, "sirt", num_iter=1, progress=_stop_after(1), **given)
    assert [p.name for p in real.parent.iterdir()] == [f"{real.name}.partial"]
    for again in ({"resume": True}, {"overwrite": True}):
        found = tomoprior.reconstruct(series, "sirt", num_iter=1, **again, **given)
        assert out.is_symlink()
        whole = tomoprior.reconstruct(series, "sirt", num_iter=1, device="cpu").volume
        np.testing.assert_array_equal(open_stack(real).data[...], whole)
        np.testing.assert_array_equal(found.volume[...], whole)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["disk", out.name, f"{out.name}.json"]
    assert [p.name for p in real.parent.iterdir()] == [real.name]
    with pytest.raises(OutputExistsError, match="exists"):
        tomoprior.reconstruct(series, "wbp", **given)


def test_wrong_use_is_told_at_once(series, tmp_path):
    with pytest.raises(SettingsError, match="workers, resume: only with out"):
        tomoprior.reconstruct(series, "wbp", workers=2, resume=True)
    with pytest.raises(FormatError, match="in one piece"):
        tomoprior.reconstruct(series, "wbp", out=tmp_path / "v.npz")
    with pytest.raises(FormatError, match="must end in"):
        tomoprior.reconstruct(series, "wbp", out=tmp_path / "v.xyz")
    with pytest.raises(FormatError, match="no such folder"):
        tomoprior.reconstruct(series, "wbp", out=tmp_path / "none" / "v.mrc")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_scheduler_is_told(series, tmp_path, monkeypatch):
    monkeypatch.setattr("tomoprior.adapters.dask.PATIENCE", "1s")
    with pytest.raises(tomoprior.errors.BackendError, match="no Dask scheduler answers"):
        tomoprior.reconstruct(series, "wbp", out=tmp_path / "v.mrc", scheduler="tcp://127.0.0.1:9")
    assert list(tmp_path.iterdir()) == []


def test_going_on_with_what_is_finished_does_nothing(series, tmp_path):
    out, given = tmp_path / "v.mrc", {"slab": 32, "num_iter": 2, "device": "cpu"}
    tomoprior.reconstruct(series, "sirt", out=out, **given)
    written = out.stat().st_mtime_ns
    found = tomoprior.reconstruct(series, "sirt", out=out, resume=True, **{**given, "slab": "auto"})
    assert found.volume.shape == series.geometry.shape
    assert out.stat().st_mtime_ns == written
    with pytest.raises(InputError, match="another settings: num_iter"):
        tomoprior.reconstruct(series, "sirt", out=out, resume=True, **{**given, "num_iter": 3})
    # what was made in another way is not taken for a run's
    tomoprior.write(tomoprior.reconstruct(series, "wbp", device="cpu"), tmp_path / "w.mrc")
    with pytest.raises(OutputExistsError, match=r"w\.mrc exists"):
        tomoprior.reconstruct(series, "wbp", out=tmp_path / "w.mrc", resume=True)
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".partial")]
