"""Addresses of stores on other machines, which travel through the program as paths.

``Path`` turns ``s3://bucket/a.zarr`` into ``s3:/bucket/a.zarr``; both forms mean the same address here.
"""

from __future__ import annotations

import re
from pathlib import Path

_ADDRESS = re.compile(r"(https?|s3|gs|gcs|az|abfs|memory):/{1,2}(?=[^/])")


def address_of(path: str | Path) -> str | None:
    """Return the address that a path stands for, with two slashes; None for a file or folder of this machine.

    Parameters
    ----------
    path
        A path, or an address such as ``https://host/a.zarr`` or ``s3://bucket/a.zarr``.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tomoprior.formats.addresses import address_of
    >>> address_of(Path("https://host/a.zarr"))
    'https://host/a.zarr'
    >>> address_of("series.mrc") is None
    True
    """
    text = str(path)
    scheme = _ADDRESS.match(text)
    return None if scheme is None else f"{scheme[1]}://{text[scheme.end() :]}"


def name_source(path: Path) -> str:
    """Return an address as it is, or the absolute path of a file, for a record."""
    return address_of(path) or str(path.resolve())
