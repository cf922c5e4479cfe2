"""The linear part of the denoiser compared with the best linear denoiser of a Gaussian field."""

from __future__ import annotations

import math

import pytest
import torch

from tomoprior.methods.diffusion.preconditioning import SIGMA_DATA, Preconditioner
from tomoprior.methods.diffusion.spectrum import N_Y_FREQUENCIES, Spectrum

VOXEL = 20.0
EDGE = 32


def gaussian(spectrum, n=EDGE, seed=0, voxel_size=VOXEL):
    """A periodic field of the spectrum, ``(n, n, n)``."""
    k2 = sum(g**2 for g in torch.meshgrid(*[torch.fft.fftfreq(n)] * 3, indexing="ij"))
    white = torch.randn((n, n, n), generator=torch.Generator().manual_seed(seed))
    return torch.fft.ifftn(torch.fft.fftn(white) * spectrum(k2, voxel_size).sqrt()).real


def apply(linear, residual, sigma, conditioned=0.0, log_voxel=0.0):
    """Filter one tile; return the filtered tile and its expected error."""
    numbers = (torch.tensor([float(v)]) for v in (sigma, conditioned, log_voxel))
    found, size = linear(residual[None], *numbers)
    return found[0], float(size)


@pytest.mark.parametrize("sigma", [0.2, 0.5, 1.0, 2.0])
def test_the_expected_error_is_the_error_on_tissue_of_this_spectrum(spectrum, sigma):
    linear = Preconditioner(spectrum)
    errors = []
    for seed in range(3):
        field = gaussian(spectrum, seed=seed)
        noise = torch.randn(field.shape, generator=torch.Generator().manual_seed(100 + seed))
        found, size = apply(linear, field + sigma * noise, sigma)
        errors.append(float((found - field).square().mean()))
    # a field of this spectrum has few frequencies that hold much
    assert sum(errors) / len(errors) == pytest.approx(size**2, rel=0.08)


@pytest.mark.parametrize("sigma", [0.2, 1.0])
def test_no_other_linear_filter_does_better(spectrum, sigma):
    linear = Preconditioner(spectrum)
    field = gaussian(spectrum)
    noisy = field + sigma * torch.randn(field.shape, generator=torch.Generator().manual_seed(9))
    best = float((apply(linear, noisy, sigma)[0] - field).square().mean())
    for other in (0.6 * sigma, 1.6 * sigma):
        assert float((apply(linear, noisy, other)[0] - field).square().mean()) > best


def test_the_expected_error_rises_from_the_noise_to_the_fields_deviation(spectrum):
    linear = Preconditioner(spectrum)
    tile = torch.zeros(48, 48, 48)
    assert apply(linear, tile, 1e-3)[1] == pytest.approx(1e-3, rel=0.01)
    assert apply(linear, tile, 1e3)[1] == pytest.approx(0.5, rel=0.01)  # the tissue's standard deviation in these units


@pytest.mark.parametrize("flat", [False, True])
def test_the_cap_leaves_the_variance_of_the_residual(spectrum, flat):
    linear = Preconditioner(spectrum, flat=flat)
    tile = torch.zeros(48, 48, 48)
    assert apply(linear, tile, 1e4, conditioned=1.0)[1] == pytest.approx(SIGMA_DATA, rel=0.01)
    assert apply(linear, tile, 1e4, conditioned=0.0)[1] > SIGMA_DATA
    field = gaussian(spectrum)
    conditioned, unconditioned = (apply(linear, field, 0.3, conditioned=conditioned)[0] for conditioned in (1.0, 0.0))
    assert float(conditioned.norm()) < float(unconditioned.norm())
    assert float(conditioned.mean() / unconditioned.mean()) < 1  # coarse structure is shrunk more


@pytest.mark.parametrize("size", [14.0, 30.0])
def test_the_filter_uses_the_spectrum_of_the_voxel_size(spectrum, size):
    """The filter of a cosine is ``S / (S + sigma^2)`` with S of ``Spectrum`` at that voxel size."""
    linear = Preconditioner(spectrum)
    x = torch.arange(EDGE).float()
    for waves in ((0, 0, 3), (2, 0, 5), (4, 7, 1)):
        k = [w / EDGE for w in waves]
        z, y, w = torch.meshgrid(x, x, x, indexing="ij")
        wave = (2 * math.pi * (k[0] * z + k[1] * y + k[2] * w)).cos()
        found, _ = apply(linear, wave, 0.8, log_voxel=math.log(size / VOXEL))
        power = float(spectrum(torch.tensor([sum(v * v for v in k)]), size))
        torch.testing.assert_close(found, wave * power / (power + 0.64), rtol=1e-3, atol=1e-4)
    assert Preconditioner(Spectrum(spectrum.k, spectrum.power, 10.0)).cap == linear.cap  # of the table's own voxel


def test_a_flat_filter_couples_no_slices(spectrum):
    residual = torch.randn((16, 12, 16), generator=torch.Generator().manual_seed(0))
    other = residual.clone()
    other[:, 5] += 1
    for conditioned in (0.0, 1.0):
        kinds = (Preconditioner(spectrum, flat=True), Preconditioner(spectrum))
        flat, whole = ([apply(linear, x, 0.5, conditioned=conditioned)[0] for x in (residual, other)] for linear in kinds)
        assert (flat[0] != flat[1]).any(2).any(0).tolist() == [y == 5 for y in range(12)]
        assert bool(((whole[0] - whole[1]).abs().amax((0, 2)) > 1e-3)[3:8].all())


def test_a_flat_filter_has_the_spectrum_of_a_slice(spectrum):
    """A frequency within a plane has the power of all frequencies across the plane."""
    linear = Preconditioner(spectrum, flat=True)
    x = torch.arange(EDGE).float()
    wave = (2 * math.pi * 3 / EDGE * x).cos().expand(EDGE, 4, EDGE).contiguous()
    across = torch.fft.fftfreq(N_Y_FREQUENCIES).double() ** 2
    power = float(spectrum(across + (3 / EDGE) ** 2).mean())
    torch.testing.assert_close(apply(linear, wave, 0.8)[0], wave * power / (power + 0.64), rtol=1e-3, atol=1e-4)


def test_a_batch_gives_the_results_of_single_tiles(spectrum):
    linear = Preconditioner(spectrum)
    residual = torch.randn((3, 16, 8, 10), generator=torch.Generator().manual_seed(0))
    sigma, conditioned, log_voxel = torch.tensor([0.1, 1.0, 5.0]), torch.tensor([1.0, 0.0, 1.0]), torch.tensor([0.0, 0.2, -0.3])
    found, size = linear(residual, sigma, conditioned, log_voxel)
    for i in range(3):
        one, own = apply(linear, residual[i], sigma[i], conditioned[i], log_voxel[i])
        torch.testing.assert_close(found[i], one)
        assert float(size[i]) == pytest.approx(own, rel=1e-5)


def test_the_spectrum_is_not_part_of_the_weights(spectrum):
    assert not Preconditioner(spectrum).state_dict()
