"""One list of units of angles, and one behaviour wherever angles enter."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr

from tomoprior.errors import InputError
from tomoprior.formats import open_stack, read_series
from tomoprior.formats.angle_units import parse_angle_unit, unit_in_title
from tomoprior.formats.sidefiles import read_angles, read_angles_and_notes

DEGREES = np.array([-60.0, -36.0, -12.5, 12.0, 36.0, 61.5])
IMAGES = np.arange(6 * 4 * 8, dtype=np.float32).reshape(6, 4, 8)
#: How many of a unit are one degree.
PER_DEGREE = {"mrad": 1000 * np.pi / 180, "gon": 10 / 9, "turns": 1 / 360, "arc min": 60.0, "µrad": 1e6 * np.pi / 180}


@pytest.mark.parametrize(
    ("text", "value", "name", "converted"),
    [
        ("mrad", 500.0, "radian", 0.5),
        ("µrad", 500.0, "radian", 0.0005),
        ("gon", -50.0, "degree", -45.0),
        ("Gradians", 100.0, "degree", 90.0),
        ("turns", 0.25, "degree", 90.0),
        ("arc min", 90.0, "degree", 1.5),
        ("arcseconds", 1800.0, "degree", 0.5),
        ("[deg]", 7.0, "degree", 7.0),
        ("degrees (CCW)", 7.0, "degree", 7.0),
        ("°", 7.0, "degree", 7.0),
        ("Radians", 0.7, "radian", 0.7),
    ],
)
def test_units_as_files_write_them(text: str, value: float, name: str, converted: float) -> None:
    unit = parse_angle_unit(text)
    assert unit.name == name
    assert np.asarray(unit.convert([value])).item() == pytest.approx(converted)
    assert unit.describe("a.h5", "degree") == ()


@pytest.mark.parametrize("text", ["cubits", "mm", "radius", "degC"])
def test_an_unknown_unit_is_named(text: str) -> None:
    unit = parse_angle_unit(text)
    assert unit.name is None
    assert unit.describe("a.h5", "degree") == (f"a.h5: the unit {text!r} is unknown; taken as degrees",)


@pytest.mark.parametrize("text", ["", "  ", "<undefined>", "None"])
def test_no_unit_is_none(text: str) -> None:
    assert parse_angle_unit(text).describe("a.h5", "degree") == ()


@pytest.mark.parametrize(
    ("name", "unit"),
    [("angles_deg", "degree"), ("theta_radians", "radian"), ("theta", None), ("tilt (mrad)", "radian"), ("polygon", None)],
)
def test_the_name_of_an_array_may_hold_the_unit(name: str, unit: str | None) -> None:
    assert parse_angle_unit("", name).name == unit


@pytest.mark.parametrize(
    ("title", "name", "factor"),
    [
        ("AngleRad", "radian", 1.0),
        ("tilt_mRad", "radian", 1e-3),
        ("TiltDeg", "degree", 1.0),
        ("tilt gon", "degree", 0.9),
        ("gradient angle", None, 1.0),
        ("Winkel (Grad)", None, 1.0),
    ],
)
def test_the_title_of_a_column_may_hold_the_unit(title: str, name: str | None, factor: float) -> None:
    unit = unit_in_title(title)
    assert (unit.name, unit.factor) == (name, factor)


def write_hdf5(path: Path, values: np.ndarray, unit: str) -> None:
    with h5py.File(path, "w") as file:
        file["exchange/data"], file["exchange/theta"] = IMAGES, values
        file["exchange/theta"].attrs["units"] = unit


def write_named_hdf5(path: Path, values: np.ndarray, unit: str) -> None:
    with h5py.File(path, "w") as file:
        file["images"], file[f"tilt_{unit.replace(' ', '')}"] = IMAGES, values


def write_emd(path: Path, values: np.ndarray, unit: str) -> None:
    with h5py.File(path, "w") as file:
        file["data/a/data"] = IMAGES
        for i, (name, axis) in enumerate((("tilt angle", values), ("y", np.arange(4.0)), ("x", np.arange(8.0))), 1):
            file[f"data/a/dim{i}"] = axis
            file[f"data/a/dim{i}"].attrs.update(name=name, units=unit if i == 1 else "nm")


def write_zarr_array(path: Path, values: np.ndarray, unit: str) -> None:
    group = zarr.open_group(str(path), mode="w")
    group.create_array("images", data=IMAGES)
    group.create_array("theta", data=values).attrs["units"] = unit


def write_zarr_attribute(path: Path, values: np.ndarray, unit: str) -> None:
    array = zarr.create_array(str(path), data=IMAGES)
    array.attrs.update(angles=values.tolist(), angle_unit=unit)


def write_npz(path: Path, values: np.ndarray, unit: str) -> None:
    np.savez(path, projections=IMAGES, angles=values, angle_unit=unit)


def write_npy(path: Path, values: np.ndarray, unit: str) -> None:
    text = json.dumps({"angles": values.tolist(), "angle_unit": unit}).encode()
    with path.open("wb") as file:
        np.save(file, IMAGES)
        np.save(file, np.frombuffer(text, np.uint8))


def write_table(path: Path, values: np.ndarray, unit: str) -> None:
    np.save(path, IMAGES)
    rows = [f"image,tilt angle ({unit})", *(f"{i},{float(v)!r}" for i, v in enumerate(values))]
    path.with_suffix(".csv").write_text("\n".join(rows), encoding="utf-8")


WRITERS = {
    "hdf5.h5": write_hdf5, "named.h5": write_named_hdf5, "emd.emd": write_emd, "array.zarr": write_zarr_array,
    "attribute.zarr": write_zarr_attribute, "a.npz": write_npz, "a.npy": write_npy, "table.npy": write_table,
}  # fmt: skip


@pytest.mark.parametrize("unit", PER_DEGREE)
@pytest.mark.parametrize("name", WRITERS)
def test_every_source_of_angles_converts_every_unit(tmp_path: Path, name: str, unit: str) -> None:
    path = tmp_path / name
    WRITERS[name](path, DEGREES * PER_DEGREE[unit], unit)
    series = read_series(path, **({"angles": path.with_suffix(".csv")} if name == "table.npy" else {}))
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), DEGREES, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "table.npy"])
def test_every_source_of_angles_names_an_unknown_unit(tmp_path: Path, name: str) -> None:
    values = np.deg2rad(DEGREES) if name in ("attribute.zarr", "a.npz", "a.npy") else DEGREES
    if name == "named.h5":  # a word that is no unit is a part of the name
        write_named_hdf5(tmp_path / name, values, "grad")
        expected = "the unit 'grad' stands for degrees or gons; taken as degrees"
    else:
        WRITERS[name](tmp_path / name, values, "cubits")
        expected = f"the unit 'cubits' is unknown; taken as {'degrees' if values is DEGREES else 'radians'}"
    stack = open_stack(tmp_path / name)
    np.testing.assert_allclose(np.rad2deg(stack.angles), DEGREES)
    assert any(expected in line for line in stack.warnings)


def test_a_title_in_grad_is_taken_as_degrees_with_a_note(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["Nr,tilt (Grad)", *(f"{i},{d}" for i, d in enumerate(DEGREES))]))
    angles, notes = read_angles_and_notes(path)
    np.testing.assert_allclose(np.rad2deg(angles), DEGREES)
    assert notes == (f"{path}: its column 'tilt (Grad)': the unit 'grad' stands for degrees or gons; taken as degrees",)


def test_a_unit_of_the_caller_beside_a_converted_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["i,angle_mrad", *(f"{i},{d}" for i, d in enumerate(DEGREES))]))
    with pytest.raises(InputError, match=r"says mrad, which is converted; leave angle_unit \(--angle-unit\) out"):
        read_angles(path, unit="radian")


def test_an_axis_in_milliradians_without_a_name_of_tilts_is_no_tilt_axis(tmp_path: Path) -> None:
    """Such axes are those of diffraction patterns."""
    with h5py.File(tmp_path / "a.emd", "w") as file:
        file["data/a/data"] = IMAGES
        for i, n in enumerate(IMAGES.shape, 1):
            file[f"data/a/dim{i}"] = np.arange(float(n))
            file[f"data/a/dim{i}"].attrs.update(name=f"q{i}", units="mrad")
    assert open_stack(tmp_path / "a.emd").angles is None
