"""OME-NGFF: where the full resolution of an image is, and how large its voxels are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tomoprior.units import convert_length, parse_size, parse_unit


def multiscale(attrs: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The first multiscale image that a group's attributes tell of (0.4, or 0.5 under ``ome``), or None."""
    for place in (attrs.get("ome"), attrs):
        images = place.get("multiscales") if isinstance(place, Mapping) else None
        if isinstance(images, list) and images and isinstance(images[0], Mapping):
            return images[0]
    return None


def level_0(image: Mapping[str, Any]) -> str | None:
    """Path of the array of full resolution within the group."""
    datasets = image.get("datasets")
    if isinstance(datasets, list) and datasets and isinstance(datasets[0], Mapping):
        path = datasets[0].get("path")
        return path if isinstance(path, str) else None
    return None


def voxel(image: Mapping[str, Any]) -> dict[str, Any]:
    """Voxel size, unit and origin as ``_metadata.to_stack`` takes them, from the axes and scales; empty if they say nothing."""
    axes = image.get("axes")
    if not isinstance(axes, list) or len(axes) < 3 or not all(isinstance(a, Mapping) for a in axes[-3:]):
        return {}
    unit = parse_unit(axes[-1].get("unit"))
    scale, shift = [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]
    datasets = image.get("datasets") or [{}]
    first = datasets[0] if isinstance(datasets[0], Mapping) else {}
    for step in (*_steps(first), *_steps(image)):
        for kind, into in (("scale", scale), ("translation", shift)):
            values = step.get(kind)
            if step.get("type") == kind and isinstance(values, list) and len(values) == len(axes):
                for i, value in enumerate(values[-3:]):
                    number = float(value) if isinstance(value, (int, float)) else 0.0
                    into[i] = into[i] * number if kind == "scale" else into[i] + number
                    if kind == "scale":
                        shift[i] *= number
    size = parse_size(scale[2])
    if size is None or unit is None:
        return {}
    units = [parse_unit(a.get("unit")) or unit for a in axes[-3:]]
    return {"voxel_size": size, "unit": unit, "origin": [convert_length(s, u, unit) for s, u in zip(shift, units, strict=True)]}


def _steps(place: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    steps = place.get("coordinateTransformations")
    return [s for s in steps if isinstance(s, Mapping)] if isinstance(steps, list) else []
