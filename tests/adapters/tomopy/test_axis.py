"""The arguments and conventions of TomoPy's algorithms. The real TomoPy is not needed: a stand-in plays its part."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

import tomoprior
from tomoprior import Geometry, TiltSeries, methods

SIGMA = 3.0


def test_iterative_algorithms_are_given_the_axis_from_the_edge(monkeypatch):
    received = {}

    def recon(projections, angles, *, center, num_gridx, num_gridy, **keywords):
        received["center"] = center
        return np.zeros((projections.shape[1], num_gridy, num_gridx), np.float32)

    monkeypatch.setitem(sys.modules, "tomopy", SimpleNamespace(recon=recon))
    geometry = Geometry(np.deg2rad([-30.0, 0.0, 30.0]), (8, 2, 24), center=12.75)
    tomoprior.reconstruct(TiltSeries(np.ones(geometry.range_shape, np.float32), geometry), "tomopy.sirt")
    np.testing.assert_array_equal(received["center"], [12.75, 12.75])


def blob(z: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A Gaussian off the axis, at coordinates from the axis."""
    return np.exp(-((z - 2) ** 2 + (x + 3) ** 2) / (2 * SIGMA**2)).astype(np.float32)


@pytest.mark.parametrize("shape", [(16, 3, 24), (17, 3, 24), (16, 3, 25), (17, 3, 25)])
def test_gridrec_is_padded_and_its_image_lies_where_the_geometry_says(monkeypatch, shape):
    """gridrec samples at whole voxels from the axis, which is one row before and one column behind its grid's middle."""
    received = []

    def recon(projections, angles, *, center, num_gridx, num_gridy, **keywords):
        received.append((projections, np.broadcast_to(center, projections.shape[1]), keywords))
        at = np.arange(num_gridx) - num_gridx // 2
        image = blob(at[:, None] + 1, at[None, :]) * 1.123
        return np.repeat(image[None], projections.shape[1], axis=0)

    monkeypatch.setitem(sys.modules, "tomopy", SimpleNamespace(recon=recon))
    nz, ny, nx = shape
    geometry = Geometry(np.linspace(0, np.pi, 30, endpoint=False), shape, (ny, 24), center=12.75)
    projections = np.ones(geometry.range_shape, np.float32)
    projections[:, :, -1] = 2
    found = tomoprior.reconstruct(TiltSeries(projections, geometry), "tomopy.gridrec").volume
    z, x = np.arange(nz) - (nz - 1) / 2, np.arange(nx) - (nx - 1) / 2
    # the stand-in's values are those of gridrec, as much too large as they are
    np.testing.assert_allclose(found, np.repeat(blob(z[:, None], x[None, :])[:, None] * 1.123, ny, axis=1), atol=1e-3)
    padded, center, keywords = received[0]
    assert padded.shape[2] == 4 * max(nz, nx, 24)
    left = (padded.shape[2] - 24) // 2
    np.testing.assert_allclose(center, left + 12.75 - 0.5)  # the index of the axis
    np.testing.assert_allclose(padded[0, 0, [0, -1]] * 1.123, [1, 2], rtol=1e-5)  # the last columns go on
    assert keywords["filter_name"] == "shepp"
    assert sum(p.shape[1] for p, _, _ in received) == ny


def test_gridrec_weighs_tilts_by_the_angle_that_each_represents(monkeypatch):
    received = {}

    def recon(projections, angles, *, num_gridx, num_gridy, **keywords):
        received["weights"] = projections[:, 0, 0]
        return np.zeros((projections.shape[1], num_gridy, num_gridx), np.float32)

    monkeypatch.setitem(sys.modules, "tomopy", SimpleNamespace(recon=recon))
    angles = np.deg2rad([0, 10, 20, 60, 100, 140])  # gaps 10, 10, 40, 40, 40 and 40 to the first again
    geometry = Geometry(angles, (8, 1, 24))
    tomoprior.reconstruct(TiltSeries(np.ones(geometry.range_shape, np.float32), geometry), "tomopy.gridrec")
    share = np.array([25, 10, 25, 40, 40, 40]) / 180 * 6
    np.testing.assert_allclose(received["weights"] * 1.123, share, rtol=1e-5)


def test_gridrec_has_no_start(monkeypatch):
    monkeypatch.setitem(sys.modules, "tomopy", SimpleNamespace(recon=None))
    geometry = Geometry(np.deg2rad([-30.0, 0.0, 30.0]), (8, 2, 24))
    series = TiltSeries(np.ones(geometry.range_shape, np.float32), geometry)
    with pytest.raises(tomoprior.errors.InputError, match="initial"):
        tomoprior.reconstruct(series, "tomopy.gridrec", initial=np.zeros((8, 2, 24), np.float32))


def test_the_memory_of_gridrec_counts_its_padded_grid(monkeypatch):
    monkeypatch.setitem(sys.modules, "tomopy", SimpleNamespace())
    method = methods.get("tomopy.gridrec")
    geometry = Geometry(np.linspace(0, np.pi, 30, endpoint=False), (64, 4, 64))
    one, two = (method.memory(geometry, method.Settings.parse({"ncore": n})) for n in (1, 2))
    # a core more: two slices with rows and images of 256 columns, and a complex grid of 256 x 256 with its work space
    assert two - one == 2 * 4 * (2 * 30 * 256 + 256**2) + 16 * 256**2
