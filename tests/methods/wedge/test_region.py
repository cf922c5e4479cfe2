"""The filter keeps the measured frequencies: compared with planes drawn here, and with a projection."""

import numpy as np
import pytest
import torch

from tomoprior.methods.wedge.region import Region

SYMMETRIC, ASYMMETRIC = np.deg2rad([-60, -10, 60]), np.deg2rad([-30, 0, 65])


def wave(nz, ny, nx, kz, kx):
    z, x = np.arange(nz)[:, None, None], np.arange(nx)[None, None, :]
    return torch.from_numpy(np.cos(2 * np.pi * (kz * z / nz + kx * x / nx)) * np.ones((1, ny, 1)).astype(np.float32)).float()


@pytest.mark.parametrize("angles", [SYMMETRIC, ASYMMETRIC])
@pytest.mark.parametrize("direction", [-85, -62, -58, -40, -25, 0, 20, 55, 63, 68, 88])
def test_a_wave_stays_if_a_tilt_between_the_first_and_the_last_sees_it(angles, direction):
    """At angle theta a tilt sees waves along (kx, kz) = (cos, -sin), as ``tomoprior.geometry`` has it."""
    t = np.deg2rad(direction)
    n = 64
    kx, kz = round(25 * np.cos(t)), round(-25 * np.sin(t))
    exact = np.degrees(np.arctan2(-kz, kx))
    x = wave(n, 3, n, kz, kx)
    kept = Region(angles).measured(x)
    low, high = np.rad2deg([angles.min(), angles.max()])
    assert float(kept.norm() / x.norm()) == pytest.approx(1.0 if low <= exact <= high else 0.0, abs=1e-4)


def test_measured_and_missing_add_up_row_by_row(rng):
    x = torch.randn(10, 37, 12, generator=rng)
    region = Region(ASYMMETRIC)
    measured, missing = region.keep_(x.clone(), "measured"), region.keep_(x.clone(), "missing")
    torch.testing.assert_close(measured + missing, x, rtol=0, atol=1e-5)
    torch.testing.assert_close(measured, region.measured(x), rtol=0, atol=1e-5)
    torch.testing.assert_close(region.keep_(measured.clone(), "measured"), measured, rtol=0, atol=1e-5)
    assert float((measured * missing).sum()) == pytest.approx(0, abs=1e-2)


def test_the_share_of_power_that_is_missing(rng):
    region = Region(SYMMETRIC)
    seen, unseen = wave(32, 20, 32, 0, 5), wave(32, 20, 32, 5, 0)
    assert region.missing_share(3 + 2 * seen + unseen) == pytest.approx(0.2, abs=1e-4)
    assert region.missing_share(torch.ones(8, 4, 8)) == 0
