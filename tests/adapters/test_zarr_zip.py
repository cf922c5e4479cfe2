"""Zarr stores in a zip archive."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

import tomoprior
from tomoprior.errors import FormatError
from tomoprior.formats import open_stack, registry

VALUES = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
GEOMETRY = tomoprior.Geometry([0.0], VALUES.shape, voxel_size=1.5, unit="nanometer")


def pack(folder: Path, target: Path, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(target, "w", method) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    return target


@pytest.fixture
def store(tmp_path: Path) -> Path:
    tomoprior.write(tomoprior.Reconstruction(VALUES, GEOMETRY), tmp_path / "v.zarr")
    return tmp_path / "v.zarr"


@pytest.mark.parametrize("name", ["v.zarr.zip", "v.zip", "v"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_archive_is_read_like_its_folder(store: Path, tmp_path: Path, name: str, method: int) -> None:
    stack = open_stack(pack(store, tmp_path / "packed" / name if (tmp_path / "packed").mkdir() is None else store, method))
    np.testing.assert_array_equal(stack.data[...], VALUES)
    assert (stack.voxel_size, stack.unit) == (1.5, "nanometer")
    again = pickle.loads(pickle.dumps(stack.data))
    np.testing.assert_array_equal(again[1:, 2], VALUES[1:, 2])


def test_a_series_in_a_zip_archive_keeps_its_angles(tmp_path: Path) -> None:
    geometry = tomoprior.Geometry(np.deg2rad([-60, 0, 60]), (4, 4, 5))
    tomoprior.write(tomoprior.TiltSeries(VALUES, geometry), tmp_path / "s.zarr")
    series = tomoprior.read(pack(tmp_path / "s.zarr", tmp_path / "s.zarr.zip"))
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), [-60, 0, 60])
    np.testing.assert_array_equal(series.load().projections, VALUES)


def test_an_archive_of_arrays_stays_an_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", volume=VALUES)
    assert registry.for_reading(tmp_path / "v.npz").name == "npy"


def test_a_member_that_is_a_bomb_is_refused(store: Path, tmp_path: Path) -> None:
    (store / "0/c/0/0/0").write_bytes(bytes(32 << 20))
    packed = pack(store, tmp_path / "bomb.zarr.zip", zipfile.ZIP_DEFLATED)
    assert packed.stat().st_size < 100_000
    with pytest.raises(FormatError, match="compressed again by zip"):
        open_stack(packed)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_that_claims_more_than_the_archive_holds_is_refused(store: Path, tmp_path: Path, method: int) -> None:
    """The directory of the archive says 256 MiB: zipfile would take them to read some hundred bytes."""
    packed = pack(store, tmp_path / "v.zarr.zip", method)
    raw = bytearray(packed.read_bytes())
    entry = raw.rindex(b"zarr.json") - 46  # the last entry of the directory, whose fixed part has 46 bytes
    assert raw[entry : entry + 4] == b"PK\x01\x02"
    raw[entry + 20 : entry + 24] = (256 << 20).to_bytes(4, "little")  # the compressed size
    packed.write_bytes(raw)
    with pytest.raises(FormatError, match="claims 268435456 bytes, more than are in the archive"):
        open_stack(packed)


def test_a_broken_archive_is_one_line(store: Path, tmp_path: Path) -> None:
    packed = pack(store, tmp_path / "v.zarr.zip")
    packed.write_bytes(packed.read_bytes()[:-30])
    with pytest.raises(FormatError):
        open_stack(packed)
