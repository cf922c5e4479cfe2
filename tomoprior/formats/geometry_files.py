"""Geometry files beside a series: ``series.geometry.json``, for rays that the file of the projections cannot describe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tomoprior.errors import FormatError, GeometryError, InputError, NoSuchFileError
from tomoprior.geometry import FanGeometry, Geometry
from tomoprior.storage.lazy import one_line

#: Ending of the geometry file beside a series, in place of the series' own.
ENDING = ".geometry.json"
#: Largest size of a geometry file in bytes: a million angles.
LIMIT = 32 << 20


def find_geometry_file(series: str | Path) -> Path | None:
    """Return the geometry file beside a series, ``series.geometry.json`` for ``series.npy``, or None."""
    path = geometry_path(Path(series))
    return path if path.is_file() else None


def geometry_path(series: Path) -> Path:
    """Return the path of the geometry file that belongs to a series."""
    return series.with_name(series.stem + ENDING)


def read_geometry(path: str | Path, detector: tuple[int, int]) -> Geometry:
    """Read the geometry of a series.

    Parameters
    ----------
    path
        JSON: what ``geometry.to_dict()`` returns, or a dictionary of ASTRA (``type``: ``parallel`` or ``fanflat``), with lists
        for arrays. Lengths of ASTRA are in voxels; ``VoxelSize`` and ``Unit`` beside them give the edge of a voxel.
    detector
        Rows and columns of the projections.

    Returns
    -------
    Geometry
        A ``FanGeometry`` for a fan.

    Raises
    ------
    NoSuchFileError
        If there is no such file.
    FormatError
        If it is not such a file, or does not fit the detector; one line.

    Examples
    --------
    >>> import json
    >>> from pathlib import Path
    >>> from tomoprior.formats.geometry_files import read_geometry
    >>> fan = {"type": "fanflat", "DetectorWidth": 1.5, "DetectorCount": 48, "ProjectionAngles": [0, 0.1, 0.2],
    ...     "DistanceOriginSource": 100, "DistanceOriginDetector": 50}
    >>> _ = Path("series.geometry.json").write_text(json.dumps(fan))
    >>> read_geometry("series.geometry.json", (4, 48))
    FanGeometry(3 tilts from 0 to 11.46 degrees, volume (48, 4, 48), detector (4, 48), voxel 1 pixel, source 100, pixels of 1.5)
    """
    path = Path(path)
    try:
        if path.stat().st_size > LIMIT:
            raise FormatError(f"{path}: a geometry of more than {LIMIT >> 20} MiB cannot be right")
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NoSuchFileError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"{path}: not a geometry in JSON ({one_line(error)})") from None
    if not isinstance(values, dict):
        raise FormatError(f"{path}: not a geometry: JSON with names and values is expected")
    try:
        geometry = _from_astra(values, detector) if "type" in values else Geometry.from_dict(values)
    except (GeometryError, KeyError, TypeError, ValueError, OverflowError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else one_line(error)
        raise FormatError(f"{path}: not the geometry of a series ({reason})") from None
    if geometry.detector != detector:
        raise FormatError(f"{path}: a detector of {geometry.detector} pixels, but the projections have {detector}")
    return geometry


def write_geometry(path: Path, geometry: Geometry) -> None:
    """Write a geometry as ``read_geometry`` reads it; an existing file is replaced."""
    path.write_text(json.dumps(geometry.to_dict()), encoding="utf-8")


def _from_astra(values: Mapping[str, Any], detector: tuple[int, int]) -> Geometry:
    kind = values["type"]
    if kind not in ("parallel", "fanflat"):
        raise ValueError(f"type {kind!r}; parallel and fanflat are read, use tomoprior.AstraOperator for others")
    rows, columns = detector
    if int(values["DetectorCount"]) != columns:
        raise ValueError(f"DetectorCount {values['DetectorCount']}, but the projections have {columns} columns")
    angles = np.asarray(values["ProjectionAngles"], np.float64)
    size, unit = values.get("VoxelSize", 1.0), values.get("Unit", "pixel")
    if kind == "parallel":
        if values["DetectorWidth"] != 1:
            raise ValueError("DetectorWidth of parallel rays must be 1, the edge of a voxel")
        return Geometry(angles, (columns, rows, columns), detector, voxel_size=size, unit=unit)
    return FanGeometry(
        angles, (columns, rows, columns), detector, voxel_size=size, unit=unit,
        source_distance=values["DistanceOriginSource"], detector_distance=values["DistanceOriginDetector"],
        pixel_size=values["DetectorWidth"],
    )  # fmt: skip


def read_geometry_beside(
    series: Path,
    projections: tuple[int, int, int],
    refused: Mapping[str, Any],
    *,
    thickness: int | None = None,
    width: int | None = None,
    voxel_size: float | None = None,
    unit: str | None = None,
) -> tuple[Geometry, Path] | None:
    """Return the geometry in the file beside a series, and that file; None if there is none.

    Parameters
    ----------
    projections
        Shape of the projections, ``(n_angles, ny, nu)``.
    refused
        Arguments that the file states: those of them that are not None are refused.
    thickness, width, voxel_size, unit
        Take the place of the file's where they are given. Lengths in voxels stay.

    Raises
    ------
    InputError
        For refused arguments, or another number of angles than projections.
    FormatError
        As ``read_geometry``.
    """
    path = find_geometry_file(series)
    if path is None:
        return None
    if given := [name for name, value in refused.items() if value is not None]:
        raise InputError(f"{path} states the geometry of {series.name}: leave {', '.join(given)} out, or move that file away")
    geometry = read_geometry(path, projections[1:])
    if geometry.n_angles != projections[0]:
        raise InputError(f"{path} has {geometry.n_angles} angles, but {series.name} has {projections[0]} projections")
    nz, ny, nx = geometry.shape
    shape = (nz if thickness is None else thickness, ny, nx if width is None else width)
    size, name = geometry.voxel_size if voxel_size is None else voxel_size, geometry.unit if unit is None else unit
    return replace(geometry, shape=shape, voxel_size=size, unit=name), path
