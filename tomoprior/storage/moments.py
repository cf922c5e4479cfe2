"""Merging of means and sums of squared deviations: the one formula behind every running mean and variance."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch  # files are written, and described, without it

Value = TypeVar("Value", float, "torch.Tensor")


def merge_moments(
    count: int, mean: Value, squares: Value, other_count: int, other_mean: Value, other_squares: Value
) -> tuple[int, Value, Value]:
    """Return count, mean and sum of squared deviations of two samples together (Chan et al. 1979).

    The difference of the means is squared, not the values, so that large values with a small variance do not cancel.
    """
    total = count + other_count
    delta = other_mean - mean
    return total, mean + delta * other_count / total, squares + (other_squares + delta**2 * count * other_count / total)
