"""Saving of a simulation: the series as a microscope writes it, the truth, the record and a picture."""

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
from tomoprior.formats.ctf import write_optics
from tomoprior.reconstruction import Reconstruction
from tomoprior.simulate.simulation import Simulation
from tomoprior.storage.files import reraise_disk_errors

#: The even and the odd frames of a simulation in halves.
HALVES = ("even.mrc", "odd.mrc")

#: Files of every simulation. ``true.tlt`` and ``true.xf`` are added where the true geometry is not the nominal one, the
#: transfer functions of a frozen specimen, and the variance of every line integral where it is known.
FILES = ("series.mrc", "series.tlt", "truth.mrc", "simulation.json", "simulation.png")
OPTIONAL_FILES = ("true.tlt", "true.xf", "variance.mrc", "optics.star", *HALVES, "even.tlt", "odd.tlt")


def check_folder(folder: Path, *, overwrite: bool = False) -> None:
    """Raise early if a simulation cannot be written to ``folder``, which need not exist.

    Raises
    ------
    OutputExistsError
        If one of the files exists and ``overwrite`` is not set. Other files of the folder do not matter.
    FormatError
        If the path is no folder, or the folder cannot be created.
    """
    check_target(folder, overwrite=True)
    if folder.exists() and not folder.is_dir():
        raise FormatError(f"{folder}: not a folder")
    if folder.is_dir():
        for name in (*FILES, *OPTIONAL_FILES):
            check_target(folder / name, overwrite=overwrite)


def save_simulation(
    simulation: Simulation, folder: str | Path, *, overwrite: bool = False, extra: dict[str, Any] | None = None
) -> list[str]:
    """Write a simulation. All its files appear together at the end, or none.

    Parameters
    ----------
    simulation
        The simulation to write.
    folder
        The folder to write to. It is made if it does not exist; files of other names in it stay.
    overwrite
        Replace the files of an earlier simulation.
    extra
        Additional entries of the record, such as the command.

    Returns
    -------
    names
        Names of the files written.

    Raises
    ------
    OutputExistsError, FormatError
        As for ``check_folder``, or because the disk is full.
    """
    folder = Path(folder)
    check_folder(folder, overwrite=overwrite)
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with reraise_disk_errors(folder):
            partial.mkdir()
            _write_files(partial, simulation, {**simulation.record, **(extra or {})})
            names = sorted(path.name for path in partial.iterdir())
            if not folder.exists():
                os.replace(partial, folder)
                return names
            for name in names:
                os.replace(partial / name, folder / name)
            for name in set(OPTIONAL_FILES) - set(names):  # those of an earlier simulation would be wrong now
                (folder / name).unlink(missing_ok=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return names


def _write_files(folder: Path, simulation: Simulation, record: dict[str, Any]) -> None:
    from tomoprior.simulate.picture import save_picture

    label = (f"tomoprior {__version__} simulate {record['phantom']} seed {record['seed']}",)
    write_series(simulation.series, folder / "series.mrc", labels=label)
    for half, name in zip(simulation.halves or (), HALVES, strict=False):
        write_series(half, folder / name, labels=label)
    write(Reconstruction(simulation.truth.volume, simulation.truth.geometry), folder / "truth.mrc", labels=label)
    true, nominal = simulation.geometry, simulation.series.geometry
    if true.shifts is not None or not np.array_equal(true.angles, nominal.angles):
        sidefiles.write_angles(folder / "true.tlt", true.angles)
        shifts = np.zeros((true.n_angles, 2)) if true.shifts is None else true.shifts
        # IMOD's transform takes the raw image to the aligned one; `recon` reads pure shifts only
        lines = (f"1 0 0 1 {-dx:.6f} {-dy:.6f}\n" for dy, dx in shifts)
        (folder / "true.xf").write_text("".join(lines), encoding="ascii")
    if simulation.variance is not None:
        header = Header(simulation.variance.shape, voxel_size=nominal.voxel_size, unit=nominal.unit, labels=label)
        with writing(folder / "variance.mrc", header) as sink:
            sink[:, :, :] = simulation.variance
    if simulation.series.transfer is not None:
        write_optics(folder / "optics.star", simulation.series.transfer, nominal.angles)
    save_picture(simulation, folder / "simulation.png")
    (folder / "simulation.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
