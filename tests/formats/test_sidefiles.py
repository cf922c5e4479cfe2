"""Angles and shifts from side files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tomoprior.errors import FormatError, InputError, TomopriorError
from tomoprior.formats.mdoc import mdoc_pixel_size
from tomoprior.formats.sidefiles import find_angles, read_angles, read_shifts, write_angles

MDOC = """PixelSpacing = 2.74
ImageFile = ts.mrc

[T = SerialEM: Titan Krios]

[ZValue = 1]
TiltAngle = 3.01
StagePosition = 1 2

[ZValue = 0]
TiltAngle = -60.0
PixelSpacing = 3
"""


@pytest.mark.parametrize(
    ("name", "text", "degrees"),
    [
        ("a.tlt", "-60\n0.0\n 60.5 \n", [-60, 0, 60.5]),
        ("a.rawtlt", "\ufeff-60\r\n\r\n+6e1\r\n", [-60, 60]),
        ("a.txt", "# degrees\n1\n2\n", [1, 2]),
        ("a.csv", "angle;dose\n-60;1.5\n60;3\n", [-60, 60]),
        ("a.csv", "-60,1\n60,2\n", [-60, 60]),
        ("a.mdoc", MDOC, [-60, 3.01]),
        ("A.MDOC", MDOC, [-60, 3.01]),
    ],
)
def test_degrees_become_radians(tmp_path: Path, name: str, text: str, degrees: list[float]) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    np.testing.assert_allclose(read_angles(path), np.deg2rad(degrees))
    np.testing.assert_allclose(read_angles(str(path)), np.deg2rad(degrees))


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("a.tlt", b"", "no angle in it"),
        ("a.tlt", b"\n\n", "no angle in it"),
        ("a.tlt", b"1\ntwo\n", r"line 2 holds 'two', which is not a number"),
        ("a.tlt", b"1\n2,5\n", r"decimal comma"),
        ("a.tlt", b"1\nnan\n", r"line 2 holds nan, which is not a finite number"),
        ("a.tlt", b"1_0\n", "not a number"),
        ("a.tlt", b"1 2\n", "line 1 has 2 words"),
        ("a.tlt", b"1\0\0", "not a text file"),
        ("a.csv", b"angle\ntilt\n", "line 2 holds 'tilt'"),
        ("a.mdoc", b"PixelSpacing = 3\n", "no .ZValue"),
        ("a.mdoc", b"[ZValue = 0]\nTiltAngle = 1\n[ZValue = 1]\n", "no TiltAngle for ZValue 1"),
        ("a.mdoc", b"[ZValue = 0]\nTiltAngle = x\n", "TiltAngle of ZValue 0 holds 'x'"),
        ("a.mdoc", b"[ZValue = 0]\n[ZValue = 0]\n", "ZValue 0 appears twice"),
        ("a.mdoc", b"[ZValue = one]\n", "not a whole number"),
    ],
)
def test_broken_files_say_where(tmp_path: Path, name: str, raw: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(raw)
    with pytest.raises(FormatError, match=message) as caught:
        read_angles(path)
    assert str(path) in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such file"):
        read_angles(tmp_path / "none.tlt")
    with pytest.raises(FormatError, match="a folder, where a file was expected"):
        read_angles(tmp_path)


def test_radians_are_not_taken_for_degrees(tmp_path: Path) -> None:
    path = tmp_path / "a.tlt"
    np.savetxt(path, np.linspace(-1.047, 1.047, 41))
    with pytest.raises(InputError, match=r"look like radians.*angle_unit"):
        read_angles(path)
    np.testing.assert_allclose(read_angles(path, unit="radian"), np.linspace(-1.047, 1.047, 41))
    np.testing.assert_allclose(read_angles(path, unit="degree"), np.deg2rad(np.linspace(-1.047, 1.047, 41)))
    with pytest.raises(InputError, match="grad"):
        read_angles(path, unit="grad")


@pytest.mark.parametrize("degrees", [np.arange(-4, 5, 2.0), np.arange(-60, 61, 3.0), np.arange(0, 8, 0.1), [0.0]])
def test_small_ranges_that_are_real(tmp_path: Path, degrees: np.ndarray) -> None:
    path = tmp_path / "a.tlt"
    np.savetxt(path, degrees)
    np.testing.assert_allclose(read_angles(path), np.deg2rad(degrees), atol=1e-12)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-180, 180), min_size=2, max_size=20, unique_by=lambda v: round(v, 6)))
def test_written_angles_come_back(tmp_path_factory: pytest.TempPathFactory, degrees: list[float]) -> None:
    path = tmp_path_factory.mktemp("angles") / "a.tlt"
    write_angles(path, np.deg2rad(degrees))
    np.testing.assert_allclose(np.rad2deg(read_angles(path, unit="degree")), degrees, atol=1e-6)


def test_which_file_is_found(tmp_path: Path) -> None:
    stack = tmp_path / "ts.mrc"
    assert find_angles(stack) is None
    for name in ("ts.mdoc", "ts.mrc.mdoc", "ts.mrc.rawtlt", "ts.rawtlt", "ts.mrc.tlt", "ts.tlt"):  # each goes before the last
        (tmp_path / name).touch()
        assert find_angles(stack) is not None
        if name != "ts.mrc.mdoc":
            assert find_angles(stack) == tmp_path / name
    assert find_angles(str(tmp_path / "ts_ali.mrc")) == tmp_path / "ts.tlt"
    assert find_angles(tmp_path / "ts.st") == tmp_path / "ts.tlt"
    assert find_angles(tmp_path / "other.mrc") is None


def test_shifts_are_the_opposite_of_the_transform(tmp_path: Path) -> None:
    path = tmp_path / "a.xf"
    path.write_text("1 0 0 1 2.5 -3\n\n   1.0001 0.0 0.0  0.9999  0   0\n")
    np.testing.assert_array_equal(read_shifts(path), [[3, -2.5], [0, 0]])


def test_a_shifted_feature_lies_where_the_geometry_says(tmp_path: Path) -> None:
    # IMOD moves the raw image by (DX, DY) to where it belongs; a feature that belongs at (row, column) is found at + shifts
    path = tmp_path / "a.xf"
    path.write_text("1 0 0 1 4 -1\n")
    belongs = np.zeros((16, 16))
    belongs[7, 9] = 1
    dy, dx = read_shifts(path)[0].astype(int)
    raw = np.zeros((16, 16))
    raw[7 + dy, 9 + dx] = 1
    moved = np.roll(raw, (-1, 4), (0, 1))  # what newstack -xform does with this line
    np.testing.assert_array_equal(moved, belongs)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", FormatError, "empty"),
        ("1 0 0 1 2\n", FormatError, "line 1 has 5 numbers"),
        ("1 0 0 1 2 x\n", FormatError, "line 1 holds 'x'"),
        ("1 0 0 1 2 inf\n", FormatError, "finite"),
        ("1 0 0 1 0 0\n0.985 -0.17 0.17 0.985 1 1\n", InputError, "tilt 1 rotates.*newstack"),
        ("1.002 0 0 1 0 0\n", InputError, "align the stack first"),
    ],
)
def test_transforms_that_are_no_shifts(tmp_path: Path, text: str, error: type[TomopriorError], message: str) -> None:
    path = tmp_path / "a.xf"
    path.write_text(text)
    with pytest.raises(error, match=message):
        read_shifts(path)


def test_pixel_size_of_an_mdoc(tmp_path: Path) -> None:
    path = tmp_path / "a.mdoc"
    path.write_text(MDOC)
    assert mdoc_pixel_size(path) == 2.74
    path.write_text(MDOC.replace("PixelSpacing = 2.74", ""))
    assert mdoc_pixel_size(path) == 3.0
    path.write_text("[ZValue = 0]\nPixelSpacing = 0\n")
    assert mdoc_pixel_size(path) is None
