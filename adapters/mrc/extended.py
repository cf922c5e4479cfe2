"""Tilt angles in the extended header of an MRC file, as the microscopes' programs write them.

Sources: IMOD's description of SerialEM's header (``SERI``) and of FEI's old one; the FEI1 and FEI2 headers as mrcfile reads
them. Angles in these headers are nominal: degrees of the stage.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

#: Extended headers of a tilt series are smaller; a larger one is not read.
MAX_BYTES = 64 << 20

#: Bytes of each item that SerialEM may store per image, by its flag; the tilt angle is the first.
_SERIALEM_BYTES = {1: 2, 2: 6, 4: 4, 8: 2, 16: 2, 32: 4}
_TILT_FLAG = 1
_FEI_ALPHA, _FEI_SIZE = 100, 768
_OLD_FEI_RECORD, _OLD_FEI_RECORDS, _OLD_FEI_PIXEL = 128, 1024, 11
_KINDS_WITHOUT_ANGLES = (b"CCP4", b"MRCO", b"HDF5", b"SUBF")


def tilt_angles(extended: bytes, kind: bytes, nint: int, nreal: int, n: int, order: str) -> NDArray[np.float64] | None:
    """Return the degrees of ``n`` images, or None if the header holds none.

    Parameters
    ----------
    extended
        The extended header.
    kind
        Its four-letter type; empty in old files.
    nint, nreal
        The two counts of the main header, whose meaning depends on the type.
    n
        Number of images.
    order
        Byte order, ``"<"`` or ``">"``.
    """
    if kind in (b"FEI1", b"FEI2"):
        return _fei(extended, n)
    if kind in _KINDS_WITHOUT_ANGLES:
        return None
    if _is_serialem(kind, nint, nreal):
        return _serialem(extended, nint, n, order)
    return _old_fei(extended, kind, n, order)


def _is_serialem(kind: bytes, nint: int, nreal: int) -> bool:
    if not nreal & _TILT_FLAG or nreal < 0:
        return False
    # old files lack the type; their bytes per image agree with the flags
    return kind == b"SERI" or (kind == b"" and nint == sum(size for flag, size in _SERIALEM_BYTES.items() if nreal & flag))


def _serialem(extended: bytes, nint: int, n: int, order: str) -> NDArray[np.float64] | None:
    """Return the angles that are hundredths of a degree in the first number of each image."""
    if nint < 2 or len(extended) < nint * n:
        return None
    return np.array([struct.unpack_from(f"{order}h", extended, nint * i)[0] / 100 for i in range(n)])


def _fei(extended: bytes, n: int) -> NDArray[np.float64] | None:
    """Return the angles in a record of each image that begins with its own size in bytes; in practice always little-endian."""
    if len(extended) < 4:
        return None
    size = struct.unpack_from("<i", extended, 0)[0]
    if size < _FEI_SIZE or size * n > len(extended):
        return None
    return np.array([struct.unpack_from("<d", extended, size * i + _FEI_ALPHA)[0] for i in range(n)])


def _old_fei(extended: bytes, kind: bytes, n: int, order: str) -> NDArray[np.float64] | None:
    """Return the angles in 1024 records of 32 floats: the tilt is the first, the pixel size in metres the twelfth."""
    if kind not in (b"", b"FEI") or len(extended) != _OLD_FEI_RECORD * _OLD_FEI_RECORDS or n > _OLD_FEI_RECORDS:
        return None
    records = np.frombuffer(extended, f"{order}f4").reshape(_OLD_FEI_RECORDS, _OLD_FEI_RECORD // 4)[:n]
    tilts, pixels = records[:, 0].astype(np.float64), records[:, _OLD_FEI_PIXEL]
    if not (np.all(np.abs(tilts) <= 180) and np.all((pixels > 1e-13) & (pixels < 1e-3))):
        return None
    return tilts
