"""Recording of frozen specimens: signal by the transfer function, noise by SNR and ice, dose from 0 degrees outwards."""

import numpy as np
import pytest

from tomoprior import Geometry
from tomoprior.errors import InputError, SettingsError
from tomoprior.formats.ctf import read_ctf
from tomoprior.formats.dose import read_dose
from tomoprior.microscopy import CTF, Transfer, exposure_filter
from tomoprior.simulate import CryoSettings, save_simulation, simulate
from tomoprior.simulate.cryo import expose

ANGLES = np.deg2rad([-60.0, -30.0, 0.0, 30.0, 60.0])


def test_the_dose_starts_at_zero_degrees_and_ends_at_the_steepest_tilts():
    geometry = Geometry(ANGLES, (8, 16, 16), voxel_size=1.0, unit="nanometer")
    transfer = CryoSettings(dose=100.0, defocus=(2.0, 3.0)).transfer(geometry, np.random.default_rng(0))
    # twenty for each tilt, counted to its middle: 0, then -30 and 30, then -60 and 60
    assert transfer.dose == pytest.approx((70, 30, 10, 50, 90))
    assert all(20000 <= c.defocus_u <= 30000 for c in transfer.ctf)
    assert transfer.pixel_size == 10
    assert CryoSettings(dose=0).transfer(geometry, np.random.default_rng(0)).dose is None


def test_a_wave_that_its_mirror_image_continues_passes_ctf_and_damage():
    ny, nu, size = 16, 64, 5.0
    column = np.arange(nu)
    wave = np.cos(2 * np.pi * (column + 0.5) * 8 / nu).astype(np.float32)[None, None] * np.ones((1, ny, 1), np.float32)
    transfer = Transfer((ny, nu), size, ctf=[CTF(2e4)], dose=[30.0])
    image, facts = expose(wave, transfer, None, 0.3, np.random.default_rng(0))
    expected = CTF(2e4).on_grid((ny, nu), size)[0, 8] * exposure_filter((ny, nu), size, 30.0)[0, 8]
    np.testing.assert_allclose(image, wave * expected, atol=1e-5)
    assert facts == {"noise": "none"}


@pytest.mark.parametrize("ice", [0.0, 0.5, 1.0])
def test_the_noise_has_the_variance_of_the_undamaged_signal_over_the_snr(ice):
    rng = np.random.default_rng(0)
    clean = rng.standard_normal((1, 64, 64)).astype(np.float32)
    transfer = Transfer((64, 64), 5.0, ctf=[CTF(2e4)], dose=[200.0])
    without, _ = expose(clean, transfer, None, ice, rng)
    noisy, _ = expose(clean, transfer, 0.1, ice, rng)
    undamaged, _ = expose(clean, Transfer((64, 64), 5.0, ctf=[CTF(2e4)]), None, ice, rng)
    noise = (noisy - without)[0]
    assert noise.var() == pytest.approx(10 * undamaged.var(), rel=0.1)
    # near the first zero of the CTF the ice is dark
    power = np.abs(np.fft.rfft2(noise)) ** 2 / noise.size / noise.var()
    dark = np.abs(transfer.ctf[0].on_grid((64, 64), 5.0)) < 0.1
    assert power[dark][5:].mean() == pytest.approx(1 - ice, abs=0.25)  # the border of the picture leaks


def test_a_simulation_carries_its_transfer_and_writes_it(tmp_path):
    settings = CryoSettings(defocus=(2.0, 3.0), dose=60.0)
    found = simulate("spheres", (16, 16, 32), ANGLES, seed=1, snr=0.5, voxel_size=8.0, cryo=settings)
    again = simulate("spheres", (16, 16, 32), ANGLES, seed=1, snr=0.5, voxel_size=8.0, cryo=settings)
    np.testing.assert_array_equal(found.series.projections, again.series.projections)
    save_simulation(found, tmp_path / "out")
    ctf = read_ctf(tmp_path / "out" / "optics.star", 5, angles=np.rad2deg(ANGLES))
    assert [c.defocus_u for c in ctf] == pytest.approx([c.defocus_u for c in found.series.transfer.ctf])
    dose = read_dose(tmp_path / "out" / "optics.star", 5, angles=np.rad2deg(ANGLES))
    np.testing.assert_allclose(dose, found.series.transfer.dose, atol=1e-5)


def test_what_cannot_be_recorded_is_refused():
    with pytest.raises(InputError, match="dose is a setting of cryo"):
        simulate("spheres", (16, 16, 32), ANGLES, dose=50, cryo=CryoSettings())
    with pytest.raises(InputError, match="pixel size"):
        CryoSettings().transfer(Geometry(ANGLES, (8, 16, 16)), np.random.default_rng(0))
    with pytest.raises(SettingsError):
        CryoSettings.parse({"ice": 2})
