"""The first bytes of the files of microscopes' programs, checked against the size of the file."""

from __future__ import annotations

import struct
from pathlib import Path

import h5py

from tomoprior.errors import FormatError
from tomoprior.formats.raw import readable_bytes

_HDF5 = b"\x89HDF\r\n\x1a\n"
_TIA = b"II\x97\x01"
_MAX_AXES = 8
_OLD_TIA, _TIA_VERSIONS = 0x0210, (0x0210, 0x0220)
_SPECTRA = 0x4120
_BYTES = {1: 1, 2: 2, 3: 4, 4: 1, 5: 2, 6: 4, 7: 4, 8: 8, 9: 8, 10: 16}


def is_dm(head: bytes) -> bool:
    """Return whether these are the first 16 bytes of a file of DigitalMicrograph 3 or 4: version, size, byte order."""
    if len(head) < 16:
        return False
    version = struct.unpack_from(">i", head)[0]
    order = struct.unpack_from(">i", head, 8 if version == 3 else 12)[0]
    return version in (3, 4) and order in (0, 1)


def is_ser(head: bytes) -> bool:
    """Return whether these are the first bytes of a series of TIA."""
    return head[:4] == _TIA and int.from_bytes(head[4:6], "little") in _TIA_VERSIONS


def is_velox(path: Path, head: bytes) -> bool:
    """Return whether this is an HDF5 file called ``.emd`` with images of Velox, and not another kind of EMD."""
    if head[:8] != _HDF5 or path.suffix.lower() != ".emd":
        return False
    try:
        with h5py.File(path, "r") as file:
            return isinstance(file.get("Data/Image"), h5py.Group)
    except Exception:  # h5py raises many classes for a broken file
        return False


def check_ser(path: Path) -> None:
    """Raise FormatError if the images that the header of a ``.ser`` file promises do not fit into the file.

    The library allocates them before it reads them.
    """
    size = path.stat().st_size
    head = readable_bytes(path, 34)
    wide = int.from_bytes(head[4:6], "little") != _OLD_TIA
    if len(head) < 34:
        raise FormatError(f"{path}: {size} bytes are too few for a series of TIA")
    if int.from_bytes(head[6:10], "little") == _SPECTRA:
        raise FormatError(f"{path}: a series of spectra, no images")
    count, at = struct.unpack_from("<iq" if wide else "<ii", head, 18)
    first = readable_bytes(path, 8 if wide else 4, at) if 0 < at < size else b""
    place = int.from_bytes(first, "little")
    element = readable_bytes(path, 50, place) if 0 < place < size else b""
    if not 0 < count <= size or len(element) < 50:
        raise FormatError(f"{path}: {count} images at byte {at} do not fit into a file of {size} bytes")
    _check_ser_texts(path, 30 + 4 * wide, struct.unpack_from("<i", head, 26 + 4 * wide)[0], size)
    kind, nx, ny = struct.unpack_from("<hii", element, 40)
    needed = count * nx * ny * _BYTES.get(kind, 1)
    if nx < 1 or ny < 1 or needed > size:
        raise FormatError(f"{path}: {count} images of {nx} x {ny} pixels do not fit into a file of {size} bytes")


def _check_ser_texts(path: Path, at: int, axes: int, size: int) -> None:
    """Raise FormatError if the names and units of the axes, which begin at byte ``at``, are longer than the file."""
    if not 0 <= axes <= _MAX_AXES:
        raise FormatError(f"{path}: a series of {axes} axes cannot be right")
    for _ in range(axes):
        at += 24  # size, start, step and index
        for _ in ("name", "unit"):
            count = int.from_bytes(readable_bytes(path, 4, at), "little", signed=True)
            if not 0 <= count <= size - at:
                raise FormatError(f"{path}: a text of {count} bytes at byte {at} does not fit into a file of {size} bytes")
            at += 4 + count
