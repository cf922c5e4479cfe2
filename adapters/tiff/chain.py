"""The chain of image directories in a TIFF file, which can be a ring: tifffile follows a ring for ever."""

from __future__ import annotations

import struct

import tifffile


def check_chain(tif: tifffile.TiffFile) -> None:
    """Raise ValueError if a directory of the file comes a second time."""
    file, kind = tif.filehandle, tif.tiff
    file.seek(8 if kind.is_bigtiff else 4)
    seen: set[int] = set()
    while (place := file.read(kind.offsetsize)) and len(place) == kind.offsetsize:
        (offset,) = struct.unpack(kind.offsetformat, place)
        if offset == 0 or offset + kind.tagnosize > file.size:
            return
        if offset in seen:
            raise ValueError(f"its chain of images comes back to byte {offset}")
        seen.add(offset)
        file.seek(offset)
        (count,) = struct.unpack(kind.tagnoformat, file.read(kind.tagnosize))
        file.seek(offset + kind.tagnosize + count * kind.tagsize)
