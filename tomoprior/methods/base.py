"""The interface of a method: a name, typed settings, a memory estimate and ``reconstruct``.

The command line, the TomoPy drop-in and all other code know a method only through this protocol. One module and one line under
the entry-point group ``tomoprior.methods`` add a method; ``tomoprior.testing.check_method`` runs the conformance tests on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch

from tomoprior.geometry import Geometry
from tomoprior.progress import Progress
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction
from tomoprior.settings import Settings

#: By setting, the values that a comparison tries.
Tunable = Mapping[str, tuple[Any, ...]]


@runtime_checkable
class Method(Protocol):
    """A reconstruction method.

    A method's functions take its own settings class where this protocol has ``Any``: code that holds a ``Method`` knows the
    class only as ``method.Settings``.

    Attributes
    ----------
    name
        The name that users type: ``sirt``, ``astra.SIRT``.
    summary
        One line for the list of methods.
    citation
        The paper that the method follows, with the equation where one exists.
    Settings
        The class of its settings. Every field has a default and a description with its unit and the reason for the default.
    couples_slices
        True if a slice's result depends on its neighbours, so that the method must see them together.
    uses_projector
        False if the method only reads the projector's geometry: then no projector is prepared or counted in an estimate.
    takes_transfer
        Optional. True if the method works with a ``FilteredProjector``, whose images passed the microscope's transfer function:
        it uses the projector as a linear operator only.
    fits_field
        Optional. True if results have a ``field``.
    any_rays
        Optional. True if the method runs on every geometry, also on a fan beam. Other methods accept a parallel beam only.
    tunable
        Optional. By setting, the values that a comparison tries when it tunes the method by held-out tilts: the one or two
        settings that matter most. Without it the comparison tries numbers of iterations.

    Notes
    -----
    For volumes larger than memory, which are cut into slabs along y, a method may also have:

    ``halo(geometry, settings) -> int``
        Rows beyond its own that a slab needs on either side. A method that couples slices needs it; the overlap of two slabs
        is blended over half of it.
    ``settings_from_pilot(result, settings, folder) -> dict``
        Settings that the user left open and that the ``result`` of the first slab determines, by name, as plain values: the
        middle slab is first, and determines them for all. What does not fit into settings goes into a file in ``folder``, and
        its path into a setting.
    ``settings_for_halves(settings)``, ``settings_from_halves(result, settings, folder)``
        Settings for both halves of the frames as one series, and for each of them from its result: the method learns from one
        half to predict the other.
    ``leaves_open(settings) -> bool``
        False if the user left nothing open: then no slab has to be first.
    ``check(geometry, settings)``
        Raises InputError if the method will refuse the geometry: the command line calls it before a run and in a dry run.
    ``settings_for_rows(settings, rows) -> Settings``
        Settings for a slab that is ``rows`` of a larger volume, if the method depends on the place.
    """

    name: str
    summary: str
    citation: str
    Settings: type[Settings]
    couples_slices: bool
    uses_projector: bool

    def memory(self, geometry: Geometry, settings: Any) -> int:
        """Estimate the memory at the peak.

        Parameters
        ----------
        geometry
            Geometry of the volume and the projections.
        settings
            An instance of ``Settings``.

        Returns
        -------
        int
            Bytes, without the given projections and the prepared projector.
        """

    def cost_in_pairs(self, geometry: Geometry, settings: Any) -> float:
        """Estimate the cost of a reconstruction.

        Returns
        -------
        float
            The time, in units of one forward projection and one adjoint of the same geometry.
        """

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

        torch's global generator is seeded for the run and restored after it; a method may draw from it.

        Parameters
        ----------
        projections
            Line integrals in voxel units, shape ``projector.range_shape`` (``(n_angles, ny, nu)``), float32 on
            ``projector.device``; not changed.
        projector
            The forward operator A and its adjoint ``A.T``.
        settings
            An instance of ``Settings``.
        weights
            Weights of the squared residuals, shape ``(n_angles,)`` or ``range_shape``; 0 ignores a tilt or pixel.
        initial
            Starting volume, shape ``projector.domain_shape`` (``(nz, ny, nx)``).
        mask
            1 where the volume may differ from zero, else 0; shape ``domain_shape`` or ``(nz, nx)``.
        progress
            Called once per iteration, with its number, the total, and values by name.

        Returns
        -------
        Reconstruction
            Its volume has the shape ``projector.domain_shape``, density per voxel, on ``projector.device``.

        Raises
        ------
        InputError
            For shapes that do not fit, values that are not finite, or an argument that the method does not support.
        Interrupted
            On Ctrl-C, by methods that can return what they have reached.
        """


#: Bytes that the allocator and the libraries hold in addition to a method's arrays (measured); part of every estimate.
ALLOCATOR_BYTES = 48 * 2**20

#: Name of the entry-point group.
GROUP = "tomoprior.methods"


class Family(Protocol):
    """Several methods behind one entry point, named ``family.member``: ASTRA's or TomoPy's own algorithms."""

    summary: ClassVar[str]

    def members(self) -> list[str]:
        """Return the names of the members, without the family's name."""

    def get(self, member: str) -> Method:
        """Return one member; raises UnknownNameError or MissingDependencyError."""


@dataclass(frozen=True)
class TiltComparison:
    """The tilts beside the reprojections of a volume, all of shape ``range_shape``.

    Attributes
    ----------
    images, reprojections
        Both in the same unit.
    weights
        Inverse variances of the images in this unit: noise and the model's error, without that of the shifts.
    """

    images: torch.Tensor
    reprojections: torch.Tensor
    weights: torch.Tensor


@runtime_checkable
class ComparingMethod(Protocol):
    """A method that compares tilts with its own reprojections, and gives a tilt less weight if its shift is uncertain."""

    def compare_tilts(
        self, projections: torch.Tensor, projector: Projector, settings: Any, *, weights: torch.Tensor | None = None
    ) -> TiltComparison:
        """Reconstruct, reproject and compare; the arguments are those of ``reconstruct``."""

    def settings_for_shifts(self, settings: Any, stds: tuple[float, ...]) -> Any:
        """Return settings for tilts whose shifts have these standard deviations, pixels, beside that of the settings."""


@runtime_checkable
class SlabMethod(Protocol):
    """A method that couples slices and says how far, so that a volume can be cut into slabs along y."""

    def halo(self, geometry: Geometry, settings: Any) -> int:
        """Return the rows beyond its own that a slab has to see on either side; half of them are blended with the neighbour."""


@runtime_checkable
class PilotMethod(Protocol):
    """A method whose open settings are chosen by the slab in the middle (the pilot) for all slabs."""

    def settings_from_pilot(self, result: Reconstruction, settings: Any, folder: Path) -> Mapping[str, Any]:
        """Return the settings that ``result`` has chosen, by name, as plain values.

        Data that do not fit into settings are written to a file in ``folder``, and its path becomes a setting.
        """


@runtime_checkable
class HalvesMethod(Protocol):
    """A method that learns from two halves of the frames together."""

    def settings_for_halves(self, settings: Any) -> Any | None:
        """Return settings for a series that has all images of one half, then all of the other; None if nothing is to learn."""

    def settings_from_halves(self, result: Reconstruction, settings: Any, folder: Path) -> Mapping[str, Any]:
        """Return settings for one half, by name, from the ``result`` for both; data are written to files in ``folder``."""


@runtime_checkable
class SettledMethod(Protocol):
    """A method that says whether its settings leave anything to the pilot; others always have one."""

    def leaves_open(self, settings: Any) -> bool:
        """Return True if the method chooses some settings from the tilts."""


@runtime_checkable
class RowMethod(Protocol):
    """A method whose settings depend on the rows of the volume that a slab sees."""

    def settings_for_rows(self, settings: Any, rows: range) -> Any:
        """Return the settings of a slab that sees ``rows`` of a larger volume."""


@runtime_checkable
class TunableMethod(Protocol):
    """A method that names the values that a comparison tries when it tunes the method by held-out tilts.

    Attributes
    ----------
    tunable
        By setting, the values: one or two settings that matter most. Other methods are tuned by the number of iterations.
    """

    tunable: Tunable


@runtime_checkable
class FieldMethod(Protocol):
    """A method that can say whether its results have a ``field``.

    Attributes
    ----------
    fits_field
        True if they have.
    """

    fits_field: bool


@runtime_checkable
class CheckedMethod(Protocol):
    """A method that can say before a run whether it suits a geometry, as one with a prior of a training domain."""

    def check(self, geometry: Geometry, settings: Any) -> None:
        """Raise InputError, with advice, if ``reconstruct`` would refuse the geometry."""


@runtime_checkable
class DescribedMethod(Protocol):
    """A method with text of its own for ``tomoprior methods NAME``."""

    def describe(self) -> str:
        """Return lines for the terminal."""
