"""A fitted field: a continuous function of position, to evaluate anywhere, save and load."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch

from tomoprior.errors import InputError
from tomoprior.storage.tensors import save_tensors

Points = TypeVar("Points", torch.Tensor, "np.ndarray[Any, Any]")

#: Key of the file's header.
KEY = "tomoprior"

#: Points per evaluation: this bounds the memory and does not change the result.
CHUNK = 65536

#: Largest size of a saved field along an axis, in voxels.
MAX_SIZE = 1 << 20


class Field(ABC):
    """Density as a function of position.

    Attributes
    ----------
    shape
        The grid ``(nz, ny, nx)`` of the fit.
    """

    kind: ClassVar[str]
    shape: tuple[int, int, int]
    device: torch.device

    def __call__(self, points: Points) -> Points:
        """Return the values at ``points``.

        Parameters
        ----------
        points
            Positions z, y, x, shape ``(..., 3)``, in voxels of the fitted grid: the centre of its first voxel is (0, 0, 0). Any
            real numbers; NumPy or torch.

        Returns
        -------
        NumPy array or tensor, as ``points``
            Density per voxel, shape ``(...)``, float32. Zero outside the grid (farther than half a voxel from the centres of
            its outermost voxels), as everywhere in tomoprior.

        Raises
        ------
        InputError
            For another shape, or coordinates that are not finite.
        """
        positions = points if isinstance(points, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(points, np.float64))
        if positions.ndim == 0 or positions.shape[-1] != 3:
            raise InputError(f"points need shape (..., 3) for z, y, x, got {tuple(positions.shape)}")
        flat = positions.detach().to(self.device, torch.float64).reshape(-1, 3)
        if not bool(torch.isfinite(flat).all()):
            raise InputError("points must be finite")
        size = torch.tensor(self.shape, dtype=torch.float64, device=self.device)
        out = torch.zeros(len(flat), device=self.device, dtype=torch.float32)
        inside = ((flat >= -0.5 - 1e-9) & (flat <= size - 0.5 + 1e-9)).all(1).nonzero()[:, 0]
        with torch.no_grad():
            for piece in torch.split(inside, CHUNK):
                out[piece] = self._evaluate(flat[piece])
        out = out.reshape(positions.shape[:-1])
        return out if isinstance(points, torch.Tensor) else out.cpu().numpy()

    @abstractmethod
    def _evaluate(self, points: torch.Tensor) -> torch.Tensor:
        """Return float32 values at ``(n, 3)`` float64 points in voxels, all within the grid."""

    def sample(self, spacing: float = 1.0) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Sample the field on a grid that covers the fitted one.

        Parameters
        ----------
        spacing
            Distance of samples, in fitted voxels. Half the spacing gives eight times the samples.

        Returns
        -------
        np.ndarray
            Shape ``(nz / spacing, ny / spacing, nx / spacing)``, float32: density per fitted voxel at the centres.

        Raises
        ------
        InputError
            If the spacing is not positive.
        """
        if not spacing > 0:
            raise InputError(f"spacing must be positive, got {spacing}")
        sizes = [max(1, round(n / spacing)) for n in self.shape]
        z, y, x = ((np.arange(m) + 0.5) * n / m - 0.5 for m, n in zip(sizes, self.shape, strict=True))
        out = np.empty(sizes, np.float32)
        for i, at in enumerate(z):
            out[i] = self(np.stack(np.meshgrid([at], y, x, indexing="ij"), -1))[0]
        return out

    @abstractmethod
    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Return all arrays and plain values from which ``from_state`` restores the field."""

    @classmethod
    @abstractmethod
    def from_state(cls, arrays: dict[str, torch.Tensor], values: dict[str, Any]) -> Field:
        """Restore a field; the inverse of ``state``."""

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the field as safetensors: arrays and a JSON header, without code.

        Raises
        ------
        OutputExistsError
            If ``path`` exists and ``overwrite`` is False.
        """
        arrays, values = self.state()
        save_tensors(Path(path), KEY, {"kind": self.kind, "shape": list(self.shape), **values}, arrays, overwrite=overwrite)


def check_size(value: Any, least: int) -> int:
    """Return a number of voxels of a saved field; raises ValueError if it is none."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_SIZE:
        raise ValueError(f"{str(value)[:40]!r} is no size")
    return value


def check_mask(mask: torch.Tensor | None, shape: tuple[int, int, int]) -> None:
    """Raise ValueError if the mask of a saved field has another shape than its padded grid."""
    if mask is not None and tuple(mask.shape) != shape:
        raise ValueError(f"a mask of shape {tuple(mask.shape)} does not fit a padded grid of {shape}")
