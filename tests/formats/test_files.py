"""Files appear whole or not at all, and what the disk says is one line that names the output."""

from __future__ import annotations

from pathlib import Path

import pytest

from tomoprior.errors import FormatError, InputError
from tomoprior.formats.files import safe, told


def test_a_safe_file_appears_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with safe(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("error", "told_as", "message"),
    [
        (ZeroDivisionError("x"), ZeroDivisionError, "x"),
        (InputError("y"), InputError, "y"),
        (OSError(28, "No space"), FormatError, r"a\.json: cannot be written \(No space left on device\); go on"),
    ],
)
def test_a_safe_file_that_fails_leaves_the_one_before(tmp_path: Path, error: Exception, told_as: type, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def write() -> None:
        with safe(path, "; go on") as file:
            file.write(b"ne")
            raise error

    with pytest.raises(told_as, match=message):
        write()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_an_error_that_is_told_already_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"^no such thing$"), told(tmp_path / "a"):
        raise FormatError("no such thing")
