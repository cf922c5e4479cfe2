"""Checks of the files that ``tomoprior recon`` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def check_output(out: Path, files: list[Path], *, overwrite: bool) -> None:
    """Raise if OUT cannot be written, or is one of the input files."""
    from tomoprior.errors import OutputExistsError
    from tomoprior.formats import geometry_files, sidefiles
    from tomoprior.formats.registry import for_writing
    from tomoprior.storage.files import check_target, record_path

    for_writing(out)
    beside = (sidefiles.find_angles(files[0]), geometry_files.find_geometry_file(files[0]))
    for path in [*files, *(path for path in beside if path is not None)]:
        if out.exists() and path.exists() and out.samefile(path):
            raise OutputExistsError(f"{out} is an input of this run, and is not overwritten")
    for target in (out, record_path(out)):
        check_target(target, overwrite=overwrite)


def check_field(field: Path | None, method: Any, *, overwrite: bool) -> None:
    """Raise if the method has no field for the file, or the file cannot be written."""
    from tomoprior.errors import SettingsError
    from tomoprior.methods.base import FieldMethod
    from tomoprior.storage.files import check_target

    if field is None:
        return
    if not (isinstance(method, FieldMethod) and method.fits_field):
        raise SettingsError(f"{method.name} fits no field; leave --field out, or use --method cn")
    check_target(field, overwrite=overwrite)
