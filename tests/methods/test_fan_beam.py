"""Which methods run on a fan beam, how well, and what the others say."""

import json

import numpy as np
import pytest
import torch

import tomoprior
from tomoprior import FanGeometry, Geometry, Projector, TiltSeries, methods
from tomoprior.alignment.center import find_center
from tomoprior.errors import InputError

FAN = {"source_distance": 60.0, "detector_distance": 30.0}


@pytest.fixture(scope="module")
def truth():
    z, x = np.arange(24)[:, None] - 11.5, np.arange(24)[None, :] - 11.5
    plane = ((z**2 + x**2 < 100) & ((z - 3) ** 2 + (x + 4) ** 2 > 9)).astype(np.float32)
    return np.repeat(plane[:, None], 2, 1)


@pytest.fixture(scope="module")
def series(truth):
    geometry = FanGeometry(np.deg2rad(np.arange(-180, 180, 10)), (24, 2, 24), (2, 40), 19.6, **FAN)
    return TiltSeries(Projector(geometry, "cpu")(truth), geometry)


@pytest.mark.parametrize(
    ("name", "settings", "error"),
    [
        ("sirt", {"num_iter": 60}, 0.15),
        ("sart", {"num_iter": 10}, 0.15),
        ("cgls", {"num_iter": 20}, 0.1),
        ("tikhonov", {"num_iter": 30}, 0.2),
        ("tv", {"num_iter": 200}, 0.05),
        ("cn", {"num_iter": 100}, 0.2),
    ],
)
def test_iterative_methods_reconstruct_from_a_fan(name, settings, error, truth, series):
    result = tomoprior.reconstruct(series, name, device="cpu", **settings)
    assert np.linalg.norm(result.volume - truth) < error * np.linalg.norm(truth)


def test_a_flat_grid_is_not_padded_in_a_fan(series):
    flat = series.with_geometry(series.geometry.with_thickness(10))
    assert tomoprior.reconstruct(flat, "sirt", num_iter=1, device="cpu").provenance["pad"] == 0


def test_the_record_and_the_slabs_keep_the_fan(tmp_path, series):
    path = tmp_path / "volume.zarr"
    whole = tomoprior.reconstruct(series, "cgls", num_iter=3, device="cpu")
    slabs = tomoprior.reconstruct(series, "cgls", num_iter=3, device="cpu", out=path, slab=1)
    np.testing.assert_array_equal(np.asarray(slabs.volume[...]), whole.volume)
    record = json.loads((tmp_path / "volume.zarr.json").read_text())
    assert Geometry.from_dict(record["geometry"]) == series.geometry


REFUSING = ("wbp", "fourier", "wiener", "diffusion", "diffusion.slice", "wedge", "astra.SIRT", "astra.FBP")


@pytest.mark.parametrize("name", REFUSING)
def test_methods_for_a_parallel_beam_refuse_a_fan_before_any_work(name, series, tmp_path):
    message = "takes a parallel beam only: use sirt, sart, cgls, tikhonov, tv, cn or pnp, or turn .* tomoprior.rebin_fan"
    for values in ({}, {"out": tmp_path / "volume.zarr"}):
        with pytest.raises(InputError, match=message):
            tomoprior.reconstruct(series, name, device="cpu", **values)
    assert not list(tmp_path.iterdir())
    method = methods.get(name)
    with pytest.raises(InputError, match=message):
        method.reconstruct(torch.from_numpy(series.projections), Projector(series.geometry, "cpu"), method.Settings())


def test_a_rebinned_series_goes_through_tv_with_its_weights(truth, series):
    fine = FanGeometry(np.deg2rad(np.arange(-180, 180, 2)), (24, 2, 24), (2, 40), 19.6, **FAN)
    parallel = tomoprior.rebin_fan(TiltSeries(Projector(fine, "cpu")(truth), fine), np.deg2rad(np.arange(-90, 90, 5)))
    result = tomoprior.reconstruct(parallel, "tv", num_iter=200, device="cpu")
    assert np.linalg.norm(result.volume - truth) < 0.2 * np.linalg.norm(truth)


def test_alignment_and_the_search_for_the_axis_refuse_a_fan(series):
    for function in (tomoprior.align, find_center):
        with pytest.raises(InputError, match="takes a parallel beam only; turn the series into"):
            function(series)


def test_a_comparison_names_the_method_that_cannot_use_a_fan_before_any_work(series, tmp_path):
    with pytest.raises(InputError, match="wbp takes a parallel beam only"):
        tomoprior.compare(series, "sirt,wbp", out=tmp_path / "report")
    assert not list(tmp_path.iterdir())
