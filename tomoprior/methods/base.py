"""What a method is: a name, typed settings, a memory estimate and ``reconstruct``.

The command line, the TomoPy drop-in and everything else know a method only through the protocol here. A method is added
by one module and one line under the entry-point group ``tomoprior.methods``; ``tomoprior.testing.check_method`` runs the
conformance tests on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch

from tomoprior.geometry import Geometry
from tomoprior.progress import Progress
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction
from tomoprior.settings import Settings

#: Values that a comparison tries, by setting.
Tunable = Mapping[str, tuple[Any, ...]]


@runtime_checkable
class Method(Protocol):
    """A reconstruction method.

    Attributes
    ----------
    name
        As users type it: ``sirt``, ``astra.SIRT``.
    summary
        One line for the list of methods.
    citation
        The paper that it follows, with the equation where there is one.
    Settings
        The class of its settings; every field has a default, a unit and a reason.
    couples_slices
        True if a slice's result depends on its neighbours, so that it must see them together.
    fits_field
        Optional; True if results have a ``field``.
    any_rays
        Optional; True if the method runs on every geometry, a fan beam too. Without it only a parallel beam is accepted.
    tunable
        Optional; by setting, the values that a comparison tries when it tunes the method by held-out tilts: one or two settings
        that matter most. Without it the number of iterations is tried.
    uses_projector
        False if only the projector's geometry is looked at: then none is prepared, and none counted in an estimate.

    Notes
    -----
    For volumes larger than memory, which are cut into slabs along y, a method may have besides:

    ``halo(geometry, settings) -> int``
        Rows beyond its own that a slab has to see on either side. A method that couples slices needs it; half of it is
        blended with the neighbour.
    ``settings_from_pilot(result, settings, folder) -> dict``
        Settings that the user left open and that a slab's ``result`` has settled, by name, plain values: the slab in the middle
        settles them for all. What does not fit into settings goes into a file in ``folder``, and its path into a setting.
    ``settings_for_rows(settings, rows) -> Settings``
        Settings for a slab that is ``rows`` of a larger volume, where the method must know.
    """

    name: str
    summary: str
    citation: str
    Settings: type[Settings]
    couples_slices: bool
    uses_projector: bool

    def memory(self, geometry: Geometry, settings: Any) -> int:
        """Bytes at the peak beside the projections given and the prepared projector."""

    def cost_in_pairs(self, geometry: Geometry, settings: Any) -> float:
        """Cost in pairs of a forward projection and an adjoint, for the estimate of the time."""

    def reconstruct(
        self,
        projections: torch.Tensor,
        projector: Projector,
        settings: Any,
        *,
        weights: torch.Tensor | None = None,
        initial: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        progress: Progress | None = None,
    ) -> Reconstruction:
        """Reconstruct a volume.

        Parameters
        ----------
        projections
            Line integrals, shape ``projector.range_shape``, float32 on ``projector.device``; not changed.
        weights
            Trust in the data, shape ``(n_angles,)`` or ``range_shape``.
        initial
            Volume to start from, shape ``projector.domain_shape``.
        mask
            Where the volume may differ from zero: ``domain_shape`` or ``(nz, nx)``, 0 or 1.

        Raises
        ------
        InputError
            For shapes that do not fit, values that are not finite, or an argument that this method has no use for.
        """


#: What the allocator and the libraries keep beside a method's arrays, in bytes (measured): part of every estimate.
ALLOCATOR_BYTES = 32 * 2**20

#: name of the entry-point group
GROUP = "tomoprior.methods"


class Family(Protocol):
    """Several methods behind one entry point, named ``family.member``: ASTRA's or TomoPy's own algorithms."""

    summary: ClassVar[str]

    def members(self) -> list[str]:
        """The members' names without the family's."""

    def get(self, member: str) -> Method:
        """One of them; raises UnknownNameError or MissingDependencyError."""
