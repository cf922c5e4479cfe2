"""Writes are atomic and never go through a link that stands in place of a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tomoprior.errors import FormatError
from tomoprior.storage.files import open_atomic, remove_tree


def test_a_link_in_place_of_the_file_is_replaced_and_its_target_stays(tmp_path: Path) -> None:
    other, record = tmp_path / "precious", tmp_path / "record.json"
    other.write_text("years of work")
    record.symlink_to(other)
    with open_atomic(record) as file:
        file.write(b"{}")
    assert record.read_text() == "{}"
    assert not record.is_symlink()
    assert other.read_text() == "years of work"


def test_a_temporary_name_that_exists_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names are random; even a link with the right one is not opened."""

    class Fixed:
        hex = "0" * 32

    monkeypatch.setattr("uuid.uuid4", Fixed)
    other = tmp_path / "precious"
    other.write_text("years of work")
    (tmp_path / ".record.json.00000000").symlink_to(other)
    with pytest.raises(FormatError, match="File exists"), open_atomic(tmp_path / "record.json") as file:
        file.write(b"{}")
    assert other.read_text() == "years of work"
    assert not (tmp_path / "record.json").exists()


def test_removing_a_link_keeps_its_target(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    remove_tree(tmp_path / "link")
    assert folder.is_dir()
    assert not (tmp_path / "link").is_symlink()
