"""Curves as plain values."""

from __future__ import annotations

import numpy as np
import pytest

from tomoprior.comparison.evidence.curves import describe_curve
from tomoprior.metrics import FSC


def curve(values, counts=100.0) -> FSC:
    n = len(values)
    return FSC(np.arange(1, n + 1) / (2 * n), np.asarray(values, float), np.broadcast_to(np.asarray(counts, float), n))


def test_values_crossing_and_mean():
    falling = curve(np.linspace(1, 0, 11)[1:])  # 0.9, 0.8, ... 0 at 0.05, 0.1, ...
    found = describe_curve(falling, 0.5)
    assert found["crossing"] == pytest.approx(0.25)
    assert found["mean"] == pytest.approx(0.7)  # 0.9 to 0.5, up to 0.25 cycles per voxel
    assert found["threshold"] == 0.5
    assert found["correlation"] == pytest.approx(np.linspace(0.9, 0, 10))
    assert describe_curve(falling, 0.143)["crossing"] == pytest.approx((1 - 0.143) / 2)


def test_shells_with_few_voxels_have_no_value():
    found = describe_curve(curve([0.1, 0.9, 0.9, 0.9, 0.9], [2, 11, 12, 100, 100]), 0.5)
    assert found["correlation"] == [None, None, 0.9, 0.9, 0.9]
    assert found["crossing"] == 0.5


def test_nothing_known_and_no_agreement_differ():
    assert describe_curve(curve([np.nan] * 4), 0.5)["crossing"] is None
    assert describe_curve(curve([0.1] * 4), 0.5)["crossing"] == 0
