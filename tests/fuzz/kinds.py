"""The kinds of files that are damaged: whole files of some kilobytes, and how each kind is read."""

from __future__ import annotations

import bz2
import gzip
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numcodecs
import numpy as np
import tifffile
import zarr

import tomoprior
from tomoprior.errors import TomopriorError
from tomoprior.formats import Header, open_stack, writing
from tomoprior.formats.ctf import read_ctf
from tomoprior.formats.dose import read_dose, read_voltage
from tomoprior.formats.mdoc import mdoc_pixel_size
from tomoprior.formats.sidefiles import read_angles, read_shifts
from tomoprior.formats.transforms import read_transforms

SHAPE = (3, 4, 5)
VALUES = np.arange(60, dtype=np.float32).reshape(SHAPE)
ANGLES = np.deg2rad([-30.0, 0.0, 30.0])


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes
    ----------
    write
        Writes whole files, each a file or a folder, into an empty folder.
    read
        Reads one of them, by its path, and returns the bytes that it claims.
    share
        Inputs of this kind for every input of the kind that is read fastest.
    """

    write: Callable[[Path], None]
    read: Callable[[Path], int]
    share: float = 1.0


def read_stack(path: Path) -> int:
    """Open a stack or a volume and read its last value."""
    stack = open_stack(path)
    shape = stack.data.shape
    assert len(shape) == 3, f"a shape of {shape}"
    assert min(shape) >= 1, f"a shape of {shape}"
    assert 0 < stack.voxel_size < math.inf, f"a voxel of {stack.voxel_size}"
    assert stack.angles is None or stack.angles.shape == shape[:1], "another number of angles"
    float(stack.data[-1, -1, -1])
    if math.prod(shape) <= 4 * VALUES.size:
        tomoprior.read(path, angles=None if stack.angles is not None else np.linspace(-1, 1, shape[0]), thickness=4)
    return 8 * math.prod(shape)


def write_header(header: Header, path: Path) -> None:
    """Write the values with a header."""
    with writing(path, header) as sink:
        sink[:, :, :] = VALUES.astype(header.dtype)


HEADER = Header(SHAPE, voxel_size=2.5, unit="nanometer", angles=ANGLES)


def write_mrc(folder: Path) -> None:
    """MRC: floats, whole numbers, extended headers of three kinds, and compressed files."""
    write_header(HEADER, folder / "a.mrc")
    write_header(Header(SHAPE, np.int16, 8.0, "angstrom"), folder / "b.mrc")
    raw = (folder / "a.mrc").read_bytes()
    for name, kind, size in (("c", b"SERI", 6), ("d", b"FEI1", 768), ("e", b"FEI2", 888), ("f", b"AGAR", 40)):
        head = bytearray(raw[:1024])
        head[92:96], head[104:108] = (3 * size).to_bytes(4, "little"), kind
        head[128:132] = (size).to_bytes(2, "little") + (1).to_bytes(2, "little")
        (folder / f"{name}.mrc").write_bytes(bytes(head) + bytes(range(1, 7)) * (size // 2) + raw[-240:])
    (folder / "g.mrc.gz").write_bytes(gzip.compress(raw, mtime=0))
    (folder / "h.mrc.bz2").write_bytes(bz2.compress(raw))


def write_tiff(folder: Path) -> None:
    """TIFF: what tomoprior writes, pages compressed in several ways, tiles, a big one, OME and ImageJ."""
    write_header(HEADER, folder / "a.tif")
    counts = VALUES.astype(np.uint16)
    grey = {"photometric": "minisblack"}
    tifffile.imwrite(folder / "b.tif", counts, compression="zlib", **grey)
    tifffile.imwrite(folder / "c.tif", np.zeros((3, 16, 16), np.uint8), tile=(16, 16), **grey)
    tifffile.imwrite(folder / "d.tif", counts, bigtiff=True, rowsperstrip=2, **grey)
    tifffile.imwrite(folder / "e.tif", counts, imagej=True, resolution=(2.0, 2.0), metadata={"unit": "nm"})
    tifffile.imwrite(folder / "f.ome.tif", counts, ome=True, **grey)
    tifffile.imwrite(folder / "g.tif", counts, compression="lzma", predictor=True, byteorder=">", **grey)


def write_hdf5(folder: Path) -> None:
    """HDF5: Data Exchange, NXtomo, FXI, CIL, and chunks with filters."""
    write_header(HEADER, folder / "a.h5")
    with h5py.File(folder / "b.h5", "w") as f:
        f.create_dataset("exchange/data", data=VALUES.astype("u2"), chunks=(1, 4, 5), compression="gzip", shuffle=True)
        f["exchange/data_white"], f["exchange/data_dark"] = np.full((1, 4, 5), 100, "u2"), np.zeros((1, 4, 5), "u2")
        f["exchange/theta"] = np.rad2deg(ANGLES)
        f["exchange/theta"].attrs["units"] = "deg"
        f["exchange/x_pixel_size"] = 1.5
        f["exchange/x_pixel_size"].attrs["units"] = np.bytes_("um")
    with h5py.File(folder / "c.nxs", "w") as f:
        entry = f.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        detector = entry.create_group("instrument/detector")
        detector["data"], detector["image_key"] = np.concatenate([VALUES, VALUES]), [0, 0, 0, 1, 2, 3]
        detector.create_dataset("x_pixel_size", data=[2.0]).attrs["units"] = "mm"
        entry.create_dataset("sample/rotation_angle", data=np.arange(6.0)).attrs["units"] = "degree"
    with h5py.File(folder / "d.h5", "w") as f:
        f["img_tomo"], f["img_bkg"], f["img_dark"], f["angle"] = VALUES, VALUES[:1] + 200, VALUES[:1], np.rad2deg(ANGLES)
    with h5py.File(folder / "e.h5", "w", libver="latest") as f:
        data = f.create_dataset("entry1/tomo_entry/data/data", data=VALUES.astype("u2"), chunks=(2, 2, 3), fletcher32=True)
        data.attrs.update({"data_type": "AcquisitionData", "scale": 2.0, "offset": 1.0, "dim0": "angle", "pixel_size_h": 2.0})
        data.attrs.update({"dim1": "vertical", "dim2": "horizontal"})
        f["entry1/tomo_entry/config/angles"] = np.rad2deg(ANGLES)
        f["entry1/tomo_entry/config/angles"].attrs["initial_angle"] = 1.0


def write_microscopes(folder: Path) -> None:
    """HDF5 of electron microscopes: EMD and HyperSpy, and a dataset without any layout."""
    for name, libver in (("a.emd", "earliest"), ("b.emd", "latest")):
        with h5py.File(folder / name, "w", libver=libver) as f:
            group = f.create_group("data/tomography")
            group.attrs["emd_group_type"] = 1
            group["data"] = VALUES
            for i, (label, unit, n) in enumerate((("angle", "[deg]", 3), ("y", "[n_m]", 4), ("x", "[n_m]", 5)), 1):
                group[f"dim{i}"] = np.arange(n, dtype=float)
                group[f"dim{i}"].attrs.update({"name": label, "units": np.bytes_(unit) if i == 2 else unit})
    with h5py.File(folder / "c.hspy", "w") as f:
        f.attrs.update({"file_format": "HyperSpy", "file_format_version": "3.0"})
        group = f.create_group("Experiments/t")
        group["data"] = VALUES
        for i, (label, unit) in enumerate((("Tilt", "degrees"), ("y", "nm"), ("x", "nm"))):
            axis = group.create_group(f"axis-{i}")
            axis.attrs.update({"name": label, "units": unit, "scale": 2.0, "offset": -1.0, "size": SHAPE[i]})
        group["metadata/Tomography/tilts"] = np.rad2deg(ANGLES)
    with h5py.File(folder / "d.h5", "w", track_order=True) as f:
        f["a/b"] = VALUES.astype("i4")
        f["a/b"].attrs["note"] = ["some", "texts"]


def write_zarr(folder: Path) -> None:
    """Zarr: an image pyramid, one chunk of version 2 and 3 with several compressors, and a zip archive."""
    write_header(HEADER, folder / "a.zarr")
    for codec in ("gzip", "zlib", "bz2", "lzma", "zstd", "blosc"):
        array = zarr.create_array(
            folder / f"{codec}.zarr", shape=SHAPE, chunks=SHAPE, dtype="f4", zarr_format=2,
            compressors=numcodecs.get_codec({"id": codec}),
        )  # fmt: skip
        array[...] = VALUES
    zarr.create_array(folder / "b.zarr", data=VALUES, chunks=(2, 2, 3))
    zarr.create_array(folder / "c.zarr", data=VALUES.astype("u2"), chunks=(1, 2, 5), shards=(2, 4, 5))
    shutil.make_archive(str(folder / "d.zarr"), "zip", folder / "b.zarr")


def write_numpy(folder: Path) -> None:
    """NumPy: one array in two versions of the format, and archives."""
    write_header(HEADER, folder / "a.npy")
    np.save(folder / "b.npy", VALUES.astype(">u2"))
    write_header(HEADER, folder / "c.npz")
    np.savez_compressed(folder / "d.npz", projections=VALUES, angles=ANGLES)


STAR = """data_particles

loop_
_rlnMicrographName #1
_rlnTomoNominalStageTiltAngle #2
_rlnDefocusU #3
_rlnDefocusV #4
_rlnDefocusAngle #5
_rlnMicrographPreExposure #6
a.mrc -30.0 21000.0 20500.0 45.0 0.0
b.mrc 0.0 20000.0 19500.0 45.0 3.0
c.mrc 30.0 21500.0 20500.0 45.0 6.0

data_general
_rlnVoltage 300.0
_rlnSphericalAberration 2.7
_rlnAmplitudeContrast 0.1
"""
SIDE_FILES = {
    "a.tlt": "-30.0\n0.0\n30.0\n",
    "b.rawtlt": " -30.00\n   0.00\n  30.00\n",
    "c.csv": "index,tilt (deg)\n0,-30\n1,0\n2,30\n",
    "d.txt": "# degrees\n-30 1\n0 2\n30 3\n",
    "e.xf": "".join(f"0.99 0.01 -0.01 0.99 {i}.5 -2.0\n" for i in range(3)),
    "f.defocus": "1 0 0 0 0 3\n1 1 -30.0 -30.0 2100 2050 45.0\n2 2 0.0 0.0 2000 1950 45.0\n3 3 30.0 30.0 2150 2050 45.0\n",
    "g.defocus": "1 1 -30.0 -30.0 2100 2\n2 2 0.0 0.0 2000\n3 3 30.0 30.0 2150\n",
    "h.mdoc": "PixelSpacing = 2.5\nVoltage = 300\n\n" + "".join(
        f"[ZValue = {i}]\nTiltAngle = {30 * i - 30}\nExposureDose = 3.0\nDateTime = 01-Jan-2024  10:0{i}:00\nDefocus = -3\n\n"
        for i in range(3)
    ),
    "i.star": STAR,
    "j.csv": "tilt,defocus_u,defocus_v,astigmatism_angle,dose\n-30,21000,20500,45,0\n0,20000,19500,45,3\n30,21500,20500,45,6\n",
    "k.txt": "3.0\n6.0\n9.0\n",
}  # fmt: skip


def write_side_files(folder: Path) -> None:
    """Files beside a series: angles, transforms, defocus, dose, mdoc, star."""
    for name, text in SIDE_FILES.items():
        (folder / name).write_text(text)


def read_side_file(path: Path) -> int:
    """Read a file as angles, shifts, transforms, defocus, dose and optics: each gives finite values or one error."""
    readers: list[Callable[[], object]] = [
        lambda: read_angles(path), lambda: read_shifts(path), lambda: read_transforms(path), lambda: read_voltage(path),
        lambda: read_dose(path, 3, angles=ANGLES), lambda: read_dose(path),
        lambda: read_ctf(path, 3, angles=[-30.0, 0.0, 30.0]),
        lambda: mdoc_pixel_size(path),
    ]  # fmt: skip
    errors = []
    for read in readers:
        try:
            values = read()
        except TomopriorError as error:
            errors.append(error)
        else:
            if isinstance(values, np.ndarray):
                assert values.size, "no values"
                assert np.isfinite(values).all(), "values that are not finite"
    for error in errors:
        if "\n" in str(error) or "\x1b" in str(error):
            raise error
    return 0
