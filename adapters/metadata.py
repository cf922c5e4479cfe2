"""Metadata that our NumPy, Zarr and TIFF files hold besides the values: plain numbers, texts and lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tomoprior.formats import Header
from tomoprior.formats.angle_names import best_angle_name
from tomoprior.formats.angle_units import parse_angle_unit
from tomoprior.formats.angles import usable_angles
from tomoprior.formats.checks import finite_triple
from tomoprior.units import parse_size, parse_unit

_OURS = ("voxel_size", "unit", "origin", "angles", "angle_unit", "labels", "axes")


def from_header(header: Header) -> dict[str, Any]:
    """Return a header as JSON: voxel size, unit, axes, origin, angles (radians) and labels, with its other attributes."""
    attrs = json.loads(json.dumps(dict(header.attrs), default=str))
    out: dict[str, Any] = {k: v for k, v in attrs.items() if k not in _OURS}
    out |= {"voxel_size": float(header.voxel_size), "unit": header.unit, "origin": [float(v) for v in header.origin]}
    out["axes"] = ["z", "y", "x"] if header.angles is None else ["angle", "y", "x"]
    if header.angles is not None:
        out["angles"], out["angle_unit"] = np.asarray(header.angles, dtype=np.float64).tolist(), "radian"
    if header.labels:
        out["labels"] = [str(label) for label in header.labels]
    return out


def to_stack(values: Mapping[str, Any], n: int, path: Path) -> dict[str, Any]:
    """Return the fields of a ``Stack`` of ``n`` images (or slices) from such a mapping; every value is checked."""
    warnings: list[str] = []
    out: dict[str, Any] = {"origin": finite_triple(values.get("origin", (0, 0, 0)))}
    size, unit = parse_size(values.get("voxel_size", 1.0)), parse_unit(values.get("unit", "pixel"))
    if size is None or unit is None:
        said = f"{values.get('voxel_size')!r} {values.get('unit')!r}"[:80]
        warnings.append(f"{path}: a voxel size of {said} makes no sense; taken as 1 pixel")
        size, unit = 1.0, "pixel"
    out |= {"voxel_size": size, "unit": unit}
    name = _angle_key(values, n)
    if name is not None:
        stated = values.get("angle_unit")
        unit_of_angles = parse_angle_unit("" if stated is None else str(stated), name)
        # ours are radians; files of others that use the same name may hold degrees
        source, default = (str(path), "radian") if name == "angles" else (f"{path}: {name}", "degree")
        out["angles"], out["rejected_angles"], notes = usable_angles(
            unit_of_angles.convert(values[name]), n, source, unit=unit_of_angles.name, default=default
        )
        if name != "angles" and unit_of_angles.name is None:
            out["assumed_angle_unit"] = "degree"
        warnings += [*unit_of_angles.describe(source, default), *notes]
    labels = values.get("labels", ())
    if isinstance(labels, (list, tuple)):
        out["labels"] = tuple(str(label) for label in labels)
    out["attrs"] = {k: v for k, v in values.items() if k not in _OURS and k != name}
    out["warnings"] = tuple(warnings)
    return out


def _angle_key(values: Mapping[str, Any], n: int) -> str | None:
    """Return the key of the angles: ours, or another name for a list of ``n`` numbers."""
    if values.get("angles") is not None:
        return "angles"
    lists = (k for k, v in values.items() if isinstance(v, (list, tuple)) and len(v) == n > 1 and _all_numbers(v))
    return best_angle_name(lists)


def _all_numbers(values: Any) -> bool:
    return all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
