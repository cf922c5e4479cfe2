"""Zarr stores at addresses: ``https://``, ``s3://`` and others that fsspec knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import zarr

from tomoprior.errors import FormatError, MissingDependencyError, NoSuchFileError, TomopriorError
from tomoprior.storage.lazy import one_line


def remote_store(address: str) -> Any:
    """Return the store at an address, to be read only.

    Credentials and other options are those of fsspec's own configuration, such as the variable ``FSSPEC_S3_ANON=true``.
    """
    return zarr.storage.FsspecStore.from_url(address, read_only=True)


@contextmanager
def opening(address: str) -> Iterator[None]:
    """Turn the errors of fsspec and of Zarr into one line.

    Raises
    ------
    MissingDependencyError
        If a package for this kind of address is not installed.
    NoSuchFileError
        If there is no array or group.
    FormatError
        For any other failure, of the network too.
    """
    try:
        yield
    except TomopriorError:
        raise
    except ImportError as error:
        raise MissingDependencyError(
            f"{address}: a package for such addresses is missing ({one_line(error)}); pip install 'tomoprior[remote]'"
        ) from error
    except FileNotFoundError as error:
        raise NoSuchFileError(f"{address}: no Zarr array or group there; other formats are read from files only") from error
    except Exception as error:  # each file system has classes of its own
        raise FormatError(f"{address}: cannot be read ({type(error).__name__}: {one_line(error)})") from error
