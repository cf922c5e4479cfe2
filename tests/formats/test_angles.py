"""Angles are checked wherever they enter: values, unit, source, order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tomoprior.errors import InputError
from tomoprior.formats import read
from tomoprior.formats.angle_ranges import parse_range
from tomoprior.formats.angle_sources import degrees_note
from tomoprior.formats.angles import UnclearUnitError, check_angles, usable_angles
from tomoprior.formats.sidefiles import read_angles, read_angles_and_notes

SIXTY = np.arange(-60.0, 61.0, 3.0)


def test_degrees_without_a_unit_become_radians():
    angles, notes = check_angles([-90, 0, 30], "a.tlt")
    np.testing.assert_allclose(angles, [-np.pi / 2, 0, np.pi / 6])
    assert notes == ()


@pytest.mark.parametrize(
    "radians",
    [
        np.deg2rad(SIXTY),
        np.linspace(0, np.pi, 61, endpoint=False),
        np.linspace(0, 2 * np.pi, 181, endpoint=False),
        np.deg2rad([-60.0, -30.0, 0.0, 30.0, 60.0]),  # few, but round in degrees
        np.deg2rad(np.arange(-180.0, 180.0, 45.0)),
    ],
)
def test_radians_where_degrees_are_expected_are_refused(radians):
    with pytest.raises(UnclearUnitError, match=r"look like radians.*--angle-unit"):
        check_angles(radians, "a.tlt")
    np.testing.assert_array_equal(check_angles(radians, "a.tlt", unit="radian")[0], radians)


@pytest.mark.parametrize(
    "degrees",
    [
        np.arange(-4.0, 4.1, 2),
        np.arange(-8.0, 9.0),
        np.arange(-5, 5.05, 0.1),
        [0.0, 1.0],
        SIXTY,
        SIXTY + 0.013,
        [-60.2, 3.1, 7],
    ],
)
def test_degrees_of_small_ranges_are_degrees(degrees):
    np.testing.assert_allclose(check_angles(degrees, "a.tlt")[0], np.deg2rad(degrees))


@pytest.mark.parametrize("top", [2, 3, 4, 5, 8, 12])
def test_round_degrees_where_radians_are_expected_are_noticed(top):
    degrees = np.linspace(-top, top, 2 * top + 1)
    with pytest.raises(UnclearUnitError, match=r"look like degrees"):
        check_angles(degrees, "a.npz", default="radian")
    assert "look like degrees" in degrees_note(degrees)[0]
    np.testing.assert_allclose(check_angles(degrees, "a.npz", unit="degree")[0], np.deg2rad(degrees))


@pytest.mark.parametrize(
    "radians", [np.deg2rad(SIXTY), np.linspace(0, 2 * np.pi, 90), np.linspace(0, 4 * np.pi, 90), np.array([0.0, 1.0, 2.0])]
)
def test_radians_are_not_taken_for_degrees(radians):
    assert degrees_note(radians) == ()
    np.testing.assert_allclose(check_angles(radians, "a.npz", default="radian")[0] % (2 * np.pi), radians % (2 * np.pi))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([3.0] * 4, "all 4 angles are 3, so this is no tilt series"),
        ([0, 1e9], r"angle 1 \(counted from 0\) is 1e\+09, which is no tilt angle"),
        ([0, np.nan], r"angle 1 \(counted from 0\) is not finite \(1 of 2 angles\)"),
        ([], "no angle in it"),
        (["x"], "not numbers"),
        ([1, 2, 3], "3 angles for 2 tilts"),
    ],
)
def test_lists_that_cannot_be_tilts(values, message):
    with pytest.raises(InputError, match=f"a.tlt: .*{message}"):
        check_angles(values, "a.tlt", n=len(values) if len(values) != 3 else 2)


def test_one_angle_may_be_zero():
    assert check_angles([0.0], "a.tlt")[0].tolist() == [0.0]


def test_more_than_one_turn_is_reduced_where_the_unit_is_stated():
    degrees = np.array([0.0, 359, 361, 1439])
    angles, notes = check_angles(degrees, "scan.h5", unit="degree")
    np.testing.assert_allclose(np.rad2deg(angles), [0, 359, 1, 359])
    assert notes == ("scan.h5: angles from 0 to 1439 degrees are more than one turn; reduced modulo 360",)
    with pytest.raises(InputError, match="1439 degrees is more than two turns"):
        check_angles(degrees, "a.tlt")
    np.testing.assert_allclose(np.rad2deg(check_angles([0.0, 360.0], "a.tlt")[0]), [0, 360])
    angles, _ = check_angles([0.0, 6.0, 15.0], "scan.h5", unit="radian")
    np.testing.assert_allclose(angles, [0, 6, 15 - 4 * np.pi])


def test_a_rejection_keeps_numbers_of_an_unclear_unit_only():
    angles, rejected, notes = usable_angles(np.deg2rad(SIXTY), 41, "a.h5: theta")
    assert angles is None
    np.testing.assert_array_equal(rejected.values, np.deg2rad(SIXTY))
    assert notes[0].endswith("not used")
    angles, rejected, _ = usable_angles(SIXTY, 40, "a.h5: theta")
    assert (angles, rejected.values) == (None, None)
    assert rejected.reason == "a.h5: theta: 41 angles for 40 tilts"


def test_ranges():
    np.testing.assert_array_equal(parse_range("-60:60:2"), np.arange(-60, 61, 2))
    np.testing.assert_array_equal(parse_range("9:0:-3"), [9, 6, 3, 0])
    assert parse_range("0:1:0.1").tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert parse_range("series.tlt") is None
    assert parse_range("1:2") is None
    for text in ("0:60:0", "0:60:-1", "0:1e9:1e-3", "0:nan:1"):
        with pytest.raises(InputError):
            parse_range(text)


@pytest.mark.parametrize(
    ("text", "degrees", "note"),
    [
        ("1 -60\n2 0\n3 60.5\n", [-60, 0, 60.5], "counts the images"),
        ("0 -60 1.5\n1 0 3\n2 60.5 4.5\n", [-60, 0, 60.5], "counts the images"),
        ("-60 1 0.0\n0 3 3.0\n60 2 6.0\n", [-60, 0, 60], None),  # AreTomo: angle, acquisition, dose
        ("image tilt dose\n0 -60 1\n1 -58 1\n", [-60, -58], None),
        ("% tilts\n-60\n-58\n", [-60, -58], None),
        ("10 1\n20 2\n30 3\n", [10, 20, 30], None),
    ],
)
def test_tables(tmp_path: Path, text: str, degrees: list[float], note: str | None):
    side = tmp_path / "a.txt"
    side.write_text(text)
    angles, notes = read_angles_and_notes(side)
    np.testing.assert_allclose(np.rad2deg(angles), degrees)
    assert (note in notes[0]) if note else notes == ()


def test_titles_of_a_csv_name_the_column_and_its_unit(tmp_path: Path):
    side = tmp_path / "a.csv"
    side.write_text("image,dose,tilt_rad\n0,1.5,-1\n1,3,0\n2,4.5,1\n")
    np.testing.assert_allclose(read_angles(side), [-1, 0, 1])
    side.write_text("number;Tilt (deg)\n1;-60\n2;0\n")
    np.testing.assert_allclose(np.rad2deg(read_angles(side)), [-60, 0])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_encodings_of_windows(tmp_path: Path, encoding: str):
    side = tmp_path / "a.tlt"
    side.write_bytes("-60\r\n0\r\n60\r\n".encode(encoding))
    np.testing.assert_allclose(np.rad2deg(read_angles(side)), [-60, 0, 60])


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "ts.npy"
    np.save(path, np.ones((5, 2, 8), np.float32))
    return path


def put(stack: Path, suffix: str, degrees: list[float]) -> None:
    stack.with_name(f"ts{suffix}").write_text("".join(f"{d}\n" for d in degrees))


def put_mdoc(stack: Path, degrees: list[float]) -> None:
    text = "".join(f"[ZValue = {i}]\nTiltAngle = {d}\n" for i, d in enumerate(degrees))
    stack.with_suffix(".mdoc").write_text(text)


def test_a_range_in_place_of_a_file(stack: Path):
    series = read(stack, angles="-60:60:30")
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), [-60, -30, 0, 30, 60])
    assert series.metadata["angles_from"] == "-60:60:30"
    with pytest.raises(InputError, match="5 tilts, but 61 angles in -60:60:2"):
        read(stack, angles="-60:60:2")


def test_an_absurd_angle_is_named_with_file_and_line(stack: Path):
    put(stack, ".tlt", [-20, -10, 0, 1567301525373690323140608.00, 20])
    with pytest.raises(InputError, match=r"ts\.tlt: line 4 is 1\.5673e\+24, which is no tilt angle"):
        read(stack)


def test_sources_that_agree_say_nothing(stack: Path):
    put(stack, ".tlt", [-60.1, -30, 0.2, 30, 60])
    put(stack, ".rawtlt", [-60, -30, 0, 30, 60])
    assert read(stack).metadata["warnings"] == []


def test_sources_that_disagree_are_named(stack: Path):
    put(stack, ".tlt", [-50, -25, 0, 25, 50])
    put(stack, ".rawtlt", [-60, -30, 0, 30, 60])
    series = read(stack)
    assert np.rad2deg(series.geometry.angles[0]) == pytest.approx(-50)
    (line,) = series.metadata["warnings"]
    assert line.endswith("ts.tlt; ts.rawtlt differs by up to 10 degrees")


def test_the_list_of_aretomo_comes_before_the_log_of_the_microscope(stack: Path):
    put(stack, "_TLT.txt", ["-60 4 9", "-30 2 3", "0 1 0", "30 3 6", "60 5 12"])
    put_mdoc(stack, [0, -30, 30, -60, 60])
    series = read(stack)
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), [-60, -30, 0, 30, 60])
    assert "ts.mdoc differs in the order of the tilts" in series.metadata["warnings"][0]


def test_a_log_in_the_order_of_acquisition_is_used_with_a_note(stack: Path):
    put_mdoc(stack, [0, -30, 30, -60, 60])
    series = read(stack)
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), [0, -30, 30, -60, 60])
    assert "order of acquisition (0, -30, 30, ... degrees)" in series.metadata["warnings"][0]
    put_mdoc(stack, [60, 30, 0, -30, -60])
    assert read(stack).metadata["warnings"] == []


def test_angles_of_an_array_that_look_like_degrees(stack: Path):
    assert "look like degrees" in read(stack, angles=[-4, -2, 0, 2, 4]).metadata["warnings"][0]
    series = read(stack, angles=[-4, -2, 0, 2, 4], angle_unit="degree")
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), [-4, -2, 0, 2, 4])
    assert series.metadata["warnings"] == []


@pytest.mark.parametrize("suffix", [".npz", ".zarr"])
def test_degrees_in_an_archive_of_radians(tmp_path: Path, suffix: str):
    path = tmp_path / f"a{suffix}"
    if suffix == ".npz":
        np.savez(path, projections=np.ones((5, 2, 8)), angles=[-60.0, -30, 0, 30, 60])
    else:
        import zarr

        array = zarr.create_array(str(path), shape=(5, 2, 8), dtype="f4", attributes={"angles": [-60.0, -30, 0, 30, 60]})
        array[:] = 1
    with pytest.raises(InputError, match=r"no tilt angles: .*look like degrees.*--angle-unit"):
        read(path)
    series = read(path, angle_unit="degree")
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), [-60, -30, 0, 30, 60])


def test_steps_of_more_than_a_turn_are_no_tilts_whatever_unit_is_stated() -> None:
    """Thousandths of a degree that a file calls degrees."""
    with pytest.raises(InputError, match="its angles are 2000 degrees apart, so these are no degrees"):
        check_angles(np.arange(-60, 61, 2) * 1000, "a.h5", unit="degree")
    golden = np.arange(61) * 222.4922  # a real order of acquisition
    np.testing.assert_allclose(check_angles(golden, "a.h5", unit="degree")[0], np.deg2rad(golden % 360), atol=1e-9)
