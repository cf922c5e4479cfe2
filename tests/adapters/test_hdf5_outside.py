"""HDF5 files that take their values from other files name them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

import tomoprior
from tomoprior.formats import open_stack

VALUES = np.arange(60, dtype=np.float32).reshape(3, 4, 5)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    here, away = tmp_path / "here", tmp_path / "away"
    for folder in (here, away):
        folder.mkdir()
        with h5py.File(folder / "source.h5", "w") as file:
            file["data"] = VALUES
        (folder / "source.raw").write_bytes(VALUES.tobytes())
    return here, away


def write(path: Path, kind: str, source: Path) -> Path:
    with h5py.File(path, "w") as file:
        if kind == "link":
            file["data"] = h5py.ExternalLink(str(source / "source.h5"), "data")
        elif kind == "virtual":
            layout = h5py.VirtualLayout(VALUES.shape, "f4")
            layout[...] = h5py.VirtualSource(str(source / "source.h5"), "data", VALUES.shape)
            file.create_virtual_dataset("data", layout)
        else:
            file.create_dataset("data", VALUES.shape, "f4", external=[(str(source / "source.raw"), 0, VALUES.nbytes)])

    return path


@pytest.mark.parametrize("kind", ["link", "virtual", "raw"])
def test_values_from_outside_the_folder_are_named(folders: tuple[Path, Path], kind: str) -> None:
    here, away = folders
    stack = open_stack(write(here / "v.h5", kind, away), dataset="data")
    np.testing.assert_array_equal(stack.data[...], VALUES)
    source = away / ("source.raw" if kind == "raw" else "source.h5")
    words = "raw bytes of other files" if kind == "raw" else "files outside its folder"
    assert [line for line in stack.warnings if words in line and str(source) in line]


@pytest.mark.parametrize("kind", ["link", "virtual"])
def test_values_of_a_file_beside_it_are_not_named(folders: tuple[Path, Path], kind: str) -> None:
    here, _ = folders
    stack = open_stack(write(here / "v.h5", kind, Path()), dataset="data")
    np.testing.assert_array_equal(stack.data[...], VALUES)
    assert not [line for line in stack.warnings if "outside" in line]


def test_the_record_names_them_too(folders: tuple[Path, Path]) -> None:
    here, away = folders
    series = tomoprior.read(write(here / "v.h5", "raw", away), angles="-60:60:60", thickness=4)
    result = tomoprior.reconstruct(series, "wbp")
    assert any("raw bytes of other files" in line for line in result.provenance["input"]["warnings"])
