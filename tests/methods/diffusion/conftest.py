"""A tiny prior, and tilt series of a slab of Gaussian tissue whose mean, contrast and noise are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from tomoprior.geometry import Geometry
from tomoprior.methods.diffusion.denoiser import Denoiser
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.methods.diffusion.scale import UNIT_STD
from tomoprior.methods.diffusion.spectrum import GaussianPrior, Spectrum
from tomoprior.methods.learning.unet import Shape
from tomoprior.projector import Projector
from tomoprior.series import TiltSeries

TILE = (16, 16, 16)
VOXEL = 20.0


@cache
def smooth_spectrum(voxel_size: float = VOXEL) -> Spectrum:
    """A spectrum that is constant up to 0.05 cycles per voxel and then falls; its field has the deviation of tissue."""
    k = np.geomspace(0.01, 0.87, 24)
    power = (1 + (k / 0.05) ** 2) ** -1.75
    shape = Spectrum(tuple(k.tolist()), tuple(power.tolist()), voxel_size)
    grid = [torch.fft.fftfreq(48).double()] * 3
    k2 = sum(g**2 for g in torch.meshgrid(*grid, indexing="ij"))
    factor = UNIT_STD**2 / float(shape(k2).mean())
    return Spectrum(shape.k, tuple((factor * power).tolist()), voxel_size)


def denoiser(
    flat: bool = False, weights: float = 0.0, seed: int = 0, separable: bool = False, spectrum: Spectrum | None = None
) -> Denoiser:
    """A small network; all its weights are random if ``weights`` is above zero, otherwise it is untrained."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        shape = Shape((16, 16), (1, 1), embedding=16, flat=flat, separable=separable)
        found = Denoiser(shape, smooth_spectrum() if spectrum is None else spectrum)
        if weights:
            for value in found.parameters():
                torch.nn.init.normal_(value, std=weights)
    return found.eval().requires_grad_(False)


def prior_of(spectrum: Spectrum, **changes: Any) -> Prior:
    values = {"denoiser": denoiser(spectrum=spectrum), "card": {"data": "random numbers", "licence": "none needed"}, **changes}
    return Prior(
        tile=TILE, spectrum=spectrum, voxel_sizes=(16.0, 25.0), unit="nanometer", ranges=(6.0, 140.0), **values
    )  # fmt: skip


@dataclass
class Simulated:
    """A series of a slab that continues outside the field of view, and the truth."""

    geometry: Geometry
    projections: torch.Tensor
    truth: torch.Tensor  # within the field of view, in the prior's units

    @property
    def projector(self) -> Projector:
        return Projector(self.geometry, "cpu")

    @property
    def series(self) -> TiltSeries:
        return TiltSeries(self.projections.numpy(), self.geometry)


def simulate(
    spectrum: Spectrum,
    shape: tuple[int, int, int] = (16, 24, 64),
    *,
    span: float = 100.0,
    tilts: int = 21,
    mean: float = 1.5,
    gain: float = 0.4,
    noise: float = 0.5,
    brightness: float = 0.0,
    seed: int = 0,
    faces: tuple[float, float] | None = None,
    **geometry: Any,
) -> Simulated:
    """Project ``mean + gain u``, ``u`` a Gaussian field of the spectrum on a grid that holds every ray.

    With ``faces`` the field lies between them only; outside is vacuum, where ``u`` is ``-mean / gain``.
    """
    angles = np.deg2rad(np.linspace(-span / 2, span / 2, tilts) + 0.5)
    g = Geometry(angles, shape, **{"voxel_size": VOXEL, "unit": "nanometer", **geometry})
    steepest = float(np.abs(angles).max())
    pad = math.ceil(shape[0] / 2 * math.tan(steepest) + shape[2] / 2 * (1 / math.cos(steepest) - 1)) + 3
    wide = g.padded(pad)
    rng = torch.Generator().manual_seed(seed)
    field = GaussianPrior(wide.shape, spectrum, VOXEL, torch.device("cpu"))
    u = field.root(torch.randn(field.inner, generator=rng)).contiguous()
    if faces is not None:
        z = torch.arange(shape[0]) + 0.5
        inside = ((z - faces[0] + 0.5).clamp(0, 1) * (faces[1] - z + 0.5).clamp(0, 1))[:, None, None]
        u = inside * u - (1 - inside) * mean / gain
    p = Projector(wide, "cpu")(mean + gain * u)
    p = p + noise * torch.randn(p.shape, generator=rng) + brightness * torch.randn((tilts, 1, 1), generator=rng)
    return Simulated(g, p.contiguous(), u[..., pad : pad + shape[2]].contiguous())


@pytest.fixture(scope="session")
def spectrum() -> Spectrum:
    return smooth_spectrum()


@pytest.fixture(scope="session")
def simulated(spectrum: Spectrum) -> Callable[..., Simulated]:
    return lambda *shape, **values: simulate(spectrum, *shape, **values)


@pytest.fixture(scope="session")
def case(spectrum: Spectrum) -> Simulated:
    return simulate(spectrum)


@pytest.fixture(scope="session")
def prior(spectrum: Spectrum) -> Prior:
    """An untrained prior: its mean is the linear estimate."""
    return prior_of(spectrum)


@pytest.fixture(scope="session")
def lively(prior: Prior) -> Prior:
    """A prior with random weights only, so that all inputs of the network have influence."""
    return replace(prior, denoiser=denoiser(weights=0.05))


@pytest.fixture(scope="session")
def network() -> Callable[..., Denoiser]:
    return denoiser
