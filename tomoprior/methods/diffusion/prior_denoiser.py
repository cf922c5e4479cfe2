"""The denoiser of a diffusion prior, without the tilts as a condition, for plug-and-play reconstruction."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from tomoprior.errors import InputError
from tomoprior.geometry import FanGeometry, Geometry
from tomoprior.methods.diffusion.conditioning import FACE_STD_OFFSET
from tomoprior.methods.diffusion.denoiser import N_SERIES_NUMBERS, Condition
from tomoprior.methods.diffusion.measurement_model import prepare_model
from tomoprior.methods.diffusion.prior import load_prior
from tomoprior.methods.diffusion.tiling import TiledDenoiser
from tomoprior.methods.diffusion.training_domain import check_grid_and_range, convert_voxel_size
from tomoprior.projector import Projector
from tomoprior.series.rebinning import rebin_fan
from tomoprior.series.series import TiltSeries


class PriorDenoiser:
    """Denoise volumes of densities with a prior of ``tomoprior train``; the section fills the grid.

    The prior's mean and contrast are measured on the tilts; those of a fan beam are turned into parallel rays for this.

    Parameters
    ----------
    prior
        The file, or the name of a prior in this package.
    """

    def __init__(self, prior: str = "tissue") -> None:
        self.prior = load_prior(prior)

    def check(self, geometry: Geometry) -> None:
        """Raise InputError for a geometry outside the prior's training."""
        check_grid_and_range(geometry, self.prior, check_range=False)  # without the tilts as a condition any range will do
        try:
            convert_voxel_size(geometry, self.prior, check=True)
        except InputError as error:  # its second advice is a setting of other methods
            raise InputError(str(error).partition(", or set check_prior")[0]) from None

    def prepare(
        self, projections: torch.Tensor, projector: Projector, weights: torch.Tensor | None
    ) -> Callable[[torch.Tensor, float], torch.Tensor]:
        """Return the denoiser ``D(x, sigma)`` of volumes ``(nz, ny, nx)``, sigma in the prior's units."""
        if isinstance(projector.geometry, FanGeometry):
            projections, projector, weights = _rebin(projections, projector.geometry, weights)
        prior, shape = self.prior, projector.domain_shape
        size = convert_voxel_size(projector.geometry, prior, check=True)
        projector = projector.with_geometry(replace(projector.geometry, voxel_size=size, unit=prior.unit))
        full = None if weights is None else weights.expand(projections.shape)
        scale = prepare_model(projections, projector, prior.spectrum, weights=full).scale
        assert isinstance(scale.mean, float)
        assert isinstance(scale.gain, float)
        mean, gain = scale.mean, scale.gain
        specimen = [-mean / gain, math.log(size / prior.spectrum.voxel_size), math.log(FACE_STD_OFFSET) / 2]
        zeros = projections.new_zeros(shape)
        condition = Condition(
            zeros, zeros + 1, projections.new_ones(shape[0], shape[2]),
            projections.new_tensor([0.0] * N_SERIES_NUMBERS + specimen),
        )  # fmt: skip
        denoise = TiledDenoiser(prior.denoiser.to(projections.device), prior.tile, condition, conditioned=False)
        return lambda x, sigma: denoise((x - mean) / gain, sigma).mul(gain).add(mean)


def _rebin(
    projections: torch.Tensor, geometry: FanGeometry, weights: torch.Tensor | None
) -> tuple[torch.Tensor, Projector, torch.Tensor]:
    """Return projections, projector and weights of the parallel rays of a fan; see ``rebin_fan``."""
    device = projections.device
    known = None if weights is None else weights.expand(projections.shape).cpu().numpy()
    series = rebin_fan(TiltSeries(projections.cpu().numpy(), geometry, known))
    rays, shares = (torch.from_numpy(np.asarray(a, np.float32)).to(device) for a in (series.projections, series.weights))
    return rays, Projector(series.geometry, device), shares
