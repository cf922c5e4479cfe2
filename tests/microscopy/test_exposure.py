"""Radiation damage by Grant and Grigorieff, worked out, and weights by dose."""

import numpy as np
import pytest

from tomoprior.errors import InputError
from tomoprior.microscopy import CTF, Transfer, critical_exposure, exposure_filter, weight_by_dose


def test_critical_exposure_follows_the_paper():
    # 0.245 * 10^1.665 + 2.81 at 10 angstrom; 10^1.665 = 46.2381
    assert critical_exposure(0.1) == pytest.approx(0.245 * 46.2381 + 2.81, rel=1e-5)
    assert critical_exposure(0.1, 200) == pytest.approx(0.8 * critical_exposure(0.1))
    assert critical_exposure(0.1, 100) == pytest.approx(0.64 * critical_exposure(0.1))
    assert np.isinf(critical_exposure(0.0))


def test_the_amplitude_falls_to_the_root_of_1_over_e_at_the_critical_exposure():
    q = exposure_filter((10, 10), 5.0, float(critical_exposure(0.1)))
    assert q[0, 5] == pytest.approx(np.exp(-0.5))
    assert q[5, 0] == pytest.approx(np.exp(-0.5))
    assert q[0, 0] == 1.0


def test_a_negative_dose_is_refused():
    with pytest.raises(InputError, match="dose"):
        exposure_filter((8, 8), 5.0, -1.0)


def test_torch_fourier_filter_gives_the_same_values():
    dose_weight = pytest.importorskip("torch_fourier_filter.dose_weight", reason="torch-fourier-filter is not installed")
    for dose, pixel in ((3.0, 5.0), (60.0, 2.0), (120.0, 1.0)):
        exposure = dose_weight._critical_exposure_grid((48, 64), pixel).numpy()
        np.testing.assert_allclose(exposure_filter((48, 64), pixel, dose), np.exp(-0.5 * dose / exposure), atol=1e-5)


def test_weights_by_dose_leave_equal_doses_alone_and_prefer_early_tilts():
    images = np.random.default_rng(0).normal(size=(2, 16, 20)).astype(np.float32)
    same = weight_by_dose(images, Transfer((16, 20), 5.0, dose=[30.0, 30.0]))
    np.testing.assert_allclose(same, images, atol=1e-5)
    early, late = weight_by_dose(images, Transfer((16, 20), 5.0, dose=[0.0, 60.0]))
    ratio = np.fft.rfft2(late) / np.fft.rfft2(early) / (np.fft.rfft2(images[1]) / np.fft.rfft2(images[0]))
    np.testing.assert_allclose(np.abs(ratio), exposure_filter((16, 20), 5.0, 60.0), rtol=1e-3)
    # the mean power of white noise stays at each frequency
    w = np.abs(np.fft.rfft2(early) / np.fft.rfft2(images[0])) ** 2 + np.abs(np.fft.rfft2(late) / np.fft.rfft2(images[1])) ** 2
    np.testing.assert_allclose(w, 2.0, rtol=1e-3)


def test_weights_by_dose_need_a_dose():
    with pytest.raises(InputError, match="dose of each tilt"):
        weight_by_dose(np.zeros((1, 8, 8)), Transfer((8, 8), 5.0, ctf=[CTF(2e4)]))
