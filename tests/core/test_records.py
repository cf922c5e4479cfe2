"""JSON records: what is no record of bounded size and depth is one line that names the file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tomoprior.errors import FormatError, NoSuchFileError
from tomoprior.storage.records import DEPTH_LIMIT, load_json, parse_json


def nested(levels: int) -> dict:
    """An object with ``levels`` objects one inside the other, itself included."""
    value: dict = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def test_a_record_comes_back(tmp_path: Path) -> None:
    values = {"name": "å", "list": [1, 2.5, None, True], "inner": {"a": {}}}
    (tmp_path / "r.json").write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    assert load_json(tmp_path / "r.json") == values


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"{} {}", "Extra data"),
        (b'{"a": \xff}', "can't decode byte 0xff"),
        (b'\xef\xbb\xbf{"a": 1}', "BOM"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "digits"),
        (b"[1, 2]", "holds a list and not an object"),
        (b"null", "holds a NoneType and not an object"),
        (b'"text"', "holds a str and not an object"),
        (b"[" * 100_000, "nested more than 64 levels"),
        (b'{"a":' * 100_000, "nested more than 64 levels"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, "nested more than 64 levels"),
        (b'{"a": "' + b"x" * 3000 + b'"}', "larger than 2000 bytes"),
    ],
)
def test_what_is_no_record_is_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=f"r.json: not a JSON record.*{reason}") as caught:
        load_json(path, 2000 if reason.startswith("larger") else 10**7)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_size_and_depth_are_accepted_up_to_the_limit(tmp_path: Path) -> None:
    text = json.dumps(nested(DEPTH_LIMIT))
    (tmp_path / "r.json").write_text(text)
    assert load_json(tmp_path / "r.json", len(text)) == nested(DEPTH_LIMIT)
    with pytest.raises(FormatError, match="larger than"):
        load_json(tmp_path / "r.json", len(text) - 1)
    with pytest.raises(ValueError, match="nested"):
        parse_json(json.dumps(nested(DEPTH_LIMIT + 1)))


def test_what_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(NoSuchFileError, match=r"none\.json: no such file"):
        load_json(tmp_path / "none.json")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(FormatError, match="not a regular file"):
            load_json(path)


def test_a_name_twice_is_refused_where_names_must_be_unique() -> None:
    assert parse_json('{"a": 1, "a": 2}') == {"a": 2}
    with pytest.raises(ValueError, match="same name stands twice"):
        parse_json('{"b": {"a": 1, "a": 2}}', unique=True)
