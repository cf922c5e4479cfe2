"""Zarr stores in one zip archive (``.zarr.zip``), which are read in place."""

from __future__ import annotations

import zipfile
from pathlib import Path

from tomoprior.errors import FormatError
from tomoprior.storage.lazy import one_line

#: Metadata at the root of a store.
MARKS = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
#: Bytes of a member that may be deflated. Chunks are compressed already, and zip stores keep them as they are.
_DEFLATED = 16 << 20


def is_zip_store(path: Path) -> bool:
    """Return whether the file is a zip archive with the metadata of a store at its root."""
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":
                return False
        with zipfile.ZipFile(path) as archive:
            return any(mark in archive.NameToInfo for mark in MARKS)
    except Exception:  # zipfile raises a dozen kinds for a broken directory
        return False


def check_members(path: Path) -> None:
    """Refuse an archive whose members would unpack to far more than they take; raises FormatError."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except Exception as error:
        raise FormatError(f"{path}: not a readable zip archive ({one_line(error)})") from error
    size = path.stat().st_size
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED and member.file_size > _DEFLATED:
            raise FormatError(
                f"{path}: {member.filename} is compressed again by zip, which is not unpacked beyond 16 MiB; store it (zip -0)"
            )
        # zipfile takes memory for the compressed size before it sees the end of the file
        stored = member.file_size if member.compress_type == zipfile.ZIP_STORED else 0
        claimed = max(member.compress_size, stored)
        if claimed > size:
            raise FormatError(f"{path}: {member.filename} claims {claimed} bytes, more than are in the archive")
