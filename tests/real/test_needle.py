"""A real HAADF tilt series over the full range: what 120 degrees of it give is judged by what all of it gives."""

from __future__ import annotations

import numpy as np
import pytest

import tomoprior
from tomoprior import metrics


@pytest.fixture(scope="module")
def needle(data_dir):
    return tomoprior.read(data_dir / "needle" / "needle_aligned.mrc")


@pytest.fixture(scope="module")
def reference(needle):
    """The full range by SIRT without bounds: neither of the two that it judges."""
    return tomoprior.reconstruct(needle, "sirt", num_iter=100).volume


def test_what_the_file_says(needle):
    assert needle.geometry.range_shape == (91, 64, 64)
    assert (needle.geometry.voxel_size, needle.geometry.unit) == (pytest.approx(179.949, rel=1e-4), "angstrom")
    np.testing.assert_allclose(np.rad2deg(needle.geometry.angles), np.arange(-90, 91, 2))


def test_the_full_range_is_explained_by_the_volume(needle, reference):
    projector = tomoprior.Projector(needle.geometry)
    data = needle.load().projections
    assert np.linalg.norm(projector(reference) - data) < 0.06 * np.linalg.norm(data)


def test_tv_fills_the_missing_wedge_better_than_wbp(needle, reference):
    limited = needle.angle_range(*np.deg2rad([-60, 60]))
    assert limited.geometry.n_angles == 61
    found = {name: tomoprior.reconstruct(limited, name).volume for name in ("wbp", "tv")}
    psnr = {name: metrics.psnr(v, reference) for name, v in found.items()}
    ssim = {name: metrics.ssim(v, reference) for name, v in found.items()}
    assert psnr["tv"] > psnr["wbp"] + 5
    assert ssim["tv"] > ssim["wbp"] + 0.2


def test_the_hand_shows(needle, reference):
    """Reconstructed with the wrong hand the volume is mirrored in z, and this specimen is not its own mirror image."""
    mirrored = tomoprior.reconstruct(needle.with_geometry(needle.geometry.flipped_hand()), "sirt", num_iter=100).volume
    np.testing.assert_allclose(mirrored[::-1], reference, atol=2e-3 * reference.max())
    assert np.abs(mirrored - reference).max() > 0.1 * reference.max()
