"""Angles and fields in the names of files, and side files of compressed stacks."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile

from tomoprior.errors import FormatError, InputError
from tomoprior.formats import open_stack, read_series

DEGREES = np.array([-60.0, -40.0, -20.0, 0.0, 20.0, 40.0, 60.0])
IMAGES = np.arange(7 * 4 * 8, dtype=np.float32).reshape(7, 4, 8) + 1


def folder(tmp_path: Path, names: list[str], images: np.ndarray) -> Path:
    path = tmp_path / "scan"
    path.mkdir()
    for name, image in zip(names, images, strict=True):
        tifffile.imwrite(path / f"{name}.tif", image)
    return path


def test_a_unit_behind_the_angle_in_a_name(tmp_path: Path) -> None:
    path = folder(tmp_path, [f"x_{r:.5f}rad" for r in np.deg2rad(DEGREES)], IMAGES)
    np.testing.assert_allclose(np.rad2deg(read_series(path).geometry.angles), DEGREES, atol=1e-3)


def test_radians_in_names_without_a_unit_are_refused_and_can_be_stated(tmp_path: Path) -> None:
    path = folder(tmp_path, [f"x_{r:.4f}" for r in np.deg2rad(DEGREES)], IMAGES)
    with pytest.raises(InputError, match=r"the names of its files: 7 angles from -1\.0472 to 1\.0472 look like radians"):
        read_series(path)
    np.testing.assert_allclose(np.rad2deg(read_series(path, angle_unit="radian").geometry.angles), DEGREES, atol=1e-2)


@pytest.mark.parametrize("order", [range(7), [3, 4, 2, 5, 1, 6, 0]])
def test_a_number_of_acquisition_beside_the_angle(tmp_path: Path, order: list[int]) -> None:
    """In the order of acquisition, each image has the angle of its own name."""
    names = [f"ts_{k:03d}_{DEGREES[i]:.1f}" for k, i in enumerate(order)]
    series = read_series(folder(tmp_path, names, IMAGES[list(order)]))
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), DEGREES[list(order)], atol=1e-9)
    np.testing.assert_array_equal(series.projections[...], IMAGES[list(order)])


@pytest.mark.parametrize("field", ["reference_01", "ref-2", "references", "background"])
def test_references_among_the_images_are_flat_fields(tmp_path: Path, field: str) -> None:
    images = np.concatenate([IMAGES, np.full((1, 4, 8), 100, np.float32)])
    stack = open_stack(folder(tmp_path, [*(f"a_{d:.0f}" for d in DEGREES), field], images))
    assert stack.counts
    np.testing.assert_allclose(stack.data[...], IMAGES / 100, rtol=1e-6)


def test_a_broken_file_of_a_folder_is_named(tmp_path: Path) -> None:
    path = folder(tmp_path, [f"p{i}" for i in range(7)], IMAGES)
    whole = (path / "p3.tif").read_bytes()
    (path / "p3.tif").write_bytes(whole[:150])
    with pytest.raises(FormatError, match=r"p3\.tif: not a readable TIFF file"):
        np.asarray(open_stack(path).data[...])


@pytest.mark.parametrize(("opener", "ending"), [(gzip.open, ".gz"), (bz2.open, ".bz2")])
@pytest.mark.parametrize("side", ["a.st.mdoc", "a.mdoc", "a.rawtlt"])
def test_side_files_of_a_compressed_stack_have_the_name_of_the_plain_one(tmp_path: Path, opener, ending, side) -> None:
    with mrcfile.new(tmp_path / "a.mrc", overwrite=True) as file:
        file.set_data(IMAGES)
        file.set_image_stack()
    with opener(tmp_path / f"a.st{ending}", "wb") as file:
        file.write((tmp_path / "a.mrc").read_bytes())
    sections = [f"[ZValue = {i}]\nTiltAngle = {d}\n" for i, d in enumerate(DEGREES)]
    is_log = side.endswith("mdoc")
    text = "PixelSpacing = 2.5\n" + "".join(sections) if is_log else "\n".join(map(str, DEGREES))
    (tmp_path / side).write_text(text)
    series = read_series(tmp_path / f"a.st{ending}")
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), DEGREES)
    assert series.geometry.voxel_size == (2.5 if is_log else 1.0)
