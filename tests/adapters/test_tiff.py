"""TIFF: stacks and folders of many makers, voxel sizes, and damaged files."""

from __future__ import annotations

import gc
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tomoprior.adapters.tiff import TIFF
from tomoprior.adapters.tiff import metadata as tiff_metadata
from tomoprior.errors import FormatError, InputError
from tomoprior.formats import Header, open_stack, writing
from tomoprior.formats.raw import RawArray
from tomoprior.testing.formats import check_format
from tomoprior.units import UNITS

VALUES = np.arange(3 * 8 * 10, dtype=np.uint16).reshape(3, 8, 10)


def test_conformance(tmp_path: Path) -> None:
    check_format(TIFF(), tmp_path)


def put(path: Path, values: np.ndarray = VALUES, **options: Any) -> Path:
    tifffile.imwrite(path, values, photometric="minisblack", **options)
    return path


@pytest.mark.parametrize(
    ("options", "in_place"),
    [
        ({}, True),
        ({"metadata": None}, True),
        ({"imagej": True}, True),
        ({"ome": True}, True),
        ({"bigtiff": True, "byteorder": ">"}, True),
        ({"metadata": None, "rowsperstrip": 3}, True),
        ({"compression": "deflate"}, False),
        ({"compression": "deflate", "predictor": True}, False),
        ({"tile": (16, 16)}, False),
    ],
)
def test_files_of_tifffile(tmp_path: Path, options: dict[str, Any], in_place: bool) -> None:
    stack = open_stack(put(tmp_path / "a.tif", **options))
    assert isinstance(stack.data, RawArray) == in_place
    assert stack.warnings == ()
    for key in (np.s_[...], np.s_[1], np.s_[:, 2:5, ::-1], np.s_[[2, 0]], np.s_[-1, -1, -1]):
        np.testing.assert_array_equal(stack.data[key], VALUES[key])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(stack.data))[1:], VALUES[1:])


def test_pages_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        for image in VALUES:
            tif.write(image, photometric="minisblack", metadata=None)  # each with its directory behind it
    stack = open_stack(path)
    assert isinstance(stack.data, RawArray)
    np.testing.assert_array_equal(stack.data[...], VALUES)


def test_readers_are_closed(tmp_path: Path) -> None:
    data = open_stack(put(tmp_path / "a.tif", compression="deflate")).data
    data[0]
    opened = len(os.listdir("/proc/self/fd"))
    del data
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) < opened


def test_a_folder_in_natural_order(tmp_path: Path) -> None:
    folder = tmp_path / "scan"
    folder.mkdir()
    images = np.arange(12 * 4 * 5, dtype=np.float32).reshape(12, 4, 5)
    for i, image in enumerate(images):
        put(folder / f"p_{i}.tiff", image, compression="deflate" if i % 2 else None)
    (folder / "notes.txt").write_text("not an image")
    (folder / "._p_3.tiff").write_bytes(b"what macOS leaves on other people's disks")
    stack = open_stack(folder)
    np.testing.assert_array_equal(stack.data[...], images)
    np.testing.assert_array_equal(stack.data[9:11, 1:3, 2], images[9:11, 1:3, 2])
    put(folder / "p_5.tiff", images[0, :2])
    with pytest.raises(FormatError, match=r"p_5\.tiff: an image of shape \(2, 5\)"):
        open_stack(folder).data[:]
    put(folder / "p_5.tiff", images[0].astype(np.uint8))
    with pytest.raises(FormatError, match=r"p_5\.tiff: of type uint8"):
        open_stack(folder).data[:]
    (folder / "p_5.tiff").unlink()
    assert open_stack(folder).data.shape == (11, 4, 5)


def test_folders_that_are_no_stack(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no TIFF file in this folder"):
        TIFF().read(tmp_path)
    put(tmp_path / "a.tif")
    with pytest.raises(FormatError, match="has 3 pages"):
        open_stack(tmp_path)
    put(tmp_path / "a.tif", VALUES[0])
    assert open_stack(tmp_path).data.shape == (1, 8, 10)
    (tmp_path / "b.tif").write_bytes(b"")
    with pytest.raises(FormatError, match=r"b\.tif: not a TIFF file"):
        open_stack(tmp_path)


@pytest.mark.parametrize(
    ("options", "size", "unit"),
    [
        ({"imagej": True, "resolution": (1 / 0.65, 1 / 0.65), "metadata": {"unit": "um", "spacing": 3}}, 0.65, "micrometer"),
        ({"imagej": True, "resolution": (4, 4), "metadata": {"unit": "\\u00B5m"}}, 0.25, "micrometer"),
        ({"imagej": True, "resolution": (4, 4), "metadata": {"unit": "furlong"}}, 1.0, "pixel"),
        ({"imagej": True}, 1.0, "pixel"),
        ({"ome": True, "metadata": {"PhysicalSizeX": 17.5, "PhysicalSizeXUnit": "nm"}}, 17.5, "nanometer"),
        ({"ome": True, "metadata": {"PhysicalSizeX": 17.5}}, 17.5, "micrometer"),
        ({"ome": True}, 1.0, "pixel"),
        ({"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}, 0.5, "micrometer"),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, 1.0, "pixel"),  # a screen's
        ({"resolution": (1, 1), "resolutionunit": "NONE"}, 1.0, "pixel"),
    ],
)
def test_voxel_sizes(tmp_path: Path, options: dict[str, Any], size: float, unit: str) -> None:
    stack = open_stack(put(tmp_path / "a.tif", **options))
    np.testing.assert_allclose(stack.voxel_size, size, rtol=1e-6)
    assert stack.unit == unit


@settings(deadline=None, max_examples=60)
@given(
    values=hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.float32, np.float64, np.int16, np.uint32]),
        hnp.array_shapes(min_dims=3, max_dims=3),
    ),
    size=st.floats(1e-9, 1e9),
    unit=st.sampled_from(UNITS),
    big=st.booleans(),
)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, size: float, unit: str, big: bool) -> None:
    path = tmp_path_factory.mktemp("tiff") / "a.tif"
    header = Header(
        values.shape, values.dtype, size, unit, (1.0, -2.5, 3.0), labels=("a = b; \u00e9", '"'), attrs={"k": [1, 2]}
    )
    with pytest.MonkeyPatch.context() as patch:
        if big:
            patch.setattr(tiff_metadata, "_IMAGEJ_LIMIT", 0)  # as if it were beyond 4 GB
        with writing(path, header) as sink:
            sink[:, :, :] = values
    stack = open_stack(path)
    assert isinstance(stack.data, RawArray)
    np.testing.assert_array_equal(stack.data[...], values)
    assert stack.data.dtype == values.dtype
    assert (stack.voxel_size, stack.unit, stack.origin) == (size, unit, (1.0, -2.5, 3.0))
    assert stack.labels == header.labels
    assert stack.warnings == ()
    with tifffile.TiffFile(path) as tif:
        assert tif.is_bigtiff == big
        np.testing.assert_array_equal(tif.asarray().reshape(values.shape), values)


def test_imagej_sees_the_voxel_size(tmp_path: Path) -> None:
    with writing(tmp_path / "a.tif", Header(VALUES.shape, np.float32, 17.99, "nanometer")) as sink:
        sink[:, :, :] = VALUES
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.imagej_metadata is not None
        assert (tif.imagej_metadata["unit"], tif.imagej_metadata["spacing"], tif.imagej_metadata["slices"]) == ("nm", 17.99, 3)
        above, below = tif.pages.first.tags["XResolution"].value
        np.testing.assert_allclose(below / above, 17.99, rtol=1e-6)


def test_images_that_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((4, 5, 3), np.uint8), photometric="rgb")
    with pytest.raises(FormatError, match="colours"):
        open_stack(path)
    put(path, np.zeros((3, 4, 5), np.complex64))
    with pytest.raises(FormatError, match="real numbers"):
        open_stack(path)
    put(path, np.zeros((2, 3, 4, 5), np.float32))
    with pytest.raises(FormatError, match="4 axes"):
        open_stack(path)
    put(path, np.zeros((3, 4, 8), bool))
    with pytest.raises(FormatError, match="real numbers"):
        open_stack(path)
    with pytest.raises(InputError, match="no option"):
        open_stack(path, dataset="a")


def test_a_codec_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "a.tif", compression="deflate")

    class Nothing:
        def __getitem__(self, key: object) -> None:
            raise KeyError(key)

    monkeypatch.setattr(tifffile.TIFF, "DECOMPRESSORS", Nothing(), raising=False)
    with pytest.raises(FormatError, match="imagecodecs"):
        open_stack(path)


@pytest.mark.parametrize(
    "options",
    [{}, {"metadata": None}, {"imagej": True}, {"compression": "deflate"}, {"metadata": None, "compression": "deflate"}],
)
def test_a_file_that_is_cut_is_never_shorter(tmp_path: Path, options: dict[str, Any]) -> None:
    """What is left must not pass for the whole: either all images are there, or it is an error."""
    raw = put(tmp_path / "a.tif", **options).read_bytes()
    broken = tmp_path / "b.tif"
    for size in range(8, len(raw), 37):
        broken.write_bytes(raw[:size])
        try:
            values = open_stack(broken).data[...]
        except FormatError:
            continue
        np.testing.assert_array_equal(values, VALUES)


def test_types_that_tiff_has_no_name_for(tmp_path: Path) -> None:
    with pytest.raises(FormatError), writing(tmp_path / "a.tif", Header((2, 3, 4), np.longdouble)):
        pass
    assert os.listdir(tmp_path) == []


def test_real_volumes(data_dir: Path) -> None:
    stack = open_stack(data_dir / "fibsem_medulla" / "validation_250.tif")
    assert (stack.data.shape, stack.data.dtype, stack.unit, stack.warnings) == ((250, 250, 250), np.uint8, "pixel", ())
    with tifffile.TiffFile(data_dir / "fibsem_medulla" / "validation_250.tif") as tif:
        np.testing.assert_array_equal(stack.data[100], tif.pages[100].asarray())


def put_folder(folder: Path, names: list[str], level: float = 0.0) -> None:
    """One image a name; its value is its place in the list, plus a level."""
    folder.mkdir(exist_ok=True)
    for i, name in enumerate(names):
        put(folder / name, np.full((2, 8), i + level, np.float32))


@pytest.mark.parametrize(
    ("names", "has_angles"),
    [
        ([f"ts_{t:.1f}.tif" for t in (-60, -45.5, -45, -3, 0, 3, 45, 60)], True),
        (["-60.tif", "-6.tif", "0.tif", "6.tif", "60.tif"], True),
        (["ts -60.tif", "ts -2.tif", "ts +2.tif", "ts +60.tif"], True),
        (["scan-1.tif", "scan-2.tif", "scan-10.tif"], False),  # a hyphen behind a letter is no sign
        (["a-001_9.tif", "a-002_8.tif", "a-010_7.tif"], False),
        ([f"TS_01_{i:03d}_{t:.1f}.tif" for i, t in enumerate((0.0, -3.0, 3.0, -6.0))], True),  # in the order of acquisition
        (["p_1.9.tif", "p_1.10.tif", "p_2.1.tif"], False),
    ],
)
def test_the_order_of_a_folder_is_that_of_its_numbers_and_signs(tmp_path: Path, names: list[str], has_angles: bool) -> None:
    put_folder(tmp_path / "ts", names)
    stack = open_stack(tmp_path / "ts")
    np.testing.assert_array_equal(stack.data[:, 0, 0], np.arange(len(names)))
    assert stack.warnings == ((f"{tmp_path / 'ts'}: angles are those in the names of its files",) if has_angles else ())


def test_fields_in_a_folder_normalise_the_projections(tmp_path: Path) -> None:
    folder = tmp_path / "scan"
    put_folder(folder, ["proj_1.tif", "proj_2.tif", "proj_10.tif"], level=30)
    put_folder(folder, ["flat_1.tif", "flat_2.tif"], level=109.5)
    put_folder(folder, ["dark_1.tif"], level=10)
    stack = open_stack(folder)
    np.testing.assert_allclose(stack.data[:, 0, 0], [0.2, 0.21, 0.22])  # (30 - 10) / (110 - 10), and so on
    assert stack.counts
    assert "2 files are flat and 1 dark fields" in stack.warnings[0]
    np.testing.assert_allclose(open_stack(folder, normalize=False).data[:, 0, 0], [30, 31, 32])
    (folder / "dark_1.tif").unlink()
    np.testing.assert_allclose(open_stack(folder).data[0, 0, 0], 30 / 110)


def test_a_folder_of_one_kind_has_no_fields(tmp_path: Path) -> None:
    put_folder(tmp_path / "darks", ["dark_1.tif", "dark_2.tif"])
    assert open_stack(tmp_path / "darks").data.shape == (2, 2, 8)
    put_folder(tmp_path / "mixed", ["left_1.tif", "right_1.tif"])
    stack = open_stack(tmp_path / "mixed")
    assert stack.data.shape == (2, 2, 8)
    assert "names of 2 kinds (left_#, right_#)" in stack.warnings[0]
    with pytest.raises(FormatError, match="no flat field"):
        open_stack(tmp_path / "mixed", normalize=True)


def test_a_codec_that_fails_when_it_is_called_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(data: bytes) -> bytes:
        raise ImportError("No module named 'compression'")

    class Codecs:
        def __getitem__(self, key: object) -> Any:
            return missing

    path = put(tmp_path / "a.tif", compression="deflate")
    monkeypatch.setattr(tifffile.TIFF, "DECOMPRESSORS", Codecs(), raising=False)
    with pytest.raises(FormatError, match="compressed by DEFLATE, which needs the package imagecodecs"):
        open_stack(path)


@pytest.mark.parametrize("big", [False, True], ids=["classic", "big"])
@pytest.mark.parametrize("back_to", [0, 1, 2])
def test_a_ring_of_images_is_refused(tmp_path, big, back_to):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.ones((3, 4, 5), np.uint8), bigtiff=big, photometric="minisblack")
    with tifffile.TiffFile(path) as tif:
        last, target, kind = tif.pages[2], tif.pages[back_to].offset, tif.tiff
        place = last.offset + kind.tagnosize + len(last.tags) * kind.tagsize
    raw = bytearray(path.read_bytes())
    assert not any(raw[place : place + kind.offsetsize])  # the end of the chain
    raw[place : place + kind.offsetsize] = target.to_bytes(kind.offsetsize, "little")
    path.write_bytes(raw)
    with pytest.raises(FormatError, match="its chain of images comes back to byte"):
        open_stack(path)


def test_pages_that_a_program_wrote_as_series_of_their_own_are_one_stack(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for image in VALUES:
            writer.write(image, contiguous=False)
    with tifffile.TiffFile(path) as tif:
        assert len(tif.series) == len(VALUES)
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.data[...], VALUES)
    np.testing.assert_array_equal(stack.data[1:2, :, 1:3], VALUES[1:2, :, 1:3])
    assert stack.warnings == ()
    with tifffile.TiffWriter(path) as writer:
        for image in VALUES:
            writer.write(image, contiguous=False, compression="zlib")
    np.testing.assert_array_equal(open_stack(path).data[...], VALUES)


def test_series_of_different_images_are_no_stack(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for image in (VALUES[0], VALUES[1], VALUES[2, :-1]):
            writer.write(image, contiguous=False)
    stack = open_stack(path)
    assert stack.data.shape == (1, *VALUES.shape[1:])
    assert stack.warnings == (f"{path}: 2 more series of images in it are not used",)


def test_the_description_for_imagej_has_one_equals_sign_a_line(tmp_path: Path) -> None:
    labels = ("a = b; c == d",)
    with writing(tmp_path / "a.tif", Header(VALUES.shape, np.float32, 2.0, "nanometer", labels=labels)) as sink:
        sink[:, :, :] = VALUES
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:  # tifffile before 2025.2.18 splits a line at each
        lines = tif.pages.first.description.splitlines()
    assert [line.count("=") for line in lines if line] == [1] * len([line for line in lines if line])
    assert open_stack(tmp_path / "a.tif").labels == labels


@pytest.mark.parametrize("first", [0, 1])
def test_a_dash_before_a_count_is_no_sign(tmp_path: Path, first: int) -> None:
    for i in range(4):
        tifffile.imwrite(tmp_path / f"-{first + i:03d}.tif", np.full((2, 3), i, np.float32))
    np.testing.assert_array_equal(open_stack(tmp_path).data[:, 0, 0].ravel(), [0, 1, 2, 3])


def test_a_dash_before_tilts_of_one_sign_is_a_sign(tmp_path: Path) -> None:
    for i, tilt in enumerate((-9, -6, -3)):
        tifffile.imwrite(tmp_path / f"t_{tilt}.tif", np.full((2, 3), i, np.float32))
    np.testing.assert_array_equal(open_stack(tmp_path).data[:, 0, 0].ravel(), [0, 1, 2])
