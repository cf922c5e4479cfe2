"""Blocks of tissue: those of ``Tissue.block`` where they are straight, and with the volume's values where they are turned."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tomoprior.errors import InputError
from tomoprior.simulate.tissue import Tissue
from tomoprior.training.cutting import TissueBlocks

from .conftest import grey

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def uneven():
    """A volume whose axes differ in length."""
    return Tissue.of(grey(5)[:40, :48, :34], 10.0)


@pytest.mark.parametrize("spacing", [0.7, 1.0, 2.5])
@pytest.mark.parametrize("shape", [(8, 12, 10), (16, 10, 30)])
def test_straight_blocks_are_those_of_the_tissue(uneven, spacing, shape):
    blocks = TissueBlocks(uneven, CPU)
    for seed in range(8):
        one, two = np.random.default_rng(seed), np.random.default_rng(seed)
        found, wanted = blocks.cut(shape, spacing, one), uneven.block(shape, spacing, two)
        np.testing.assert_allclose(found.numpy(), wanted, atol=1e-5)
        assert one.random() == two.random()


def test_a_volume_over_the_budget_is_read_block_by_block_and_gives_the_same(uneven):
    whole, parts = TissueBlocks(uneven, CPU), TissueBlocks(uneven, CPU, budget=1000)
    assert whole.can_turn
    assert not parts.can_turn
    for turned in (False, True):  # which it then is not
        found = parts.cut((8, 12, 10), 0.7, np.random.default_rng(1), turned=turned)
        wanted = whole.cut((8, 12, 10), 0.7, np.random.default_rng(1))
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_a_block_more_than_mirroring_fills_is_refused(uneven):
    for budget in (2**30, 0):
        with pytest.raises(InputError, match="more than a volume of"):
            TissueBlocks(uneven, CPU, budget).cut((160, 160, 160), 1.0, np.random.default_rng(0))


def test_turned_blocks_of_a_constant_volume_are_constant():
    even = Tissue(np.full((20, 24, 28), 64, np.uint8), 10.0, "nanometer", 255.0, 0.0)
    blocks = TissueBlocks(even, CPU)
    for seed in range(5):
        found = blocks.cut((10, 40, 12), 0.8, np.random.default_rng(seed), turned=True)  # partly beyond the volume
        assert found.shape == (10, 40, 12)
        torch.testing.assert_close(found, torch.full_like(found, 1 - 64 / 255), atol=1e-5, rtol=0)


@pytest.mark.parametrize("spacing", [0.6, 1.0, 1.7])
def test_turned_blocks_have_the_values_of_the_volume(spacing):
    smooth = Tissue.of(np.repeat(np.repeat(np.repeat(grey(6, 24), 2, 0), 2, 1), 2, 2), 10.0)
    density = smooth.density(smooth.grey)
    blocks = TissueBlocks(smooth, CPU)
    found = torch.stack([
        blocks.cut((16, 20, 24), spacing, np.random.default_rng(seed), turned=True) for seed in range(24)
    ])  # fmt: skip
    assert float(found.mean()) == pytest.approx(float(density.mean()), abs=0.03)
    assert float(found.std()) == pytest.approx(float(density.std()), rel=0.12)
    assert density.min() - 1e-6 <= float(found.min()) <= float(found.max()) <= density.max() + 1e-6


def test_turned_blocks_have_voxels_of_the_requested_size_along_every_axis():
    """A ramp of the volume is as steep in its blocks, whichever way they are turned, within the stretch."""
    ramp = np.arange(64, dtype=np.float32)
    for axis in range(3):
        volume = np.ascontiguousarray(np.broadcast_to(ramp.reshape([-1 if i == axis else 1 for i in range(3)]), (64,) * 3))
        blocks = TissueBlocks(Tissue(volume, 10.0, "nanometer", 0.0, 63.0), CPU)
        slopes = []
        for seed in range(20):
            found = blocks.cut((5, 5, 5), 0.5, np.random.default_rng(seed), turned=True)
            slopes.append(float(torch.stack(torch.gradient(found)).mean((1, 2, 3)).square().sum().sqrt()) * 63)
        assert 0.5 * 0.88 < np.median(slopes) < 0.5 * 1.12
        assert max(slopes) < 0.5 * 1.12


def test_blocks_are_turned_every_way_and_the_same_for_the_same_numbers(uneven):
    blocks = TissueBlocks(uneven, CPU)
    one, again, third = (blocks.cut((6, 6, 6), 1.0, np.random.default_rng(s), turned=True) for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, third)


def test_blocks_of_coarse_voxels_are_never_turned(uneven):
    """Interpolation alone would alias."""
    blocks = TissueBlocks(uneven, CPU)
    found, wanted = (blocks.cut((6, 6, 6), 2.5, np.random.default_rng(1), turned=t) for t in (True, False))
    assert torch.equal(found, wanted)
