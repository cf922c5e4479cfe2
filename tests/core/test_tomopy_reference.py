"""Agreement with what the real TomoPy computes: orientation, centre, scale. The arrays are described in the tests below.

``volume[z, y, x]`` is TomoPy's ``recon[y, z, x]``; sinograms are ``(slice, angle, column)``, our projections the transpose.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.registration import phase_cross_correlation

from tomoprior import Geometry, Projector, methods

DATA = Path(__file__).parents[1] / "data" / "tomopy_reference.npz"
CASES = ("n64_c32p00", "n65_c32p50", "n64_c34p70", "n65_c29p20")


@pytest.fixture(scope="module")
def reference():
    with np.load(DATA) as result:
        return dict(result)


@pytest.mark.parametrize("order", ["sino", "radiographs"])
def test_projections_agree_with_tomopy_project(reference, order):
    """tomopy.project of an asymmetric volume (3, 40, 40): its kernel is the length of intersection, ASTRA's ``line``."""
    volume = reference["project_volume"].transpose(1, 0, 2)
    expected = reference[f"project_{order}"]
    expected = expected.transpose(1, 0, 2) if order == "sino" else expected
    geometry = Geometry(reference["theta"], volume.shape)
    np.testing.assert_allclose(Projector(geometry, "cpu", "line")(volume), expected, rtol=1e-4, atol=1e-3)
    result = Projector(geometry, "cpu")(volume)
    for y in range(3):
        assert np.corrcoef(result[:, y].ravel(), expected[:, y].ravel())[0, 1] > 0.99
    column = np.arange(40)
    difference = (result * column).sum(2) / result.sum(2) - (expected * column).sum(2) / expected.sum(2)
    assert np.abs(difference.mean(0)).max() < 0.02
    np.testing.assert_allclose(result.sum(2), expected.sum(2), rtol=0.02)


@pytest.mark.parametrize("case", CASES)
def test_sirt_agrees_with_tomopy_sirt(reference, case):
    """60 iterations on analytic sinograms of an asymmetric Shepp-Logan head, odd and even, axis in the middle and off it."""
    sino, expected = reference[f"{case}_sino"], reference[f"{case}_sirt60"]
    slices, _, n = sino.shape
    geometry = Geometry(reference["theta"], (n, slices, n), center=reference[f"{case}_center"])
    projector = Projector(geometry, "cpu")
    method = methods.get("sirt")
    data = torch.from_numpy(np.ascontiguousarray(sino.transpose(1, 0, 2)))
    result = method.reconstruct(data, projector, method.Settings(num_iter=60)).volume.numpy().transpose(1, 0, 2)
    z, x = np.meshgrid(*2 * [np.arange(n) - (n - 1) / 2], indexing="ij")
    # what every tilt sees, also where the axis is off the middle
    inside = np.hypot(z, x) < n / 2 - 1 - abs(float(reference[f"{case}_center"]) - n / 2)
    for y in range(slices):
        assert np.corrcoef(result[y][inside], expected[y][inside])[0, 1] > 0.99
        displacement = phase_cross_correlation(expected[y] * inside, result[y] * inside, upsample_factor=100)[0]
        assert np.abs(displacement).max() <= 0.05
        # values per voxel, on the same scale
        slope = np.sum(result[y][inside] * expected[y][inside]) / np.sum(expected[y][inside] ** 2)
        assert slope == pytest.approx(1, abs=0.03)
        truth = reference[f"{case}_truth"][y]
        assert np.corrcoef(result[y][inside], truth[inside])[0, 1] > 0.9
        for mirrored in (truth[::-1], truth[:, ::-1], truth.T):
            assert np.corrcoef(result[y][inside], truth[inside])[0, 1] > np.corrcoef(result[y][inside], mirrored[inside])[0, 1]
