"""The arrays that a run writes: created by the first slab, filled slab by slab, blended at the borders, completed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import FormatError
from tomoprior.formats import Header, Shared, open_stack, registry
from tomoprior.running.slabs.plan import Plan, Slab
from tomoprior.running.slabs.records import RESUME_HINT
from tomoprior.storage.files import companion_path, open_atomic, remove_tree, reraise_disk_errors

#: Number of z-sections that are blended at a time: the height of a shard of a Zarr volume.
SECTIONS = 512


@dataclass(frozen=True)
class Outputs:
    """The files of an unfinished run.

    Attributes
    ----------
    folder
        Folder of the run.
    name
        File name of the volume. The array ``std`` of a run that writes ``volume.zarr`` is ``volume_std.zarr``.
    header
        Header of the volume, and of every array beside it.
    """

    folder: Path
    name: str
    header: Header

    def path(self, array: str) -> Path:
        """Return the path of an array until the run is finished."""
        return self.folder / companion_path(Path(self.name), array)

    def write(self, array: str, slab: Slab, values: NDArray[Any]) -> None:
        """Write a slab's own rows; they are safe on the disk when this returns. Raises FormatError if that fails."""
        nz, _, nx = self.header.shape
        with reraise_disk_errors(self.path(array), RESUME_HINT):
            self._create(array)
            sink = _format(self.path(array)).reopen(self.path(array), self.header)
            try:
                sink[0:nz, slab.start : slab.stop, 0:nx] = values
            finally:
                sink.close()

    def keep(self, array: str, border: int, side: str, values: NDArray[Any]) -> None:
        """Keep a slab's values of the rows around a border until they are blended with the neighbour's."""
        path = self._side(array, border, side)
        with reraise_disk_errors(path, RESUME_HINT):
            path.parent.mkdir(exist_ok=True)
        with open_atomic(path, RESUME_HINT) as file:
            np.save(file, np.ascontiguousarray(values, np.float32), allow_pickle=False)

    def arrays(self) -> list[str]:
        """Return the names of the arrays that slabs have written."""
        return [name for name in ("volume", "std") if self.path(name).exists()]

    def blend(self, plan: Plan, border: int) -> None:
        """Blend two neighbouring slabs linearly over the rows around their border; a second call gives the same values.

        The weight of the slab beyond the border grows from 0 to 1 over ``2 * plan.blend`` rows, at the rows' middles.
        """
        nz, _, nx = self.header.shape
        high_weight = ((np.arange(2 * plan.blend, dtype=np.float32) + 0.5) / (2 * plan.blend))[:, None]
        for array in self.arrays():
            with reraise_disk_errors(self.path(array), RESUME_HINT):
                low, high = (self._kept(array, border, side, (nz, 2 * plan.blend, nx)) for side in ("low", "high"))
                sink = _format(self.path(array)).reopen(self.path(array), self.header)
                try:
                    for z in range(0, nz, SECTIONS):
                        part = slice(z, min(z + SECTIONS, nz))
                        values = low[part] + (high[part] - low[part]) * high_weight
                        sink[part, border - plan.blend : border + plan.blend, 0:nx] = values
                finally:
                    sink.close()

    def complete(self) -> None:
        """Complete the files after the last slab."""
        for array in self.arrays():
            with reraise_disk_errors(self.path(array), RESUME_HINT):
                _format(self.path(array)).complete(self.path(array), self.header)

    def check_metadata(self) -> None:
        """Compare the metadata files of arrays that are folders (Zarr) with those of a new array.

        Raises
        ------
        FormatError
            If one of them is damaged: the slabs in the array could not be read.
        """
        for array in self.arrays():
            path = self.path(array)
            if not path.is_dir():
                continue
            with reraise_disk_errors(path, RESUME_HINT), self._new(path) as pristine:
                for file in pristine.rglob("*"):
                    written = path / file.relative_to(pristine)
                    if file.is_file() and not (written.is_file() and written.read_bytes() == file.read_bytes()):
                        raise FormatError(f"{written}: damaged, so that finished slabs cannot be read; --overwrite begins anew")

    def _kept(self, array: str, border: int, side: str, shape: tuple[int, int, int]) -> Any:
        """Return the kept values as a lazy array; raises FormatError if the file is damaged."""
        path = self._side(array, border, side)
        try:
            values = open_stack(path).data
        except FormatError as error:
            raise FormatError(f"{error}; --overwrite begins anew") from error
        if values.shape != shape or values.dtype != np.float32:
            raise FormatError(
                f"{path}: {values.dtype} of shape {values.shape}, not float32 of {shape}; --overwrite begins anew"
            )
        return values

    def _side(self, array: str, border: int, side: str) -> Path:
        return self.folder / "borders" / f"{array}-{border:06d}-{side}.npy"

    def _create(self, array: str) -> None:
        path = self.path(array)
        if path.exists():
            return
        with self._new(path) as temporary:
            if temporary.is_dir():
                with suppress(OSError):  # another worker was faster, and this one's is removed
                    os.rename(temporary, path)
            else:
                with suppress(FileExistsError):
                    os.link(temporary, path)
        if not path.exists():
            raise FormatError(f"{path}: cannot be created")

    @contextmanager
    def _new(self, path: Path) -> Iterator[Path]:
        """Create an array without values under a temporary path, which vanishes at the end of the block."""
        temporary = self.folder / f"new-{uuid.uuid4().hex[:8]}" / path.name  # some formats store the file's name
        try:
            temporary.parent.mkdir()
            _format(path).create(temporary, self.header).close()
            yield temporary
        finally:
            remove_tree(temporary.parent)


def check_format(path: Path) -> None:
    """Raise FormatError for an output that cannot be written slab by slab."""
    _format(path)
    if path.name.lower().endswith(".npz"):
        raise FormatError(f"{path}: a .npz is written in one piece; use .zarr, .mrc, .h5, .tif or .npy")


def _format(path: Path) -> Any:
    file_format = registry.for_writing(path)
    if not isinstance(file_format, Shared):
        raise FormatError(f"{path}: the format {file_format.name} cannot be written slab by slab; use .zarr")
    return file_format
