"""A fitted field: a continuous function of position that can be evaluated anywhere, saved and loaded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch

from tomoprior.errors import FormatError, InputError
from tomoprior.storage.tensors import load_tensors, save_tensors

Points = TypeVar("Points", torch.Tensor, "np.ndarray[Any, Any]")

#: Of the file's header.
KEY = "tomoprior"

#: Points evaluated at once: bounds the memory, not the result.
CHUNK = 65536


class Field(ABC):
    """Density as a function of position.

    Attributes
    ----------
    shape
        The grid ``(nz, ny, nx)`` that it was fitted on.
    """

    kind: ClassVar[str]
    shape: tuple[int, int, int]
    device: torch.device

    def __call__(self, points: Points) -> Points:
        """Values at ``points``.

        Parameters
        ----------
        points
            ``(..., 3)``: z, y, x in voxels of the fitted grid, whose first voxel has its middle at (0, 0, 0); any real number
            is fine. NumPy or torch.

        Returns
        -------
        Array of shape ``(...)``, float32, of the kind given: value per voxel. Zero outside the grid (farther than half a voxel
        from its outermost voxels' middles), as everywhere in tomoprior.

        Raises
        ------
        InputError
            For another shape, or coordinates that are not finite.
        """
        given = points if isinstance(points, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(points, np.float64))
        if given.ndim == 0 or given.shape[-1] != 3:
            raise InputError(f"points need shape (..., 3) for z, y, x, got {tuple(given.shape)}")
        flat = given.detach().to(self.device, torch.float64).reshape(-1, 3)
        if not bool(torch.isfinite(flat).all()):
            raise InputError("points must be finite")
        size = torch.tensor(self.shape, dtype=torch.float64, device=self.device)
        out = torch.zeros(len(flat), device=self.device)
        inside = ((flat >= -0.5 - 1e-9) & (flat <= size - 0.5 + 1e-9)).all(1).nonzero()[:, 0]
        with torch.no_grad():
            for piece in torch.split(inside, CHUNK):
                out[piece] = self._evaluate(flat[piece])
        out = out.reshape(given.shape[:-1])
        return out if isinstance(points, torch.Tensor) else out.cpu().numpy()

    @abstractmethod
    def _evaluate(self, points: torch.Tensor) -> torch.Tensor:
        """Values at ``(n, 3)`` float64 points in voxels, all within the grid; float32."""

    def sample(self, spacing: float = 1.0) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The field on a grid of ``spacing`` voxels that covers the fitted one, ``(nz / spacing, ny / spacing, nx / spacing)``.

        Half the spacing, eight times the voxels. Values stay per fitted voxel, and are point values at the middles.
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
        """All arrays and all plain values from which ``from_state`` makes the same field."""

    @classmethod
    @abstractmethod
    def from_state(cls, arrays: dict[str, torch.Tensor], values: dict[str, Any]) -> Field:
        """Inverse of ``state``."""

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the field as safetensors: arrays and a JSON header, no code."""
        arrays, values = self.state()
        save_tensors(Path(path), KEY, {"kind": self.kind, "shape": list(self.shape), **values}, arrays, overwrite=overwrite)


def load_field(path: str | Path) -> Field:
    """The field that ``Field.save`` wrote to ``path``, on the CPU.

    Raises
    ------
    FormatError
        If the file is no such thing, or from a later version.
    """
    from tomoprior.methods.cn.network import NetworkField
    from tomoprior.methods.cn.spline import SplineField

    kinds: dict[str, type[Field]] = {SplineField.kind: SplineField, NetworkField.kind: NetworkField}
    try:
        values, arrays = load_tensors(Path(path), KEY, "a field saved by tomoprior")
        return kinds[values.pop("kind")].from_state(arrays, values)
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path}: not a field saved by tomoprior ({error})") from error
