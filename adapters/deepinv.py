"""Wrap an operator as a physics of deepinv: its solvers, samplers and plug-and-play methods then run on ASTRA, CPU or GPU."""

from __future__ import annotations

from typing import Any

import torch

from tomoprior.errors import MissingDependencyError
from tomoprior.projector import LinearOperator

try:
    from deepinv.physics import LinearPhysics
except ImportError as error:
    raise MissingDependencyError("deepinv is not installed: pip install deepinv") from error


class TomographyPhysics(LinearPhysics):  # type: ignore[misc]
    """A ``deepinv.physics.LinearPhysics`` around an operator.

    deepinv's tensors ``(batch, channel, z, y, x)`` are the operator's volumes with two leading axes.

    Parameters
    ----------
    operator
        A ``Projector``, an ``AstraOperator`` or another linear operator of this package.
    normalize
        True: divide by the operator's largest singular value; deepinv's step lengths assume that it is 1.
        Multiply measured projections by ``scale``, too.
    values
        Other arguments of ``LinearPhysics``, such as ``noise_model``.

    Attributes
    ----------
    scale
        Factor of the operator: ``1 / operator.norm()``, or 1.

    Examples
    --------
    A reconstruction by deepinv's least squares::

        from tomoprior.adapters.deepinv import TomographyPhysics

        physics = TomographyPhysics(tomoprior.Projector(geometry, "cpu"))
        volume = physics.A_dagger(physics.scale * projections[None, None])
    """

    def __init__(self, operator: LinearOperator, *, normalize: bool = True, **values: Any) -> None:
        super().__init__(**values)
        self.operator = operator
        self.scale = 1 / operator.norm() if normalize else 1.0

    def A(self, x: torch.Tensor, **values: Any) -> torch.Tensor:
        """Return the projections of volumes ``(..., *domain_shape)``."""
        return self.operator(x) * self.scale

    def A_adjoint(self, y: torch.Tensor, **values: Any) -> torch.Tensor:
        """Return the back-projection of projections ``(..., *range_shape)``."""
        return self.operator.T(y) * self.scale
