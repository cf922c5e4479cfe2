"""The tilts determine the frequencies that they see, as far as their noise allows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tomoprior.methods.diffusion import determined_share
from tomoprior.methods.diffusion.measurement_model import prepare_model


def frequencies(n):
    return torch.fft.fftfreq(n)


@pytest.fixture(scope="module")
def good(simulated, spectrum):
    """Forty degrees to either side, hardly any noise."""
    case = simulated((16, 8, 64), span=80.0, tilts=41, noise=0.02)
    return prepare_model(case.projections, case.projector, spectrum, shift_std=0.0)


@pytest.fixture(scope="module")
def shares(good, spectrum):
    return determined_share.compute_determined_share(good, spectrum, 12)


def test_frequencies_that_the_tilts_see_are_determined_and_the_missing_wedge_is_not(shares):
    assert shares.shape == (16, 12, 64)
    assert float(shares.min()) >= 0
    assert float(shares.max()) <= 1
    z, x = frequencies(16)[:, None], frequencies(64)[None, :]
    slope = np.tan(np.deg2rad(40))
    plane = shares[:, 0]
    measured = (z.abs() < slope * x.abs() - 0.1) & (x.abs() > 0.1) & (x**2 + z**2 < 0.12)
    missing = (z.abs() > slope * x.abs() + 0.2) & (z.abs() > 0.3)
    assert int(measured.sum()) > 50
    assert int(missing.sum()) > 50
    assert float(plane[measured].min()) > 0.85
    assert float(plane[missing].mean()) < 0.15
    assert float(plane[missing].max()) < 0.6


def test_a_frequency_and_its_opposite_are_the_same(shares):
    opposite = shares.roll((-1, -1, -1), (0, 1, 2)).flip((0, 1, 2))
    torch.testing.assert_close(opposite, shares, rtol=1e-3, atol=1e-3)


def test_with_noise_fine_detail_is_not_determined(simulated, spectrum):
    found = []
    for noise in (0.5, 20.0):
        case = simulated((16, 8, 64), span=80.0, tilts=41, noise=noise)
        data = prepare_model(case.projections, case.projector, spectrum, shift_std=0.0)
        found.append(
            determined_share.summarise_determined_share(
                determined_share.compute_determined_share(data, spectrum, 12), spectrum, 20.0
            )
        )
    assert found[0]["power"] > found[1]["power"] + 0.1
    assert found[0]["finest_x"] < 0.7 * found[1]["finest_x"]


def test_tilts_of_weight_zero_determine_nothing(good, spectrum):
    good.tilt_weights[:] = 0
    try:
        assert not bool(determined_share.compute_determined_share(good, spectrum, 12).any())
    finally:
        good.tilt_weights[:] = 1


def test_the_summary(spectrum):
    shares = torch.zeros(16, 8, 32)
    z, y, x = torch.meshgrid(*(frequencies(n).abs() for n in shares.shape), indexing="ij")
    shares[(x < 0.2) & (z < 0.07) & (y < 2)] = 0.8
    found = determined_share.summarise_determined_share(shares, spectrum, 20.0)
    assert found["finest_x"] == pytest.approx(32 / 6)
    assert found["finest_z"] == 16
    power = spectrum(x**2 + y**2 + z**2)
    power[0, 0, 0] = 0
    assert found["power"] == pytest.approx(float((shares * power).sum() / power.sum()), rel=1e-5)
    nothing = determined_share.summarise_determined_share(torch.zeros(16, 8, 32), spectrum, 20.0)
    assert nothing == {"power": 0.0, "finest_x": 0.0, "finest_z": 0.0}


def test_detail_beyond_a_gap_does_not_count_as_determined(spectrum):
    shares = torch.ones(16, 8, 32)
    shares[0, 0, 3] = shares[0, 0, -3] = 0.4
    assert determined_share.summarise_determined_share(shares, spectrum, 20.0)["finest_x"] == 16
