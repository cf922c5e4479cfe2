"""Forward projector and adjoint as differentiable operators, and the backends that compute them."""

from tomoprior.projector.backends import clear_cache
from tomoprior.projector.filtered import FilteredProjector
from tomoprior.projector.operator import LinearOperator
from tomoprior.projector.options import ProjectorOptions
from tomoprior.projector.projector import Projector
from tomoprior.projector.spectrum import SpectrumProjector

__all__ = ["FilteredProjector", "LinearOperator", "Projector", "ProjectorOptions", "SpectrumProjector", "clear_cache"]
