"""OME-NGFF: the array of full resolution in an image, and the size of its voxels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tomoprior.units import convert_length, parse_size, parse_unit


def multiscale(attrs: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the first multiscale image in the attributes of a group (0.4, or 0.5 under ``ome``), or None."""
    for place in (attrs.get("ome"), attrs):
        images = place.get("multiscales") if isinstance(place, Mapping) else None
        if isinstance(images, list) and images and isinstance(images[0], Mapping):
            return images[0]
    return None


def level_0(image: Mapping[str, Any]) -> str | None:
    """Return the path of the array of full resolution within the group."""
    datasets = image.get("datasets")
    if isinstance(datasets, list) and datasets and isinstance(datasets[0], Mapping):
        path = datasets[0].get("path")
        return path if isinstance(path, str) else None
    return None


def voxel(image: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return voxel size, unit and origin as ``metadata.to_stack`` takes them, from the axes and scales, and lines for the user.

    The dictionary is empty if the image gives no size, or a size without a unit.
    """
    axes = image.get("axes")
    if not isinstance(axes, list) or len(axes) < 3 or not all(isinstance(a, Mapping) for a in axes[-3:]):
        return {}, []
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
    if size is None:
        return {}, []
    if unit is None:
        lines = [] if size == 1 else [f"its scale of {size:g} has no unit; taken as 1 pixel (--voxel-size, --unit)"]
        return {}, lines
    units = [parse_unit(a.get("unit")) or unit for a in axes[-3:]]
    origin = [convert_length(s, u, unit) for s, u in zip(shift, units, strict=True)]
    sizes = [convert_length(s, u, unit) for s, u in zip(scale, units, strict=True)]
    is_space = [a.get("type", "space") == "space" for a in axes[-3:]]
    oblong = any(flag and abs(other - size) > 1e-3 * size for flag, other in zip(is_space, sizes, strict=True))
    listed = " x ".join(f"{s:g}" for s in sizes)
    lines = [f"its voxels are not cubes ({listed} {unit} along z, y, x); {size:g} is used"] if oblong else []
    return {"voxel_size": size, "unit": unit, "origin": origin}, lines


def _steps(place: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    steps = place.get("coordinateTransformations")
    return [s for s in steps if isinstance(s, Mapping)] if isinstance(steps, list) else []
