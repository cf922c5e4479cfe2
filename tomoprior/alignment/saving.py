"""Write and read the outputs of an alignment: the aligned series, IMOD's ``.xf`` and ``.tlt``, a figure and a record."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from tomoprior import plot
from tomoprior._version import __version__
from tomoprior.alignment.result import Alignment
from tomoprior.errors import FormatError, OutputExistsError
from tomoprior.formats import write_series
from tomoprior.formats.registry import for_writing
from tomoprior.formats.sidefiles import write_angles
from tomoprior.geometry import Geometry
from tomoprior.series import TiltSeries
from tomoprior.storage.files import check_target, record_path, replace_atomically, reraise_disk_errors
from tomoprior.storage.lazy import TransposedArray, as_lazy
from tomoprior.storage.records import load_json


def check_outputs(out: Path, inputs: list[Path], *, overwrite: bool) -> None:
    """Check the outputs: raise if one exists and ``overwrite`` is not set, or if one is also an input."""
    for_writing(out)
    for target in (out, out.with_suffix(".xf"), out.with_suffix(".tlt"), out.with_suffix(".png"), record_path(out)):
        if target.exists() and any(path.exists() and target.samefile(path) for path in inputs):
            raise OutputExistsError(f"{target} is an input of this run, and is not overwritten")
        check_target(target, overwrite=overwrite)


def save_alignment(
    alignment: Alignment, series: TiltSeries, out: Path, *, overwrite: bool = False, settings: dict[str, Any] | None = None
) -> None:
    """Write the aligned series, tilt by tilt, with ``NAME.xf``, ``NAME.tlt``, ``NAME.png`` and the record ``NAME.EXT.json``.

    Parameters
    ----------
    alignment, series
        The alignment and the raw series to which it belongs.
    out
        Aligned series to write; its extension selects the format.
    overwrite
        Replace existing outputs.
    settings
        Settings of the estimate, for the record.

    Raises
    ------
    OutputExistsError, FormatError, InputError
        If a file exists or cannot be written, or the alignment does not fit the series.
    """
    aligned = alignment.apply(series)
    check_outputs(out, [], overwrite=overwrite)
    record = {
        "output": out.name, "version": __version__, "source": series.metadata.get("source"), "settings": settings or {},
        "geometry": aligned.geometry.to_dict(), "alignment": alignment.to_dict(),
    }  # fmt: skip
    with ExitStack() as outputs:
        record_file, angle_file = record_path(out), out.with_suffix(".tlt")
        record_temporary = outputs.enter_context(replace_atomically(record_file, overwrite=overwrite))
        with reraise_disk_errors(record_file):
            record_temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        write_series(aligned, out, overwrite=overwrite, labels=(f"tomoprior {__version__} align",))
        if not angle_file.exists() or overwrite:  # formats that cannot hold angles have written this file
            with reraise_disk_errors(angle_file):
                write_angles(angle_file, series.geometry.angles)
        alignment.write_xf(out.with_suffix(".xf"), overwrite=overwrite)
        picture = out.with_suffix(".png")
        with replace_atomically(picture, overwrite=overwrite) as temporary, reraise_disk_errors(picture):
            plot.alignment(alignment.to_dict(), series.geometry.angles, title=out.name).savefig(temporary, format="png")


def load_alignment(path: str | Path) -> Alignment:
    """Return the alignment of a record that ``save_alignment`` wrote.

    Raises
    ------
    FormatError, InputError
        If the file is not such a record.
    """
    record = load_json(Path(path))
    if "alignment" not in record:
        raise FormatError(f"{path}: not the record of an alignment")
    return Alignment.from_dict(record["alignment"])


def transpose_series(series: TiltSeries) -> TiltSeries:
    """Return the series with x and y of its images exchanged, which mirrors them."""
    geometry = series.geometry
    rows, columns = geometry.detector
    nz, _, nx = geometry.shape
    turned = Geometry(
        geometry.angles, (rows if nz == columns else nz, columns, rows if nx == columns else nx), (columns, rows),
        shifts=None if geometry.shifts is None else geometry.shifts[:, ::-1],
        voxel_size=geometry.voxel_size, unit=geometry.unit,
    )  # fmt: skip
    weights = series.weights
    if weights is not None and weights.ndim == 3:
        weights = weights.transpose(0, 2, 1)
    return replace(
        series, projections=TransposedArray(as_lazy(series.projections), (0, 2, 1)), geometry=turned, weights=weights
    )
