"""Transfer functions of a series: values, selections, binning, filters of images, the neglected gradient."""

import math

import numpy as np
import pytest
import torch

from tomoprior import Geometry
from tomoprior.errors import InputError
from tomoprior.microscopy import CTF, Transfer, exposure_filter, filter_images, flip_phases
from tomoprior.microscopy.ctf import electron_wavelength
from tomoprior.microscopy.transfer import bin_transfer, check_transfer, neglected_gradient


@pytest.fixture
def transfer():
    return Transfer((16, 20), 5.0, ctf=[CTF(2e4), CTF(2.2e4, 2e4, 0.3), CTF(3e4)], dose=[3.0, 6.0, 9.0])


def test_a_tilt_is_ctf_times_exposure_filter_without_the_mean(transfer):
    expected = CTF(2.2e4, 2e4, 0.3).on_grid((16, 20), 5.0) * exposure_filter((16, 20), 5.0, 6.0)
    expected[0, 0] = 0
    np.testing.assert_allclose(transfer.tilt(1), expected)
    assert np.asarray(transfer).shape == transfer.shape == (3, 16, 11)


def test_selection_keeps_the_order_of_the_indices(transfer):
    part = transfer.select([2, 0])
    np.testing.assert_array_equal(part.array(), transfer.array()[[2, 0]])


def test_a_binned_transfer_has_the_low_frequencies(transfer):
    lazy, cut = transfer.binned(2).array(), bin_transfer(transfer.array(), 2, (16, 20))
    assert lazy.shape == cut.shape == (3, 8, 6)
    # the Nyquist row of an even axis is its own negative: astigmatism differs there between both signs
    np.testing.assert_allclose(np.delete(lazy, 4, axis=1), np.delete(cut, 4, axis=1), atol=1e-6)


def test_an_array_is_binned_only_by_a_divisor():
    with pytest.raises(InputError, match="binning by 3"):
        bin_transfer(np.ones((1, 16, 11)), 3, (16, 20))


@pytest.mark.parametrize(
    "wrong", [np.ones((3, 16, 12)), np.ones((2, 16, 11)), np.full((3, 16, 11), np.nan), np.ones((3, 16, 11), complex)]
)
def test_a_transfer_that_does_not_fit_is_refused(wrong):
    with pytest.raises(InputError, match="transfer function"):
        check_transfer(wrong, Geometry([-0.5, 0, 0.5], (8, 16, 20)))


def test_numbers_of_ctfs_and_doses_must_agree():
    with pytest.raises(InputError, match="2 CTFs do not fit the doses of 1"):
        Transfer((8, 8), 5.0, ctf=[CTF(2e4), CTF(2e4)], dose=[1.0])
    with pytest.raises(InputError, match="a CTF or a dose"):
        Transfer((8, 8), 5.0)


def test_a_wave_is_multiplied_by_its_value():
    wave = torch.cos(2 * math.pi * torch.arange(16) * 3 / 16).expand(1, 8, 16)
    values = torch.zeros(1, 8, 9)
    values[0, 0, 3] = -0.25
    torch.testing.assert_close(filter_images(wave, values), -0.25 * wave)


def test_flipped_phases_make_the_transfer_positive(transfer):
    image = np.random.default_rng(1).normal(size=(3, 16, 20))
    recorded = filter_images(torch.from_numpy(image), torch.from_numpy(transfer.array())).numpy()
    flipped = flip_phases(recorded, transfer)
    expected = np.fft.irfft2(np.fft.rfft2(image) * np.abs(transfer.array()), s=(16, 20))
    np.testing.assert_allclose(flipped, expected, atol=1e-5)


def test_the_neglected_gradient_is_that_of_a_tilted_plane():
    geometry = Geometry(np.deg2rad([-45, 0]), (10, 16, 20))
    found = neglected_gradient(geometry, 5.0, 300)
    per_angstrom = math.pi * electron_wavelength(300) / 100  # Nyquist of 5 angstrom is 1 / 10
    assert found["across"] == pytest.approx(per_angstrom * 50)  # 10 pixels of 5 angstrom at 45 degrees
    assert found["depth"] == pytest.approx(per_angstrom * 25 * math.sqrt(2))
