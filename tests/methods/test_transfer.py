"""Iterative methods on images that passed a transfer function: what they recover, and who refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tomoprior import FilteredProjector, Geometry, Projector, TiltSeries, reconstruct
from tomoprior.errors import InputError
from tomoprior.metrics import measured_region
from tomoprior.microscopy import CTF, Transfer
from tomoprior.running.estimate import estimate
from tomoprior.running.halves import join_halves

ANGLES = np.deg2rad(np.linspace(-60, 60, 21))


@pytest.fixture(scope="module")
def geometry():
    return Geometry(ANGLES, (16, 24, 24), voxel_size=8.0, unit="angstrom")


@pytest.fixture(scope="module")
def truth(geometry):
    z, y, x = np.indices(geometry.shape)
    return (((z - 8) ** 2 + (y - 12) ** 2 + (x - 10) ** 2 < 25) | ((y < 6) & (abs(x - 16) < 3) & (abs(z - 8) < 4))).astype(
        np.float32
    )


@pytest.fixture(scope="module")
def series(geometry, truth):
    """Noise-free images at 3 micrometers, whose signs change near half of the Nyquist frequency."""
    transfer = Transfer(geometry.detector, 8.0, ctf=[CTF(30000.0 + 500 * i) for i in range(21)])
    images = FilteredProjector(Projector(geometry, "cpu"), transfer)(truth)
    return TiltSeries(images, geometry, transfer=transfer)


def correlation(volume, truth):
    return float(np.corrcoef(volume.ravel(), truth.ravel())[0, 1])


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("sirt", {"num_iter": 60, "min_constraint": 0}),
        ("sart", {"num_iter": 8, "min_constraint": 0}),
        ("cgls", {"num_iter": 15}),
        ("tikhonov", {"num_iter": 30, "reg_par": 0.01}),
        ("tv", {"num_iter": 60}),
        ("cn", {"num_iter": 60, "degree": 1}),
    ],
)
def test_the_model_recovers_more_than_images_taken_as_projections(series, truth, method, settings):
    with_model = reconstruct(series, method, **settings)
    without = reconstruct(replace(series, transfer=None), method, **settings)
    assert correlation(with_model.volume, truth) > 0.85
    assert correlation(with_model.volume, truth) > correlation(without.volume, truth) + 0.2
    assert with_model.provenance["residual"] < 0.2
    assert with_model.provenance["transfer"]["ctf"]["neglected_gradient_radians_at_nyquist"]["across"] > 0
    assert with_model.provenance["projector"]["adjoint_error"] < 1e-6


def test_an_array_serves_as_an_object_does(series):
    array = replace(series, transfer=series.transfer.array())
    a, b = (reconstruct(s, "cgls", num_iter=3).volume for s in (series, array))
    np.testing.assert_array_equal(a, b)


def test_a_transfer_of_one_changes_nothing_but_the_mean(geometry, truth):
    images = Projector(geometry, "cpu")(truth)
    ones = np.ones((21, 24, 13))
    plain = reconstruct(TiltSeries(images, geometry), "tikhonov", num_iter=5).volume
    filtered = reconstruct(TiltSeries(images, geometry, transfer=ones), "tikhonov", num_iter=5).volume
    np.testing.assert_allclose(filtered, plain, atol=1e-4)


def test_weights_of_tilts_are_used_and_those_of_pixels_refused(series):
    weights = np.ones(21, np.float32)
    weights[0] = 0
    broken = series.projections.copy()
    broken[0] = 1e3
    a = reconstruct(replace(series, projections=broken, weights=weights), "cgls", num_iter=3).volume
    b = reconstruct(series.select(range(1, 21)), "cgls", num_iter=3).volume
    np.testing.assert_allclose(a, b, atol=1e-3)
    with pytest.raises(InputError, match="weights of pixels"):
        reconstruct(replace(series, weights=np.ones(series.geometry.range_shape)), "cgls")


@pytest.mark.parametrize("method", ["wbp", "fourier", "diffusion", "wiener"])
def test_methods_that_use_images_directly_refuse_before_any_work(series, method):
    with pytest.raises(InputError, match=f"{method} cannot use a transfer function; flip phases first"):
        reconstruct(series, method)


def test_wedge_starts_from_a_method_that_uses_the_transfer_function(series):
    """With a network that has learned nothing the result is that start where tilts measured."""
    values = {"cube_size": 16, "width": 4, "depth": 2, "batch_size": 1, "num_iter": 1, "steps_per_round": 1}
    result = reconstruct(series, "wedge", **values)
    start = reconstruct(series, "sirt").volume
    region = measured_region(start.shape, series.geometry.angles, mode="wedge")
    ours, theirs = (np.fft.rfftn(v)[region] for v in (result.volume, start))
    assert np.abs(np.vdot(ours, theirs)) > 0.9 * np.linalg.norm(ours) * np.linalg.norm(theirs)
    assert result.provenance["residual"] < 0.9
    with pytest.raises(InputError, match="start=wbp cannot use a transfer function"):
        reconstruct(series, "wedge", start="wbp", **values)
    joined = join_halves(series, series)
    assert reconstruct(joined, "wedge", halves=True, **values).volume.shape == series.geometry.shape


def test_slabs_are_refused_before_any_work(series, tmp_path):
    with pytest.raises(InputError, match="slab by slab"):
        reconstruct(series, "sirt", out=tmp_path / "v.zarr")
    assert not list(tmp_path.iterdir())


def test_the_estimate_counts_the_filters(series):
    plain, filtered = (estimate(s, "tv") for s in (replace(series, transfer=None), series))
    assert filtered.projector - plain.projector == 7 * 4 * 21 * 24 * 24
    assert filtered.method == plain.method


def test_a_network_fits_all_slices_together(series):
    with pytest.raises(InputError, match="slices=all"):
        reconstruct(series, "cn", encoder="fourier", slices=4, num_iter=2)
    with pytest.raises(InputError, match="preset=paper"):
        reconstruct(series, "cn", preset="paper", slices="all", num_iter=2)
    volume = reconstruct(series, "cn", encoder="fourier", slices="all", num_iter=3).volume
    assert torch.isfinite(torch.from_numpy(volume)).all()


@pytest.fixture(scope="module")
def noisy(series):
    """The series with ten times as much noise as signal."""
    noise = np.random.default_rng(3).normal(0, np.sqrt(10 * series.projections.var()), series.projections.shape)
    return replace(series, projections=(series.projections + noise).astype(np.float32))


def test_tv_converges_at_the_strengths_that_strong_noise_needs(noisy):
    rule = reconstruct(noisy, "tv", reg_par="auto", num_iter=1).provenance["settled"]["reg_par"]
    early, late = (reconstruct(noisy, "tv", reg_par=60 * rule, num_iter=n).volume for n in (100, 800))
    assert np.square(early - late).sum() < 0.05 * np.square(late).sum()
