"""JSON text: an object of bounded depth comes back, and every other text is one line."""

from __future__ import annotations

import json

import pytest

from tomoprior.storage.records import DEPTH_LIMIT, parse_json


def nested(levels: int) -> dict:
    """An object with ``levels`` objects one inside the other, itself included."""
    value: dict = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def test_an_object_comes_back_from_text_and_from_bytes() -> None:
    values = {"name": "å", "list": [1, 2.5, None, True], "inner": {"a": {}}}
    text = json.dumps(values, ensure_ascii=False)
    assert parse_json(text) == values
    assert parse_json(text.encode()) == values


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
    ],
)
def test_other_text_is_one_line(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse_json(content)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_depth_is_accepted_up_to_the_limit() -> None:
    assert parse_json(json.dumps(nested(DEPTH_LIMIT))) == nested(DEPTH_LIMIT)
    with pytest.raises(ValueError, match="nested"):
        parse_json(json.dumps(nested(DEPTH_LIMIT + 1)))


def test_a_name_twice_is_refused_where_names_must_be_unique() -> None:
    assert parse_json('{"a": 1, "a": 2}') == {"a": 2}
    with pytest.raises(ValueError, match="same name stands twice"):
        parse_json('{"b": {"a": 1, "a": 2}}', unique=True)
