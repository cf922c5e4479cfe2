"""The spectrum of tissue, and the Gaussian field with this spectrum."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tomoprior.methods.diffusion.spectrum import GaussianPrior, Spectrum

CPU = torch.device("cpu")


def squares(shape, limit=0.5):
    """Squared frequencies of a grid; those beyond ``limit`` are infinite."""
    k2 = sum(g**2 for g in torch.meshgrid(*(torch.fft.fftfreq(n).double() for n in shape), indexing="ij"))
    return k2[k2 <= limit**2], k2.numel()


def draw(prior, seed=0):
    return prior.root(torch.randn(prior.inner, generator=torch.Generator().manual_seed(seed)))


def test_fit_recovers_the_spectrum_of_gaussian_fields(spectrum):
    field = GaussianPrior((64, 64, 64), spectrum, 20.0, CPU)
    blocks = [3.0 + draw(field, seed).numpy() for seed in range(6)]
    found = Spectrum.fit(blocks, 20.0)
    assert found.voxel_size == 20.0
    k = torch.tensor([0.06, 0.1, 0.15, 0.25, 0.4]).double()
    ratio = found(k**2) / spectrum(k**2)
    assert float((ratio - 1).abs().max()) < 0.12
    # in the lowest shells are few frequencies, and the window blurs them
    low = torch.tensor([0.03]).double()
    assert float(found(low**2) / spectrum(low**2)) == pytest.approx(1, abs=0.3)


def test_outside_the_table_it_is_constant_below_and_falls_above():
    s = Spectrum((0.1, 0.2), (8.0, 2.0), 1.0)
    k = torch.tensor([0.001, 0.1, 0.2, 0.4]).double()
    torch.testing.assert_close(s(k**2), torch.tensor([8.0, 8.0, 2.0, 0.5]).double())
    assert s(torch.zeros(1)).dtype == torch.float32


@pytest.mark.parametrize("size", [14.0, 30.0])
def test_another_voxel_size_keeps_the_variance_in_a_band(spectrum, size):
    """The power within a sphere of physical frequencies is the same for all voxel sizes."""
    limit = 0.5 * min(1, 20 / size)  # cycles per voxel of 20
    own, n = squares((48, 48, 48), limit)
    other, m = squares((48, 48, 48), limit * size / 20)
    assert float(spectrum(other, size).sum()) / m == pytest.approx(float(spectrum(own).sum()) / n, rel=0.02)


@pytest.mark.parametrize("flat", [False, True])
def test_root_and_its_adjoint(spectrum, flat):
    prior = GaussianPrior((7, 5, 10), spectrum, 20.0, CPU, flat=flat)
    z = torch.randn(prior.inner, generator=torch.Generator().manual_seed(0))
    x = torch.randn((7, 5, 10), generator=torch.Generator().manual_seed(1))
    left, right = (prior.root(z) * x).sum(), (z * prior.root_T(x)).sum()
    assert float(left) == pytest.approx(float(right), rel=1e-5)


@pytest.mark.parametrize("flat", [False, True])
def test_samples_have_the_variance_that_the_spectrum_holds(spectrum, flat):
    """A slice of a field has the variance of the whole field."""
    prior = GaussianPrior((40, 40, 40), spectrum, 20.0, CPU, flat=flat)
    k2, n = squares((52, 52, 52), 2.0)
    assert float(draw(prior).var()) == pytest.approx(float(spectrum(k2).sum()) / n, rel=0.1)
    assert float(k2.max()) > 0.5  # the corners too


def test_opposite_faces_are_uncorrelated(spectrum):
    field = draw(GaussianPrior((12, 60, 60), spectrum, 20.0, CPU))

    def correlation(a, b):
        return float(np.corrcoef(a.flatten(), b.flatten())[0, 1])

    assert abs(correlation(field[0], field[-1])) < 0.25
    assert correlation(field[0], field[1]) > 0.7


def test_flat_slices_are_independent(spectrum):
    prior = GaussianPrior((8, 6, 12), spectrum, 20.0, CPU, flat=True)
    z = torch.randn(prior.inner, generator=torch.Generator().manual_seed(0))
    other = z.clone()
    other[:, 2] += 1
    changed = (prior.root(z) != prior.root(other)).any(2).any(0)
    assert changed.tolist() == [False, False, True, False, False, False]
    assert prior.inner[1] == 6


def test_flat_slices_have_the_spectrum_of_a_slice(spectrum):
    """The covariance within a slice is that of the whole field."""
    lag = 3
    shape = (48, 48, 48)
    found = []
    for flat in (False, True):
        prior = GaussianPrior(shape, spectrum, 20.0, CPU, flat=flat)
        x = torch.stack([draw(prior, seed) for seed in range(2)])
        found.append(float((x[..., lag:] * x[..., :-lag]).mean()))
    assert found[1] == pytest.approx(found[0], rel=0.15)
