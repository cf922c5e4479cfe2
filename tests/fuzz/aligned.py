"""Alignments of other programs, and geometries: texts, XML and JSON that lie beside a series."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from tomoprior import Geometry, TiltSeries
from tomoprior.alignment.external import read_alignment
from tomoprior.formats.geometry_files import read_geometry, write_geometry

ANGLES = np.deg2rad([-30.0, 0.0, 30.0])
GEOMETRY = Geometry(ANGLES, (4, 4, 5), voxel_size=2.5, unit="angstrom")
SERIES = TiltSeries(np.ones((3, 4, 5), np.float32), GEOMETRY)

ALN = "# AreTomo Alignment / Priims bprmMn\n# NumPatches = 0\n# SEC ROT GMAG TX TY SMEAN SFIT SCALE BASE TILT\n" + "".join(
    f"{i} 85.5 1.0 {i}.25 -2.0 1.0 1.0 1.0 0.0 {30 * i - 30}.0\n" for i in range(3)
)
STAR = "data_series\n\nloop_\n_rlnTomoZRot #1\n_rlnTomoXShiftAngst #2\n_rlnTomoYShiftAngst #3\n_rlnTomoXTilt #4\n" + "".join(
    f"85.5 {i}.5 -2.0 0.0\n" for i in range(3)
)
XML = (
    '<?xml version="1.0"?>\n<TiltSeries AreAnglesInverted="False">\n<Angles>-30\n0\n30</Angles>\n'
    "<AxisAngle>85.5\n85.5\n85.5</AxisAngle>\n<AxisOffsetX>0.5\n1.5\n2.5</AxisOffsetX>\n<AxisOffsetY>-2\n-2\n-2</AxisOffsetY>\n"
    '<GridMovementX Width="1" Height="1" Depth="1"><Node X="0" Y="0" Z="0" Value="0" /></GridMovementX>\n</TiltSeries>\n'
)


def write_beside(folder: Path) -> None:
    """Write the alignments of AreTomo, RELION, Warp and IMOD, and the geometries of tomoprior and of ASTRA."""
    for name, text in (("a.aln", ALN), ("b.star", STAR), ("c.xml", XML)):
        (folder / name).write_text(text)
    (folder / "g.xf").write_text("".join(f"0.9998 0.02 -0.02 0.9998 {i}.5 -2.0\n" for i in range(3)))
    write_geometry(folder / "d.json", GEOMETRY)
    flat = {"type": "parallel", "DetectorCount": 5, "DetectorWidth": 1, "ProjectionAngles": ANGLES.tolist()}
    (folder / "e.json").write_text(json.dumps(flat))
    fan = flat | {"type": "fanflat", "DetectorWidth": 1.5, "DistanceOriginSource": 100, "DistanceOriginDetector": 50}
    (folder / "f.json").write_text(json.dumps(fan | {"VoxelSize": 2.5, "Unit": "nanometer"}))


def read_beside(path: Path) -> int:
    """Read an alignment or a geometry: it has finite values."""
    if path.suffix == ".json":
        geometry = read_geometry(path, (4, 5))
        assert np.isfinite(geometry.angles).all(), "angles that are not finite"
        assert 0 < geometry.voxel_size < math.inf, f"a voxel of {geometry.voxel_size}"
    else:
        alignment = read_alignment(path, SERIES)
        assert np.isfinite(alignment.shifts).all(), "shifts that are not finite"
        assert math.isfinite(alignment.axis_angle), "an axis that is not finite"
    return 0
