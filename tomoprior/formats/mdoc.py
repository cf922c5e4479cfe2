"""SerialEM's ``.mdoc``: lines ``key = value``, first for the whole stack, then one section for each image."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import FormatError
from tomoprior.formats.text import number, read_text
from tomoprior.units import parse_size

_SECTION = re.compile(r"\[\s*(\w+)\s*=\s*(.*?)\s*\]\s*$")


def read_mdoc(path: str | Path) -> tuple[dict[str, str], dict[int, dict[str, str]]]:
    """Read the keys of the whole stack, and those of each image by its ``ZValue`` (counted from 0).

    Parameters
    ----------
    path
        An ``.mdoc`` file of SerialEM.

    Returns
    -------
    top
        Texts by key, for the whole stack.
    sections
        The same for each image, by its ``ZValue``.

    Raises
    ------
    FormatError
        If the file cannot be read, or a ``ZValue`` is not a whole number or appears twice.
    """
    path = Path(path)
    top: dict[str, str] = {}
    sections: dict[int, dict[str, str]] = {}
    current: dict[str, str] = top
    for place, line in enumerate(read_text(path).splitlines(), 1):
        text = line.strip()
        header = _SECTION.match(text)
        if header is not None:
            current = {}
            if header[1] == "ZValue":
                if not re.fullmatch(r"\d{1,9}", header[2], re.ASCII):
                    raise FormatError(f"{path}: line {place}: ZValue {header[2][:40]!r} is not a whole number")
                z = int(header[2])
                if z in sections:
                    raise FormatError(f"{path}: line {place}: ZValue {z} appears twice")
                sections[z] = current
            # other sections ([T = title], [MontSection = 0]) are ignored
        elif "=" in text:
            key, _, value = text.partition("=")
            current.setdefault(key.strip(), value.strip())
    return top, sections


def mdoc_angles(path: str | Path) -> NDArray[np.float64]:
    """Return ``TiltAngle`` of every image in the order of ``ZValue``, in degrees, shape ``(n,)``.

    Parameters
    ----------
    path
        An ``.mdoc`` file of SerialEM.

    Raises
    ------
    FormatError
        If there is no image, or an image without an angle.
    """
    path = Path(path)
    _, sections = read_mdoc(path)
    if not sections:
        raise FormatError(f"{path}: no [ZValue = ...] section in it")
    angles = []
    for z in sorted(sections):
        if "TiltAngle" not in sections[z]:
            raise FormatError(f"{path}: no TiltAngle for ZValue {z}")
        angles.append(number(sections[z]["TiltAngle"], path, f"TiltAngle of ZValue {z}"))
    return np.array(angles)


def mdoc_pixel_size(path: str | Path) -> float | None:
    """Return ``PixelSpacing`` in angstrom, of the stack or of its first image; None if the file does not give it."""
    top, sections = read_mdoc(path)
    for keys in (top, *(sections[z] for z in sorted(sections)[:1])):
        size = parse_size(keys.get("PixelSpacing"))
        if size is not None:
            return size
    return None
