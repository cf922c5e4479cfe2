"""A simulation on disk: the series as a microscope would give it, the truth, the record and a picture."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

import numpy as np

from tomoprior._version import __version__
from tomoprior.errors import FormatError
from tomoprior.formats import Header, check_target, sidefiles, write, write_series, writing
from tomoprior.reconstruction import Reconstruction
from tomoprior.simulate.simulation import Simulation
from tomoprior.storage.files import reraise_disk_errors

#: Always there. ``true.tlt`` and ``true.xf`` come besides where the series is not what its angles say, and the variance of
#: every line integral where it is known.
FILES = ("series.mrc", "series.tlt", "truth.mrc", "simulation.json", "simulation.png")
BESIDES = ("true.tlt", "true.xf", "variance.mrc")


def check_folder(folder: Path, *, overwrite: bool = False) -> None:
    """Raise early if a simulation cannot be written to ``folder``, which need not exist.

    Raises
    ------
    OutputExistsError
        If one of the files is there and ``overwrite`` is not set. Other files of the folder are no concern.
    FormatError
        If it is no folder, or cannot be made.
    """
    check_target(folder, overwrite=True)
    if folder.exists() and not folder.is_dir():
        raise FormatError(f"{folder}: not a folder")
    if folder.is_dir():
        for name in (*FILES, *BESIDES):
            check_target(folder / name, overwrite=overwrite)


def save_simulation(
    made: Simulation, folder: str | Path, *, overwrite: bool = False, extra: dict[str, Any] | None = None
) -> list[str]:
    """Write a simulation; all its files appear together at the end, or none.

    Parameters
    ----------
    folder
        Made if it is not there; files of other names in it stay.
    extra
        More for the record (the command, say).

    Returns
    -------
    names
        What was written.

    Raises
    ------
    OutputExistsError, FormatError
        As ``check_folder``, or because the disk is full.
    """
    folder = Path(folder)
    check_folder(folder, overwrite=overwrite)
    beside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with reraise_disk_errors(folder):
            beside.mkdir()
            _fill(beside, made, {**made.record, **(extra or {})})
            names = sorted(path.name for path in beside.iterdir())
            if not folder.exists():
                os.replace(beside, folder)
                return names
            for name in names:
                os.replace(beside / name, folder / name)
            for name in set(BESIDES) - set(names):  # an earlier simulation's, which would be wrong now
                (folder / name).unlink(missing_ok=True)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return names


def _fill(folder: Path, made: Simulation, record: dict[str, Any]) -> None:
    from tomoprior.simulate.picture import picture

    label = (f"tomoprior {__version__} simulate {record['phantom']} seed {record['seed']}",)
    write_series(made.series, folder / "series.mrc", labels=label)
    write(Reconstruction(made.truth.volume, made.truth.geometry), folder / "truth.mrc", labels=label)
    true, nominal = made.geometry, made.series.geometry
    if true.shifts is not None or not np.array_equal(true.angles, nominal.angles):
        sidefiles.write_angles(folder / "true.tlt", true.angles)
        shifts = np.zeros((true.n_angles, 2)) if true.shifts is None else true.shifts
        # IMOD's transform takes the raw image to the aligned one; shifts alone, which is what `recon` can take back
        lines = (f"1 0 0 1 {-dx:.6f} {-dy:.6f}\n" for dy, dx in shifts)
        (folder / "true.xf").write_text("".join(lines), encoding="ascii")
    if made.variance is not None:
        header = Header(made.variance.shape, voxel_size=nominal.voxel_size, unit=nominal.unit, labels=label)
        with writing(folder / "variance.mrc", header) as sink:
            sink[:, :, :] = made.variance
    picture(made, folder / "simulation.png")
    (folder / "simulation.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
