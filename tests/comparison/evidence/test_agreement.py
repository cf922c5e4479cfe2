"""Agreement between methods, and their spread, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tomoprior.comparison.evidence.agreement import agreement, voxel_spread


def volume(*values) -> np.ndarray:
    return np.array(values, np.float32).reshape(1, 1, -1)


def test_correlation_of_every_pair():
    # deviations (-1, 0, 1), (-3, 3, 0), and a constant: 3 / sqrt(2 * 18) = 0.5
    found = agreement({"a": volume(0, 1, 2), "b": volume(1, 7, 4), "flat": volume(5, 5, 5)})
    assert found == {
        "a": {"b": pytest.approx(0.5), "flat": 0},
        "b": {"a": pytest.approx(0.5), "flat": 0},
        "flat": {"a": 0, "b": 0},
    }


def test_scale_and_offset_do_not_count_but_the_sign_does():
    found = agreement({"a": volume(0, 1, 2), "b": volume(10, 13, 16), "c": volume(2, 1, 0)})
    assert found["a"] == {"b": pytest.approx(1), "c": pytest.approx(-1)}
    small = agreement({"a": volume(0, 1e-6, 2e-6), "b": volume(1e-6, 7e-6, 4e-6)})  # 3 / sqrt(2 * 18), as above
    assert small["a"]["b"] == pytest.approx(0.5)


def test_a_large_offset_costs_no_digits():
    assert agreement({"a": volume(1e4, 1e4 + 1, 1e4 + 2), "b": volume(0, 1, 2)})["a"]["b"] == pytest.approx(1, abs=1e-6)


def test_the_spread_is_that_of_calibrated_volumes():
    # 2 * (1, 2) + 1 = (3, 5) and (3, 9): means 3 and 7, standard deviations 0 and 2
    found = voxel_spread({"a": volume(1, 2), "b": volume(3, 9)}, {"a": (2.0, 1.0), "b": (1.0, 0.0)})
    assert found.ravel() == pytest.approx([0, 2])
    assert found.dtype == np.float32


def test_the_spread_of_three():
    volumes = {"a": volume(0), "b": volume(3), "c": volume(6)}
    assert voxel_spread(volumes, dict.fromkeys(volumes, (1.0, 0.0))).ravel() == pytest.approx(np.sqrt(6))
