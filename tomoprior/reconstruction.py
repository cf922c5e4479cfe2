"""The result of a method: the volume, its uncertainty and its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from dataclasses import field as attribute
from typing import TYPE_CHECKING, Any

import numpy as np

from tomoprior.display import to_html, to_line
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
        The geometry of the reconstruction (grid, voxel size, unit).
    std
        Standard deviation per voxel, the same shape, if the method estimates one.
    determined
        Share of the prior's variance at each frequency that the data remove, if the method has a prior: 1 is measured, 0 comes
        from the prior alone. ``(nz, rows, nx)``, zero frequency in the centre (``fftshift``), ``rows`` at most 64.
    history
        One list per quantity with a value per iteration, such as ``residual``: ``||W^(1/2)(p - A x)|| / ||W^(1/2) p||`` of the
        volume at the start of the iteration (that at its end would cost another projection).
    provenance
        Method, settings, versions, adjoint error, times: all that a repetition needs, and which part is measured and which
        inferred.
    field
        The reconstruction as a continuous function, ``field(points)``, if the method fits one: see
        ``tomoprior.methods.cn.Field``.

    Examples
    --------
    >>> import numpy as np
    >>> import tomoprior
    >>> geometry = tomoprior.Geometry(np.deg2rad(np.arange(-60, 61, 5)), (16, 4, 16), voxel_size=2, unit="nanometer")
    >>> truth = np.zeros(geometry.shape, np.float32)
    >>> truth[6:10, :, 6:10] = 1
    >>> series = tomoprior.TiltSeries(tomoprior.Projector(geometry, "cpu")(truth), geometry)
    >>> result = tomoprior.reconstruct(series, "sirt", num_iter=5, device="cpu")
    >>> result.volume.shape, result.voxel_size, result.unit
    ((16, 4, 16), 2.0, 'nanometer')
    >>> len(result.history["residual"])
    5
    """

    volume: Any
    geometry: Geometry
    std: Any = None
    determined: Any = None
    history: Mapping[str, list[float]] = attribute(default_factory=dict)
    provenance: Mapping[str, Any] = attribute(default_factory=dict)
    field: Any = None

    def _facts(self) -> dict[str, str]:
        record = self.provenance
        more = [name for name in ("std", "determined", "field") if getattr(self, name) is not None]
        residual, seconds = record.get("residual"), record.get("seconds")
        return {
            **({"method": str(record["method"])} if "method" in record else {}),
            "volume": str(tuple(self.volume.shape)),
            "voxel": f"{self.voxel_size:.6g} {self.unit}",
            **({"residual": f"{residual:.4g}"} if isinstance(residual, float) else {}),
            **({"time": f"{seconds:.3g} s"} if isinstance(seconds, float) else {}),
            **({"with": " and ".join(more)} if more else {}),
        }

    def __repr__(self) -> str:
        return to_line("Reconstruction", self._facts())

    def _repr_html_(self) -> str:
        return to_html("Reconstruction", list(self._facts().items()))

    @property
    def voxel_size(self) -> float:
        """Edge of a voxel in ``unit``."""
        return self.geometry.voxel_size

    @property
    def unit(self) -> str:
        """Unit of ``voxel_size``."""
        return self.geometry.unit

    def plot(self, **options: Any) -> Figure:
        """Plot orthogonal slices of the volume, and of its standard deviation if it has one.

        Parameters
        ----------
        **options
            As for ``tomoprior.plot.slices``: ``at``, ``grey``, ``reference``, ``axes``, ``title``, ``std=False``.

        Returns
        -------
        Figure
            A matplotlib figure.

        Raises
        ------
        InputError
            As for ``tomoprior.plot.slices``.
        """
        from tomoprior.plot import slices

        return slices(self, **{"std": self.std is not None, **options})

    def numpy(self) -> Reconstruction:
        """Return the same reconstruction with NumPy arrays, C-contiguous float32."""
        return replace(self, volume=_to_numpy(self.volume), std=_to_numpy(self.std), determined=_to_numpy(self.determined))


def _to_numpy(array: Any) -> Any:
    if array is None:
        return None
    if hasattr(array, "detach"):
        array = array.detach().cpu().numpy()
    return np.ascontiguousarray(array, dtype=np.float32)
