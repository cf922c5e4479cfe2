from __future__ import annotations

import numpy as np
import pytest

from tomoprior import Geometry, TiltSeries
from tomoprior.comparison.shared import SharedInput
from tomoprior.reconstruction import Reconstruction


@pytest.fixture
def share():
    """A shared input of random projections at the given angles in degrees."""

    def make(degrees, shape=(8, 10, 12), weights=None, seed=0) -> SharedInput:
        geometry = Geometry(np.deg2rad(np.asarray(degrees, float)), shape)
        projections = np.random.default_rng(seed).normal(5, 1, geometry.range_shape).astype(np.float32)
        return SharedInput(TiltSeries(projections, geometry, weights))

    return make


@pytest.fixture
def give():
    """A reconstruction that returns one volume after another, and the angles in degrees and stages it was called with."""

    def make(*volumes):
        calls, left = [], list(volumes)

        def reconstruct(series, stage):
            calls.append((stage, np.rad2deg(series.geometry.angles).round(6).tolist()))
            return Reconstruction(left.pop(0), series.geometry)

        return reconstruct, calls

    return make
