"""Angles as other programs keep them: names, units, tables and names of files, each with the angles worked out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr

import tomoprior
from tomoprior.errors import FormatError, InputError, TomopriorError
from tomoprior.formats import open_stack, read_series
from tomoprior.formats.angle_names import best_angle_name, is_angle_name
from tomoprior.formats.sidefiles import list_angle_files, read_angles, read_angles_and_notes

DEGREES = np.array([-60.0, -36.0, -12.5, 12.0, 36.0, 61.5])
N = len(DEGREES)
IMAGES = np.arange(N * 4 * 8, dtype=np.float32).reshape(N, 4, 8)


def degrees_of(path: Path, **options: object) -> np.ndarray:
    return np.rad2deg(read_series(path, **options).geometry.angles)


# --- names of arrays


@pytest.mark.parametrize("name", ["theta", "tilt_angles", "tilts", "tilt", "Tilt Angles", "rotation_angle", "angles_deg"])
def test_an_npz_with_degrees_under_another_name(tmp_path: Path, name: str) -> None:
    np.savez(tmp_path / "a.npz", projections=IMAGES, **{name: DEGREES})
    np.testing.assert_allclose(degrees_of(tmp_path / "a.npz"), DEGREES)


def test_a_name_that_says_radians(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", projections=IMAGES, tilt_angles_rad=np.deg2rad(DEGREES))
    np.testing.assert_allclose(degrees_of(tmp_path / "a.npz"), DEGREES)


def test_our_own_name_comes_first(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", projections=IMAGES, theta=DEGREES, angles=np.deg2rad(DEGREES[::-1]), angle_unit="radian")
    np.testing.assert_allclose(degrees_of(tmp_path / "a.npz"), DEGREES[::-1])


def test_a_list_of_another_length_is_no_list_of_angles(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", projections=IMAGES, theta=np.arange(N + 1.0))
    with pytest.raises(InputError, match="no tilt angles"):
        read_series(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["theta", "tilt_angles", "rotation_angles"])
def test_an_attribute_of_zarr(tmp_path: Path, name: str) -> None:
    zarr.create_array(str(tmp_path / "a.zarr"), data=IMAGES).attrs[name] = DEGREES.tolist()
    np.testing.assert_allclose(degrees_of(tmp_path / "a.zarr"), DEGREES)


@pytest.mark.parametrize(("unit", "factor"), [("deg", 1.0), ("rad", np.pi / 180), (None, 1.0)])
def test_an_array_beside_the_images_in_a_group_of_zarr(tmp_path: Path, unit: str | None, factor: float) -> None:
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    group.create_array("projections", data=IMAGES)
    angles = group.create_array("theta", data=DEGREES * factor)
    if unit is not None:
        angles.attrs["units"] = unit
    np.testing.assert_allclose(degrees_of(tmp_path / "a.zarr"), DEGREES)


@pytest.mark.parametrize("name", ["angles", "theta", "scan/tilt_angles", "entry/rotation_angle"])
def test_an_unknown_hdf5_file_with_its_angles(tmp_path: Path, name: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["proj"], file[name] = IMAGES, DEGREES
    np.testing.assert_allclose(degrees_of(tmp_path / "a.h5"), DEGREES)


def test_angles_in_the_group_of_the_images_come_first(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["scan/images"], file["scan/theta"], file["angles"] = IMAGES, DEGREES, DEGREES[::-1]
    np.testing.assert_allclose(degrees_of(tmp_path / "a.h5"), DEGREES)
    np.testing.assert_allclose(degrees_of(tmp_path / "a.h5", dataset="scan/images"), DEGREES)


def test_names_and_units() -> None:
    known = ["theta", "scan/Angles", "Tilt-Angle", "tilt_series_angles", "rot_angle", "thetas_rad", "stage tilt"]
    assert all(map(is_angle_name, known))
    assert not any(map(is_angle_name, ["angle_offset", "beta", "phase", "tiltedness", "data"]))
    assert best_angle_name(["theta", "data", "angles"]) == "angles"
    assert best_angle_name(["data"]) is None


# --- a unit that the values deny


@pytest.mark.parametrize(
    ("values", "said", "right"),
    [
        (np.deg2rad(np.linspace(0, 180, 21)), "deg", "radian"),
        (np.deg2rad(np.linspace(0, 360, 91)), "degrees", "radian"),
        (np.deg2rad(np.arange(-60, 61, 3.0)), "deg", "radian"),
        (np.linspace(0, 180, 21), "rad", "degree"),
        (np.linspace(0, 180, 1501), "radians", "degree"),
        (np.arange(-60, 61, 3.0), "rad", "degree"),
    ],
)
def test_a_stated_unit_that_is_wrong_needs_a_word(tmp_path: Path, values: np.ndarray, said: str, right: str) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["exchange/data"], file["exchange/theta"] = np.ones((len(values), 2, 8), np.float32), values
        file["exchange/theta"].attrs["units"] = said
    with pytest.raises(InputError, match=f"look like {right}s, but the file says"):
        read_series(path)
    series = read_series(path, angle_unit=right)
    expected = values if right == "radian" else np.deg2rad(values)
    np.testing.assert_allclose(series.geometry.angles, expected)
    assert not any("not used" in line for line in series.metadata["warnings"])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.linspace(-4, 4, 81), "deg"),  # small ranges are real
        (np.linspace(-3.1, 3.1, 63), "deg"),
        (np.deg2rad(np.arange(0, 180, 2.0)), "rad"),
        (np.deg2rad(np.arange(0, 180, 2.4)) * 5, "rad"),  # an interlaced scan of two and a half turns
    ],
)
def test_a_stated_unit_that_is_right_is_believed(tmp_path: Path, values: np.ndarray, said: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["exchange/data"], file["exchange/theta"] = np.ones((len(values), 2, 8), np.float32), values
        file["exchange/theta"].attrs["units"] = said
    expected = np.deg2rad(values) if said == "deg" else np.mod(values, 2 * np.pi) if values.max() > 2 * np.pi else values
    np.testing.assert_allclose(read_series(tmp_path / "a.h5").geometry.angles, expected)


# --- tables


def rows(*columns: object, between: str = " ") -> str:
    return "\n".join(between.join(map(str, row)) for row in zip(*columns, strict=True))


DOSE = np.arange(N) * 3.25
TABLES = {
    "counted.txt": (rows(range(N), DEGREES), True),
    "counted from 7.txt": (rows(range(7, 7 + N), DEGREES), True),
    "counted down.txt": (rows(range(N, 0, -1), DEGREES), True),
    "counted, dose.txt": (rows(range(N), DOSE, DEGREES), True),
    "counted, dose behind.txt": (rows(range(1, N + 1), DEGREES, DOSE), True),
    "angle first.txt": (rows(DEGREES, range(N)), False),
    "titles in a comment.txt": ("# frame tilt dose\n" + rows(range(N), DEGREES, DOSE), False),
    "id.csv": ("tilt_id,angle_deg\n" + rows(range(N), DEGREES, between=","), False),
    "number.csv": ("tilt_number,tilt_angle\n" + rows(range(N), DEGREES, between=","), False),
    "names.csv": ("file,tilt\n" + rows([f"a{i}.tif" for i in range(N)], DEGREES, between=","), False),
    "rad.csv": ("index;angle (rad)\n" + rows(range(N), np.deg2rad(DEGREES), between=";"), False),
    "series.aln": (
        "# AreTomo Alignment\n# RawSize = 8 4 6\n# SEC ROT GMAG TX TY SMEAN SFIT SCALE BASE TILT\n"
        + rows(range(N), [84.3] * N, *[[1.0] * N] * 7, DEGREES)
        + "\n# Local Alignment\n0 0 1 2 3 4 5",
        False,
    ),
    "relion.star": (
        "data_\nloop_\n_rlnMicrographMovieName #1\n_rlnTomoNominalStageTiltAngle #2\n"
        + rows([f"a{i}.mrc" for i in range(N)], DEGREES),
        False,
    ),
    "warp.tomostar": ("data_\nloop_\n_wrpMovieName #1\n_wrpAngleTilt #2\n_wrpDose #3\n" + rows("abcdef", DEGREES, DOSE), False),
}


@pytest.mark.parametrize("name", TABLES)
def test_the_column_of_angles(tmp_path: Path, name: str) -> None:
    text, noted = TABLES[name]
    (tmp_path / name).write_text(text)
    angles, notes = read_angles_and_notes(tmp_path / name)
    np.testing.assert_allclose(np.rad2deg(angles), DEGREES)
    assert ("counts the images" in " ".join(notes)) == noted


def test_a_table_in_which_two_columns_can_hold_the_angles_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(rows(range(N), np.abs(DEGREES), DOSE))
    with pytest.raises(FormatError, match="columns 2, 3 can all hold the angles"):
        read_angles(tmp_path / "a.txt")


def test_whole_degrees_with_a_constant_beside_them(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(rows(range(N), [0.5] * N))
    angles, notes = read_angles_and_notes(tmp_path / "a.txt")
    np.testing.assert_allclose(np.rad2deg(angles), np.arange(N))
    assert "could count the images" in notes[0]


def test_an_array_as_a_side_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", DEGREES)
    np.testing.assert_allclose(np.rad2deg(read_angles(tmp_path / "a.npy")), DEGREES)
    np.save(tmp_path / "a.npy", np.deg2rad(np.arange(-60, 61, 3.0)))
    with pytest.raises(InputError, match="look like radians"):
        read_angles(tmp_path / "a.npy")
    np.testing.assert_allclose(read_angles(tmp_path / "a.npy", unit="radian"), np.deg2rad(np.arange(-60, 61, 3.0)))
    (tmp_path / "b.npy").write_bytes(b"no array")
    with pytest.raises(FormatError, match="not an array of angles"):
        read_angles(tmp_path / "b.npy")


def test_words_alone_are_not_called_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("[-60, 0, 60]")
    with pytest.raises(FormatError, match="no line of numbers"):
        read_angles(tmp_path / "a.txt")


# --- folders of images


NAMES: dict[str, Callable[[int, float], str]] = {
    "signs": lambda i, d: f"ts_{d:+.1f}",
    "number and sign": lambda i, d: f"ts_{i:03d}_{d:.1f}",
    "brackets": lambda i, d: f"ts_{i:03d}[{d:.2f}]",
    "letters": lambda i, d: f"ts_{'m' if d < 0 else 'p'}{abs(d):04.1f}",
    "n for minus": lambda i, d: f"{'n' if d < 0 else ''}{abs(d):.1f}deg",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_with_tilts_give_order_and_angles(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "scan"
    folder.mkdir()
    for i, degree in enumerate(DEGREES):
        tifffile.imwrite(
            folder / f"{NAMES[name](i, degree)}.tif", np.full((4, 8), degree, np.float32), photometric="minisblack"
        )
    series = read_series(folder)
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), DEGREES)
    np.testing.assert_allclose(series.projections[:, 0, 0], DEGREES)
    assert any("in the names of its files" in line for line in series.metadata["warnings"])


def test_letters_that_are_no_signs(tmp_path: Path) -> None:
    folder = tmp_path / "scan"
    folder.mkdir()
    for i in range(3):
        tifffile.imwrite(folder / f"n{i}.tif", np.full((4, 8), i, np.float32), photometric="minisblack")
    stack = open_stack(folder)
    assert stack.angles is None
    np.testing.assert_allclose(stack.data[:, 0, 0], [0, 1, 2])


def test_angles_in_a_file_among_the_images(tmp_path: Path) -> None:
    folder = tmp_path / "scan"
    folder.mkdir()
    for i in range(N):
        tifffile.imwrite(folder / f"image_{i}.tif", np.full((4, 8), i, np.float32), photometric="minisblack")
    (folder / "angles.txt").write_text("\n".join(map(str, DEGREES)))
    np.testing.assert_allclose(degrees_of(folder), DEGREES)
    (folder / "other.rawtlt").write_text("\n".join(map(str, DEGREES + 1)))
    assert [path.name for path in list_angle_files(folder)] == ["other.rawtlt", "angles.txt"]


# --- flat fields and axes


@pytest.mark.parametrize("name", ["data_white1", "flat", "flats", "white", "flat_field", "bright-field"])
def test_flat_fields_of_data_exchange_under_another_name(tmp_path: Path, name: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["exchange/data"], file["exchange/theta"] = IMAGES, DEGREES
        file[f"exchange/{name}"] = np.full((2, 4, 8), 8.0)
        file["exchange/dark"] = np.full((1, 4, 8), 4.0)
    series = read_series(tmp_path / "a.h5")
    np.testing.assert_allclose(series.projections[...], (IMAGES - 4) / 4)
    assert sum("fields, by its name" in line for line in series.metadata["warnings"]) == 2


def test_flat_fields_are_no_choice_of_images(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["scan/proj"], file["scan/flats"], file["scan/theta"] = IMAGES, np.full((3, 4, 8), 2.0), DEGREES
    np.testing.assert_allclose(read_series(tmp_path / "a.h5").projections[...], IMAGES / 2)


def test_a_tilt_axis_along_x(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", projections=IMAGES, theta=DEGREES)
    series = tomoprior.read(tmp_path / "a.npz", tilt_axis="x", shifts=np.tile([1.0, 2.0], (N, 1)), center=1.5)
    np.testing.assert_array_equal(series.projections[...], IMAGES.transpose(0, 2, 1))
    assert series.geometry.shape == (4, 8, 4)
    np.testing.assert_array_equal(series.geometry.shifts[0], [2.0, 1.0])
    assert series.metadata["tilt_axis"] == "x"
    with pytest.raises(TomopriorError, match="tilt_axis"):
        tomoprior.read(tmp_path / "a.npz", tilt_axis="z")
