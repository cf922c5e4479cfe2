"""Sums of a slice's values have the same bits whatever number of slices stands beside it."""

from __future__ import annotations

import pytest
import torch

from tomoprior.methods.classical.slice_sums import inner_products

WIDTHS = [1, 2, 3, 5, 16, 31, 64]
SLICES = 67


@pytest.fixture(scope="module")
def pair():
    """Two arrays of several blocks, slices innermost, as the projector lays them out."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(101, 77, SLICES, generator=generator).permute(0, 2, 1) for _ in range(2))
    return a, b


def test_inner_products_are_those_of_every_slice(pair):
    a, b = pair
    expected = (a.double() * b.double()).sum((0, 2), keepdim=True)
    found = inner_products(a, b)
    assert found.shape == (1, SLICES, 1)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-4)
    one = torch.ones(1, 3, 1)
    torch.testing.assert_close(inner_products(one, 2 * one), 2 * one)


@pytest.mark.parametrize("width", WIDTHS)
def test_inner_products_do_not_depend_on_the_slices_beside_nor_on_the_layout(pair, width):
    a, b = pair
    whole = inner_products(a, b)
    for some in (a[:, :width], a[:, :width].contiguous()):
        for other in (b[:, :width], b[:, :width].contiguous()):
            assert torch.equal(inner_products(some, other), whole[:, :width])
