"""Tables of angles as spreadsheets of different countries write them, and ranges that lack a part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tomoprior.errors import FormatError, InputError
from tomoprior.formats import read_series
from tomoprior.formats.sidefiles import read_angles, read_angles_and_notes

DEGREES = [-60.5, -20.25, 0.0, 20.75, 61.0]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_comma_between_semicolons_or_tabs_is_a_decimal_point(tmp_path: Path, separator: str) -> None:
    rows = [separator.join((str(d).replace(".", ","), str(60 * i))) for i, d in enumerate(DEGREES)]
    path = tmp_path / "a.csv"
    path.write_text("\n".join([f"Tilt Angle [°]{separator}Zeit", *rows]), encoding="utf-8")
    np.testing.assert_allclose(np.rad2deg(read_angles(path)), DEGREES)


@pytest.mark.parametrize("separator", [",", ";", "\t", " , "])
def test_the_separator_of_a_table_with_points(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["# made by hand", f"i{separator}angle", *(f"{i}{separator}{d}" for i, d in enumerate(DEGREES))]))
    np.testing.assert_allclose(np.rad2deg(read_angles(path)), DEGREES)


def test_a_decimal_comma_that_makes_a_column_of_its_own_is_refused_or_named(tmp_path: Path) -> None:
    numbers = [f"{d}".replace(".", ",") for d in (-60.5, -20.5, 20.5, 60.5)]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["tilt", *numbers]))
    with pytest.raises(FormatError, match="line 2 has 2 columns and 1 titles; write decimal points"):
        read_angles(path)
    path.write_text("\n".join(numbers))
    angles, notes = read_angles_and_notes(path)
    np.testing.assert_allclose(np.rad2deg(angles), [-60, -20, 20, 60])
    assert "if its commas are decimal points, write points" in notes[0]


def test_names_of_images_before_the_angles(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("\n".join(f"tilt_{i:03d}.tif {d}" for i, d in enumerate(DEGREES)))
    angles, notes = read_angles_and_notes(path)
    np.testing.assert_allclose(np.rad2deg(angles), DEGREES)
    assert notes == (f"{path}: its first column holds words; the angles are taken from column 2",)
    path.write_text("\n".join(f"tilt_{i:03d}.tif {d} {d + 1}" for i, d in enumerate(DEGREES)))
    with pytest.raises(FormatError, match=r"'tilt_000\.tif', which is not a number"):
        read_angles(path)


@pytest.mark.parametrize("text", ["-60:60", "-60,60,2", "-60:60:2:1", " 0 : 180 "])
def test_a_range_that_is_none_says_how_one_is_written(tmp_path: Path, text: str) -> None:
    np.save(tmp_path / "a.npy", np.zeros((5, 2, 4), np.float32))
    with pytest.raises(InputError, match="a range of angles is START:END:STEP"):
        read_series(tmp_path / "a.npy", angles=text)


def test_angles_of_two_axes_are_told_by_their_shape(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((5, 2, 4), np.float32))
    with pytest.raises(InputError, match=r"5 tilts, but angles of shape \(1, 5\) given"):
        read_series(tmp_path / "a.npy", angles=np.deg2rad(DEGREES)[None])
