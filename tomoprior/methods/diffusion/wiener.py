"""The linear estimate of least error for tissue of a known spectrum, by conjugate gradients."""

from __future__ import annotations

import torch

from tomoprior.methods.diffusion import conjugate
from tomoprior.methods.diffusion.measurement import Measurement
from tomoprior.methods.diffusion.spectrum import GaussianPrior, Spectrum


def wiener(data: Measurement, spectrum: Spectrum, num_iter: int = 15, tol: float = 1e-3, *, flat: bool = False) -> torch.Tensor:
    """Mean of the posterior for a stationary Gaussian prior: ``u = C A^T (A C A^T + W^-1)^-1 y``, on the padded grid.

    Solved for white variables, ``(1 + L^T A^T W A L) z = L^T A^T W y``, ``u = L z``, ``C = L L^T``: the prior is its own
    preconditioner. Wiener (1949); for the form see Tarantola, Inverse Problem Theory (2005), eq. 3.37.

    Parameters
    ----------
    num_iter
        At most; fewer once the gradient is below ``tol`` of the first.
    flat
        Each slice for itself.
    """
    prior = GaussianPrior(data.A.domain_shape, spectrum, data.A.geometry.voxel_size, data.y.device, flat=flat)
    A = data.A

    def normal(v: torch.Tensor) -> torch.Tensor:
        return prior.root_T(A.T(data.weighted(A(prior.root(v))))).add_(v)

    r = prior.root_T(A.T(data.weighted(data.y)))
    return prior.root(conjugate.solve(normal, torch.zeros_like(r), r, num_iter, tol))
