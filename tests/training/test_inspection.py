"""Samples of tissue from a prior, and the work for a tile."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tomoprior.methods.diffusion.denoiser import CHANNELS, FEATURES
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.methods.learning.unet import UNet
from tomoprior.training import TrainingSettings, sample_tissue, tile_flops
from tomoprior.training.optimiser import new_denoiser


@pytest.fixture(scope="module")
def prior(settings, spectrum):
    network = new_denoiser(settings, spectrum).eval().requires_grad_(False)
    return Prior(network, settings.tile_shape, spectrum, settings.voxel_size, "nanometer", (20, 60))


def test_samples_are_finite_and_the_same_for_the_same_seed(prior):
    found, again = (sample_tissue(prior, 2, (12, 20, 24), levels=6, seed=3, device="cpu") for _ in range(2))
    assert [tuple(v.shape) for v in found] == [(12, 20, 24)] * 2
    assert all(bool(torch.isfinite(v).all()) for v in found)
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))
    assert not torch.equal(*found)
    (other,) = sample_tissue(prior, 1, (12, 20, 24), levels=6, seed=4, device="cpu")
    assert not torch.equal(other, found[0])


def test_the_first_samples_do_not_depend_on_how_many_are_wanted(prior):
    one, several = (sample_tissue(prior, n, (12, 16, 16), levels=4, device="cpu") for n in (1, 3))
    assert torch.equal(one[0], several[0])


def test_samples_of_what_has_learned_nothing_vary_about_as_tissue(prior, blocks):
    """It is the linear denoiser, whose samples are Gaussian fields of the tissue's spectrum."""
    found = torch.stack(sample_tissue(prior, 3, (16, 32, 32), levels=16, device="cpu"))
    assert 0.25 < float(found.std()) < 1.0


def counted(settings):
    """Twice the multiplications of every convolution and matrix product, by hand."""
    network = UNet(CHANNELS, FEATURES, settings.shape)
    total = 0

    def hook(layer, inputs, out):
        nonlocal total
        kernel = layer.weight[0].numel()  # inputs of one output value
        total += 2 * out.numel() * kernel

    for layer in network.modules():
        if isinstance(layer, (nn.Conv3d, nn.Linear)):
            layer.register_forward_hook(hook)
    with torch.no_grad():
        network(torch.zeros(1, CHANNELS, *settings.tile_shape), torch.zeros(1, FEATURES))
    return total


@pytest.mark.parametrize(
    "changes",
    [
        {"widths": (16,), "blocks": (1,)}, {"widths": (16, 32), "blocks": (1, 2)},
        {"widths": (16, 32), "blocks": (1, 1), "separable": False}, {"widths": (16,), "blocks": (1,), "flat": True},
    ],
)  # fmt: skip
def test_operations_of_a_tile_are_those_of_its_products(settings, changes):
    settings = settings.model_copy(update=changes)
    assert tile_flops(settings) == pytest.approx(counted(settings), rel=0.01)


def test_operations_grow_with_the_tile_and_the_blocks():
    small = TrainingSettings(tile_size=16, height=16, field=(32, 32))
    found, wide = tile_flops(small), tile_flops(small.model_copy(update={"tile_size": 32}))
    assert 3.9 < wide / found < 4.001
    assert tile_flops(small.model_copy(update={"blocks": (2, 2, 1)})) > 1.1 * found
