"""HDF5 files of beamlines and microscopes: where each keeps its angles, fields and axes, and what is missing from a file."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from tomoprior.errors import FormatError, InputError
from tomoprior.formats import open_stack, read

N, NY, NU = 5, 4, 6
DEGREES = np.array([-60.0, -30, 0, 30, 60])
VALUES = np.arange(N * NY * NU, dtype=np.float32).reshape(N, NY, NU)
FLAT = np.linspace(500, 1000, NY * NU).reshape(NY, NU)


def degrees_of(path: Path, **options: object) -> np.ndarray:
    return np.rad2deg(read(path, **options).geometry.angles)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scan.h5"


def test_radians_without_a_unit_are_refused_and_can_be_named(path: Path) -> None:
    theta = np.linspace(0, np.pi, 61, endpoint=False)
    with h5py.File(path, "w") as f:
        f["exchange/data"], f["exchange/theta"] = np.ones((61, 2, 8), np.float32), theta
    with pytest.raises(InputError, match=r"exchange/theta: 61 angles from 0 to 3\.09\S* look like radians"):
        read(path)
    np.testing.assert_allclose(read(path, angle_unit="radian").geometry.angles, theta)
    np.testing.assert_allclose(degrees_of(path, angle_unit="degree"), theta)


def test_an_assumed_unit_can_be_overruled_and_a_stated_one_not(path: Path) -> None:
    theta = [-1.0, -0.4, 0, 0.3, 1.0]
    with h5py.File(path, "w") as f:
        f["exchange/data"], f["exchange/theta"] = VALUES, theta
    np.testing.assert_allclose(degrees_of(path), theta)
    np.testing.assert_allclose(read(path, angle_unit="radian").geometry.angles, theta)
    with h5py.File(path, "r+") as f:
        f["exchange/theta"].attrs["units"] = "deg"
    np.testing.assert_allclose(degrees_of(path, angle_unit="radian"), theta)


def test_zeros_for_unknown_angles_give_way_to_a_side_file(path: Path) -> None:
    with h5py.File(path, "w") as f:
        f["exchange/data"], f["exchange/theta"] = VALUES, np.zeros(N)
    with pytest.raises(InputError, match=r"no tilt angles: .*all 5 angles are 0"):
        read(path)
    path.with_suffix(".tlt").write_text("\n".join(map(str, DEGREES)))
    series = read(path)
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), DEGREES)
    assert "all 5 angles are 0" in series.metadata["warnings"][0]


def test_start_and_step_of_tomoscan(path: Path) -> None:
    with h5py.File(path, "w") as f:
        f["exchange/data"] = VALUES
        f["process/acquisition/rotation/rotation_start"] = -60.0
        f["process/acquisition/rotation/rotation_step"] = np.array([30.0])
        f["process/acquisition/rotation/num_angles"] = N
    np.testing.assert_allclose(degrees_of(path), DEGREES)


def test_flat_fields_before_and_after_the_scan_and_of_two_axes(path: Path) -> None:
    with h5py.File(path, "w") as f:
        f["exchange/data"] = np.full((N, NY, NU), 300.0)
        f["exchange/data_white_pre"] = np.full((3, NY, NU), 500.0)
        f["exchange/data_white_post"] = np.full((1, NY, NU), 900.0)
    np.testing.assert_allclose(open_stack(path).data[...], 300 / 600)  # (3 x 500 + 900) / 4
    with h5py.File(path, "r+") as f:
        del f["exchange/data_white_pre"], f["exchange/data_white_post"], f["exchange/data"]
        f["exchange/data"], f["exchange/data_white"] = 0.25 * FLAT * np.ones((N, 1, 1)), FLAT
    np.testing.assert_allclose(open_stack(path).data[...], 0.25, rtol=1e-6)


def test_the_layout_of_fxi(path: Path) -> None:
    with h5py.File(path, "w") as f:
        f["img_tomo"], f["img_bkg"], f["img_dark"] = (
            np.full((N, NY, NU), 110),
            np.full((2, NY, NU), 210),
            np.full((2, NY, NU), 10),
        )
        f["angle"] = DEGREES
    series = read(path)
    np.testing.assert_allclose(series.projections[...], 0.5)
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), DEGREES)


def test_datasets_that_the_user_names(path: Path) -> None:
    with h5py.File(path, "w") as f:
        f["a/scan"], f["a/other"], f["a/white"], f["a/black"] = VALUES + 10, VALUES, VALUES[:2] * 0 + 30, FLAT * 0 + 10
        f["a/turn"], f["a/key"] = DEGREES, [0, 0, 1, 0, 0]
    with pytest.raises(FormatError, match=r"--dataset NAME"):
        open_stack(path)
    names = {"dataset": "a/scan", "angles_dataset": "a/turn"}
    np.testing.assert_allclose(degrees_of(path, **names), DEGREES)
    np.testing.assert_allclose(read(path, **names, flats="a/white", darks="a/black").projections[...], VALUES / 20, rtol=1e-6)
    chosen = read(path, **names, image_key="a/key")
    np.testing.assert_allclose(np.rad2deg(chosen.geometry.angles), DEGREES[[0, 1, 3, 4]])
    np.testing.assert_allclose(chosen.projections[2], (VALUES[3] + 10) / (VALUES[2] + 10), rtol=1e-6)
    with pytest.raises(FormatError, match="no dataset 'a/x' in it"):
        read(path, **names, flats="a/x")


def test_return_frames_of_esrf_are_left_out(path: Path) -> None:
    with h5py.File(path, "w") as f:
        entry = f.create_group("entry0000")
        entry["instrument/detector/data"] = np.concatenate([VALUES + 1, VALUES[:2]])
        entry["instrument/detector/image_key"] = [0] * (N + 2)
        entry["instrument/detector/image_key_control"] = [0] * N + [-1, -1]
        entry["sample/rotation_angle"] = [*DEGREES, 0, -60]
    series = read(path)
    np.testing.assert_array_equal(series.projections[...], VALUES + 1)
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), DEGREES)
    assert "2 images are return frames" in series.metadata["warnings"][0]


def test_packed_values_and_axes_of_cil(path: Path) -> None:
    with h5py.File(path, "w") as f:
        base = f.create_group("entry1/tomo_entry")
        stored = VALUES.transpose(1, 0, 2) * 20 + 7  # a scale of 20 and an offset of 7, vertical axis first
        base["data/data"] = stored.astype(np.uint16)
        labels = {"dim0": "vertical", "dim1": "angle", "dim2": "horizontal"}
        base["data/data"].attrs.update(
            {
                "data_type": "AcquisitionData",
                "geometry": "parallel",
                "scale": 20.0,
                "offset": 7.0,
                "pixel_size_h": 0.5,
                **labels,
            }
        )
        base["config/angles"] = DEGREES.astype("f4") - 10
        base["config/angles"].attrs.update({"angle_unit": "degree", "initial_angle": 10.0})
    series = read(path)
    np.testing.assert_allclose(series.projections[...], VALUES, atol=1e-6)
    np.testing.assert_allclose(series.projections[1:3, 2], VALUES[1:3, 2], atol=1e-6)
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), DEGREES, atol=1e-5)
    assert "its pixel size of 0.5 has no unit" in series.metadata["warnings"][0]
    with h5py.File(path, "r+") as f:
        f["entry1/tomo_entry/data/data"].attrs["geometry"] = "cone"
    with pytest.raises(FormatError, match="cone beam"):
        read(path)
    with h5py.File(path, "r+") as f:
        f["entry1/tomo_entry/data/data"].attrs.update({"geometry": "parallel", "scale": 0.0})
    with pytest.raises(FormatError, match="make no sense"):
        read(path)


def write_emd(path: Path, data: np.ndarray, axes: list[tuple[str, str, np.ndarray]]) -> None:
    with h5py.File(path, "w") as f:
        group = f.create_group("data/tomography")
        group["data"] = data
        for i, (name, unit, values) in enumerate(axes, 1):
            group[f"dim{i}"] = values
            group[f"dim{i}"].attrs.update({"name": name, "units": unit})


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_axes_of_emd_name_angles_and_pixels(tmp_path: Path, order: tuple[int, int, int]) -> None:
    path = tmp_path / "t.emd"
    axes = [("angles", "[deg]", DEGREES), ("y", "[n_m]", np.arange(NY) * 2.0), ("x", "[n_m]", np.arange(NU) * 2.0)]
    write_emd(path, VALUES.transpose(order), [axes[i] for i in order])
    series = read(path)
    np.testing.assert_array_equal(series.projections[...], VALUES)
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), DEGREES)
    assert (series.geometry.voxel_size, series.geometry.unit) == (2.0, "nanometer")
    assert not series.metadata["counts"]


def test_a_volume_in_emd_has_no_angles(tmp_path: Path) -> None:
    path = tmp_path / "v.emd"
    axes = [(name, "[n_m]", np.array([0.0, 1.5])) for name in "xyz"]  # the first two coordinates stand for all
    write_emd(path, VALUES.transpose(2, 1, 0), axes)
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.data[...], VALUES)
    assert (stack.angles, stack.voxel_size, stack.unit) == (None, 1.5, "nanometer")


@pytest.mark.parametrize("place", ["dataset", "attribute", "axis"])
def test_tilts_of_hyperspy(tmp_path: Path, place: str) -> None:
    path = tmp_path / "h.hspy"
    with h5py.File(path, "w") as f:
        f.attrs["file_format"] = "HyperSpy"
        group = f.create_group("Experiments/tilts")
        group["data"] = VALUES
        tilt = ("Tilt", "degrees", 30.0, -60.0) if place == "axis" else ("Tilt", "degrees", 1.0, 0.0)
        for i, (name, unit, scale, offset) in enumerate((tilt, ("y", "nm", 2.0, 0.0), ("x", "nm", 2.0, 0.0))):
            group.create_group(f"axis-{i}").attrs.update({"name": name, "units": unit, "scale": scale, "offset": offset})
        metadata = group.create_group("metadata/Tomography")
        if place == "dataset":
            metadata["tilts"] = DEGREES
        elif place == "attribute":
            metadata.attrs["tilts"] = DEGREES
        else:
            metadata["tilts"] = np.zeros(N)  # etspy's value for unknown tilts: the axis is better
    series = read(path)
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), DEGREES)
    assert (series.geometry.voxel_size, series.geometry.unit) == (2.0, "nanometer")


def test_a_virtual_dataset_without_its_source_is_refused(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((4, NY, NU), "f4")
    for i, name in enumerate(("a.h5", "b.h5")):
        with h5py.File(tmp_path / name, "w") as f:
            f["d"] = VALUES[2 * i : 2 * i + 2]
        layout[2 * i : 2 * i + 2] = h5py.VirtualSource(name, "d", (2, NY, NU))
    path = tmp_path / "master.h5"
    with h5py.File(path, "w", libver="latest") as f:
        f.create_virtual_dataset("exchange/data", layout)
        f["exchange/theta"] = DEGREES[:4]
    np.testing.assert_array_equal(read(path).projections[...], VALUES[:4])
    (tmp_path / "b.h5").unlink()
    with pytest.raises(FormatError, match=r"1 of the 2 files that hold the values of exchange/data are missing: b\.h5"):
        read(path)


@pytest.mark.parametrize(
    ("mapped", "line"),
    [
        ([0, 1, 2, 3, 4], None),
        ([0, 1, 2], "2 images of exchange/data have no source for all of their values, and zeros in place (3, 4)"),
        ([0, 2, 4], "2 images of exchange/data have no source for all of their values, and zeros in place (1, 3)"),
    ],
)
def test_images_of_a_virtual_dataset_without_a_source_are_named(tmp_path: Path, mapped: list[int], line: str | None) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["d"] = VALUES
    layout = h5py.VirtualLayout((5, NY, NU), "f4")
    for i in mapped:
        layout[i] = h5py.VirtualSource("a.h5", "d", VALUES.shape)[i]
    path = tmp_path / "master.h5"
    with h5py.File(path, "w", libver="latest") as f:
        f.create_virtual_dataset("exchange/data", layout, fillvalue=0)
        f["exchange/theta"] = DEGREES
    assert [w.partition(": ")[2] for w in read(path).metadata["warnings"]] == ([] if line is None else [line])


def test_half_images_without_a_source_are_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["d"] = VALUES
    layout = h5py.VirtualLayout((5, NY, NU), "f4")
    layout[:, :, : NU // 2] = h5py.VirtualSource("a.h5", "d", VALUES.shape)[:, :, : NU // 2]
    path = tmp_path / "master.h5"
    with h5py.File(path, "w", libver="latest") as f:
        f.create_virtual_dataset("exchange/data", layout)
        f["exchange/theta"] = DEGREES
    assert "5 images of exchange/data have no source for all of their values" in read(path).metadata["warnings"][0]


@pytest.mark.parametrize("source", ["a.h5", "."])
def test_a_virtual_dataset_without_the_dataset_of_its_source_is_refused(tmp_path: Path, source: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["d"] = VALUES
    layout = h5py.VirtualLayout((5, NY, NU), "f4")
    layout[:] = h5py.VirtualSource(source, "other", VALUES.shape)
    path = tmp_path / "master.h5"
    with h5py.File(path, "w", libver="latest") as f:
        f.create_virtual_dataset("exchange/data", layout)
        f["exchange/theta"] = DEGREES
    with pytest.raises(FormatError, match=r"the values of exchange/data lie in other of .*, which does not exist"):
        open_stack(path)


def test_a_virtual_dataset_that_grows_with_its_source_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f.create_dataset("d", data=VALUES, maxshape=(None, NY, NU))
    layout = h5py.VirtualLayout((5, NY, NU), "f4", maxshape=(None, NY, NU))
    source = h5py.VirtualSource("a.h5", "d", VALUES.shape, maxshape=(None, NY, NU))
    layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
    path = tmp_path / "master.h5"
    with h5py.File(path, "w", libver="latest") as f:
        f.create_virtual_dataset("exchange/data", layout)
        f["exchange/theta"] = DEGREES
    series = read(path)
    np.testing.assert_array_equal(series.projections[...], VALUES)
    assert series.metadata["warnings"] == []


def test_a_broken_link_to_the_angles_is_the_reason_in_the_message(path: Path) -> None:
    with h5py.File(path, "w") as f:
        f["exchange/data"] = VALUES
        f["exchange/theta"] = h5py.ExternalLink("gone.h5", "scan/theta")
    with pytest.raises(InputError, match=r"no tilt angles: .*broken links: exchange/theta to gone\.h5:scan/theta"):
        read(path)


def test_chunks_that_were_never_written_are_named(path: Path) -> None:
    with h5py.File(path, "w") as f:
        data = f.create_dataset("exchange/data", (N, NY, NU), "f4", chunks=(1, 2, NU))
        data[:2], data[2, :2], data[4] = VALUES[:2] + 1, 1, 1
        f["exchange/theta"] = DEGREES
    (line,) = read(path).metadata["warnings"]
    assert line.endswith("3 of 10 chunks of exchange/data were never written and are read as zeros (images 2, 3)")
    with h5py.File(path, "r+") as f:
        f["exchange/data"][2:] = 1
    assert read(path).metadata["warnings"] == []


@pytest.mark.parametrize("chunks", [None, (1, 2, NU)])
def test_a_dataset_without_any_value_is_refused(path: Path, chunks: tuple[int, int, int] | None) -> None:
    with h5py.File(path, "w") as f:
        f.create_dataset("exchange/data", (N, NY, NU), "f4", chunks=chunks)
    with pytest.raises(FormatError, match="no value of exchange/data was ever written"):
        open_stack(path)


def test_a_broken_link_is_named_with_its_target(path: Path) -> None:
    with h5py.File(path, "w") as f:
        entry = f.create_group("entry1/tomo_entry")
        entry["instrument/detector/data"] = h5py.ExternalLink("raw_0001.h5", "entry/data")
        entry["instrument/detector/image_key"] = np.zeros(N, int)
    with pytest.raises(
        FormatError, match=r"broken links: entry1/tomo_entry/instrument/detector/data to raw_0001\.h5:entry/data"
    ):
        open_stack(path)
    with h5py.File(path, "w") as f:
        f["exchange/data"] = VALUES
        f["exchange/data_white"] = h5py.ExternalLink("flats.h5", "white")
    assert "exchange/data_white to flats.h5:white" in open_stack(path).warnings[0]
