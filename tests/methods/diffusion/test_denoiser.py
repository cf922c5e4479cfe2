"""What the denoiser gives before it has learned anything, and what of its inputs matters when."""

from __future__ import annotations

import pytest
import torch

from tomoprior.methods.diffusion.denoiser import SIGMA_DATA, Denoiser, depths, loss_weight
from tomoprior.methods.diffusion.network import Shape, UNet


def inputs(shape=(16, 16, 16), batch=2, seed=0, told=1.0):
    g = torch.Generator().manual_seed(seed)
    nz, _, nx = shape
    return {
        "noisy": torch.randn((batch, *shape), generator=g),
        "sigma": torch.tensor([0.1, 3.0])[:batch],
        "linear": torch.randn((batch, *shape), generator=g),
        "depth": depths(nz),
        "coverage": torch.rand((batch, nz, nx), generator=g),
        "numbers": torch.randn((batch, 5), generator=g),
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
    alone = {k: v[1:] if k != "depth" else v for k, v in given.items()}
    torch.testing.assert_close(d(**given)[1:], d(**alone), rtol=1e-3, atol=1e-4)


def test_the_networks_own_target_has_unit_variance():
    """``c_out^2 loss_weight`` is one (EDM, section 5)."""
    sigma = torch.tensor([0.02, 0.4, 80.0])
    c_out = sigma * SIGMA_DATA / (sigma**2 + SIGMA_DATA**2).sqrt()
    torch.testing.assert_close(loss_weight(sigma) * c_out**2, torch.ones(3))


def test_depths_run_from_face_to_face():
    assert depths(4).tolist() == [-0.75, -0.25, 0.25, 0.75]


@pytest.mark.parametrize("flat", [False, True])
def test_the_output_is_on_the_voxel_grid(flat):
    net = UNet(4, 7, Shape((16, 16, 32), (1, 1, 1), embedding=8, flat=flat))
    assert net.multiple == ((8, 1, 8) if flat else (8, 8, 8))
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


def test_a_flat_network_couples_no_slices(network):
    assert changed_slices(network(flat=True, weights=0.1)) == [y == 7 for y in range(16)]


def test_a_network_in_3d_does(network):
    found = changed_slices(network(weights=0.1))
    assert all(found[4:12])


def test_what_a_voxel_becomes_lies_where_it_was(network):
    """Inner voxels to and from channels: a perturbation acts most where it is."""
    d = network(weights=0.05)
    given = inputs(batch=1)
    x = torch.zeros_like(given["noisy"])
    x[0, 5, 8, 11] = 1
    leave = d.unet(torch.cat([x[:, None]] * 4, 1), torch.zeros(1, 7)) - d.unet(torch.zeros(1, 4, 16, 16, 16), torch.zeros(1, 7))
    z, y, w = (int(i) for i in torch.unravel_index(leave.abs().argmax(), (16, 16, 16)))
    assert (abs(z - 5), abs(y - 8), abs(w - 11)) <= (5, 5, 5)


def test_shapes_survive_a_header():
    shape = Shape((16, 32), (2, 1), 64, True)
    assert Shape.from_dict(shape.to_dict()) == shape
    assert Denoiser(shape).unet.shape == shape
