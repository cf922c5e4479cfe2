"""A slab goes on beyond the field of view: what lies there is in the projections, and padding takes it up."""

import numpy as np
import pytest
import torch

import tomoprior
from tomoprior import Geometry, Projector, methods
from tomoprior.methods.solving.padding import automatic_padding, resolve_padding, settle_padding
from tomoprior.series.field_of_view import extends_beyond_detector
from tomoprior.simulate import Spheres

ANGLES = np.deg2rad(np.linspace(-60, 60, 41))


@pytest.fixture(scope="module")
def slab():
    """Spheres in 16 x 8 x 128 voxels, seen through a window of 64 columns."""
    phantom = Spheres.random((16, 8, 128), radius=(3, 6), fill=0.3, seed=4)
    geometry = Geometry(ANGLES, (16, 8, 64))
    return geometry, torch.from_numpy(phantom.project(geometry)), torch.from_numpy(phantom.volume((16, 8, 128)))[..., 32:96]


@pytest.mark.parametrize(
    ("name", "settings"), [("sirt", {"num_iter": 100}), ("tv", {"num_iter": 200}), ("cgls", {"num_iter": 15})]
)
def test_padding_keeps_the_edges_clean(slab, name, settings):
    geometry, p, truth = slab
    method = methods.get(name)
    A = Projector(geometry, "cpu")
    with_pad, without = (method.reconstruct(p, A, method.Settings(pad=n, **settings)) for n in ("auto", 0))
    assert with_pad.provenance["pad"] == automatic_padding(geometry) > 0
    assert with_pad.volume.shape == without.volume.shape == truth.shape
    edges = [float((v.volume - truth)[..., [*range(8), *range(-8, 0)]].square().mean()) for v in (with_pad, without)]
    assert edges[0] < 0.6 * edges[1]
    assert with_pad.history["residual"][-1] < without.history["residual"][-1]


def test_the_pad_follows_the_geometry():
    # a whole object: nothing lies beside it
    assert automatic_padding(Geometry(ANGLES, (64, 2, 64))) == 0
    # the ray through the detector's end at 60 degrees leaves the slab (32 + sin 60 x 8) / cos 60 from its middle: capped
    assert automatic_padding(Geometry(ANGLES, (16, 2, 64))) == 16
    # at small tilts, where it leaves
    degrees = 10.0
    reach = (32 + np.sin(np.deg2rad(degrees)) * 8) / np.cos(np.deg2rad(degrees)) - 32
    assert automatic_padding(Geometry(np.deg2rad([-degrees, 0, degrees]), (16, 2, 64))) == int(np.ceil(reach))
    # a detector wider than the grid needs more
    assert automatic_padding(Geometry(np.deg2rad([0.0]), (16, 2, 64), (2, 80))) == 8
    assert resolve_padding(Geometry(ANGLES, (16, 2, 64)), "auto") == 16
    assert resolve_padding(Geometry(ANGLES, (16, 2, 64)), 3) == 3


@pytest.mark.parametrize("pad", [0, 1, 7])
def test_the_result_is_the_middle_of_a_wider_grids(slab, pad, difference):
    geometry, p, _ = slab
    method = methods.get("sirt")
    found = method.reconstruct(p, Projector(geometry, "cpu"), method.Settings(num_iter=10, pad=pad)).volume
    wide = method.reconstruct(p, Projector(geometry.padded(pad), "cpu"), method.Settings(num_iter=10, pad=0)).volume
    assert difference(found, wide[..., pad : 64 + pad]) < 1e-6


def test_a_mask_speaks_of_the_grid_that_was_asked_for(slab):
    geometry, p, _ = slab
    mask = torch.ones(16, 64)
    mask[:2] = 0
    method = methods.get("sirt")
    found = method.reconstruct(p, Projector(geometry, "cpu"), method.Settings(num_iter=10, pad=5), mask=mask).volume
    assert not found[:2].any()
    assert found[2:].any()
    # what lies beside it stays free to take up its share of the data
    free, masked = (
        method.reconstruct(p, Projector(geometry, "cpu"), method.Settings(num_iter=10, pad=5), mask=m).volume
        for m in (None, torch.ones(16, 64))
    )
    torch.testing.assert_close(masked, free)


def test_memory_and_work_grow_with_the_pad(slab):
    geometry, _, _ = slab
    method = methods.get("sirt")
    sizes = [
        (method.memory(geometry, s), method.cost_in_pairs(geometry, s)) for s in (method.Settings(pad=n) for n in (0, 8, 16))
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[1] < sizes[2]


def test_the_pad_follows_the_axis():
    # the axis at 20 of 64: the outermost ray passes it at 44, 12 beyond the grid of 64
    assert automatic_padding(Geometry(ANGLES, (64, 2, 64), center=20.0), is_truncated=False) == 12
    # an axis a little off the middle changes nothing for a whole object
    assert automatic_padding(Geometry(ANGLES, (64, 2, 64), center=30.0), is_truncated=False) == 0
    # a section at zero tilt reaches as far as its outermost ray, 34 from the axis
    assert automatic_padding(Geometry(np.deg2rad([0.0]), (16, 2, 64), center=30.0), is_truncated=False) == 2


def test_slices_with_axes_of_their_own_have_one_pad():
    geometry = Geometry(ANGLES, (64, 2, 64), center=[20.0, 32.0])
    assert [automatic_padding(geometry.rows(y, y + 1)) for y in (0, 1)] == [0, 0]
    assert settle_padding(methods.get("sirt").Settings(), np.zeros(geometry.range_shape), geometry).pad == 12


def test_the_pad_of_a_truncated_object_is_a_quarter_of_the_detector():
    assert automatic_padding(Geometry(ANGLES, (64, 2, 64)), is_truncated=True) == 16
    # the axis at 20: the ray at 44, 16 beyond it, less the 32 of the grid
    assert automatic_padding(Geometry(ANGLES, (64, 2, 64), center=20.0), is_truncated=True) == 28
    # a grid that is wide enough already
    assert automatic_padding(Geometry(ANGLES, (96, 2, 96), (2, 64)), is_truncated=True) == 0


def test_a_section_with_material_at_the_borders_gets_what_its_rays_reach():
    # the rays at 45 degrees leave the section (32 + sin 45 x 8) / cos 45 = 53.25 from its middle: 22 voxels beyond the grid
    geometry = Geometry(np.deg2rad([-45.0, 0.0, 45.0]), (16, 2, 64))
    assert [automatic_padding(geometry, is_truncated=known) for known in (True, False, None)] == [22, 16, 16]
    # at 60 degrees 46 voxels beyond it, at 70 degrees 84, of which three quarters of the width are the most
    steep = Geometry(ANGLES, (16, 2, 64))
    assert [automatic_padding(steep, is_truncated=known) for known in (True, False)] == [46, 16]
    assert automatic_padding(Geometry(np.deg2rad([0.0, 70.0]), (16, 2, 64)), is_truncated=True) == 48
    settings = methods.get("tv").Settings()
    empty = np.zeros(steep.range_shape, np.float32)
    empty[..., 20:40] = 1
    assert [settle_padding(settings, p, steep).pad for p in (empty, np.ones_like(empty))] == [16, 46]


def test_a_homogeneous_section_has_no_bright_faces():
    """Matter that the grid cannot hold goes to the faces, where rays at high tilt are longest inside the grid."""
    geometry = Geometry(ANGLES, (12, 1, 64))
    # a section of value 1 without ends: a ray is 12 / cos long
    p = np.broadcast_to((12 / np.cos(ANGLES))[:, None, None], geometry.range_shape).astype(np.float32)
    series = tomoprior.TiltSeries(np.ascontiguousarray(p), geometry)
    errors = []
    for pad in ("auto", 16):
        volume = tomoprior.reconstruct(series, "cgls", num_iter=8, pad=pad).volume[:, 0]
        errors.append(float(np.abs(volume[[0, -1]] - 1).mean()))
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize("per_ray", [False, True])
def test_rays_without_weight_do_not_count_as_borders(per_ray):
    """A dead column at the end of the detector, or a tilt that is left out, is no specimen."""
    geometry = Geometry(ANGLES, (64, 2, 64))
    projections, weights = np.zeros(geometry.range_shape), np.ones(geometry.range_shape)
    projections[:, :, 24:40] = 1
    if per_ray:
        projections[:, :, -3:], weights[:, :, -3:] = 1e30, 0
    else:
        projections[0] = np.nan
        weights = np.r_[0.0, np.ones(len(ANGLES) - 1)]
    assert not extends_beyond_detector(projections, geometry, weights)
    end = 61 if per_ray else 64
    projections[:, :, end - 3 : end] = 1
    assert extends_beyond_detector(projections, geometry, weights)


def test_borders_that_are_not_empty_settle_the_pad():
    geometry = Geometry(ANGLES, (64, 4, 64))
    settings = methods.get("sirt").Settings()
    projections = np.zeros(geometry.range_shape, np.float32)
    projections[..., 20:40] = 1
    assert settle_padding(settings, projections, geometry).pad == 0
    projections[..., 40:] = 0.5
    assert settle_padding(settings, projections, geometry).pad == 16
    given = methods.get("sirt").Settings(pad=3)
    assert settle_padding(given, projections, geometry) is given
    assert settle_padding(methods.get("wbp").Settings(), projections, geometry) == methods.get("wbp").Settings()


def test_half_acquisition_looks_at_the_far_border_only():
    geometry = Geometry(np.deg2rad(np.arange(0, 360, 10)), (128, 4, 128), (4, 64), center=10.0)
    projections = np.zeros(geometry.range_shape, np.float32)
    projections[..., :40] = 1  # full beside the axis, as it must be, and empty at the far end
    assert not extends_beyond_detector(projections, geometry)
    projections[..., 40:] = 0.5
    assert extends_beyond_detector(projections, geometry)


@pytest.mark.parametrize("name", ["sirt", "cgls"])
def test_padding_helps_an_object_that_is_wider_than_the_detector(name, tmp_path):
    phantom = Spheres.random((64, 16, 128), radius=(3, 6), fill=0.3, seed=4)
    geometry = Geometry(ANGLES, (64, 16, 64))
    series = tomoprior.TiltSeries(phantom.project(geometry).astype(np.float32), geometry)
    truth = phantom.volume((64, 16, 128))[..., 32:96]
    padded, bare = (tomoprior.reconstruct(series, name, num_iter=30, pad=pad) for pad in ("auto", 0))
    assert padded.provenance["settings"]["pad"] == 16
    errors = [float(((v.volume - truth)[..., [*range(8), *range(-8, 0)]] ** 2).mean()) for v in (padded, bare)]
    assert errors[0] < 0.8 * errors[1]
    # slabs share the pad of the whole series, and their volume is the same
    slabs = tomoprior.reconstruct(series, name, num_iter=30, out=tmp_path / "v.npy", slab=5)
    np.testing.assert_allclose(slabs.volume[...], padded.volume, atol=2e-3 * np.abs(truth).max())
