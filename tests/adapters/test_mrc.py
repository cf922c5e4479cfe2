"""MRC: modes, byte orders, headers that lie, and what other programs say of our files."""

from __future__ import annotations

import bz2
import gzip
import pickle
import struct
import warnings
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tomoprior.adapters.mrc import MRC
from tomoprior.errors import FormatError, InputError
from tomoprior.formats import Header, Stack, open_stack, read, writing
from tomoprior.testing.formats import check_format
from tomoprior.units import UNITS

VALUES = np.arange(60, dtype=np.float32).reshape(3, 4, 5)


def change(path: Path, at: int, fmt: str, *values: object) -> None:
    raw = bytearray(path.read_bytes())
    struct.pack_into(fmt, raw, at, *values)
    path.write_bytes(raw)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that mrcfile wrote."""
    path = tmp_path / "a.mrc"
    with mrcfile.new(path) as mrc:
        mrc.set_data(VALUES)
        mrc.voxel_size = 2.5
    return path


def test_conformance(tmp_path: Path) -> None:
    check_format(MRC(), tmp_path)


@settings(deadline=None, max_examples=40)
@given(
    values=hnp.arrays(
        st.sampled_from([np.int8, np.int16, np.uint16, np.float16, np.float32]), hnp.array_shapes(min_dims=3, max_dims=3)
    ),
    order=st.sampled_from("<>"),
    extended=st.sampled_from([0, 80, 1000]),
)
def test_files_of_mrcfile(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, order: str, extended: int) -> None:
    path = tmp_path_factory.mktemp("mrc") / "a.st"
    with warnings.catch_warnings(), mrcfile.new(path) as mrc:
        warnings.simplefilter("ignore")  # values that are not finite
        mrc.set_data(values.astype(values.dtype.newbyteorder(order)))
        mrc.set_extended_header(np.zeros(extended, "V1"))
        mrc.voxel_size = 3.25
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.data[...], values)
    assert stack.data.dtype == values.dtype
    assert (stack.voxel_size, stack.unit) == (3.25, "angstrom")
    assert stack.warnings == ()


@pytest.mark.parametrize(("flags", "dtype"), [(None, np.int8), (1, np.int8), (0, np.uint8)])
def test_bytes_are_signed_or_not_as_imod_says(tmp_path: Path, flags: int | None, dtype: type) -> None:
    path = tmp_path / "a.st"
    values = np.arange(-60, 60, dtype=np.int8).reshape(4, 5, 6)
    with mrcfile.new(path) as mrc:
        mrc.set_data(values)
    if flags is not None:
        change(path, 152, "<2i", 1146047817, flags)
        change(path, 76, "<3f", 0, -1, -2)  # minimum and maximum are unknown
    np.testing.assert_array_equal(open_stack(path).data[...], values.view(dtype))


def test_half_bytes_and_the_inverted_origin_of_imod(path: Path) -> None:
    change(path, 196, "<3f", 1, 2, 3)
    assert open_stack(path).origin == (3, 2, 1)
    change(path, 152, "<2i", 1146047817, 4)
    assert open_stack(path).origin == (-3, -2, -1)
    change(path, 12, "<i", 0)
    change(path, 152, "<2i", 1146047817, 16)
    with pytest.raises(FormatError, match="half bytes"):
        open_stack(path)


@pytest.mark.parametrize("mode", [3, 4, 16, 101])
def test_modes_that_are_not_numbers(path: Path, mode: int) -> None:
    change(path, 12, "<i", mode)
    with pytest.raises(FormatError, match=rf"MRC mode {mode}"):
        open_stack(path)


@pytest.mark.parametrize(
    ("at", "fmt", "values", "message"),
    [
        (0, "<3i", (0, 4, 5), "header cannot be right"),
        (0, "<3i", (-5, 4, 3), "header cannot be right"),
        (0, "<3i", (2**31 - 1,) * 3, "header cannot be right"),
        (0, "<3i", (100_000, 100_000, 100_000), "truncated"),
        (12, "<i", (77,), "mode 77"),
        (92, "<i", (-4,), "extended header has -4 bytes"),
        (92, "<i", (2**31 - 1,), "truncated"),
        (64, "<3i", (1, 1, 3), "axes are unknown"),
        (88, "<i", (401,), None),
    ],
)
def test_headers_that_lie(path: Path, at: int, fmt: str, values: tuple[int, ...], message: str | None) -> None:
    change(path, at, fmt, *values)
    if message is None:
        assert open_stack(path).data.shape == VALUES.shape
        change(path, 36, "<i", 1)  # several volumes
        message = "stack of volumes"
    with pytest.raises(FormatError, match=message) as caught:
        open_stack(path)
    assert str(path) in str(caught.value)


def test_truncated_by_one_byte_and_too_long(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[:-1])
    with pytest.raises(FormatError, match="should have 1264 bytes and has 1263"):
        open_stack(path)
    path.write_bytes(raw + b"more")
    stack = open_stack(path)
    assert "4 bytes behind the data" in stack.warnings[0]
    np.testing.assert_array_equal(stack.data[...], VALUES)


@pytest.mark.parametrize("cell", [0.0, np.nan, -5.0, np.inf])
def test_no_voxel_size(path: Path, cell: float) -> None:
    change(path, 40, "<3f", cell, cell, cell)
    stack = open_stack(path)
    assert (stack.voxel_size, stack.unit) == (1.0, "pixel")
    assert "no voxel size" in stack.warnings[0]
    path.with_name("a.mrc.mdoc").write_text("PixelSpacing = 2.74\n")
    stack = open_stack(path)
    assert (stack.voxel_size, stack.unit) == (2.74, "angstrom")
    path.with_name("a.mrc.mdoc").write_bytes(b"\0")
    assert "not a text file; not used" in open_stack(path).warnings[0]


def test_the_header_and_the_mdoc_disagree(path: Path) -> None:
    path.with_suffix(".mdoc").write_text(
        "PixelSpacing = 5\n[ZValue = 0]\nTiltAngle = -3\n[ZValue = 1]\nTiltAngle = 0\n[ZValue = 2]\nTiltAngle = 3\n"
    )
    series = read(path)
    assert series.geometry.voxel_size == 2.5
    assert "2.5 angstrom in the header, 5 in the .mdoc" in series.metadata["warnings"][0]
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), [-3, 0, 3])


def test_oblong_voxels(path: Path) -> None:
    change(path, 40, "<3f", 12.5, 20, 7.5)  # 2.5, 5 and 2.5 a voxel
    assert "not cubes (2.5 x 5 x 2.5 angstrom)" in open_stack(path).warnings[0]


@pytest.mark.parametrize("codes", [(1, 2, 3), (2, 1, 3), (3, 1, 2), (1, 3, 2), (3, 2, 1), (2, 3, 1)])
def test_axes_in_another_order(tmp_path: Path, codes: tuple[int, int, int]) -> None:
    path = tmp_path / "a.map"
    # codes name the axis (1 x, 2 y, 3 z) of columns, rows and sections; in our array z, y, x are axes 0, 1, 2
    stored = np.ascontiguousarray(VALUES.transpose([3 - c for c in reversed(codes)]))
    with mrcfile.new(path) as mrc:
        mrc.set_data(stored)
    change(path, 64, "<3i", *codes)
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.data[...], VALUES)
    np.testing.assert_array_equal(stack.data[1:, 2], VALUES[1:, 2])
    assert ("another order" in " ".join(stack.warnings)) == (codes != (1, 2, 3))


def test_an_old_file_without_marks(path: Path) -> None:
    change(path, 208, "8s", b"\0" * 8)
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.data[...], VALUES)
    assert "lacks the mark" in stack.warnings[0]
    swapped = path.with_name("big.st")
    with mrcfile.new(swapped) as mrc:
        mrc.set_data(VALUES.astype(">f4"))
    change(swapped, 208, "8s", b"\0" * 8)
    np.testing.assert_array_equal(open_stack(swapped).data[...], VALUES)


def written(path: Path, values: np.ndarray, **header: object) -> Stack:
    with writing(path, Header(values.shape, values.dtype, **header), overwrite=True) as sink:  # type: ignore[arg-type]
        for y in range(values.shape[1]):
            sink[:, y : y + 1, :] = values[:, y : y + 1]
    return open_stack(path)


@settings(deadline=None, max_examples=60)
@given(
    values=hnp.arrays(np.float32, hnp.array_shapes(min_dims=3, max_dims=3), elements=st.floats(-1e6, 1e6, width=32)),
    size=st.floats(1e-3, 1e4),
    unit=st.sampled_from(UNITS),
    labels=st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=80), max_size=9),
)
def test_ours_as_mrcfile_reads_them(
    tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, size: float, unit: str, labels: list[str]
) -> None:
    path = tmp_path_factory.mktemp("mrc") / "a.mrc"
    stack = written(path, values, voxel_size=size, unit=unit, labels=tuple(labels))
    assert (stack.voxel_size, stack.unit, stack.labels) == (size, unit, tuple(labels))
    with mrcfile.open(path) as mrc:
        np.testing.assert_array_equal(mrc.data, values)
        assert mrc.is_volume()
        exact = values.astype(np.float64)
        found = [float(mrc.header[k]) for k in ("dmin", "dmax", "dmean", "rms")]
        np.testing.assert_allclose(found, [exact.min(), exact.max(), exact.mean(), exact.std()], rtol=1e-4, atol=1e-2)
        assert [label for label in mrc.get_labels() if not label.startswith("tomoprior voxel")] == labels


def test_mrcfile_finds_our_files_valid(tmp_path: Path) -> None:
    for angles in (None, np.zeros(3)):
        written(tmp_path / "a.mrc", VALUES, voxel_size=3.0, unit="nanometer", angles=angles)
        assert mrcfile.validate(tmp_path / "a.mrc")


def test_units_in_the_header(tmp_path: Path) -> None:
    path = tmp_path / "a.mrc"
    for unit, size, angstrom in (
        ("nanometer", 1.8, 18.0),
        ("angstrom", 5, 5.0),
        ("micrometer", 0.5, 5000.0),
        ("pixel", 2.0, 2.0),
    ):
        written(path, VALUES, voxel_size=size, unit=unit, origin=(3.0, 2.0, 1.0))
        with mrcfile.open(path) as mrc:
            np.testing.assert_allclose([mrc.voxel_size.x, mrc.voxel_size.y, mrc.voxel_size.z], angstrom, rtol=1e-6)
            np.testing.assert_allclose(mrc.header.origin.item(), np.array([1, 2, 3]) * angstrom / size, rtol=1e-6)


def test_a_label_that_no_longer_fits_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.mrc"
    written(path, VALUES, voxel_size=1.0, unit="pixel")
    assert open_stack(path).unit == "pixel"
    with mrcfile.open(path, mode="r+") as mrc:  # another program calibrates the file, and keeps the labels
        mrc.voxel_size = 7.0
    stack = open_stack(path)
    assert (stack.voxel_size, stack.unit) == (7.0, "angstrom")


def test_labels_that_are_too_many_or_too_long(tmp_path: Path) -> None:
    labels = ("x" * 200, "\u00e9\n\u00e8", *map(str, range(20)))
    assert written(tmp_path / "a.mrc", VALUES, labels=labels).labels == ("x" * 80, "? ?", *map(str, range(7)))


def test_a_tilt_series_is_an_image_stack(tmp_path: Path) -> None:
    path = tmp_path / "a.mrc"
    written(path, VALUES, angles=np.array([-1.0, 0.0, 1.0]))
    with mrcfile.open(path) as mrc:
        assert mrc.is_image_stack()
    np.testing.assert_allclose(read(path).geometry.angles, [-1, 0, 1], atol=1e-7)


def test_types(tmp_path: Path) -> None:
    for dtype, on_disk in ((np.uint8, np.uint16), (np.float64, np.float32), (np.int8, np.int8), (np.float16, np.float16)):
        stack = written(tmp_path / "a.mrc", VALUES.astype(dtype))
        np.testing.assert_array_equal(stack.data[...], VALUES)
        assert stack.data.dtype == on_disk
    with pytest.raises(FormatError, match="MRC cannot hold values of type int32"):
        written(tmp_path / "a.mrc", VALUES.astype(np.int32))


def test_values_that_are_not_finite_do_not_spoil_the_statistics(tmp_path: Path) -> None:
    values = VALUES.copy()
    values[0, 0, 0] = np.nan
    written(tmp_path / "a.mrc", values)
    with mrcfile.open(tmp_path / "a.mrc") as mrc:
        assert (float(mrc.header.dmin), float(mrc.header.dmax)) == (1.0, 59.0)
    written(tmp_path / "a.mrc", np.full_like(values, np.nan))
    with mrcfile.open(tmp_path / "a.mrc") as mrc:
        assert mrc.header.dmax < mrc.header.dmin  # not determined


def test_real_series(data_dir: Path) -> None:
    aligned, raw = (read(data_dir / "needle" / f"needle_{name}.mrc") for name in ("aligned", "raw"))
    np.testing.assert_allclose(np.rad2deg(aligned.geometry.angles), np.arange(-90, 91, 2))
    np.testing.assert_allclose(aligned.geometry.voxel_size, 179.94916, rtol=1e-7)
    assert aligned.geometry.unit == "angstrom"
    assert raw.projections.dtype == np.uint16
    for series, name in ((aligned, "aligned"), (raw, "raw")):
        assert series.metadata["warnings"] == []
        with mrcfile.open(data_dir / "needle" / f"needle_{name}.mrc") as mrc:
            np.testing.assert_array_equal(series.projections[...], mrc.data)
            np.testing.assert_array_equal(series.rows(10, 20).projections, mrc.data[:, 10:20])
    assert open_stack(data_dir / "maps" / "mrcs_5A_4v7r.mrc").voxel_size == 5.0


TILTS = np.arange(-60.0, 61.0, 15.0)


def put_extended(
    path: Path, extended: bytes, kind: bytes = b"", nint: int = 0, nreal: int = 0, order: str = "<", mode: int = 2
) -> None:
    """A series of nine tilts with an extended header, written byte by byte."""
    n = len(TILTS)
    data = np.arange(n * 2 * 4, dtype=f"{order}f4").reshape(n, 2, 4)
    header = bytearray(1024)
    struct.pack_into(f"{order}4i", header, 0, 4, 2, n, mode)
    struct.pack_into(f"{order}3i3f", header, 28, 4, 2, n, 40.0, 20.0, 90.0)
    struct.pack_into(f"{order}3i", header, 64, 1, 2, 3)
    struct.pack_into(f"{order}i", header, 92, len(extended))
    header[104 : 104 + len(kind)] = kind
    struct.pack_into(f"{order}2h", header, 128, nint, nreal)
    header[208:216] = b"MAP DD\0\0" if order == "<" else b"MAP \x11\x11\0\0"
    path.write_bytes(bytes(header) + extended + data.tobytes())


def serialem(order: str = "<", flags: int = 1) -> tuple[bytes, int]:
    size = 2 + (4 if flags & 4 else 0)
    records = (struct.pack(f"{order}h", round(t * 100)) + bytes(size - 2) for t in TILTS)
    return b"".join(records), size


def fei(size: int, tilts: np.ndarray = TILTS) -> bytes:
    records = bytearray(size * len(tilts))
    for i, tilt in enumerate(tilts):
        struct.pack_into("<2i", records, size * i, size, 0)
        struct.pack_into("<d", records, size * i + 100, tilt)
    return bytes(records)


def old_fei(order: str = "<", pixel: float = 1.5e-9) -> bytes:
    records = np.zeros((1024, 32), f"{order}f4")
    records[: len(TILTS), 0], records[: len(TILTS), 11] = TILTS, pixel
    return records.tobytes()


@pytest.mark.parametrize(
    ("extended", "kind", "nint", "nreal", "order"),
    [
        (*serialem()[:1], b"SERI", 2, 1, "<"),
        (*serialem(flags=5)[:1], b"SERI", 6, 5, "<"),
        (*serialem(flags=5)[:1], b"", 6, 5, "<"),  # before the type was written
        (*serialem(">")[:1], b"SERI", 2, 1, ">"),
        (fei(768), b"FEI1", 0, 0, "<"),
        (fei(888), b"FEI2", 0, 0, "<"),
        (old_fei(), b"", 0, 32, "<"),
        (old_fei(">"), b"", 0, 32, ">"),
    ],
)
def test_angles_of_the_microscope_in_the_extended_header(
    tmp_path: Path, extended: bytes, kind: bytes, nint: int, nreal: int, order: str
) -> None:
    path = tmp_path / "a.mrc"
    put_extended(path, extended, kind, nint, nreal, order)
    np.testing.assert_allclose(np.rad2deg(read(path).geometry.angles), TILTS, atol=1e-6)
    # refined angles beside the file overrule the nominal ones
    path.with_suffix(".tlt").write_text("\n".join(str(t + 0.5) for t in TILTS))
    series = read(path)
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), TILTS + 0.5)
    assert series.metadata["warnings"] == []


@pytest.mark.parametrize(
    ("extended", "kind", "nint", "nreal"),
    [
        (b"", b"SERI", 2, 1),
        (serialem()[0][:-2], b"SERI", 2, 1),  # one short
        (serialem()[0], b"SERI", 2, 2),  # no tilt by its flags
        (serialem()[0], b"CCP4", 2, 1),
        (fei(768)[:-1], b"FEI1", 0, 0),
        (bytes(768 * 9), b"FEI1", 0, 0),
        (old_fei(pixel=0.0), b"", 0, 32),
        (old_fei()[:-128], b"", 0, 32),
    ],
)
def test_extended_headers_without_angles(tmp_path: Path, extended: bytes, kind: bytes, nint: int, nreal: int) -> None:
    path = tmp_path / "a.mrc"
    put_extended(path, extended, kind, nint, nreal)
    assert open_stack(path).angles is None
    with pytest.raises(InputError, match="no tilt angles in the file"):
        read(path)


def test_angles_of_the_extended_header_that_are_all_zero_are_the_reason_in_the_message(tmp_path: Path) -> None:
    path = tmp_path / "a.mrc"
    put_extended(path, fei(768, np.zeros(9)), b"FEI1", 0, 0)
    assert open_stack(path).warnings == ()  # a volume with such a header is no matter for a warning
    with pytest.raises(InputError, match="all 9 angles in its extended header are 0"):
        read(path)


def test_angles_of_the_extended_header_that_cannot_be_are_named(tmp_path: Path) -> None:
    put_extended(tmp_path / "a.mrc", fei(768, np.array([np.nan, *TILTS[1:]])), b"FEI1")
    with pytest.raises(InputError, match=r"no tilt angles: .*extended header: angle 0 \(counted from 0\) is not finite"):
        read(tmp_path / "a.mrc")


@pytest.mark.parametrize(
    ("mode", "low", "high", "dtype"),
    [
        (0, 0.0, 255.0, "u1"),
        (0, -128.0, 127.0, "i1"),
        (0, 0.0, 100.0, "i1"),  # either would do
        (0, 0.0, 4000.0, "i1"),  # statistics of another file
        (0, 0.0, 0.0, "i1"),
        (1, 0.0, 60000.0, "u2"),
        (1, -5.0, 60000.0, "i2"),
        (6, -300.0, 300.0, "i2"),
        (6, 0.0, 60000.0, "u2"),
        (1, float("nan"), 60000.0, "i2"),
    ],
)
def test_the_sign_of_bytes_and_words_follows_minimum_and_maximum(
    tmp_path: Path, mode: int, low: float, high: float, dtype: str
) -> None:
    path = tmp_path / "a.mrc"
    values = np.arange(3 * 2 * 4, dtype="u2").reshape(3, 2, 4) * 2700
    stored = values.astype("u1") if mode == 0 else values
    header = bytearray(1024)
    struct.pack_into("<4i", header, 0, 4, 2, 3, mode)
    struct.pack_into("<3i3f", header, 28, 4, 2, 3, 4.0, 2.0, 3.0)
    struct.pack_into("<3i", header, 64, 1, 2, 3)
    struct.pack_into("<2f", header, 76, low, high)
    header[208:216] = b"MAP DD\0\0"
    path.write_bytes(bytes(header) + stored.tobytes())
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.data[...], stored.view(dtype))
    native = {0: "i1", 1: "i2", 6: "u2"}[mode]
    assert bool(stack.warnings) == (dtype != native)
    assert dtype == native or "header's minimum and maximum" in stack.warnings[0]


@pytest.mark.parametrize("suffix", [".gz", ".bz2"])
def test_a_compressed_file_is_the_file(path: Path, suffix: str) -> None:
    packed = path.with_name(f"a.mrc{suffix}")
    pack = gzip.compress if suffix == ".gz" else bz2.compress
    packed.write_bytes(pack(path.read_bytes()))
    stack = open_stack(packed)
    np.testing.assert_array_equal(stack.data[1:, 2], VALUES[1:, 2])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(stack.data))[...], VALUES)
    assert stack.voxel_size == 2.5
    path.with_suffix(".tlt").write_text("-1\n0\n1\n")
    np.testing.assert_allclose(np.rad2deg(read(packed).geometry.angles), [-1, 0, 1])
    packed.write_bytes(pack(path.read_bytes()[:-4]))
    with pytest.raises(FormatError, match="240 bytes of values, 236 are there"):
        open_stack(packed).data[0]
    packed.write_bytes(pack(path.read_bytes())[:-20])
    with pytest.raises(FormatError, match=r"a\.mrc.*"):
        open_stack(packed).data[...]
    change(path, 0, "<3i", 1 << 20, 1 << 20, 1 << 10)
    packed.write_bytes(pack(path.read_bytes()))
    with pytest.raises(FormatError, match=r"do not fit into memory|can be packed in it"):
        open_stack(packed)


def test_the_header_of_a_sorted_stack_comes_before_the_log_of_the_microscope(tmp_path: Path) -> None:
    path = tmp_path / "a.mrc"
    put_extended(path, serialem()[0], b"SERI", 2, 1)
    acquired = sorted(TILTS, key=lambda tilt: (abs(tilt), tilt))
    text = "".join(f"[ZValue = {i}]\nTiltAngle = {tilt}\n" for i, tilt in enumerate(acquired))
    path.with_suffix(".mdoc").write_text(text)
    series = read(path)
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), TILTS)
    assert "a.mdoc differs in the order of the tilts" in series.metadata["warnings"][0]
    path.with_suffix(".mdoc").write_text(text.rpartition("[")[0])  # a log of fewer images
    np.testing.assert_allclose(np.rad2deg(read(path).geometry.angles), TILTS)


@pytest.mark.parametrize(("unsigned", "signed"), [("u1", "i1"), ("u2", "i2")])
def test_the_sign_of_words_without_minimum_and_maximum_follows_their_jumps(tmp_path: Path, unsigned: str, signed: str) -> None:
    path = tmp_path / "a.mrc"
    top = np.iinfo(unsigned).max
    ramp = np.broadcast_to(np.linspace(0, top, 40).astype(unsigned), (2, 6, 40)).copy()
    with mrcfile.new(path) as mrc:
        mrc.set_data(ramp.view(signed))
        if unsigned == "u2":
            mrc.header.mode = 1
    change(path, 76, "<3f", 0.0, -1.0, -2.0)  # no statistics
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.data[...], ramp)
    assert any("jump between the ends of the signed range and are read as unsigned" in line for line in stack.warnings)
    # around zero they are signed, and jump as unsigned ones
    around = (ramp.astype(np.int64) - top // 2 - 1).astype(signed)
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(around)
    change(path, 76, "<3f", 0.0, -1.0, -2.0)
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.data[...], around)
    assert not any("jump" in line for line in stack.warnings)
