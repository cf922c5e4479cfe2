"""Voxel sizes in TIFF: ImageJ's description, OME-XML, the resolution tags, and ours inside the first two."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tomoprior.formats import Header
from tomoprior.units import parse_size, parse_unit, unit_symbol

from ..metadata import from_header, to_stack

_OURS = "tomoprior"
_IMAGEJ_TYPES = ("uint8", "uint16", "float32")
_IMAGEJ_LIMIT = (1 << 32) - (1 << 26)  # offsets have 32 bits, and the directories need room behind the values
_IMAGEJ_UNITS = {"angstrom": "angstrom", "micrometer": "micron"}
_INCH, _CENTIMETER = 2, 3
_SCREEN = 50.0  # micrometer: a coarser pixel belongs to a screen or printer, not to a detector


def for_writing(header: Header) -> dict[str, Any]:
    """Return the arguments of ``tifffile.imwrite``: a file for ImageJ, or OME-TIFF.

    OME-TIFF is for sizes and types that ImageJ cannot hold.
    """
    values = from_header(header)
    for key in ("angles", "angle_unit"):
        values.pop(key, None)  # they are in the .tlt beside the file, and only there
    own = json.dumps(values).replace("=", "\\u003d")  # the lines of ImageJ are "key=value", which some tifffiles split at each
    dtype = np.dtype(header.dtype)
    nbytes = dtype.itemsize * int(np.prod(header.shape, dtype=object))
    unit, size = header.unit, header.voxel_size
    common = {"shape": header.shape, "dtype": dtype, "photometric": "minisblack", "byteorder": "<"}
    # (tifffile takes a last axis of one for the samples of a pixel in ImageJ files)
    if dtype.name in _IMAGEJ_TYPES and nbytes < _IMAGEJ_LIMIT and header.shape[2] > 1:
        text = {"axes": "ZYX", "spacing": size, "unit": _IMAGEJ_UNITS.get(unit, unit_symbol(unit)), _OURS: own}
        per_unit = 1 / size if 1e-6 < size < 1e6 else 1.0  # a ratio of 32-bit numbers; all digits are in the text
        return common | {"imagej": True, "metadata": text, "resolution": (per_unit, per_unit)}
    # the positions and sizes of OME are numbers with a unit; its own word for a unit that is none is "pixel"
    sizes = {f"PhysicalSize{a}": size for a in "XYZ"} | {f"PhysicalSize{a}Unit": unit_symbol(unit) for a in "XYZ"}
    return common | {"ome": True, "bigtiff": nbytes >= _IMAGEJ_LIMIT, "metadata": {"axes": "ZYX", "Description": own, **sizes}}


def from_file(tif: tifffile.TiffFile, n: int, path: Path) -> dict[str, Any]:
    """Return the fields of a ``Stack`` of ``n`` images from an open file: voxel size, unit, origin, labels, attrs, warnings."""
    own: dict[str, Any] = {}
    size, unit = None, None
    imagej, ome = tif.imagej_metadata, tif.ome_metadata
    if imagej:
        own = _json(imagej.get(_OURS))
        unit = parse_unit(imagej.get("unit"))
        size = _per_pixel(tif) if unit is not None else None
    elif ome:
        own, size, unit = _ome(ome)
    if size is None or unit is None:
        size, unit = _printed(tif)
    known = parse_size(own.get("voxel_size"))
    if known is not None and size is not None and own.get("unit") == unit:
        # our text has all digits, the tags are rounded; they differ if another program calibrated the file and kept our text
        size = known if abs(known - size) <= 1e-4 * size or size == 1.0 else size
    elif known is not None and unit is None:
        size, unit = known, parse_unit(own.get("unit"))
    return to_stack({**own, "voxel_size": size or 1.0, "unit": (unit if size else None) or "pixel"}, n, path)


def _per_pixel(tif: tifffile.TiffFile) -> float | None:
    """Return the length of a pixel, in the unit of the file, from the tag with pixels per length."""
    tag = tif.pages.first.tags.get("XResolution")
    if tag is None:
        return None
    value = tag.value
    if not (isinstance(value, tuple) and len(value) == 2 and all(isinstance(v, int) for v in value) and value[0] > 0):
        return None
    return parse_size(value[1] / value[0])


def _printed(tif: tifffile.TiffFile) -> tuple[float | None, str | None]:
    """Return a resolution per inch or centimetre, if it is finer than that of screens and paper."""
    size, tag = _per_pixel(tif), tif.pages.first.tags.get("ResolutionUnit")
    factor = {_INCH: 25400.0, _CENTIMETER: 10000.0}.get(int(tag.value)) if tag is not None else None
    if size is None or factor is None or size * factor >= _SCREEN:
        return None, None
    return size * factor, "micrometer"


def _ome(text: str) -> tuple[dict[str, Any], float | None, str | None]:
    try:
        root = ET.fromstring(text)
    except (ET.ParseError, ValueError):
        return {}, None, None
    own: dict[str, Any] = {}
    size, unit = None, None
    for element in root.iter():
        tag = element.tag.rpartition("}")[2]
        if tag == "Description" and not own:
            own = _json(element.text)
        elif tag == "Pixels" and size is None:
            size = parse_size(element.get("PhysicalSizeX"))
            unit = parse_unit(element.get("PhysicalSizeXUnit", "µm"))
    return own, size, unit


def _json(text: Any) -> dict[str, Any]:
    try:
        values = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}
