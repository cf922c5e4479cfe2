"""Zarr: both versions, OME-NGFF, and metadata that cannot be."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tomoprior.adapters.zarr import Zarr
from tomoprior.errors import FormatError, InputError
from tomoprior.formats import Header, open_stack, read, writing
from tomoprior.testing.formats import check_format
from tomoprior.units import UNITS

VALUES = np.arange(60, dtype=np.float32).reshape(3, 4, 5)


def test_conformance(tmp_path: Path) -> None:
    check_format(Zarr(), tmp_path)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "u2", "i1", "f8"])
def test_arrays_of_zarr(tmp_path: Path, version: int, dtype: str) -> None:
    path = tmp_path / "a.zarr"
    array = zarr.create_array(str(path), shape=VALUES.shape, chunks=(2, 3, 2), dtype=dtype, zarr_format=version, overwrite=True)
    array[...] = VALUES
    array.attrs.update({"voxel_size": 2.5, "unit": "nm", "origin": [1, 2, 3], "angles": [-1, 0, 1], "more": True})
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.data[1:, ::2, -1], VALUES[1:, ::2, -1])
    assert (stack.voxel_size, stack.unit, stack.origin, stack.attrs["more"]) == (2.5, "nanometer", (1, 2, 3), True)
    np.testing.assert_array_equal(read(path).geometry.angles, [-1, 0, 1])


def test_shards(tmp_path: Path) -> None:
    array = zarr.create_array(str(tmp_path / "a.zarr"), shape=VALUES.shape, chunks=(1, 2, 5), shards=(3, 4, 5), dtype="f4")
    array[...] = VALUES
    np.testing.assert_array_equal(open_stack(tmp_path / "a.zarr").data[:, 1], VALUES[:, 1])


def image(unit: str = "micrometer", **more: Any) -> dict[str, Any]:
    axes = [{"name": n, "type": "space", "unit": unit} for n in "zyx"]
    steps = [{"type": "scale", "scale": [0.5, 0.25, 0.25]}, {"type": "translation", "translation": [3, 2, 1]}]
    return {"axes": axes, "datasets": [{"path": "s0", "coordinateTransformations": steps}, {"path": "s1"}], **more}


@pytest.mark.parametrize("version", [2, 3])
def test_ome_ngff(tmp_path: Path, version: int) -> None:
    path = tmp_path / "a.ome.zarr"
    group = zarr.open_group(str(path), mode="w", zarr_format=version)
    for name, values in (("s0", VALUES), ("s1", VALUES[::2, ::2, ::2])):
        group.create_array(name, data=values)
    group.attrs["ome" if version == 3 else "multiscales"] = {"multiscales": [image()]} if version == 3 else [image()]
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.data[...], VALUES)
    assert (stack.voxel_size, stack.unit, stack.origin) == (0.25, "micrometer", (3, 2, 1))
    assert open_stack(path, dataset="s1").data.shape == (2, 2, 3)


def test_ome_ngff_with_time_and_channel(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    series = zarr.open_group(str(path), mode="w").create_group("0")  # as bioformats2raw lays it out
    series.create_array("s0", data=VALUES[None, None])
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}, *image("angstrom")["axes"]]
    whole = [{"type": "scale", "scale": [1, 1, 2, 2, 2]}]
    datasets = [{"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 4, 4, 4]}]}]
    series.attrs["ome"] = {"multiscales": [{"axes": axes, "datasets": datasets, "coordinateTransformations": whole}]}
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.data[1, 2:], VALUES[1, 2:])
    assert (stack.voxel_size, stack.unit) == (8.0, "angstrom")


@pytest.mark.parametrize(
    "ome",
    [3, [], {"multiscales": 3}, {"multiscales": [3]}, {"multiscales": [{}]}, {"multiscales": [{"datasets": [{}]}]},
     {"multiscales": [{"datasets": [{"path": 3}]}]}, {"multiscales": [image("parsec")]},
     {"multiscales": [image(coordinateTransformations=3)]}, {"multiscales": [image(axes=[1, 2, 3])]}],
)  # fmt: skip
def test_ome_metadata_that_cannot_be(tmp_path: Path, ome: Any) -> None:
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    group.create_array("s0", data=VALUES)
    group.attrs["ome"] = ome
    np.testing.assert_array_equal(open_stack(tmp_path / "a.zarr").data[...], VALUES)


def test_groups(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    group = zarr.open_group(str(path), mode="w")
    with pytest.raises(FormatError, match=r"which array is meant.*in the group: nothing"):
        open_stack(path)
    group.create_array("deep/volume", data=VALUES)
    np.testing.assert_array_equal(open_stack(path, dataset="deep/volume").data[...], VALUES)
    with pytest.raises(FormatError, match="no array 'deep' in the group"):
        open_stack(path, dataset="deep")
    group.create_array("only", data=VALUES)
    np.testing.assert_array_equal(open_stack(path).data[...], VALUES)
    group.create_array("other", data=VALUES)
    with pytest.raises(FormatError, match="in the group: deep, only, other"):
        open_stack(path)
    with pytest.raises(InputError, match="no option 'level'"):
        open_stack(path, level=0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((3, 4)), "2 axes"),
        (np.zeros((2, 3, 4, 5)), "4 axes"),
        (np.zeros((0, 4, 5)), "empty"),
        (np.zeros((3, 4, 5), complex), "real numbers"),
        (np.zeros((3, 4, 5), bool), "real numbers"),
    ],
)
def test_arrays_that_are_no_stack(tmp_path: Path, values: np.ndarray, message: str) -> None:
    array = zarr.create_array(
        str(tmp_path / "a.zarr"), shape=values.shape, dtype=values.dtype, chunks=tuple(max(1, n) for n in values.shape)
    )
    assert array.shape == values.shape
    with pytest.raises(FormatError, match=message):
        open_stack(tmp_path / "a.zarr")


def change(path: Path, **values: Any) -> None:
    metadata = json.loads((path / "zarr.json").read_text())
    (path / "zarr.json").write_text(json.dumps(metadata | values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"zarr_format": 9}, "not a readable Zarr store"),
        ({"shape": [3, 4]}, "a.zarr: "),
        ({"shape": [3, 4, -5]}, "a.zarr: "),
        ({"shape": [1 << 40, 4, 5]}, "cannot be right"),
        ({"data_type": "nonsense"}, "not a readable Zarr store"),
        ({"codecs": []}, "a.zarr: "),
        ({"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1 << 20, 1 << 20, 1]}}}, "chunks of"),
    ],
)
def test_metadata_that_lie(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(str(path), data=VALUES)
    change(path, **values)
    with pytest.raises(FormatError, match=message):
        open_stack(path).data[0, 0, 0]


def test_a_damaged_chunk(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(str(path), data=VALUES, chunks=VALUES.shape)
    (path / "c" / "0" / "0" / "0").write_bytes(b"rubbish")
    data = open_stack(path).data
    with pytest.raises(FormatError, match=r"a\.zarr: cannot be read"):
        data[0]


def test_folders_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(FormatError, match="no Zarr array or group"):
        open_stack(tmp_path / "a.zarr")
    (tmp_path / "b.zarr").write_text("a file")
    with pytest.raises(FormatError, match="a file, where the folder"):
        open_stack(tmp_path / "b.zarr")


@settings(deadline=None, max_examples=20)
@given(
    values=hnp.arrays(st.sampled_from([np.float32, np.uint8, np.int16]), hnp.array_shapes(min_dims=3, max_dims=3, max_side=40)),
    size=st.floats(1e-9, 1e9),
    unit=st.sampled_from(UNITS),
    height=st.integers(1, 40),
)
def test_ours_as_zarr_reads_them(
    tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, size: float, unit: str, height: int
) -> None:
    path = tmp_path_factory.mktemp("zarr") / "a.zarr"
    with writing(path, Header(values.shape, values.dtype, size, unit, origin=(1, 2, 3), labels=("one",))) as sink:
        for y in range(0, values.shape[1], height):
            sink[:, y : y + height, :] = values[:, y : y + height]
    group = zarr.open(str(path), mode="r")
    assert isinstance(group, zarr.Group)
    array = group["0"]
    assert isinstance(array, zarr.Array)
    np.testing.assert_array_equal(array[...], values)
    assert array.metadata.zarr_format == 3
    assert array.metadata.dimension_names == ("z", "y", "x")
    assert {k: v for k, v in group.attrs.asdict().items() if k != "ome"} == {
        "voxel_size": size,
        "unit": unit,
        "origin": [1, 2, 3],
        "axes": ["z", "y", "x"],
        "labels": ["one"],
    }
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.data[...], values)
    assert (stack.voxel_size, stack.unit, stack.labels) == (size, unit, ("one",))


def written(path: Path, values: np.ndarray, **header: Any) -> zarr.Group:
    with writing(path, Header(values.shape, values.dtype, **header)) as sink:
        for y in range(0, values.shape[1], 32):
            sink[:, y : y + 32, :] = values[:, y : y + 32]
    group = zarr.open(str(path), mode="r")
    assert isinstance(group, zarr.Group)
    return group


def level(group: zarr.Group, name: str) -> np.ndarray:
    array = group[name]
    assert isinstance(array, zarr.Array)
    return np.asarray(array[...])


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int16, np.uint32])
def test_smaller_copies_are_means_of_two_along_each_axis(tmp_path: Path, dtype: type) -> None:
    values = (np.random.default_rng(0).random((5, 35, 603)) * 200).astype(dtype)
    group = written(tmp_path / "a.zarr", values)
    assert sorted(group.array_keys()) == ["0", "1", "2"]
    for name in ("1", "2"):
        padded = np.pad(values.astype(np.float64), [(0, n % 2) for n in values.shape], mode="edge")
        z, y, x = (n // 2 for n in padded.shape)
        mean = padded.reshape(z, 2, y, 2, x, 2).mean((1, 3, 5))
        found = level(group, name)
        assert found.dtype == values.dtype
        np.testing.assert_allclose(found, mean, rtol=1e-6, atol=0 if dtype is np.float32 else 0.5)
        values = found


def test_every_level_says_where_its_voxels_are(tmp_path: Path) -> None:
    """A point keeps its place: the mean over a level of coordinates is where the level says that its voxel is."""
    z, y, x = np.meshgrid(np.arange(4.0), np.arange(8.0), np.arange(520.0), indexing="ij")
    size, origin = 2.5, (10.0, 20.0, 30.0)
    for axis, values in enumerate((z, y, x)):
        group = written(tmp_path / f"{axis}.zarr", values.astype(np.float32), voxel_size=size, unit="angstrom", origin=origin)
        ome: Any = group.attrs["ome"]
        for dataset in ome["multiscales"][0]["datasets"]:
            scale, place = (step[step["type"]][axis] for step in dataset["coordinateTransformations"])
            found = level(group, dataset["path"])
            at = np.moveaxis(found, axis, 0)[:, 0, 0] * size + origin[axis]
            np.testing.assert_allclose(at, place + scale * np.arange(len(at)))


def test_a_file_holds_many_chunks_and_rows_of_a_slab(tmp_path: Path) -> None:
    values = np.ones((70, 64, 130), np.float32)
    path = tmp_path / "a.zarr"
    group = written(path, values)
    array = group["0"]
    assert isinstance(array, zarr.Array)
    assert array.chunks == (64, 32, 64)
    assert array.shards == (128, 32, 192)
    files = [p for p in (path / "0").rglob("*") if p.is_file() and p.name != "zarr.json"]
    assert len(files) == 2  # one for each 32 rows


@pytest.mark.parametrize("unit", ["angstrom", "nanometer", "micrometer", "pixel"])
def test_the_metadata_are_valid(tmp_path: Path, unit: str) -> None:
    models = pytest.importorskip("ome_zarr_models.v05.image", reason="needs ome-zarr-models")
    path = tmp_path / "a.zarr"
    written(path, np.ones((3, 40, 300), np.float32), voxel_size=1.5, unit=unit, origin=(1, 2, 3))
    image = models.Image.from_zarr(zarr.open_group(str(path), mode="r"))
    first = image.ome_attributes.multiscales[0]
    assert [axis.name for axis in first.axes] == ["z", "y", "x"]
    assert {axis.unit for axis in first.axes} == {None if unit == "pixel" else unit}
    assert first.datasets[0].coordinateTransformations[0].scale == [1.5, 1.5, 1.5]


def test_another_reader_opens_it(tmp_path: Path) -> None:
    reader = pytest.importorskip("ome_zarr.reader", reason="needs ome-zarr")
    io = pytest.importorskip("ome_zarr.io", reason="needs ome-zarr")
    values = np.random.default_rng(1).random((3, 40, 300)).astype(np.float32)
    written(tmp_path / "a.zarr", values, voxel_size=1.5, unit="nanometer")
    (node,) = reader.Reader(io.parse_url(str(tmp_path / "a.zarr")))()
    assert [a.shape for a in node.data] == [(3, 40, 300), (2, 20, 150)]
    np.testing.assert_array_equal(np.asarray(node.data[0]), values)
    assert [axis["name"] for axis in node.metadata["axes"]] == ["z", "y", "x"]


def put_image(path: Path, unit: str | None, scale: list[float]) -> None:
    axes = [{"name": n, "type": "space", **({} if unit is None else {"unit": unit})} for n in "zyx"]
    steps = [{"type": "scale", "scale": scale}]
    image = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    group = zarr.create_group(str(path), attributes={"ome": {"version": "0.5", "multiscales": [image]}})
    group.create_array("0", shape=(2, 3, 4), dtype="f4")[:] = 1


@pytest.mark.parametrize(
    ("unit", "scale", "size", "line"),
    [
        ("nanometer", [2.5, 2.5, 2.5], (2.5, "nanometer"), None),
        (None, [2.5, 2.5, 2.5], (1.0, "pixel"), "its scale of 2.5 has no unit"),
        (None, [1.0, 1.0, 1.0], (1.0, "pixel"), None),
        ("nanometer", [5.0, 2.5, 2.5], (2.5, "nanometer"), "not cubes (5 x 2.5 x 2.5 nanometer along z, y, x)"),
    ],
)
def test_scales_without_units_and_oblong_voxels_are_told(
    tmp_path: Path, unit: str | None, scale: list[float], size: tuple[float, str], line: str | None
) -> None:
    put_image(tmp_path / "a.zarr", unit, scale)
    stack = open_stack(tmp_path / "a.zarr")
    assert (stack.voxel_size, stack.unit) == size
    assert (line in stack.warnings[0]) if line else stack.warnings == ()


@pytest.mark.parametrize(("version", "separator"), [(3, "/"), (2, "."), (2, "/")])
def test_images_without_a_chunk_are_named(tmp_path: Path, version: int, separator: str) -> None:
    path = tmp_path / "a.zarr"
    keys = {"name": "v2" if version == 2 else "default", "separator": separator}
    array = zarr.create_array(
        str(path), shape=(7, 4, 4), chunks=(2, 2, 4), dtype="f4", zarr_format=version, fill_value=0, chunk_key_encoding=keys
    )
    array[:2], array[6:, :2] = 1, 1  # a single chunk is enough: others may hold zeros
    (line,) = open_stack(path).warnings
    assert line.endswith("no chunk of the images 2-3, 4-5 was ever written; they are read as 0.0")
    array[2:6, 0, 0] = 1
    assert open_stack(path).warnings == ()


@pytest.mark.parametrize("version", [2, 3])
def test_folders_of_an_image_without_its_chunks_are_no_chunks(tmp_path: Path, version: int) -> None:
    """An interrupted copy leaves folders that are empty."""
    path = tmp_path / "a.zarr"
    keys = {"name": "v2" if version == 2 else "default", "separator": "/"}
    zarr.create_array(
        str(path), data=np.ones((5, 4, 4), np.float32), chunks=(1, 4, 4), zarr_format=version, chunk_key_encoding=keys
    )
    chunk = path / ("c/3/0/0" if version == 3 else "3/0/0")
    chunk.unlink()
    (line,) = open_stack(path).warnings
    assert "no chunk of the images 3 was ever written" in line


def test_a_level_of_the_pyramid_takes_one_layer_of_chunks_of_the_level_above():
    from tomoprior.adapters.zarr import pyramid

    source = np.random.default_rng(0).random((1024, 34, 130), np.float32)
    target = np.zeros((512, 17, 65), np.float32)
    tracemalloc.start()
    try:
        pyramid.fill(source, target)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(target, pyramid.halve(source))
    assert peak < target.nbytes + source.nbytes / 4  # of 1024 slices, 128 and the means of two at a time
