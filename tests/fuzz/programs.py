"""Files of other programs: microscopes' own formats, alignments, and geometry files beside a series."""

from __future__ import annotations

import importlib.util
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from kinds import ANGLES, STAR, VALUES

import tomoprior
from tomoprior.alignment.external import read_alignment
from tomoprior.formats.geometry_files import read_geometry


def _writer(name: str) -> Any:
    """Return a writer of the tests of these formats, which is a fixture there."""
    spec = importlib.util.spec_from_file_location("microscope_files", Path(__file__).parent.parent / "adapters" / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return inspect.unwrap(getattr(module, name))()


def write_microscopes(folder: Path) -> None:
    """TIA, DigitalMicrograph 3 and 4, and Velox."""
    words = VALUES.astype(np.int16)
    _writer("write_ser")(folder / "a.ser", words, pixel=2e-9, start=-30, step=30, unit="deg")
    for version in (3, 4):
        _writer("write_dm")(folder / f"b.dm{version}", words, version=version, units=("deg", "nm", "nm"))
    _writer("write_velox")(folder / "c.emd", words, ANGLES)


ALN = "# AreTomo Alignment / Priims bprmMn\n# RawSize = 5 4 3\n# SEC ROT GMAG TX TY SMEAN SFIT SCALE BASE TILT\n" + "".join(
    f"{i} -85.0 1.0 {i}.5 -2.0 1.0 1.0 1.0 0.0 {30 * i - 30}.0\n" for i in range(3)
)
XML = """<TiltSeries AreAnglesInverted="False">
<Angles>-30
0
30</Angles>
<AxisAngle>-85
-85
-85</AxisAngle>
<AxisOffsetX>0.5
1
2</AxisOffsetX>
<AxisOffsetY>0
1
-2</AxisOffsetY>
<UseTilt>True
True
True</UseTilt>
</TiltSeries>
"""
FAN = {
    "type": "fanflat", "DetectorWidth": 1.5, "DetectorCount": 5, "ProjectionAngles": ANGLES.tolist(),
    "DistanceOriginSource": 40.0, "DistanceOriginDetector": 20.0, "VoxelSize": 2.0, "Unit": "nanometer",
}  # fmt: skip


def write_alignments(folder: Path) -> None:
    """Alignments of IMOD, AreTomo, RELION and Warp, and geometries as JSON."""
    (folder / "a.aln").write_text(ALN)
    (folder / "b.xml").write_text(XML)
    axes = STAR.replace("_rlnDefocusU #3", "_rlnTomoZRot #3").replace("_rlnDefocusV #4", "_rlnTomoXShiftAngst #4")
    (folder / "c.star").write_text(axes.replace("_rlnDefocusAngle #5", "_rlnTomoYShiftAngst #5"))
    (folder / "d.xf").write_text("".join(f"0.9998 0.02 -0.02 0.9998 {i}.5 -2.0\n" for i in range(3)))
    (folder / "e.geometry.json").write_text(json.dumps(tomoprior.Geometry(ANGLES, (5, 4, 5)).to_dict()))
    (folder / "f.geometry.json").write_text(json.dumps(FAN))


def read_alignment_or_geometry(path: Path) -> int:
    """Read a file as the alignment of a series of three tilts, or as its geometry: finite values or one error."""
    if ".geometry" in path.name:
        assert np.isfinite(read_geometry(path, VALUES.shape[1:]).angles).all(), "angles that are not finite"
        return 0
    series = tomoprior.TiltSeries(VALUES, tomoprior.Geometry(ANGLES, (5, *VALUES.shape[1:]), voxel_size=2.0, unit="nanometer"))
    assert np.isfinite(read_alignment(path, series).shifts).all(), "shifts that are not finite"
    return 0


def write_folders(folder: Path) -> None:
    """Folders of TIFF files: by number, by tilt angle, with flat fields."""
    names = {"numbers": ["a_1", "a_2", "a_10"], "tilts": ["t_-30.0", "t_0.0", "t_30.0"], "fields": ["flat_1", "p_-3", "p_3"]}
    for name, stems in names.items():
        (folder / name).mkdir()
        for stem, image in zip(stems, VALUES, strict=True):
            tifffile.imwrite(folder / name / f"{stem}.tif", image)
    with tifffile.TiffWriter(folder / "pages.tif") as writer:
        for image in VALUES:
            writer.write(image, contiguous=False)
