"""The arrays that a run writes: begun by whoever comes first, filled slab by slab, blended at the borders, completed."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import FormatError
from tomoprior.formats import Header, Shared, registry
from tomoprior.running.slabs.journal import GO_ON
from tomoprior.running.slabs.plan import Plan, Slab
from tomoprior.storage.files import companion_path, open_atomic, remove_tree, reraise_disk_errors

#: Sections that are blended at a time: as high as a shard of a Zarr volume.
SECTIONS = 512


@dataclass(frozen=True)
class Outputs:
    """Where the arrays of an unfinished run lie.

    Attributes
    ----------
    folder
        Of the run.
    name
        Of the volume; another array ``std`` of a run that writes ``volume.zarr`` is ``volume_std.zarr``.
    header
        Of the volume, and of every array beside it.
    """

    folder: Path
    name: str
    header: Header

    def path(self, array: str) -> Path:
        """Where an array lies until the run is finished."""
        return self.folder / companion_path(Path(self.name), array)

    def write(self, array: str, slab: Slab, values: NDArray[Any]) -> None:
        """A slab's own rows, safe on the disk when this returns; raises FormatError if they cannot be."""
        nz, _, nx = self.header.shape
        with reraise_disk_errors(self.path(array), GO_ON):
            self._begin(array)
            sink = _format(self.path(array)).reopen(self.path(array), self.header)
            try:
                sink[0:nz, slab.start : slab.stop, 0:nx] = values
            finally:
                sink.close()

    def keep(self, array: str, border: int, side: str, values: NDArray[Any]) -> None:
        """What a slab has for the rows about a border, until its neighbour is there too."""
        path = self._side(array, border, side)
        with reraise_disk_errors(path, GO_ON):
            path.parent.mkdir(exist_ok=True)
        with open_atomic(path, GO_ON) as file:
            np.save(file, np.ascontiguousarray(values, np.float32), allow_pickle=False)

    def arrays(self) -> list[str]:
        """Names of the arrays that slabs have written."""
        return [name for name in ("volume", "std") if self.path(name).exists()]

    def blend(self, plan: Plan, border: int) -> None:
        """Let one slab go over into the next, linearly; done again it does the same."""
        nz, _, nx = self.header.shape
        after = ((np.arange(2 * plan.blend, dtype=np.float32) + 0.5) / (2 * plan.blend))[:, None]
        for array in self.arrays():
            with reraise_disk_errors(self.path(array), GO_ON):
                low, high = (np.load(self._side(array, border, side), mmap_mode="r") for side in ("low", "high"))
                sink = _format(self.path(array)).reopen(self.path(array), self.header)
                try:
                    for z in range(0, nz, SECTIONS):
                        part = slice(z, min(z + SECTIONS, nz))
                        values = low[part] + (high[part] - low[part]) * after
                        sink[part, border - plan.blend : border + plan.blend, 0:nx] = values
                finally:
                    sink.close()

    def complete(self) -> None:
        """Make whole files of what has been written."""
        for array in self.arrays():
            with reraise_disk_errors(self.path(array), GO_ON):
                _format(self.path(array)).complete(self.path(array), self.header)

    def _side(self, array: str, border: int, side: str) -> Path:
        return self.folder / "borders" / f"{array}-{border:06d}-{side}.npy"

    def _begin(self, array: str) -> None:
        path = self.path(array)
        if path.exists():
            return
        temporary = self.folder / f"new-{uuid.uuid4().hex[:8]}" / path.name  # what is stored may know its own name
        try:
            temporary.parent.mkdir()
            _format(path).create(temporary, self.header).close()
            if temporary.is_dir():
                with suppress(OSError):  # another worker was faster, and this one's is removed
                    os.rename(temporary, path)
            else:
                with suppress(FileExistsError):
                    os.link(temporary, path)
        finally:
            remove_tree(temporary.parent)
        if not path.exists():
            raise FormatError(f"{path}: cannot be begun")


def check_format(path: Path) -> None:
    """FormatError for an output that cannot be written slab by slab."""
    _format(path)
    if path.name.lower().endswith(".npz"):
        raise FormatError(f"{path}: a .npz is written in one piece; use .zarr, .mrc, .h5, .tif or .npy")


def _format(path: Path) -> Any:
    found = registry.for_writing(path)
    if not isinstance(found, Shared):
        raise FormatError(f"{path}: the format {found.name} cannot be written slab by slab; use .zarr")
    return found
