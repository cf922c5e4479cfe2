"""The shipped prior as a denoiser of densities."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import tomoprior
from tomoprior import FanGeometry, Geometry, Projector
from tomoprior.errors import InputError
from tomoprior.methods.diffusion.prior_denoiser import PriorDenoiser


@pytest.fixture(scope="module")
def case():
    geometry = Geometry(np.deg2rad(np.arange(-60, 61, 6)), (16, 32, 32), voxel_size=16, unit="nanometer")
    smooth = gaussian_filter(np.random.default_rng(0).standard_normal(geometry.shape), 2, mode="wrap")
    volume = 3 + smooth / smooth.std()
    return geometry, torch.from_numpy(volume.astype(np.float32))


def prepare(geometry, volume):
    A = Projector(geometry, "cpu")
    return PriorDenoiser("tissue").prepare(A(volume), A, None)


def make_fan(geometry, degrees):
    return FanGeometry(
        np.deg2rad(degrees), geometry.shape, (geometry.shape[1], 48), source_distance=150, detector_distance=50,
        voxel_size=16, unit="nanometer",
    )  # fmt: skip


def test_without_noise_the_volume_stays_and_noise_is_removed(case):
    geometry, volume = case
    with torch.no_grad():
        denoise = prepare(geometry, volume)
        spread = float(volume.std())
        assert float((denoise(volume, 0.01) - volume).std()) < 0.05 * spread
        noisy = volume + 0.5 * spread * torch.randn(volume.shape, generator=torch.Generator().manual_seed(0))
        assert float(denoise(noisy, 0.5).sub(volume).std()) < 0.8 * 0.5 * spread


def test_densities_in_another_unit_are_denoised_alike(case):
    geometry, volume = case
    with torch.no_grad():
        once = prepare(geometry, volume)(volume, 0.3)
        twice = prepare(geometry, 2 * volume)(2 * volume, 0.3)
    torch.testing.assert_close(twice, 2 * once, rtol=0, atol=0.01 * float(volume.std()))


def test_pnp_runs_with_the_shipped_prior(case):
    geometry, volume = case
    series = tomoprior.TiltSeries(Projector(geometry, "cpu")(volume).numpy(), geometry)
    result = tomoprior.reconstruct(series, "pnp", denoiser="prior", sigma=0.2, num_iter=2, num_cg=3, device="cpu")
    assert result.provenance["residual"] < 0.1


def test_voxels_outside_the_training_are_refused(case):
    geometry, _ = case
    with pytest.raises(InputError, match=r"outside the prior's training range .*tomoprior train$"):
        PriorDenoiser().check(Geometry(geometry.angles, geometry.shape, voxel_size=500, unit="nanometer"))


def test_a_fan_beam_measures_the_same_scale(case):
    """The fan is turned into parallel rays, which give nearly the same mean and contrast."""
    geometry, volume = case
    fan = make_fan(geometry, np.arange(-65, 66, 2))
    with torch.no_grad():
        parallel, other = prepare(geometry, volume), prepare(fan, volume)
        noise = torch.randn(volume.shape, generator=torch.Generator().manual_seed(0))
        noisy = volume + 0.5 * float(volume.std()) * noise
        a, b = (denoise(noisy, 0.5) for denoise in (parallel, other))
    assert float((a - b).std()) < 0.15 * float(volume.std())
    assert float((b - volume).std()) < 0.8 * float((noisy - volume).std())


def test_pnp_runs_with_the_shipped_prior_on_a_fan_beam(case):
    geometry, volume = case
    fan = make_fan(geometry, np.arange(-60, 61, 6))
    series = tomoprior.TiltSeries(Projector(fan, "cpu")(volume).numpy(), fan)
    result = tomoprior.reconstruct(series, "pnp", denoiser="prior", sigma=0.2, num_iter=2, num_cg=3, device="cpu")
    assert result.provenance["residual"] < 0.1
