"""A slab goes on beyond the field of view: what lies there is in the projections, and padding takes it up."""

import numpy as np
import pytest
import torch

from tomoprior import Geometry, Projector, methods
from tomoprior.methods.solving.problem import automatic_padding, resolve_padding
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
