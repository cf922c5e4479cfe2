"""The untrained denoiser, and the inputs that matter with and without a condition."""

from __future__ import annotations

import pytest
import torch

from tomoprior.methods.diffusion.denoiser import (
    BLIND_SIGMA,
    CHANNELS,
    FEATURES,
    N_SERIES_NUMBERS,
    N_SPECIMEN_NUMBERS,
    Denoiser,
    compute_depths,
    pad_to_height,
)
from tomoprior.methods.learning.unet import Shape, UNet


def inputs(shape=(16, 16, 16), batch=2, seed=0, conditioned=1.0, nz=None):
    """A batch of tiles around a grid of ``nz`` planes."""
    g = torch.Generator().manual_seed(seed)
    height, _, nx = shape
    return {
        "noisy": torch.randn((batch, *shape), generator=g),
        "sigma": torch.tensor([0.1, 3.0])[:batch],
        "linear": torch.randn((batch, *shape), generator=g),
        "inside": torch.rand((batch, *shape), generator=g),
        "depth": compute_depths(nz or height, height).expand(batch, -1),
        "coverage": torch.rand((batch, height, nx), generator=g),
        "numbers": torch.randn((batch, N_SERIES_NUMBERS + N_SPECIMEN_NUMBERS), generator=g) * 0.5,
        "conditioned": torch.full((batch,), conditioned),
    }


def clean(d, given):
    return d(**given)[0]


def base(given):
    """The volume that the residual is taken from."""
    if bool(given["conditioned"].all()):
        return given["linear"]
    return given["numbers"][:, N_SERIES_NUMBERS, None, None, None] * (1 - given["inside"])


@pytest.mark.parametrize("conditioned", [0.0, 1.0])
def test_the_untrained_denoiser_is_the_linear_filter(network, conditioned):
    """The residual is from the linear estimate or, unconditionally, from zero inside the section and vacuum outside."""
    d = network()
    given = inputs(conditioned=conditioned)
    m = base(given)
    filtered, size = d.linear(
        given["noisy"] - m, given["sigma"], given["conditioned"], given["numbers"][:, N_SERIES_NUMBERS + 1]
    )
    found, found_size = d(**given)
    torch.testing.assert_close(found, m + filtered)
    assert torch.equal(found_size, size)
    assert bool((size > 0).all())
    low, high = ((found - m).square().mean((1, 2, 3)) / (given["noisy"] - m).square().mean((1, 2, 3))).tolist()
    assert low > 5 * high  # noise of 0.1 leaves much, noise of 3 hardly anything


def test_the_networks_output_is_scaled_by_the_error_of_the_linear_part(network):
    given = inputs()
    quiet, loud = network(), network()
    with torch.no_grad():
        loud.unet.leave.bias.fill_(1.0)
    (before, size), (after, _) = quiet(**given), loud(**given)
    torch.testing.assert_close(after - before, size[:, None, None, None].expand_as(before), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("conditioned", [0.0, 1.0])
def test_linear_estimate_and_section_outside_the_grid_have_no_influence(network, conditioned):
    d = network(weights=0.1)
    given = inputs(conditioned=conditioned, nz=10)
    outside = given["depth"][0].abs() > 1
    assert int(outside.sum()) == 6
    given["inside"][:, outside] = 0
    other = given | {"linear": given["linear"].clone()}
    other["linear"][:, outside] = 7
    assert torch.equal(clean(d, given), clean(d, other))
    noisy = given["noisy"].clone()
    noisy[:, outside] = 0
    # vacuum is expected within the grid alone: nothing is left to remove outside
    found = clean(network(), given | {"noisy": noisy, "sigma": torch.full((2,), 1e-3)})
    assert float(found[:, outside].abs().max()) < 0.05 * float(base(given).abs().max())


@pytest.mark.parametrize("conditioned", [0.0, 1.0])
def test_at_the_blind_level_the_noisy_volume_has_no_influence(network, conditioned):
    d = network(weights=0.1)
    given = inputs(conditioned=conditioned) | {"sigma": torch.full((2,), BLIND_SIGMA)}
    found = clean(d, given)
    assert torch.equal(found, clean(d, given | {"noisy": 100 * given["noisy"]}))
    torch.testing.assert_close(found, clean(d, given | {"sigma": torch.full((2,), 5 * BLIND_SIGMA)}), rtol=1e-3, atol=1e-4)
    just = given | {"sigma": torch.full((2,), 0.99 * BLIND_SIGMA)}
    assert not torch.equal(clean(d, just), clean(d, just | {"noisy": 100 * given["noisy"]}))
    torch.testing.assert_close(clean(network(), given), base(given))


def test_unconditionally_the_series_has_no_influence(network):
    d = network(weights=0.1)
    given, other = inputs(conditioned=0.0), inputs(conditioned=0.0, seed=1)
    changed = given | {name: other[name] for name in ("linear", "coverage")}
    changed["numbers"] = torch.cat([other["numbers"][:, :N_SERIES_NUMBERS], given["numbers"][:, N_SERIES_NUMBERS:]], 1)
    assert torch.equal(clean(d, given), clean(d, changed))
    assert not torch.equal(clean(d, given), clean(d, given | {"conditioned": torch.ones(2)}))


@pytest.mark.parametrize("number", range(N_SERIES_NUMBERS, N_SERIES_NUMBERS + N_SPECIMEN_NUMBERS))
def test_unconditionally_the_specimen_has_influence(network, number):
    d = network(weights=0.1)
    given = inputs(conditioned=0.0)
    numbers = given["numbers"].clone()
    numbers[:, number] += 0.3
    assert not torch.equal(clean(d, given), clean(d, given | {"numbers": numbers}))
    assert not torch.equal(clean(d, given), clean(d, given | {"inside": given["inside"] * 0.5}))


@pytest.mark.parametrize("name", ["noisy", "linear", "inside", "coverage", "numbers", "depth", "sigma"])
def test_conditioned_every_input_has_influence(network, name):
    d = network(weights=0.1)
    given = inputs()
    assert not torch.equal(clean(d, given), clean(d, given | {name: given[name] * 0.9 + 0.05}))


@pytest.mark.parametrize("number", range(N_SERIES_NUMBERS + N_SPECIMEN_NUMBERS))
def test_each_number_has_influence(network, number):
    d = network(weights=0.1)
    given = inputs()
    numbers = given["numbers"].clone()
    numbers[:, number] += 0.3
    assert not torch.equal(clean(d, given), clean(d, given | {"numbers": numbers}))


def test_elements_of_a_batch_are_independent(network):
    d = network(weights=0.1)
    given = inputs() | {"conditioned": torch.tensor([0.0, 1.0])}
    alone = [clean(d, {k: v[i : i + 1] for k, v in given.items()}) for i in range(2)]
    torch.testing.assert_close(clean(d, given), torch.cat(alone), rtol=1e-3, atol=1e-4)


def test_depths_run_from_face_to_face():
    assert compute_depths(4, 4).tolist() == [-0.75, -0.25, 0.25, 0.75]


@pytest.mark.parametrize(("nz", "height"), [(4, 8), (3, 8), (1, 4), (7, 8)])
def test_outside_a_thin_grid_depth_continues_and_other_inputs_are_zero(nz, height):
    depth, x = compute_depths(nz, height), pad_to_height(torch.ones(nz, 2, 3), height)
    assert x.shape == (height, 2, 3)
    inside = depth.abs() < 1
    assert int(inside.sum()) == nz
    torch.testing.assert_close(depth.diff(), torch.full((height - 1,), 2 / nz))
    torch.testing.assert_close(depth[inside], compute_depths(nz, nz))
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
    difference = clean(d, given) - clean(d, given | {"noisy": noisy})
    return (difference.abs().amax((0, 1, 3)) > 1e-6).tolist()


@pytest.mark.parametrize("separable", [False, True])
def test_a_flat_network_couples_no_slices(network, separable):
    assert changed_slices(network(flat=True, weights=0.1, separable=separable)) == [y == 7 for y in range(16)]


@pytest.mark.parametrize("separable", [False, True])
def test_a_3d_network_couples_slices(network, separable):
    found = changed_slices(network(weights=0.1, separable=separable))
    assert all(found[4:11])


def test_an_untrained_separable_network_couples_no_slices(network):
    """Kernels along y start as the identity, so that the network learns from single slices at first."""
    d = network(separable=True)
    torch.nn.init.normal_(d.unet.leave.weight, std=0.1)
    for level in (*d.unet.down, *d.unet.up):
        for block in level:
            torch.nn.init.normal_(block.second.weight, std=0.1)
    x = torch.randn((1, CHANNELS, 16, 16, 16), generator=torch.Generator().manual_seed(0))
    other = x.clone()
    other[:, :, :, 7] += 1
    features = torch.randn((1, FEATURES), generator=torch.Generator().manual_seed(1))
    changed = (d.unet(x, features) != d.unet(other, features))[0, 0].any(2).any(0)
    assert changed.tolist() == [y == 7 for y in range(16)]


def test_voxels_keep_their_positions(network):
    """Voxels become channels and return: a perturbation acts most at its own position."""
    d = network(weights=0.05)
    given = inputs(batch=1)
    x = torch.zeros_like(given["noisy"])
    x[0, 5, 8, 11] = 1
    numbers = torch.zeros(1, FEATURES)
    leave = d.unet(torch.cat([x[:, None]] * CHANNELS, 1), numbers) - d.unet(torch.zeros(1, CHANNELS, 16, 16, 16), numbers)
    z, y, w = (int(i) for i in torch.unravel_index(leave.abs().argmax(), (16, 16, 16)))
    assert (abs(z - 5), abs(y - 8), abs(w - 11)) <= (5, 5, 5)


def test_shapes_survive_a_header(spectrum):
    shape = Shape((16, 32), (2, 1), 64, separable=True)
    assert Shape.from_dict(shape.to_dict()) == shape
    assert Denoiser(shape, spectrum).unet.shape == shape
