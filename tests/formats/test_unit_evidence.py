"""Units that the values deny, and columns of tables that are no angles, with the right values worked out."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import zarr

import tomoprior
from tomoprior.errors import FormatError, GeometryError, InputError
from tomoprior.formats import open_stack, read_series
from tomoprior.formats.angles import UnclearUnitError, check_angles, check_stated_unit
from tomoprior.formats.sidefiles import read_angles, read_angles_and_notes
from tomoprior.formats.unit_evidence import looks_like_degrees

DEGREES = np.array([-60.0, -36.0, -12.5, 12.0, 36.0, 61.5])
N = len(DEGREES)
IMAGES = np.arange(N * 4 * 8, dtype=np.float32).reshape(N, 4, 8)


@pytest.mark.parametrize("decimals", [3, 4, 5, 6])
def test_few_radians_with_some_decimals_are_refused_as_degrees(decimals: int) -> None:
    radians = np.round(np.deg2rad(np.arange(-4.0, 5.0)), decimals)
    with pytest.raises(UnclearUnitError, match="look like radians"):
        check_angles(radians, "a.tlt")


@pytest.mark.parametrize("turns", [2, 3, 5])
@pytest.mark.parametrize("closed", [True, False])
def test_several_half_turns_in_radians_are_refused_as_degrees(turns: int, closed: bool) -> None:
    radians = np.linspace(0, turns * np.pi, 31, endpoint=closed).round(5)
    with pytest.raises(UnclearUnitError, match="look like radians"):
        check_angles(radians, "a.tlt")


def test_degrees_with_decimals_stay_degrees() -> None:
    for degrees in (np.arange(0, 12.6, 0.4), np.array([-0.5, 0.0, 0.035, 0.6]), np.linspace(0, 9.42, 30)):
        np.testing.assert_array_equal(check_angles(degrees, "a.tlt", unit="degree")[0], np.deg2rad(degrees))
        assert not np.any(np.abs(check_angles(degrees, "a.tlt")[0] - np.deg2rad(degrees)) > 1e-12)


def test_a_range_of_three_degrees_without_a_unit_is_named() -> None:
    angles, notes = check_angles([-1.07, -0.702, 0.006, 0.717, 1.058], "a.tlt")
    np.testing.assert_allclose(np.rad2deg(angles), [-1.07, -0.702, 0.006, 0.717, 1.058])
    assert notes == (
        "a.tlt: its angles from -1.07 to 1.058 are taken as degrees; if they are radians, say so (--angle-unit radian)",
    )
    assert check_angles([-1.07, 0.0, 1.058], "a.tlt", unit="degree")[1] == ()


def test_most_angles_alike_are_named() -> None:
    assert check_angles([0, 0, 0, 0, 5], "a.tlt")[1] == ("a.tlt: 4 of its 5 angles are 0; are these tilts?",)
    assert check_angles([0, 0, 10, 10, 20, 20], "a.tlt")[1] == ()  # two frames a tilt


@pytest.mark.parametrize("top", [2.0, 3.0, 4.0, 8.0])
def test_tilts_beyond_a_right_angle_on_both_sides_are_degrees(top: float) -> None:
    values = np.linspace(-top, top, 31)
    assert looks_like_degrees(values)
    with pytest.raises(UnclearUnitError, match="look like degrees, but the file says radian"):
        check_stated_unit(values, "a.h5", "radian")


def test_a_full_turn_around_zero_is_no_list_of_degrees() -> None:
    for radians in (np.linspace(-np.pi, np.pi, 31), np.linspace(-np.pi, np.pi, 30, endpoint=False)):
        assert not looks_like_degrees(radians)
        check_stated_unit(radians, "a.h5", "radian")


def test_a_stated_unit_of_degrees_is_denied_by_a_tiny_range() -> None:
    with pytest.raises(UnclearUnitError, match="look like radians, but the file says degree"):
        check_stated_unit(np.deg2rad(np.linspace(-4, 4, 31)), "a.h5", "degree")
    check_stated_unit(np.linspace(-0.2, 0.2, 5), "a.h5", "degree")  # round numbers of degrees


@pytest.mark.parametrize("values", [DEGREES + 0j, torch.tensor([1 + 2j, 3j])])
def test_complex_angles_are_refused(values: object) -> None:
    with pytest.raises(InputError, match="complex"):
        check_angles(values, "a.npy")
    with pytest.raises(GeometryError, match="complex"):
        tomoprior.Geometry(values, (8, 4, 8))


def test_hdf5_and_zarr_know_milliradians(tmp_path: Path) -> None:
    milliradians = 1000 * np.deg2rad(DEGREES / 10)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["exchange/data"] = IMAGES
        file["exchange/theta"] = milliradians
        file["exchange/theta"].attrs["units"] = "mrad"
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    group.create_array("images", data=IMAGES)
    group.create_array("theta", data=milliradians).attrs["units"] = "mrad"
    for name in ("a.h5", "a.zarr"):
        np.testing.assert_allclose(np.rad2deg(read_series(tmp_path / name).geometry.angles), DEGREES / 10)


@pytest.mark.parametrize(
    "place", ["theta", "process/acquisition/theta", "exchange/angles", "exchange/tilt_deg", "measurement/rotation_angle"]
)
def test_data_exchange_with_its_angles_elsewhere(tmp_path: Path, place: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["exchange/data"], file[place] = IMAGES, DEGREES
    np.testing.assert_allclose(np.rad2deg(read_series(tmp_path / "a.h5").geometry.angles), DEGREES)


@pytest.mark.parametrize("values", [DEGREES.astype(complex), np.array(["a"] * N, "S1")])
def test_a_dataset_of_angles_that_are_no_numbers_is_one_line(tmp_path: Path, values: np.ndarray) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["exchange/data"], file["exchange/theta"] = IMAGES, values
    with pytest.raises(FormatError, match="exchange/theta does not hold real numbers"):
        read_series(tmp_path / "a.h5")


def test_an_npz_with_angles_as_objects_says_so(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", projections=IMAGES, angles=np.array(list(DEGREES), dtype=object))
    with pytest.raises(InputError, match="angles holds Python objects or is too large, and is not read"):
        read_series(tmp_path / "a.npz")
    assert open_stack(tmp_path / "a.npz").warnings == ()


@pytest.mark.parametrize("unit", ["deg", "Degrees", "degree"])
def test_an_npz_may_write_its_unit_in_any_way(tmp_path: Path, unit: str) -> None:
    small = np.linspace(-4, 4, N)
    np.savez(tmp_path / "a.npz", projections=IMAGES, angles=small, angle_unit=unit)
    np.testing.assert_allclose(np.rad2deg(read_series(tmp_path / "a.npz").geometry.angles), small)


# --- angles of the caller


def test_equal_angles_of_the_caller_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", IMAGES)
    with pytest.raises(InputError, match=r"all 6 angles that are given are 0\.5"):
        read_series(tmp_path / "a.npy", angles=np.full(N, 0.5))


def test_a_range_has_the_unit_that_is_given(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", IMAGES)
    angles = read_series(tmp_path / "a.npy", angles="-0.5:0.5:0.2", angle_unit="radian").geometry.angles
    np.testing.assert_allclose(angles, [-0.5, -0.3, -0.1, 0.1, 0.3, 0.5])
    with pytest.raises(InputError, match="say which they are"):  # degrees are stated nowhere here
        check_angles(np.round(np.deg2rad(np.arange(-5.0, 6.0)), 4), "a.tlt")


def test_a_range_of_several_turns_is_reduced_and_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", IMAGES)
    series = read_series(tmp_path / "a.npy", angles="0:1000:200")
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), [0, 200, 40, 240, 80, 280], atol=1e-9)
    assert "reduced modulo 360" in series.metadata["warnings"][0]


# --- tables


def table(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(rows))
    return path


@pytest.mark.parametrize("count", [[3, 0, 5, 1, 4, 2], [6, 5, 4, 3, 2, 1], [1, 2, 3, 4, 5, 6]])
def test_a_first_column_that_counts_in_any_order_is_no_angle(tmp_path: Path, count: list[int]) -> None:
    path = table(tmp_path / "a.txt", [f"{i} {d}" for i, d in zip(count, DEGREES, strict=True)])
    angles, notes = read_angles_and_notes(path)
    np.testing.assert_allclose(np.rad2deg(angles), DEGREES)
    assert "angles are taken from column 2" in notes[0]


@pytest.mark.parametrize("first", [np.arange(N) * 2, np.arange(N) * 1.5, [0, 1, 2, 4, 5, 6], [10.5, 11.7, 13, 14, 16, 19]])
def test_a_first_column_that_may_be_a_time_or_a_number_is_not_taken_silently(tmp_path: Path, first: np.ndarray) -> None:
    path = table(tmp_path / "a.txt", [f"{i} {d}" for i, d in zip(first, DEGREES, strict=True)])
    with pytest.raises(FormatError, match=r"columns 1, 2 can all hold the angles"):
        read_angles(path)


def test_rising_angles_beside_an_exposure_stay_the_angles(tmp_path: Path) -> None:
    path = table(tmp_path / "a.txt", [f"{d} {e}" for d, e in zip(DEGREES + 90, [1.2] * 3 + [1.3] * 3, strict=True)])
    np.testing.assert_allclose(np.rad2deg(read_angles(path)), DEGREES + 90)


@pytest.mark.parametrize("title", ["gradient", "radius", "trademark"])
def test_a_title_with_rad_inside_a_word_is_no_angle(tmp_path: Path, title: str) -> None:
    path = table(tmp_path / "a.csv", [f"{title},angle", *(f"{5 + i % 3},{d}" for i, d in enumerate(DEGREES))])
    np.testing.assert_allclose(np.rad2deg(read_angles(path)), DEGREES)


def test_a_title_tilt_that_counts_gives_way_to_tilt_angle(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", ["tilt,tilt_angle", *(f"{i},{d}" for i, d in enumerate(DEGREES))])
    np.testing.assert_allclose(np.rad2deg(read_angles(path)), DEGREES)


@pytest.mark.parametrize("title", ["theta_rad", "theta (rad)", "angle [radians]", "rad"])
def test_a_title_that_says_radians(tmp_path: Path, title: str) -> None:
    radians = np.deg2rad(DEGREES)
    path = table(tmp_path / "a.csv", [f"i,{title}", *(f"{i},{r}" for i, r in enumerate(radians))])
    np.testing.assert_allclose(read_angles(path), radians)


def test_quoted_words_and_a_title_alone(tmp_path: Path) -> None:
    quoted = table(tmp_path / "a.csv", ['"i","angle"', *(f'"{i}","{d}"' for i, d in enumerate(DEGREES))])
    titled = table(tmp_path / "a.tlt", ["angle", *(str(d) for d in DEGREES)])
    for path in (quoted, titled):
        np.testing.assert_allclose(np.rad2deg(read_angles(path)), DEGREES)
