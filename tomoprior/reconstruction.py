"""What a method gives back: the volume, how sure it is of it, and how it came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from dataclasses import field as attribute
from typing import TYPE_CHECKING, Any

import numpy as np

from tomoprior.geometry import Geometry

if TYPE_CHECKING:
    from tomoprior.plot import Figure


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A reconstructed volume and its record.

    Attributes
    ----------
    volume
        Values per voxel, shape ``(nz, ny, nx)``, float32. A torch tensor inside a method, a NumPy array from
        ``tomoprior.reconstruct``.
    geometry
        The geometry that it was reconstructed in (grid, voxel size, unit).
    std
        Standard deviation per voxel, the same shape, where the method gives one.
    determined
        Share of each frequency's variance that the data took away from a prior's, where the method has a prior: 1 is measured,
        0 is the prior's alone. ``(nz, rows, nx)``, zero frequency in the middle (``fftshift``), ``rows`` at most 64.
    history
        One list per quantity with a value per iteration, such as ``residual``: ``||W^(1/2)(p - A x)|| / ||W^(1/2) p||`` of the
        volume that the iteration began with (what it ends with would cost a projection more).
    provenance
        Method, settings, versions, adjoint error, times: what is needed to do it again, and which part was
        measured and which inferred.
    field
        The reconstruction as a continuous function, ``field(points)``, where the method fits one: see
        ``tomoprior.methods.cn.Field``.
    """

    volume: Any
    geometry: Geometry
    std: Any = None
    determined: Any = None
    history: Mapping[str, list[float]] = attribute(default_factory=dict)
    provenance: Mapping[str, Any] = attribute(default_factory=dict)
    field: Any = None

    @property
    def voxel_size(self) -> float:
        """Edge of a voxel in ``unit``."""
        return self.geometry.voxel_size

    @property
    def unit(self) -> str:
        """Unit of ``voxel_size``."""
        return self.geometry.unit

    def plot(self, **options: Any) -> Figure:
        """Orthogonal slices of the volume, and of its standard deviation where there is one.

        Parameters
        ----------
        options
            As for ``tomoprior.plot.slices``: ``at``, ``grey``, ``reference``, ``axes``, ``title``, ``std=False``.

        Raises
        ------
        InputError
            As ``tomoprior.plot.slices``.
        """
        from tomoprior.plot import slices

        return slices(self, **{"std": self.std is not None, **options})

    def numpy(self) -> Reconstruction:
        """The same with NumPy arrays, C-contiguous float32."""
        return replace(self, volume=_numpy(self.volume), std=_numpy(self.std), determined=_numpy(self.determined))


def _numpy(array: Any) -> Any:
    if array is None:
        return None
    if hasattr(array, "detach"):
        array = array.detach().cpu().numpy()
    return np.ascontiguousarray(array, dtype=np.float32)
