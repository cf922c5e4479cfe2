"""Block means, with values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tomoprior.series.binning import block_mean


def test_a_block_is_averaged_along_every_axis_by_its_own_factor():
    array = np.arange(24.0).reshape(2, 3, 4)  # steps of 12, 4 and 1 along the axes
    np.testing.assert_array_equal(block_mean(array, (2, 3, 2)), [[[10.5, 12.5]]])


def test_what_lies_beyond_a_multiple_is_left_out():
    np.testing.assert_array_equal(block_mean(np.array([1.0, 3.0, 100.0]), (2,)), [2.0])


def test_factors_of_one_change_nothing_but_the_type():
    means = block_mean(np.arange(6).reshape(2, 3), (1, 1))
    assert means.dtype == np.float32
    np.testing.assert_array_equal(means, [[0, 1, 2], [3, 4, 5]])


def test_the_means_have_the_type_that_is_asked():
    assert block_mean(np.ones((4, 4), np.float32), (2, 2), np.float64).dtype == np.float64


def test_there_is_a_factor_for_every_axis():
    with pytest.raises(ValueError, match="zip"):
        block_mean(np.ones((4, 4)), (2,))
