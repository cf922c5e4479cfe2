"""Files of other programs: microscopes' own formats, and folders of TIFF files."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from kinds import ANGLES, VALUES


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
    _writer("write_velox")(folder / "c.emd", words, ANGLES, room=4096)


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
