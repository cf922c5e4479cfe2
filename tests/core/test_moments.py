"""Mean and squared deviations of a sample from those of its parts."""

from __future__ import annotations

import pytest
import torch

from tomoprior.storage.moments import merge_moments


def test_two_parts_give_the_moments_of_the_whole():
    # (1, 3) has the mean 2 and the squares 2; (4, 6, 8) has 6 and 8; all five have 4.4 and 29.2
    assert merge_moments(2, 2.0, 2.0, 3, 6.0, 8.0) == pytest.approx((5, 4.4, 29.2))


def test_nothing_and_a_part_give_the_part():
    assert merge_moments(0, 0.0, 0.0, 3, 6.0, 8.0) == (3, 6.0, 8.0)


def test_large_values_keep_their_small_variance():
    count, mean, squares = 0, 0.0, 0.0
    for value in (1e9, 1e9 + 1, 1e9 + 2):
        count, mean, squares = merge_moments(count, mean, squares, 1, value, 0.0)
    assert (count, mean, squares) == (3, 1e9 + 1, pytest.approx(2.0))


def test_volumes_are_merged_voxel_by_voxel():
    volumes = torch.randn((7, 2, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    zero = torch.zeros((), dtype=torch.float64)
    count, mean, squares = 0, zero, zero
    for volume in volumes:
        count, mean, squares = merge_moments(count, mean, squares, 1, volume, zero)
    assert count == 7
    torch.testing.assert_close(mean, volumes.mean(0))
    torch.testing.assert_close(squares / 6, volumes.var(0))
