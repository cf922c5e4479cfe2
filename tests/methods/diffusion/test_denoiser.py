"""What the denoiser gives before it has learned anything, and what of its inputs matters when."""

from __future__ import annotations

import pytest
import torch

from tomoprior.methods.diffusion.denoiser import SIGMA_DATA, Denoiser, depths, in_tile, loss_weight
from tomoprior.methods.diffusion.network import Shape, UNet


def inputs(shape=(16, 16, 16), batch=2, seed=0, told=1.0):
    g = torch.Generator().manual_seed(seed)
    nz, _, nx = shape
    return {
        "noisy": torch.randn((batch, *shape), generator=g),
        "sigma": torch.tensor([0.1, 3.0])[:batch],
        "linear": torch.randn((batch, *shape), generator=g),
        "depth": depths(nz, nz).expand(batch, -1),
        "coverage": torch.rand((batch, nz, nx), generator=g),
        "numbers": torch.randn((batch, 6), generator=g),
        "told": torch.full((batch,), told),
    }


@pytest.mark.parametrize("told", [0.0, 1.0])
def test_untrained_it_shrinks_to_the_linear_estimate(network, told):
    given = inputs(told=told)
    s2 = given["sigma"][:, None, None, None] ** 2
    m = given["linear"] * told
    want = m + SIGMA_DATA**2 / (s2 + SIGMA_DATA**2) * (given["noisy"] - m)
    torch.testing.assert_close(network()(**given), want)


def test_without_conditions_they_have_no_influence(network):
    d = network(weights=0.1)
    given, other = inputs(told=0.0), inputs(told=0.0, seed=1)
    changed = given | {name: other[name] for name in ("linear", "coverage", "numbers")}
    assert torch.equal(d(**given), d(**changed))
    assert not torch.equal(d(**given), d(**(given | {"told": torch.ones(2)})))


@pytest.mark.parametrize("name", ["noisy", "linear", "coverage", "numbers", "depth", "sigma"])
def test_with_them_everything_has(network, name):
    d = network(weights=0.1)
    given = inputs()
    assert not torch.equal(d(**given), d(**(given | {name: given[name] * 1.5 + 0.1})))


def test_elements_of_a_batch_are_on_their_own(network):
    d = network(weights=0.1)
    given = inputs()
    alone = {k: v[1:] for k, v in given.items()}
    torch.testing.assert_close(d(**given)[1:], d(**alone), rtol=1e-3, atol=1e-4)


def test_the_networks_own_target_has_unit_variance():
    """``c_out^2 loss_weight`` is one (EDM, section 5)."""
    sigma = torch.tensor([0.02, 0.4, 80.0])
    c_out = sigma * SIGMA_DATA / (sigma**2 + SIGMA_DATA**2).sqrt()
    torch.testing.assert_close(loss_weight(sigma) * c_out**2, torch.ones(3))


def test_depths_run_from_face_to_face():
    assert depths(4, 4).tolist() == [-0.75, -0.25, 0.25, 0.75]


@pytest.mark.parametrize(("nz", "height"), [(4, 8), (3, 8), (1, 4), (7, 8)])
def test_outside_a_thin_grid_depth_goes_on_and_all_else_is_zero(nz, height):
    depth, x = depths(nz, height), in_tile(torch.ones(nz, 2, 3), height)
    assert x.shape == (height, 2, 3)
    inside = depth.abs() < 1
    assert int(inside.sum()) == nz
    torch.testing.assert_close(depth.diff(), torch.full((height - 1,), 2 / nz))
    torch.testing.assert_close(depth[inside], depths(nz, nz))
    assert torch.equal(x, inside.float()[:, None, None].expand_as(x))


@pytest.mark.parametrize("kind", [{}, {"flat": True}, {"separable": True}])
def test_the_output_is_on_the_voxel_grid(kind):
    net = UNet(4, 7, Shape((16, 16, 32), (1, 1, 1), embedding=8, **kind))
    assert net.multiple == ((8, 1, 8) if kind else (8, 8, 8))
    z, y, x = net.multiple
    out = net(torch.randn(1, 4, 2 * z, 3 * y, x), torch.randn(1, 7))
    assert out.shape == (1, 1, 2 * z, 3 * y, x)
    assert not bool(out.any())  # before training it says nothing


def changed_slices(d):
    given = inputs()
    noisy = given["noisy"].clone()
    noisy[:, :, 7] += 1
    difference = d(**given) - d(**(given | {"noisy": noisy}))
    return (difference.abs().amax((0, 1, 3)) > 1e-6).tolist()


@pytest.mark.parametrize("separable", [False, True])
def test_a_flat_network_couples_no_slices(network, separable):
    assert changed_slices(network(flat=True, weights=0.1, separable=separable)) == [y == 7 for y in range(16)]


@pytest.mark.parametrize("separable", [False, True])
def test_a_network_in_3d_does(network, separable):
    found = changed_slices(network(weights=0.1, separable=separable))
    assert all(found[4:11])


def test_a_separable_network_sets_out_as_slices_on_their_own(network):
    """What reaches along y starts as the identity, so that in the beginning only what lies in a slice is learned from."""
    d = network(separable=True)
    torch.nn.init.normal_(d.unet.leave.weight, std=0.1)
    for level in (*d.unet.down, *d.unet.up):
        for block in level:
            torch.nn.init.normal_(block.second.weight, std=0.1)
    assert changed_slices(d) == [y == 7 for y in range(16)]


def test_what_a_voxel_becomes_lies_where_it_was(network):
    """Inner voxels to and from channels: a perturbation acts most where it is."""
    d = network(weights=0.05)
    given = inputs(batch=1)
    x = torch.zeros_like(given["noisy"])
    x[0, 5, 8, 11] = 1
    leave = d.unet(torch.cat([x[:, None]] * 4, 1), torch.zeros(1, 8)) - d.unet(torch.zeros(1, 4, 16, 16, 16), torch.zeros(1, 8))
    z, y, w = (int(i) for i in torch.unravel_index(leave.abs().argmax(), (16, 16, 16)))
    assert (abs(z - 5), abs(y - 8), abs(w - 11)) <= (5, 5, 5)


def test_shapes_survive_a_header():
    shape = Shape((16, 32), (2, 1), 64, separable=True)
    assert Shape.from_dict(shape.to_dict()) == shape
    assert Denoiser(shape).unet.shape == shape
