"""Write all files of a report, or none of them."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from tomoprior.comparison.report.page import page
from tomoprior.comparison.report.pictures import pictures
from tomoprior.comparison.report.plain import numbers
from tomoprior.comparison.report.table import as_csv
from tomoprior.comparison.report.window import volumes
from tomoprior.comparison.result import Comparison
from tomoprior.errors import FormatError, InputError
from tomoprior.storage.files import check_target, refuse_links, replace_atomically, reraise_disk_errors
from tomoprior.storage.lazy import one_line

#: Names of all possible figures. A figure of an earlier report that the new one lacks is removed.
FIGURES = ("slices", "fsc_truth", "planted", "held_out_tilts", "residual_tilts", "fsc_halves", "agreement")


def write_report(comparison: Comparison, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
    """Write a comparison as a page, a table, numbers and figures.

    Parameters
    ----------
    comparison
        The comparison. Truth, standard deviations, planted objects and each kind of evidence are optional.
    folder
        The folder; it is created if necessary. It gets ``report.html``, which needs no other file and no network;
        ``table.csv``; ``metrics.json``, everything but the volumes; and ``figures/*.png``.
    overwrite
        Replace the files of an earlier report. Other files in the folder stay.

    Returns
    -------
    paths
        Paths of the files, ``report.html`` first.

    Raises
    ------
    InputError
        For volumes of another shape, values that are not finite, or labels that are not unique.
    OutputExistsError, FormatError
        If a file exists and ``overwrite`` is not set, or is a link, or the folder cannot be written. No file is written then.
    """
    _check(comparison)
    folder = Path(folder)
    _make_folder(folder)
    pages = [folder / name for name in ("report.html", "table.csv", "metrics.json")]
    refuse_links([*pages, folder / "figures", *(_figure(folder, name) for name in FIGURES)], "a report")
    for path in pages + [p for name in FIGURES if (p := _figure(folder, name)).exists()]:
        check_target(path, overwrite=overwrite)

    drawn = pictures(comparison)
    texts = (page(comparison, drawn), as_csv(comparison), json.dumps(numbers(comparison), indent=1, allow_nan=False) + "\n")
    contents = {path: text.encode() for path, text in zip(pages, texts, strict=True)}
    contents |= {_figure(folder, p.name): p.png() for p in drawn}
    if drawn:
        _make_folder(folder / "figures")
    with ExitStack() as outputs:
        for path, content in contents.items():
            temporary = outputs.enter_context(replace_atomically(path, overwrite=overwrite))
            with reraise_disk_errors(path):
                temporary.write_bytes(content)
    for name in FIGURES:
        if (path := _figure(folder, name)) not in contents:
            path.unlink(missing_ok=True)
    return list(contents)


def _figure(folder: Path, name: str) -> Path:
    return folder / "figures" / f"{name}.png"


def _make_folder(folder: Path) -> None:
    """Create the folder if necessary; raises FormatError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError(f"{folder}: cannot create the folder ({one_line(error)})") from error


def _check(comparison: Comparison) -> None:
    labels = [e.label for e in comparison.entries]
    if len(set(labels)) < len(labels) or "truth" in labels:
        raise InputError("entries of a comparison need labels of their own, none of them truth")
    shape = comparison.geometry.shape
    arrays = dict(volumes(comparison))
    arrays |= {f"standard deviation of {e.label}": e.std for e in comparison.done if e.std is not None}
    if comparison.spread is not None:
        arrays["spread among the methods"] = comparison.spread
    for name, array in arrays.items():
        if array.shape != shape:
            raise InputError(f"{name}: the comparison's grid is {shape}, this has shape {array.shape}")
        if not np.isfinite(array).all():
            raise InputError(f"{name}: values that are not finite cannot be shown")
