"""Broken files of every kind: one clear error or a readable stack, and never anything else."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
import shutil
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numcodecs
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tomoprior.errors import TomopriorError
from tomoprior.formats import Header, open_stack, registry, writing
from tomoprior.formats.sidefiles import read_angles, read_shifts

SHAPE = (3, 4, 5)
LIMIT = 64 << 20  # bytes: a header that lies must not be believed


def relaxed(max_examples: int) -> settings:
    # examples are the same in every run: what a fresh search finds becomes a test of its own
    return settings(
        max_examples=max_examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


mutations = st.lists(
    st.tuples(
        st.integers(0, 1 << 16), st.one_of(st.integers(0, 255).map(lambda b: bytes([b])), st.binary(min_size=4, max_size=4))
    ),
    max_size=6,
)
cuts = st.one_of(st.none(), st.none(), st.integers(0, 1 << 16))


@pytest.fixture(autouse=True)
def without_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader itself is tested: a process of its own for each HDF5 file would take a fifth of a second."""
    monkeypatch.setattr("tomoprior.adapters.hdf5.format.try_in_a_process", lambda path: None)


def made(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    if not path.exists():
        values = np.arange(60, dtype=np.float32).reshape(SHAPE)
        with writing(
            path, Header(SHAPE, voxel_size=2.5, unit="nanometer", angles=np.array([-0.5, 0.0, 0.5])), overwrite=True
        ) as sink:
            sink[:, :, :] = values
    return path


def mutate(raw: bytes, changes: list[tuple[int, bytes]], cut: int | None, head: int) -> bytes:
    out = bytearray(raw)
    for at, new in changes:
        at %= min(head, len(out))
        out[at : at + len(new)] = new
    return bytes(out if cut is None else out[: cut % len(out)])


def check_message(error: TomopriorError, word: str = "") -> None:
    assert word in str(error)
    assert "\n" not in str(error)


def readable_or_refused(path: Path, **options: object) -> None:
    tracemalloc.start()
    try:
        stack = open_stack(path, **options)
        assert len(stack.data.shape) == 3
        assert min(stack.data.shape) >= 1
        assert 0 < stack.voxel_size < np.inf
        if stack.angles is not None:
            assert stack.angles.shape == stack.data.shape[:1]
        float(stack.data[-1, -1, -1])
    except TomopriorError as error:
        check_message(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < LIMIT, f"{peak} bytes were taken"


@relaxed(200)
@given(mutations, cuts)
@example([(0, b"\xff\xff\xff\x7f")], None)  # 2^31 - 1 columns
@example([(0, b"\xff\xff\xff\xff")], None)  # -1 columns
@example([(92, b"\xff\xff\xff\x7f")], None)  # an extended header larger than the file
@example([(92, b"\x00\xff\xff\xff")], None)  # a negative one
@example([(12, b"\x04\x00\x00\x00")], None)  # complex
def test_mrc_header(tmp_path: Path, changes: list[tuple[int, bytes]], cut: int | None) -> None:
    raw = made(tmp_path, "whole.mrc").read_bytes()
    broken = tmp_path / "broken.mrc"
    broken.write_bytes(mutate(raw, changes, cut, 224))
    readable_or_refused(broken)


@relaxed(80)
@given(mutations, cuts, st.sampled_from(["whole.npy", "whole.npz"]))
def test_numpy(tmp_path: Path, changes: list[tuple[int, bytes]], cut: int | None, name: str) -> None:
    raw = made(tmp_path, name).read_bytes()
    broken = tmp_path / f"broken{Path(name).suffix}"
    broken.write_bytes(mutate(raw, changes, cut, len(raw) if name.endswith("z") else 128))
    readable_or_refused(broken)


@relaxed(40)
@given(st.text(alphabet="0123456789,()' :{}descrfotan_shp<>|OVfiu", max_size=60))
def test_numpy_header_texts(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".encode()
    broken = tmp_path / "broken.npy"
    broken.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(240))
    readable_or_refused(broken)


@relaxed(60)
@given(mutations, cuts)
def test_tiff(tmp_path: Path, changes: list[tuple[int, bytes]], cut: int | None) -> None:
    raw = made(tmp_path, "whole.tif").read_bytes()
    broken = tmp_path / "broken.tif"
    broken.write_bytes(mutate(raw, changes, cut, len(raw)))
    readable_or_refused(broken)


def test_hdf5(tmp_path: Path) -> None:
    # the same bytes for ever, whatever hypothesis comes: the HDF5 library itself loops without end on a few broken files
    raw = made(tmp_path, "whole.h5").read_bytes()
    rng = random.Random(0)
    broken = tmp_path / "broken.h5"
    for i in range(60):
        changes = [(rng.randrange(2200), bytes([rng.randrange(256)])) for _ in range(rng.randrange(4))]
        broken.write_bytes(mutate(raw, changes, rng.randrange(len(raw)) if i % 3 == 0 else None, len(raw)))
        readable_or_refused(broken)


@relaxed(40)
@given(mutations, cuts)
def test_zarr_metadata(tmp_path: Path, changes: list[tuple[int, bytes]], cut: int | None) -> None:
    whole, broken = made(tmp_path, "whole.zarr"), tmp_path / "broken.zarr"
    shutil.rmtree(broken, ignore_errors=True)
    shutil.copytree(whole, broken)
    raw = (whole / "zarr.json").read_bytes()
    (broken / "zarr.json").write_bytes(mutate(raw, changes, cut, len(raw)))
    readable_or_refused(broken)


@relaxed(20)
@given(st.sampled_from(["shape", "chunk_grid", "data_type", "codecs", "fill_value", "attributes", "node_type"]), st.data())
def test_zarr_values(tmp_path: Path, key: str, data: st.DataObject) -> None:
    whole, broken = made(tmp_path, "whole.zarr"), tmp_path / "broken.zarr"
    shutil.rmtree(broken, ignore_errors=True)
    shutil.copytree(whole, broken)
    metadata = json.loads((whole / "zarr.json").read_text())
    metadata[key] = data.draw(
        st.one_of(st.none(), st.integers(), st.text(max_size=5), st.lists(st.integers(0, 1 << 40), max_size=4))
    )
    (broken / "zarr.json").write_text(json.dumps(metadata))
    readable_or_refused(broken)


lines = st.lists(
    st.one_of(
        st.floats().map(repr),
        st.text(max_size=12),
        st.sampled_from(
            ["[ZValue = 0]", "[ZValue = -1]", "[ZValue = 1e9]", "TiltAngle = 3", "TiltAngle = nan", "PixelSpacing = x"]
        ),
        st.lists(st.floats(-1e6, 1e6).map(repr), min_size=6, max_size=6).map(" ".join),
    ),
    max_size=12,
).map("\n".join)


table_rows = st.lists(
    st.lists(st.one_of(st.integers(-3, 400).map(str), st.floats().map(repr), st.sampled_from(["", "tilt", "rad"])), max_size=4),
    max_size=8,
).flatmap(lambda rows: st.sampled_from([" ", ",", ";", "\t"]).map(lambda s: "\n".join(s.join(row) for row in rows)))


@relaxed(150)
@given(table_rows, st.sampled_from(["utf-8", "utf-16", "utf-16-le", "latin-1"]), st.booleans())
def test_tables_of_angles(tmp_path: Path, text: str, encoding: str, cut: bool) -> None:
    for suffix in (".txt", ".csv", ".tlt", ".aln"):
        side = tmp_path / f"table{suffix}"
        side.write_bytes(text.encode(encoding)[: -1 if cut else None])
        try:
            values = read_angles(side)
        except TomopriorError as error:
            check_message(error, "table")
        else:
            assert np.all(np.abs(values) <= 4 * np.pi + 1e-6)


@relaxed(150)
@given(
    st.sampled_from([b"SERI", b"FEI1", b"FEI2", b"", b"AGAR"]), st.integers(-5, 300), st.integers(-5, 300), mutations, cuts,
    st.sampled_from([6, 2304, 131072]),
)  # fmt: skip
def test_mrc_extended_headers(
    tmp_path: Path, kind: bytes, nint: int, nreal: int, changes: list[tuple[int, bytes]], cut: int | None, size: int
) -> None:
    raw = bytearray(made(tmp_path, "whole.mrc").read_bytes())
    raw[92:96] = size.to_bytes(4, "little")
    raw[104:108] = kind.ljust(4, b"\0")
    raw[128:132] = nint.to_bytes(2, "little", signed=True) + nreal.to_bytes(2, "little", signed=True)
    extended = mutate(bytes(size), changes, None, size)
    broken = tmp_path / "broken.mrc"
    broken.write_bytes(mutate(bytes(raw[:1024]) + extended + bytes(raw[1024:]), [], cut, 1024))
    readable_or_refused(broken)


@relaxed(60)
@given(mutations, cuts, st.sampled_from([gzip.compress, bz2.compress]), st.booleans())
def test_compressed_mrc(
    tmp_path: Path, changes: list[tuple[int, bytes]], cut: int | None, pack: Callable[[bytes], bytes], inside: bool
) -> None:
    raw = made(tmp_path, "whole.mrc").read_bytes()
    packed = pack(mutate(raw, changes, cut, 224)) if inside else mutate(pack(raw), changes, cut, 2000)
    broken = tmp_path / "broken.mrc.gz"
    broken.write_bytes(packed)
    readable_or_refused(broken)


values_of_hdf5 = st.one_of(
    st.none(), st.integers(-(2**40), 2**40), st.floats(), st.text(max_size=5), st.lists(st.floats(), max_size=4)
)


@relaxed(60)
@given(st.sampled_from(["emd", "hyperspy", "cil", "nxtomo", "exchange", "fxi", "unknown", "fields"]), st.data())
def test_hdf5_layouts(tmp_path: Path, name: str, data: st.DataObject) -> None:
    path = tmp_path / "broken.h5"
    places = {
        "emd": ["data/t/dim1", "data/t/dim2", "data/t/dim3", "data/t/data"],
        "hyperspy": ["Experiments/t/metadata/Tomography/tilts", "Experiments/t/axis-0", "Experiments/t/data"],
        "cil": ["entry1/tomo_entry/config/angles", "entry1/tomo_entry/data/data"],
        "nxtomo": ["entry/instrument/detector/image_key", "entry/sample/rotation_angle", "entry/instrument/detector/data"],
        "exchange": [
            "exchange/theta",
            "exchange/data_white_pre",
            "process/acquisition/rotation/rotation_start",
            "exchange/data",
        ],
        "fxi": ["angle", "img_bkg", "img_dark", "img_tomo"],
        "unknown": ["scan/theta", "tilt_angles", "scan/flats", "scan/images"],
        "fields": ["exchange/rotation", "exchange/white_field", "exchange/dark", "exchange/data"],
    }[name]
    attributes = ["units", "name", "scale", "offset", "dim0", "initial_angle", "data_type", "axes", "tilts"]
    with h5py.File(path, "w") as f:
        if name == "hyperspy":
            f.attrs["file_format"] = "HyperSpy"
        for place in places[:-1]:
            value = data.draw(values_of_hdf5)
            f[place] = h5py.Empty("f8") if value is None else value
        f[places[-1]] = np.ones(SHAPE, np.float32)
        if name == "cil":
            f[places[-1]].attrs["data_type"] = "AcquisitionData"
        for place in places:
            attribute = data.draw(values_of_hdf5)
            f[place].attrs[data.draw(st.sampled_from(attributes))] = h5py.Empty("f8") if attribute is None else attribute
    readable_or_refused(path)


@relaxed(40)
@given(st.lists(st.text(alphabet="ab-_+.0123456789 flatdrk", min_size=1, max_size=12), min_size=1, max_size=5, unique=True))
def test_names_in_a_folder_of_images(tmp_path: Path, names: list[str]) -> None:
    folder = tmp_path / "scan"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in names:
        shutil.copyfile(one_page(tmp_path), folder / f"{name}.tif")
    readable_or_refused(folder)


@relaxed(40)
@given(
    st.sampled_from(["theta", "tilt_angles", "angles", "tilts", "angles_rad", "tilt (mrad)", "angle_unit"]),
    st.one_of(st.none(), st.integers(), st.text(max_size=5), st.lists(st.floats(), max_size=4), st.lists(st.text(max_size=3))),
    st.booleans(),
)
def test_angles_in_attributes_and_arrays_of_others(tmp_path: Path, name: str, value: object, is_array: bool) -> None:
    broken = tmp_path / "broken.zarr"
    shutil.rmtree(broken, ignore_errors=True)
    group = zarr.open_group(str(broken), mode="w", zarr_format=2)
    group.create_array("images", data=np.ones(SHAPE, np.float32))
    if is_array and isinstance(value, list):
        try:
            group.create_array(name, data=np.array(value, np.float64))
        except ValueError:
            return
    else:
        group.attrs[name] = value
    readable_or_refused(broken)
    with (tmp_path / "broken.npz").open("wb") as file:
        np.savez(file, images=np.ones(SHAPE), **{name: np.array([] if value is None else value)})
    readable_or_refused(tmp_path / "broken.npz")


def one_page(tmp_path: Path) -> Path:
    path = tmp_path / "one.tif"
    if not path.exists():
        tifffile.imwrite(path, np.ones(SHAPE[1:], np.float32), photometric="minisblack")
    return path


@relaxed(150)
@given(st.one_of(lines.map(lambda t: t.encode("utf-8", "surrogatepass")), st.binary(max_size=200)))
def test_side_files(tmp_path: Path, raw: bytes) -> None:
    for suffix in (".tlt", ".rawtlt", ".txt", ".csv", ".mdoc", ".xf", ".aln", ".star", ".tomostar", ".npy"):
        side = tmp_path / f"side{suffix}"
        side.write_bytes(raw)
        try:
            values = read_shifts(side) if suffix == ".xf" else read_angles(side)
        except TomopriorError as error:
            check_message(error, "side")
        else:
            assert values.dtype == np.float64
            assert values.size
            assert np.all(np.isfinite(values))


@relaxed(40)
@given(st.binary(max_size=3000), st.sampled_from([".mrc", ".h5", ".tif", ".npy", ".npz", ".zarr", ".dat"]))
def test_anything_under_any_name(tmp_path: Path, raw: bytes, suffix: str) -> None:
    path = tmp_path / f"anything{suffix}"
    path.write_bytes(raw)
    readable_or_refused(path)


@pytest.mark.parametrize("name", ["mrc", "hdf5", "tiff", "zarr", "npy"])
def test_a_format_asked_for_another_ones_file(tmp_path: Path, name: str) -> None:
    fmt = registry.get(name)
    for suffix in (".mrc", ".h5", ".tif", ".zarr", ".npy", ".npz"):
        path = made(tmp_path, f"whole{suffix}")
        if suffix in fmt.extensions:
            continue
        assert not fmt.matches(path)
        with pytest.raises(TomopriorError):
            fmt.read(path)


@relaxed(60)
@given(mutations, cuts)
def test_zarr_in_a_zip_archive(tmp_path: Path, changes: list[tuple[int, bytes]], cut: int | None) -> None:
    whole = tmp_path / "whole.zarr.zip"
    if not whole.exists():
        shutil.make_archive(str(tmp_path / "whole.zarr"), "zip", made(tmp_path, "folder.zarr"))
    raw = whole.read_bytes()
    broken = tmp_path / "broken.zarr.zip"
    broken.write_bytes(mutate(raw, changes, cut, len(raw)))
    readable_or_refused(broken)


@relaxed(60)
@given(mutations, cuts, st.sampled_from(["gzip", "zlib", "bz2", "lzma", "zstd"]))
def test_chunks_of_zarr(tmp_path: Path, changes: list[tuple[int, bytes]], cut: int | None, codec: str) -> None:
    folder = tmp_path / f"{codec}.zarr"
    if not folder.exists():
        array = zarr.create_array(
            str(folder), shape=SHAPE, chunks=SHAPE, dtype="f4", zarr_format=2, compressors=numcodecs.get_codec({"id": codec})
        )
        array[...] = np.arange(60, dtype=np.float32).reshape(SHAPE)
        (folder / "0.0.0").rename(tmp_path / f"{codec}.chunk")
    raw = (tmp_path / f"{codec}.chunk").read_bytes()
    (folder / "0.0.0").write_bytes(mutate(raw, changes, cut, len(raw)))
    readable_or_refused(folder)


@relaxed(60)
@given(mutations, cuts, st.sampled_from(["zlib", "lzma"]))
def test_compressed_strips_of_tiff(tmp_path: Path, changes: list[tuple[int, bytes]], cut: int | None, codec: str) -> None:
    whole = tmp_path / f"{codec}.tif"
    if not whole.exists():
        number, pack = {"zlib": (8, zlib.compress), "lzma": (34925, lzma.compress)}[codec]
        strip = pack(bytes(range(60)) + b"\0")
        entries = [(256, 1, 10), (257, 1, 6), (258, 1, 8), (259, 1, number), (262, 1, 1), (273, 1, 8), (278, 1, 6)]
        entries.append((279, 1, len(strip)))
        directory = (
            struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", t, 4, n, v) for t, n, v in entries) + bytes(4)
        )
        whole.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + directory)
        assert open_stack(whole).data[0, 5, 9] == 59
    raw = whole.read_bytes()
    broken = tmp_path / "broken.tif"
    broken.write_bytes(mutate(raw, changes, cut, len(raw)))
    readable_or_refused(broken)
