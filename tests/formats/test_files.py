"""Files appear whole or not at all, and what the disk says is one line that names the output."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tomoprior.errors import FormatError, InputError
from tomoprior.storage.files import open_atomic, put_in_place, reraise_disk_errors


def test_a_safe_file_appears_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with open_atomic(path) as file:
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
        with open_atomic(path, "; go on") as file:
            file.write(b"ne")
            raise error

    with pytest.raises(told_as, match=message):
        write()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_an_error_that_is_told_already_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"^no such thing$"), reraise_disk_errors(tmp_path / "a"):
        raise FormatError("no such thing")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_made_replaces_what_a_link_leads_to_on_another_disk(tmp_path: Path, kind: str) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no other disk here")
    made, link = tmp_path / "made", tmp_path / "out"
    with TemporaryDirectory(dir=other) as disk:
        link.symlink_to(Path(disk) / "out")
        for content in ("new", "newer"):
            if kind == "folder":
                made.mkdir()
            (made / "a" if kind == "folder" else made).write_text(content)
            put_in_place(made, link)
            assert link.is_symlink()
            assert (link / "a" if kind == "folder" else link).read_text() == content
            assert [p.name for p in Path(disk).iterdir()] == ["out"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_cannot_be_moved_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, target = tmp_path / "made", tmp_path / "out"
    for folder in (made, target):
        folder.mkdir()
        (folder / "a").write_text(folder.name)
    replace = os.replace

    def refused(a: Path, b: Path) -> None:
        if a == made:
            raise OSError(5, "Input/output error")
        replace(a, b)

    monkeypatch.setattr("tomoprior.storage.files.os.replace", refused)
    with pytest.raises(OSError, match="Input/output"):
        put_in_place(made, target)
    assert (target / "a").read_text() == "out"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["made", "out"]
