"""Contrast transfer: values worked out by hand, and those of a published implementation where it is installed."""

import math

import numpy as np
import pytest

from tomoprior.errors import InputError
from tomoprior.microscopy import CTF
from tomoprior.microscopy.ctf import electron_wavelength

#: Defocus u and v (angstrom), angle (degrees), voltage, Cs, amplitude contrast, phase shift (degrees), pixel size.
#: torch-ctf computes in float32 and adds 1.2e-7 to k^2 in the direction, so that its own error grows with the astigmatism.
SETS = [
    (20000, 20000, 0, 300, 2.7, 0.07, 0, 5.0),
    (30150, 29850, 30, 300, 2.7, 0.1, 0, 10.0),
    (15100, 14900, -50, 200, 2.0, 0.07, 0, 6.0),
    (5050, 4950, 75, 300, 0.01, 0.07, 90, 5.0),
    (40050, 39950, 100, 120, 6.3, 0.2, 20, 10.0),
]


@pytest.mark.parametrize(("voltage", "wavelength"), [(100, 0.0370144), (200, 0.0250793), (300, 0.0196875)])
def test_the_wavelength_is_that_of_the_tables(voltage, wavelength):
    assert electron_wavelength(voltage) == pytest.approx(wavelength, rel=2e-5)


def test_matter_is_bright_by_the_amplitude_contrast_at_frequency_zero():
    assert CTF(2e4, amplitude_contrast=0.1).on_grid((8, 8), 4.0)[0, 0] == pytest.approx(0.1)
    with_plate = CTF(2e4, amplitude_contrast=0.1, phase_shift=math.pi / 2).on_grid((8, 8), 4.0)
    assert with_plate[0, 0] == pytest.approx(math.sqrt(1 - 0.1**2))


def test_the_phase_of_underfocus_grows_with_the_square_of_the_frequency():
    k = 2 / (16 * 5.0)  # column 2 of 16 pixels of 5 angstrom
    quarter = 1 / (2 * electron_wavelength(300) * k**2)  # pi lambda k^2 D = pi / 2
    values = CTF(quarter, spherical_aberration=0, amplitude_contrast=0).on_grid((16, 16), 5.0)
    assert values[0, 2] == pytest.approx(1.0)
    assert values[2, 0] == pytest.approx(1.0)
    assert values[0, 4] == pytest.approx(0.0, abs=1e-9)  # twice the frequency: 2 pi
    assert values[2, 2] == pytest.approx(0.0, abs=1e-9)  # along the diagonal twice the square: pi
    overfocus = CTF(-quarter, spherical_aberration=0, amplitude_contrast=0).on_grid((16, 16), 5.0)
    np.testing.assert_allclose(overfocus, -values)


def test_spherical_aberration_acts_as_overfocus():
    k, wavelength = 4 / (16 * 2.0), electron_wavelength(300)
    cs = 1 / (wavelength**3 * k**4) / 1e7  # pi lambda^3 Cs k^4 / 2 = pi / 2, in millimeters
    values = CTF(0.0, spherical_aberration=cs, amplitude_contrast=0).on_grid((16, 16), 2.0)
    assert values[0, 4] == pytest.approx(-1.0)


def test_astigmatism_angle_turns_from_columns_to_rows():
    k = 2 / (16 * 5.0)
    quarter = 1 / (2 * electron_wavelength(300) * k**2)
    plain = {"spherical_aberration": 0, "amplitude_contrast": 0}
    along_columns = CTF(quarter, 2 * quarter, 0.0, **plain).on_grid((16, 16), 5.0)
    assert along_columns[0, 2] == pytest.approx(1.0)  # defocus_u: pi / 2
    assert along_columns[2, 0] == pytest.approx(0.0, abs=1e-9)  # defocus_v: pi
    diagonal = CTF(quarter, 3 * quarter, math.pi / 4, **plain).on_grid((16, 16), 5.0)
    assert diagonal[2, 2] == pytest.approx(0.0, abs=1e-9)  # u, at twice the square of the frequency: pi
    assert diagonal[-2, 2] == pytest.approx(0.0, abs=1e-9)  # v: 3 pi
    assert diagonal[0, 2] == pytest.approx(0.0, abs=1e-9)  # their mean, 2 quarter: pi
    small = CTF(quarter, 2 * quarter, math.pi / 4, **plain).on_grid((16, 16), 5.0)
    assert small[1, 1] == pytest.approx(math.sin(math.pi / 4))  # u, at half the square
    assert small[-1, 1] == pytest.approx(1.0)  # v


def test_the_envelope_halves_the_amplitude_where_b_says():
    k = 0.1
    b = 4 * math.log(2) / k**2
    with_b, without = (CTF(2e4, b_factor=value).on_grid((20, 20), 5.0) for value in (b, 0.0))
    assert with_b[0, 10] == pytest.approx(without[0, 10] / 2)
    assert with_b[0, 0] == without[0, 0]


@pytest.mark.parametrize(
    "values",
    [{"defocus_u": math.nan}, {"voltage": 3e5}, {"amplitude_contrast": 1.0}, {"b_factor": -1}, {"phase_shift": math.inf}],
)
def test_impossible_values_are_refused(values):
    with pytest.raises(InputError):
        CTF(**{"defocus_u": 2e4, **values})


@pytest.mark.parametrize("values", SETS)
def test_torch_ctf_gives_the_same_values(values):
    torch_ctf = pytest.importorskip("torch_ctf", reason="torch-ctf is not installed")
    u, v, angle, voltage, cs, w, shift, pixel = values
    expected = torch_ctf.calculate_ctf_2d(
        (u + v) / 2e4, (u - v) / 2e4, angle, voltage, cs, w, shift, pixel, (48, 64), rfft=True, fftshift=False
    ).numpy()
    ctf = CTF(u, v, math.radians(angle), voltage, cs, w, math.radians(shift))
    np.testing.assert_allclose(ctf.on_grid((48, 64), pixel), expected, atol=1e-5)
