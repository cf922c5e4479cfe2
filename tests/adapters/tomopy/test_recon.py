from __future__ import annotations

import inspect

import numpy as np
import pytest

import tomoprior
from tomoprior.adapters.tomopy.methods import TomopySettings
from tomoprior.errors import GeometryError, InputError, SettingsError, UnknownNameError


def test_the_signature_is_tomopys():
    expected = ["tomo", "theta", "center", "sinogram_order", "algorithm", "init_recon", "ncore", "nchunk", "kwargs"]
    assert list(inspect.signature(tomoprior.recon).parameters) == expected


def test_orders_dtypes_and_memory_layouts_give_the_same(scan):
    plain = tomoprior.recon(scan.sinograms, scan.theta, scan.center, sinogram_order=True, algorithm="sirt", num_iter=10)
    assert plain.shape == scan.truth.shape
    assert plain.dtype == np.float32
    assert plain.flags.c_contiguous
    radiographs = scan.sinograms.transpose(1, 0, 2)
    for tomo in (radiographs, np.asfortranarray(radiographs), radiographs.astype(np.float64)):
        found = tomoprior.recon(tomo, scan.theta, scan.center, algorithm="sirt", num_iter=10)
        np.testing.assert_allclose(found, plain, atol=1e-6)


def test_chunks_and_cores_change_nothing(scan):
    plain = tomoprior.recon(scan.sinograms, scan.theta, scan.center, sinogram_order=True, algorithm="cgls")
    found = tomoprior.recon(scan.sinograms, scan.theta, scan.center, sinogram_order=True, algorithm="cgls", ncore=1, nchunk=2)
    # conjugate gradients amplify rounding; were the slices coupled, the difference would be a thousand times this
    np.testing.assert_allclose(found, plain, atol=2e-4)


def test_chunks_do_not_choose_their_own_number_of_iterations(scan):
    def run(**kwargs):
        return tomoprior.recon(scan.sinograms, scan.theta, scan.center, sinogram_order=True, algorithm="sirt", **kwargs)

    np.testing.assert_array_equal(run(), run(num_iter=100, min_constraint=None))


def test_settings_as_keywords_or_options(scan):
    def run(**kwargs):
        return tomoprior.recon(scan.sinograms, scan.theta, scan.center, sinogram_order=True, algorithm="sirt", **kwargs)

    np.testing.assert_array_equal(run(num_iter=7), run(options={"num_iter": 7}))


def test_the_middle_is_the_default_center(scan):
    a = tomoprior.recon(scan.sinograms, scan.theta, sinogram_order=True, algorithm="wbp")
    b = tomoprior.recon(scan.sinograms, scan.theta, 16.0, sinogram_order=True, algorithm="wbp")
    c = tomoprior.recon(scan.sinograms, scan.theta, [15.5], sinogram_order=True, algorithm="wbp", center_convention="index")
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, c)


def test_a_start_is_used_and_not_changed(scan):
    start = np.random.default_rng(0).random(scan.truth.shape, dtype=np.float32)
    before = start.copy()
    one = tomoprior.recon(scan.sinograms, scan.theta, scan.center, True, "sirt", init_recon=start, num_iter=1)
    other = tomoprior.recon(scan.sinograms, scan.theta, scan.center, True, "sirt", num_iter=1)
    np.testing.assert_array_equal(start, before)
    assert np.abs(one - other).max() > 0.01


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"algorithm": None}, SettingsError, "sirt"),
        ({"algorithm": "gridrec"}, UnknownNameError, "wbp"),
        ({"sinogram_order": False}, InputError, "sinogram_order"),
        ({"center": [1.0, 2.0]}, InputError, "2 centers for 6 slices"),
        ({"init_recon": np.zeros((2, 2, 2))}, InputError, "init_recon"),
        ({"algorithm": "tv", "nchunk": 2}, InputError, "couples"),
        ({"nchunk": -1}, InputError, "nchunk"),
        ({"num_iter": -1}, SettingsError, "num_iter"),
        ({"tomo": np.zeros((3, 4))}, InputError, "three axes"),
        ({"tomo": np.zeros((6, 40, 32), complex)}, InputError, "real"),
        ({"theta": np.linspace(0, 180, 40)}, GeometryError, "degrees"),
    ],
)
def test_mistakes_get_a_clear_line(scan, change, error, message):
    right = {"tomo": scan.sinograms, "theta": scan.theta, "center": scan.center, "sinogram_order": True, "algorithm": "sirt"}
    with pytest.raises(error, match=message):
        tomoprior.recon(**{**right, **change})


class Unread:
    """An array of which nothing may be read."""

    def __init__(self, shape, dtype):
        self.shape, self.dtype = shape, np.dtype(dtype)

    def __getitem__(self, key):
        raise AssertionError("it was read")

    def __array__(self, *_, **__):
        raise AssertionError("it was read")


@pytest.mark.parametrize(
    ("tomo", "message"),
    [
        (np.zeros((3, 4)), "three axes"),
        ([[1.0, 2.0], [3.0, 4.0]], "three axes"),
        (Unread((6, 40), float), "three axes"),
        (Unread((6, 40, 32), complex), "real"),
        (np.full((6, 40, 32), "a"), "real"),
        (Unread((40, 6, 32), float), "6 projections and 40 angles; is sinogram_order right"),
    ],
)
def test_mistakes_are_told_from_file_to_file_before_anything_is_read(scan, tmp_path, tomo, message):
    with pytest.raises(InputError, match=message):
        tomoprior.recon(tomo, scan.theta, sinogram_order=True, algorithm="sirt", out=tmp_path / "v.zarr")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr"])
def test_from_file_to_file_slab_by_slab(scan, tmp_path, kind):
    import dask.array
    import zarr

    plain = tomoprior.recon(scan.sinograms, scan.theta, scan.center, sinogram_order=True, algorithm="sirt", num_iter=5)
    tomo = np.ascontiguousarray(scan.sinograms.transpose(1, 0, 2))
    if kind == "dask":
        tomo = dask.array.from_array(tomo, chunks=(7, 3, 11))
    elif kind == "zarr":
        tomo = zarr.create_array(tmp_path / "tomo.zarr", data=tomo)
    out = tmp_path / "volume.zarr"
    found = tomoprior.recon(tomo, scan.theta, scan.center, algorithm="sirt", num_iter=5, out=out, nchunk=3)
    assert found.shape == plain.shape
    np.testing.assert_array_equal(found[...], plain)
    np.testing.assert_array_equal(found[1], plain[1])
    np.testing.assert_array_equal(tomoprior.formats.open_stack(out).data[...], plain.swapaxes(0, 1))


def test_slabs_without_a_file_are_refused(scan):
    with pytest.raises(SettingsError, match="workers: only with out"):
        tomoprior.recon(scan.sinograms, scan.theta, sinogram_order=True, algorithm="sirt", workers=2)


def test_a_misspelt_setting_is_refused_with_the_name_that_is_meant():
    theta = np.linspace(0, np.pi, 10, endpoint=False)
    with pytest.raises(SettingsError, match=r"num_itr.*num_iter"):
        tomoprior.recon(np.ones((10, 2, 16), np.float32), theta, algorithm="sirt", num_itr=2)


def test_what_belongs_to_tomopys_own_algorithms_is_ignored_with_a_warning():
    theta = np.linspace(0, np.pi, 10, endpoint=False)
    tomo = np.ones((10, 2, 16), np.float32)
    with pytest.warns(UserWarning, match="wbp does not know num_iter, pool_size; ignored"):
        found = tomoprior.recon(tomo, theta, algorithm="wbp", pool_size=3, num_iter=2)
    np.testing.assert_array_equal(found, tomoprior.recon(tomo, theta, algorithm="wbp"))


def test_gridrec_has_tomopys_own_default_filter():
    assert TomopySettings().filter_name == "shepp"
