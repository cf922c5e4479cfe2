"""The U-Net without conditions; the one with conditions is tested with the denoiser."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from tomoprior.methods.learning.unet import NormalisedBlock, Shape, UNet


def parameters(widths, kernel, channels, group, down, up):
    """The number of weights of a network, worked out level by level."""
    blocks = sum((d + u) * (2 * (kernel * w * w + w) + 2 * w) for w, d, u in zip(widths, down, up, strict=True))
    ends = kernel * channels * group * widths[0] + widths[0] + kernel * widths[0] * group + group
    return blocks + ends + sum(2 * a * b + a + b for a, b in pairwise(widths))


@pytest.mark.parametrize(("options", "kernel", "group"), [({}, 27, 8), ({"flat": True}, 9, 4), ({"blocks_up": (2, 0)}, 27, 8)])
def test_a_network_without_conditions_has_normalised_blocks_on_both_ways(options, kernel, group):
    shape = Shape((4, 8), (1, 1), **options)
    network = UNet(2, 0, shape)
    assert sum(p.numel() for p in network.parameters()) == parameters(
        (4, 8), kernel, 2, group, (1, 1), shape.blocks_up or (1, 1)
    )
    assert any(isinstance(module, NormalisedBlock) for module in network.modules())
    x = torch.randn(3, 2, 8, 12, 16, generator=torch.Generator().manual_seed(0))
    assert network(x).shape == (3, 1, 8, 12, 16)
    assert not bool(network(x).any())  # the last convolution starts at zero


def test_a_normalised_block_starts_near_the_identity_whatever_the_scale():
    torch.manual_seed(0)
    block = NormalisedBlock(8, Shape())
    x = torch.randn(1, 8, 6, 6, 6)
    with torch.no_grad():
        change, of_more = block(x) - x, block(100 * x) - 100 * x
    assert 0 < float(change.std()) < 0.5
    torch.testing.assert_close(of_more, change, atol=1e-3, rtol=1e-2)


def test_a_shape_comes_back_from_its_header_and_leaves_out_what_is_none():
    for shape in (Shape(), Shape((8, 16), (1, 2), blocks_up=(1, 0), flat=True)):
        assert Shape.from_dict(shape.to_dict()) == shape
    assert "blocks_up" not in Shape().to_dict()
    assert math.prod(Shape(flat=True).step) == 4
