"""The gradient of defocus across a tilted slab: strips of columns, their operator, and what it recovers."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from tomoprior import FilteredProjector, Geometry, Projector, TiltSeries, reconstruct
from tomoprior.errors import InputError
from tomoprior.methods.solving.problem import ray_and_voxel_sums, reciprocal_, set_up_problem
from tomoprior.microscopy import CTF, Transfer, flip_phases
from tomoprior.microscopy.strips import defocus_strips
from tomoprior.projector import SpectrumProjector
from tomoprior.running.estimate import estimate
from tomoprior.simulate.cryo import expose
from tomoprior.testing import check_operator

GEOMETRY = Geometry(np.deg2rad([-60.0, -20.0, 10.0, 60.0]), (6, 4, 200), voxel_size=5.0, unit="angstrom")
TRANSFER = Transfer(GEOMETRY.detector, 5.0, ctf=[CTF(2e4 + 1e3 * i, 1.9e4, 0.4) for i in range(4)])


def test_strips_have_the_defocus_of_a_tilted_plane_and_add_up_to_one():
    strips = defocus_strips(TRANSFER, GEOMETRY)
    # pi lambda / 10^2 times 500 angstrom times tan 60 degrees is 0.536 radians: two strips, whose middles are 250 angstrom off
    np.testing.assert_allclose(strips.offsets[3], [-250 * np.sqrt(3), 250 * np.sqrt(3)])
    np.testing.assert_allclose(strips.windows.sum(0), 1)
    np.testing.assert_allclose(strips.windows[0, :50], 1)
    assert TRANSFER.describe(GEOMETRY)["ctf"]["strips"] == 2
    assert TRANSFER.describe(GEOMETRY)["ctf"]["neglected_gradient_radians_at_nyquist"]["across"] == pytest.approx(
        0.268, abs=1e-3
    )
    np.testing.assert_allclose(defocus_strips(replace(TRANSFER, hand=-1), GEOMETRY).offsets, -strips.offsets)


def test_the_axis_of_the_tilts_has_the_defocus_of_the_image():
    shifted = replace(GEOMETRY, center=np.full(4, 50.0))
    assert defocus_strips(TRANSFER, shifted).offsets[3, 0] == pytest.approx(0)


def test_no_strips_where_one_defocus_serves():
    narrow = Geometry(GEOMETRY.angles, (6, 4, 100), voxel_size=5.0, unit="angstrom")
    assert defocus_strips(replace(TRANSFER, image_shape=(4, 100)), narrow) is None
    assert defocus_strips(replace(TRANSFER, hand=0), GEOMETRY) is None


def test_another_hand_is_refused():
    with pytest.raises(InputError, match="hand of the defocus"):
        replace(TRANSFER, hand=2)


@pytest.mark.parametrize("kind", [FilteredProjector, SpectrumProjector])
def test_adjoint_and_gradient_of_strips_are_exact(kind):
    A = kind(Projector(GEOMETRY, "cpu"), TRANSFER)
    assert len(A.windows) == 2
    check_operator(A)
    assert A.adjoint_error() < 1e-6
    x = torch.rand(GEOMETRY.shape)
    torch.testing.assert_close(A.subset([3, 0])(x), A(x)[[3, 0]])
    torch.testing.assert_close(pickle.loads(pickle.dumps(A))(x), A(x))


def test_a_point_spreads_by_the_defocus_of_its_column():
    A = FilteredProjector(Projector(GEOMETRY, "cpu"), TRANSFER)
    x = torch.zeros(GEOMETRY.shape)
    x[2:4, 2, 110] = 1
    clean = A.bare(x)
    column = int(clean[3].sum(0).argmax())
    weight = defocus_strips(TRANSFER, GEOMETRY).windows[:, column]
    offset = 250 * np.sqrt(3)
    expected = sum(
        w * np.fft.irfft2(np.fft.rfft2(clean[3].numpy()) * TRANSFER.tilt(3, d), s=(4, 200))
        for w, d in zip(weight, (-offset, offset), strict=True)
    )
    np.testing.assert_allclose(A(x)[3].numpy(), expected, atol=0.02 * abs(expected).max())


@pytest.mark.parametrize("kind", [FilteredProjector, SpectrumProjector])
def test_steps_of_strips_have_a_norm_of_at_most_one(kind):
    A = kind(Projector(GEOMETRY, "cpu"), TRANSFER)
    problem = set_up_problem(torch.zeros(A.range_shape), A, 0, weights=None, initial=None, mask=None)
    rows, columns = (reciprocal_(sums) for sums in ray_and_voxel_sums(problem))
    x, value = torch.rand(A.domain_shape, generator=torch.Generator().manual_seed(1)), 0.0
    for _ in range(60):
        x = columns * A.T(rows * A(x))
        value = float(x.norm())
        x /= value
    assert 0.05 < value <= 1 + 1e-5


def test_the_estimate_counts_the_filters_of_strips():
    series = TiltSeries(np.zeros(GEOMETRY.range_shape, np.float32), GEOMETRY, transfer=TRANSFER)
    one = replace(series, transfer=replace(TRANSFER, hand=0))
    assert estimate(series, "tv").projector - estimate(one, "tv").projector == 3 * 4 * 4 * 4 * 200


@pytest.fixture(scope="module")
def wide():
    """A slab of small boxes across 2 micrometers, recorded with the gradient of defocus."""
    geometry = Geometry(np.deg2rad(np.linspace(-60, 60, 21)), (12, 4, 4000), voxel_size=5.0, unit="angstrom")
    truth = np.zeros(geometry.shape, np.float32)
    rng = np.random.default_rng(1)
    for x, z in zip(rng.integers(2, 3996, 800), rng.integers(1, 9, 800), strict=True):
        truth[z : z + 2, :, x : x + 2] = 1
    transfer = Transfer(geometry.detector, 5.0, ctf=[CTF(30000.0 + 500 * i) for i in range(21)])
    clean = Projector(geometry, "cpu")(truth)
    images, _ = expose(np.asarray(clean), transfer, 1.0, 0.3, np.random.default_rng(1), geometry)
    return truth, TiltSeries(images, geometry, transfer=transfer)


def correlation(volume, truth):
    return float(np.corrcoef(volume.ravel(), truth.ravel())[0, 1])


@pytest.mark.slow
def test_strips_reconstruct_a_wide_slab_better_than_one_defocus(wide):
    truth, series = wide
    one = replace(series, transfer=replace(series.transfer, hand=0))
    wrong = replace(series, transfer=replace(series.transfer, hand=-1))
    found = [correlation(reconstruct(s, "cgls", num_iter=6).volume, truth) for s in (series, one, wrong)]
    assert found[0] > found[1] + 0.05
    assert found[1] > found[2] + 0.05


@pytest.mark.slow
def test_phases_flip_by_strips(wide):
    truth, series = wide
    found = []
    for geometry in (series.geometry, None):
        images = flip_phases(series.projections, series.transfer, geometry)
        flipped = replace(series, projections=images, transfer=None)
        found.append(correlation(reconstruct(flipped, "cgls", num_iter=4).volume, truth))
    assert found[0] > found[1] + 0.04
