"""TIFF: a file with many pages, or a folder with a file for every image."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tifffile

from tomoprior.errors import FormatError
from tomoprior.formats import Header, Sink, Stack
from tomoprior.formats.angles import usable_angles
from tomoprior.formats.checks import check_dtype, check_shape, refuse_options
from tomoprior.formats.fields import normalize as normalize_counts
from tomoprior.formats.raw import RawSink, readable_bytes
from tomoprior.storage.lazy import LazyArray, one_line

from .array import FolderArray, check_page, open_tiff, quiet, stack_array
from .chain import check_chain
from .folder import SUFFIXES, Folder, list_images, sort_out_fields
from .metadata import for_writing, from_file

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BROKEN = re.compile("invalid page|invalid offset|corrupt")


class TIFF:
    """TIFF stacks. Read: ImageJ, OME and plain ones, of either byte order, also BigTIFF, and folders with a file an image.

    The files of a folder are read in natural order (2 before 10) or in that of signed tilt angles in their names, which are its
    angles unless a side file has others; flat and dark
    fields among them normalise the others, unless the option ``normalize`` of ``read`` is False. Written: uncompressed and in
    one piece, with voxel size and unit as ImageJ has them, or as OME-TIFF where ImageJ cannot.
    """

    name: ClassVar[str] = "tiff"
    extensions: ClassVar[tuple[str, ...]] = SUFFIXES
    is_folder: ClassVar[bool] = False
    holds_angles: ClassVar[bool] = False

    def matches(self, path: Path) -> bool:
        """Look for TIFF's first four bytes, or for TIFF files in a folder that holds no Zarr array."""
        if path.is_dir():
            names = {p.name for p in path.iterdir()}
            return bool(list_images(path)) and not names & {"zarr.json", ".zarray", ".zgroup"}
        return path.is_file() and readable_bytes(path, 4) in _MAGIC

    def read(self, path: Path, *, normalize: bool | None = None, **options: Any) -> Stack:
        """Open a file or a folder; pages are read, and unpacked, when they are indexed."""
        refuse_options(options, "TIFF")
        folder = sort_out_fields(path) if path.is_dir() else Folder([path], [], [])
        files = folder.images
        if not files:
            raise FormatError(f"{path}: no TIFF file in this folder")
        for file in (files[0], files[-1]):
            if readable_bytes(file, 4) not in _MAGIC:
                raise FormatError(f"{file}: not a TIFF file")
        try:
            with quiet(), tifffile.TiffFile(files[0]) as tif:  # nothing follows the chain before it is checked
                check_chain(tif)
            with quiet() as lines, open_tiff(files[0]) as tif:
                if not tif.series:
                    raise FormatError(f"{path}: no image in it")
                data = _folder(tif, path, files) if path.is_dir() else stack_array(tif, path)
                fields = from_file(tif, data.shape[0], path)
                warnings = list(folder.warnings)
                if folder.flats and normalize is not False:
                    data = _normalized(data, path, folder)
                    fields["attrs"] |= {"normalized": "divided by the flat field", "units": "transmission"}
                    fields["counts"] = True
                elif normalize:
                    raise FormatError(f"{path}: no flat field in it; name one with flats=FILE (--flats FILE)")
                more = len(tif.series) - 1
                degrees = folder.tilt_angles() if path.is_dir() else None
                if tif.pages.first.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
                    warnings.append(f"{path}: its small values are shown white (MinIsWhite); read as they are stored")
            broken = [line for line in lines if _BROKEN.search(line)]
            if broken:  # the images that can still be reached would pass for the whole
                raise FormatError(f"{path}: truncated or damaged after {data.shape[0]} images ({broken[0]})")
        except FormatError:
            raise
        except Exception as error:  # tifffile raises its own and many a built-in type for a broken file
            raise FormatError(f"{path}: not a readable TIFF file ({one_line(error)})") from error
        warnings += [*fields.pop("warnings"), *(f"{path}: {line}" for line in lines)]
        if more:
            warnings.append(f"{path}: {more} more series of images in it are not used")
        if degrees is not None and fields.get("angles") is None:
            stated = folder.angle_unit()
            fields["angles"], fields["rejected_angles"], notes = usable_angles(
                stated.convert(degrees), data.shape[0], f"{path}: the names of its files", unit=stated.name
            )
            fields["assumed_angle_unit"] = "degree" if stated.name is None else None
            fields["nominal_angles"] = True
            warnings += [*notes, f"{path}: angles are those in the names of its files"]
        return Stack(data, warnings=tuple(dict.fromkeys(warnings)), **fields)

    def create(self, path: Path, header: Header) -> Sink:
        """Start a file of its full size; the values are written where its directory says they are."""
        with quiet():
            try:
                place = tifffile.imwrite(path, returnoffset=True, **for_writing(header))
            except OSError:
                raise
            except Exception as error:  # OmeXmlError, ValueError, struct.error: a type or number that TIFF lacks
                values = f"{np.dtype(header.dtype)} of shape {header.shape}"
                raise FormatError(f"{path}: TIFF cannot hold {values} ({one_line(error)})") from error
        if place is None:
            raise FormatError(f"{path}: the TIFF library reserved no place for the values in the file")
        return RawSink(path, int(place[0]), header.shape, np.dtype(header.dtype).newbyteorder("<"))

    def reopen(self, path: Path, header: Header) -> Sink:
        """Open the values of a file that ``create`` began."""
        with quiet(), tifffile.TiffFile(path) as tif:
            place = tif.pages.first.dataoffsets[0]
        return RawSink(path, int(place), header.shape, np.dtype(header.dtype).newbyteorder("<"), again=True)

    def complete(self, path: Path, header: Header) -> None:
        """Do nothing: the file is complete."""


def _folder(tif: tifffile.TiffFile, folder: Path, files: list[Path]) -> LazyArray:
    """Return the array of a folder whose first file is open."""
    page = tif.pages.first
    if len(tif.pages) != 1:
        raise FormatError(f"{folder}: {files[0].name} in it has {len(tif.pages)} pages; a folder needs one image a file")
    if page.samplesperpixel != 1 or page.dtype is None:
        raise FormatError(f"{files[0]}: one number per pixel is needed, not colours or odd bits")
    dtype, shape = check_dtype(page.dtype, files[0]), check_shape((len(files), *page.shape), files[0])
    check_page(page, files[0])
    return FolderArray(folder, files, shape[1:], dtype)


def _normalized(data: LazyArray, path: Path, folder: Folder) -> LazyArray:
    """Return the images of a folder divided by the flat fields in it."""

    def fields(files: list[Path]) -> list[LazyArray]:
        if not files:
            return []
        with tifffile.TiffFile(files[0]) as tif:
            return [_folder(tif, path, files)]

    return normalize_counts(data, path, fields(folder.flats), fields(folder.darks))
