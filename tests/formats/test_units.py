"""Units as files write them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomoprior.units import UNITS, convert_length, parse_size, parse_unit, unit_symbol


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("nm", "nanometer"), (b"nm", "nanometer"), (" Nanometers ", "nanometer"),
        ("\u00b5m", "micrometer"), ("\u03bcm", "micrometer"),
        ("micron", "micrometer"), ("\\u00B5m", "micrometer"), ("\u00c5", "angstrom"), ("\u212b", "angstrom"),
        ("Angstrom", "angstrom"),
        ("mm", "millimeter"), ("m", "meter"), ("pixel", "pixel"), ("", None), ("furlong", None), (3, None), (None, None),
        (b"\xff", None),
    ],
)  # fmt: skip
def test_names(text: object, unit: str | None) -> None:
    assert parse_unit(text) == unit


@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_is_read_as_it_is_written(unit: str) -> None:
    assert parse_unit(unit) == unit
    assert parse_unit(unit_symbol(unit)) == unit


def test_conversion() -> None:
    assert convert_length(1.7994916, "nanometer", "angstrom") == 17.994916
    assert convert_length(1.0, "meter", "angstrom") == 1e10
    assert convert_length(5.0, "angstrom", "nanometer") == 0.5
    assert convert_length(3.0, "pixel", "angstrom") == 3.0
    with pytest.raises(ValueError, match="furlong"):
        convert_length(1.0, "furlong", "meter")


@given(st.sampled_from(UNITS), st.sampled_from(UNITS), st.floats(1e-12, 1e12))
def test_there_and_back(a: str, b: str, value: float) -> None:
    np.testing.assert_allclose(convert_length(convert_length(value, a, b), b, a), value, rtol=1e-15)


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf, 1e30, 1e-30, "x", None, [1, 2], "nan"])
def test_sizes_that_cannot_be(value: object) -> None:
    assert parse_size(value) is None


def test_sizes_that_can() -> None:
    assert parse_size("1.5") == 1.5
    assert parse_size(np.float32(2)) == 2.0
