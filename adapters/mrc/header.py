"""The 1024 bytes at the start of an MRC2014 file: checked when they are read, written as the standard says.

Source: Cheng et al., "MRC2014: Extensions to the MRC format header", J. Struct. Biol. 192 (2015), and IMOD's description of
its flags. The field names are those of ``mrcfile``.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

from tomoprior.errors import FormatError
from tomoprior.formats import Header
from tomoprior.formats.checks import MAX_SIDE, check_room, finite_triple
from tomoprior.units import convert_length, parse_size, parse_unit

from .sign import opposite_sign

SIZE = 1024
DTYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_OTHER_MODES = {
    3: "complex whole numbers",
    4: "complex numbers, a Fourier transform",
    16: "colours",
    101: "half bytes",
}
_IMOD_STAMP = 1146047817
_IMOD_SIGNED, _IMOD_ORIGIN_INVERTED, _IMOD_HALF_BYTES = 1, 4, 16
_LABEL = re.compile(r"tomoprior voxel (\S+) (\w+)$")


@dataclass(frozen=True)
class MRCHeader:
    """The content of a header, checked against the file: the array as it is stored, and the meaning of its axes."""

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    order: tuple[int, int, int]  #: which axis of the file is z, y and x
    byte_order: str  #: ``"<"`` or ``">"``
    has_statistics: bool  #: minimum and maximum, or a flag of IMOD, say the sign of whole numbers
    extended: tuple[bytes, int, int]  #: type of the extended header and its two counts ``nint`` and ``nreal``
    voxel_size: float | None
    unit: str
    origin: tuple[float, float, float]
    labels: tuple[str, ...]
    attrs: dict[str, Any]
    warnings: tuple[str, ...]


def plausible(raw: bytes) -> str | None:
    """Return the byte order, ``"<"`` or ``">"``, in which these bytes can be an MRC header, or None."""
    if len(raw) < SIZE:
        return None
    orders = ">", "<"
    if raw[212] != 0x11:  # the machine stamp decides where both orders make sense
        orders = "<", ">"
    for order in orders:
        nx, ny, nz, mode = struct.unpack_from(f"{order}4i", raw)
        if all(1 <= n <= MAX_SIDE for n in (nx, ny, nz)) and (mode in DTYPES or mode in _OTHER_MODES):
            return order
    return None


def parse(raw: bytes, path: Path, file_size: int | None) -> MRCHeader:
    """Read a header; raises FormatError if it does not fit a file of ``file_size`` bytes (None: compressed, size unknown)."""
    if len(raw) < SIZE:
        raise FormatError(f"{path}: {len(raw)} bytes are too few for an MRC file, whose header alone has {SIZE}")
    order = plausible(raw)
    named = raw[208:211] == b"MAP"
    if order is None:
        nx, ny, nz, mode = struct.unpack_from("<4i" if raw[212] != 0x11 else ">4i", raw)
        if not named:
            raise FormatError(f"{path}: not an MRC file")
        raise FormatError(f"{path}: its MRC header cannot be right (size {nx} x {ny} x {nz}, mode {mode})")
    h = np.frombuffer(raw, HEADER_DTYPE.newbyteorder(order), count=1)[0]
    warnings = [] if named else [f"{path}: its header lacks the mark 'MAP'; read as MRC all the same"]
    shape = int(h["nz"]), int(h["ny"]), int(h["nx"])
    attrs: dict[str, Any] = {"mode": int(h["mode"]), "space group": int(h["ispg"])}
    if shape[0] > 1 and int(h["ispg"]) in range(401, 631) and int(h["mz"]) not in (0, shape[0]):
        raise FormatError(f"{path}: a stack of volumes (space group {int(h['ispg'])}); one volume or tilt series is needed")
    dtype, flags = _dtype(raw, int(h["mode"]), order, path)
    dtype = _signed_as_the_statistics_say(dtype, float(h["dmin"]), float(h["dmax"]), path, warnings)
    extended = int(h["nsymbt"])
    if extended < 0:
        raise FormatError(f"{path}: its extended header has {extended} bytes, which cannot be right")
    needed = SIZE + extended + shape[0] * shape[1] * shape[2] * dtype.itemsize
    if file_size is not None:
        check_room(path, needed, file_size)
    if file_size is not None and file_size > needed:
        warnings.append(f"{path}: {file_size - needed} bytes behind the data are not used")
    axes = _axes(h, path, warnings)
    labels = _labels(h)
    size, unit = _voxel(h, labels, path, warnings)
    flip = -1.0 if flags & _IMOD_ORIGIN_INVERTED else 1.0
    x, y, z = (flip * convert_length(float(h["origin"][a]), "angstrom", unit) for a in "xyz")
    return MRCHeader(
        shape,
        dtype,
        SIZE + extended,
        axes,
        order,
        float(h["dmin"]) < float(h["dmax"]) or struct.unpack_from(f"{order}i", raw, 152)[0] == _IMOD_STAMP,
        (raw[104:108].rstrip(b"\0 "), *struct.unpack_from(f"{order}2h", raw, 128)),
        size,
        unit,
        tuple(v + 0.0 for v in finite_triple((z, y, x))),  # type: ignore[arg-type]
        tuple(label for label in labels if not _LABEL.match(label)),
        attrs,
        tuple(warnings),
    )


def build(header: Header, mode: int, statistics: tuple[float, float, float, float]) -> bytes:
    """Return a little-endian header for ``header``; ``statistics`` are minimum, maximum, mean and standard deviation."""
    h = np.zeros((), HEADER_DTYPE.newbyteorder("<"))
    nz, ny, nx = header.shape
    h["nx"], h["ny"], h["nz"], h["mode"] = nx, ny, nz, mode
    series = header.angles is not None
    h["mx"], h["my"], h["mz"], h["ispg"] = nx, ny, 1 if series else nz, 0 if series else 1
    # one pixel is written as one angstrom, as IMOD does for an unknown size; the label keeps the unit and all digits
    size = convert_length(header.voxel_size, header.unit, "angstrom")
    with np.errstate(over="ignore"):
        for axis, n in zip("xyz", (nx, ny, int(h["mz"])), strict=True):
            h["cella"][axis] = size * n
        for axis, value in zip("zyx", header.origin, strict=True):
            h["origin"][axis] = convert_length(value, header.unit, "angstrom")
        h["dmin"], h["dmax"], h["dmean"], h["rms"] = statistics
    for angle in ("alpha", "beta", "gamma"):
        h["cellb"][angle] = 90
    h["mapc"], h["mapr"], h["maps"] = 1, 2, 3
    h["map"], h["nversion"] = b"MAP ", 20141
    h["machst"] = (0x44, 0x44, 0, 0)
    labels = [f"tomoprior voxel {header.voxel_size!r} {header.unit}", *header.labels][:10]
    h["nlabl"] = len(labels)
    for i, label in enumerate(labels):
        h["label"][i] = " ".join(str(label).split()).encode("ascii", "replace")[:80]
    return h.tobytes()


def _dtype(raw: bytes, mode: int, order: str, path: Path) -> tuple[np.dtype[Any], int]:
    if mode in _OTHER_MODES:
        raise FormatError(f"{path}: holds {_OTHER_MODES[mode]} (MRC mode {mode}); real numbers are needed")
    stamp, flags = struct.unpack_from(f"{order}2i", raw, 152)
    if stamp != _IMOD_STAMP:
        flags = _IMOD_SIGNED
    if mode == 0 and flags & _IMOD_HALF_BYTES:
        raise FormatError(f"{path}: holds half bytes (IMOD's 4-bit mode); convert it first (IMOD: newstack -mode 0)")
    name = "u1" if mode == 0 and not flags & _IMOD_SIGNED else DTYPES[mode]
    return np.dtype(name).newbyteorder(">" if order == ">" else "<"), flags


def _signed_as_the_statistics_say(
    dtype: np.dtype[Any], low: float, high: float, path: Path, warnings: list[str]
) -> np.dtype[Any]:
    """Return the same type, or its signed or unsigned counterpart if only that one can hold the header's minimum and maximum.

    Programs disagree on the sign of bytes and words; IMOD, PEET, ITK and Bio-Formats decide by these two numbers.
    """
    if dtype.kind not in "iu" or not (np.isfinite(low) and np.isfinite(high) and low < high):
        return dtype
    other, signs = opposite_sign(dtype)

    def holds(kind: np.dtype[Any]) -> bool:
        return bool(np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)

    if holds(dtype) or not holds(other):
        return dtype
    warnings.append(
        f"{path}: its mode says {signs[0]} numbers, its header's minimum and maximum ({low:g}, {high:g}) {signs[1]} ones; "
        f"read as {signs[1]}"
    )
    return other


def _axes(h: Any, path: Path, warnings: list[str]) -> tuple[int, int, int]:
    codes = int(h["maps"]), int(h["mapr"]), int(h["mapc"])
    codes_text = f"mapc, mapr, maps = {codes[2]}, {codes[1]}, {codes[0]}"
    if codes in ((3, 2, 1), (0, 0, 0)):
        return 0, 1, 2
    if sorted(codes) != [1, 2, 3]:
        raise FormatError(f"{path}: its axes are unknown ({codes_text}, which is no order of 1, 2, 3)")
    warnings.append(f"{path}: its axes lie in another order ({codes_text}) and were put into z, y, x")
    return codes.index(3), codes.index(2), codes.index(1)


def _voxel(h: Any, labels: tuple[str, ...], path: Path, warnings: list[str]) -> tuple[float | None, str]:
    with np.errstate(all="ignore"):
        sizes = [parse_size(np.float64(h["cella"][a]) / int(h[f"m{a}"])) if int(h[f"m{a}"]) > 0 else None for a in "xyz"]
    size = sizes[0]
    if size is None:
        return None, "angstrom"
    in_plane = sizes[1:2] if int(h["ispg"]) != 1 else sizes[1:]  # between the images of a stack there is no distance
    if any(other is not None and abs(other - size) > 1e-3 * size for other in in_plane):
        listed = " x ".join("?" if s is None else f"{s:g}" for s in sizes)
        warnings.append(f"{path}: its voxels are not cubes ({listed} angstrom); {size:g} is used")
    for label in labels:
        match = _LABEL.match(label)
        exact, unit = (parse_size(match[1]), parse_unit(match[2])) if match else (None, None)
        # programs copy labels from file to file: a label that disagrees with the header is out of date
        if exact and unit and abs(convert_length(exact, unit, "angstrom") - size) <= 1e-5 * size:
            return exact, unit
    return size, "angstrom"


def _labels(h: Any) -> tuple[str, ...]:
    count = min(max(int(h["nlabl"]), 0), 10)
    texts = (bytes(h["label"][i]).split(b"\0")[0].decode("latin-1").strip() for i in range(count))
    return tuple(text for text in texts if text and text.isprintable())
