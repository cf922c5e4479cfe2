"""HDF5: Data Exchange, NXtomo, and whatever else is in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tomoprior.adapters.hdf5 import HDF5
from tomoprior.errors import FormatError, InputError
from tomoprior.formats import Header, open_stack, read, writing
from tomoprior.testing.formats import check_format

RNG = np.random.default_rng(0)
N, NY, NU = 5, 4, 6
DARK = RNG.integers(90, 110, (3, NY, NU)).astype(np.uint16)
FLAT = RNG.integers(900, 1100, (7, NY, NU)).astype(np.uint16)
COUNTS = RNG.integers(300, 800, (N, NY, NU)).astype(np.uint16)
TRANSMISSION = (COUNTS - DARK.mean(0)) / (FLAT.mean(0) - DARK.mean(0))
DEGREES = np.linspace(-60, 60, N)


def test_conformance(tmp_path: Path) -> None:
    check_format(HDF5(), tmp_path)


@pytest.fixture
def exchange(tmp_path: Path) -> Path:
    path = tmp_path / "exchange.h5"
    with h5py.File(path, "w") as f:
        f["exchange/data"], f["exchange/data_white"], f["exchange/data_dark"] = COUNTS, FLAT, DARK
        f["exchange/theta"] = DEGREES
        f["measurement/instrument/detector/x_pixel_size"] = 0.65
        f["measurement/instrument/detector/x_pixel_size"].attrs["units"] = "um"
    return path


@pytest.fixture
def nxtomo(tmp_path: Path) -> Path:
    """Flats before and after, darks first, projections in between."""
    path = tmp_path / "scan.nx"
    keys = np.array([2, 2, 2, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 1, 1])
    images = np.empty((15, NY, NU), np.uint16)
    images[keys == 0], images[keys == 1], images[keys == 2] = COUNTS, FLAT, DARK
    angles = np.full(15, 7.0)
    angles[keys == 0] = DEGREES
    with h5py.File(path, "w") as f:
        entry = f.create_group("entry1/tomo_entry")
        entry["instrument/detector/data"], entry["instrument/detector/image_key"] = images, keys
        entry["sample/rotation_angle"] = angles
        entry["sample/rotation_angle"].attrs["units"] = "degree"
        entry["instrument/detector/x_pixel_size"] = np.array([2.5e-6])
        entry["instrument/detector/x_pixel_size"].attrs["units"] = np.bytes_("m")
    return path


@pytest.mark.parametrize("layout", ["exchange", "nxtomo"])
def test_counts_become_transmissions_where_they_are_read(layout: str, request: pytest.FixtureRequest) -> None:
    series = read(request.getfixturevalue(layout))
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), DEGREES)
    assert series.metadata["counts"]
    data = series.projections
    assert (data.shape, data.dtype) == ((N, NY, NU), np.float32)
    np.testing.assert_allclose(data[...], TRANSMISSION, rtol=1e-6)
    for key in (np.s_[1], np.s_[:, 2:3], np.s_[[4, 0, 2]], np.s_[::2, 1, ::-1], np.s_[2:4, :, 3], np.s_[1, 2, 3]):
        np.testing.assert_allclose(data[key], TRANSMISSION[key], rtol=1e-6)
    np.testing.assert_allclose(series.rows(1, 3).projections, TRANSMISSION[:, 1:3], rtol=1e-6)
    np.testing.assert_allclose(series.load().projections, TRANSMISSION, rtol=1e-6)


@pytest.mark.parametrize("layout", ["exchange", "nxtomo"])
def test_options(layout: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(layout)
    raw = open_stack(path, normalize=False)
    np.testing.assert_array_equal(raw.data[...], COUNTS)
    assert raw.counts
    integrals = open_stack(path, normalize=True, minus_log=True)
    np.testing.assert_allclose(integrals.data[...], -np.log(TRANSMISSION), rtol=1e-5)
    assert not integrals.counts
    with pytest.raises(InputError, match="HDF5 reader has no option 'normalise'"):
        open_stack(path, normalise=True)


def test_pixel_sizes(exchange: Path, nxtomo: Path) -> None:
    for path, size, unit in ((exchange, 0.65, "micrometer"), (nxtomo, 2.5e-6, "meter")):
        stack = open_stack(path)
        assert (stack.voxel_size, stack.unit, stack.warnings) == (size, unit, ())


def test_a_pixel_without_light_is_nan(exchange: Path) -> None:
    with h5py.File(exchange, "r+") as f:
        f["exchange/data_white"][:, 1, 2] = f["exchange/data_dark"][0, 1, 2]
        f["exchange/data_dark"][:, 1, 2] = f["exchange/data_dark"][0, 1, 2]
        f["exchange/data"][0, 0, 0] = 0  # darker than dark
    found = open_stack(exchange).data[...]
    assert np.isnan(found[:, 1, 2]).all()
    assert np.count_nonzero(np.isnan(found)) == N
    assert found[0, 0, 0] < 0
    assert np.isnan(open_stack(exchange, minus_log=True).data[0, 0, 0])


def test_flats_without_darks_and_darks_without_flats(exchange: Path) -> None:
    with h5py.File(exchange, "r+") as f:
        del f["exchange/data_dark"]
    np.testing.assert_allclose(open_stack(exchange).data[...], COUNTS / FLAT.mean(0), rtol=1e-6)
    with h5py.File(exchange, "r+") as f:
        del f["exchange/data_white"]
        f["exchange/data_white"] = np.zeros((0, NY, NU))  # as some beamlines leave it
    assert open_stack(exchange).counts
    np.testing.assert_array_equal(open_stack(exchange).data[...], COUNTS)
    with pytest.raises(FormatError, match="no flat field"):
        open_stack(exchange, normalize=True)


def change(path: Path, name: str, value: Any = None, **attrs: Any) -> None:
    with h5py.File(path, "r+") as f:
        if value is not None:
            f.pop(name, None)
            f[name] = value
        f[name].attrs.update(attrs)


def test_units_of_angles(exchange: Path) -> None:
    change(exchange, "exchange/theta", np.deg2rad(DEGREES), units="radians")
    np.testing.assert_allclose(np.rad2deg(open_stack(exchange).angles), DEGREES)
    change(exchange, "exchange/theta", DEGREES, units="furlong")
    stack = open_stack(exchange)
    np.testing.assert_allclose(np.rad2deg(stack.angles), DEGREES)
    assert "'furlong'" in stack.warnings[0]


@pytest.mark.parametrize(("theta", "message"), [(DEGREES[:-1], "4 angles for 5 tilts"), (DEGREES * np.nan, "not finite")])
def test_angles_that_do_not_fit_are_left_alone(exchange: Path, theta: np.ndarray, message: str) -> None:
    change(exchange, "exchange/theta", theta)
    stack = open_stack(exchange)
    assert stack.angles is None
    assert message in stack.warnings[0]
    exchange.with_suffix(".tlt").write_text("\n".join(map(str, DEGREES)))
    np.testing.assert_allclose(np.rad2deg(read(exchange).geometry.angles), DEGREES)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("exchange/data", np.zeros((2, 2)), "2 axes"),
        ("exchange/data", np.zeros((2, 2, 2, 2)), "4 axes"),
        ("exchange/data", np.zeros((0, 2, 2)), "empty"),
        ("exchange/data", np.zeros((2, 2, 2), complex), "real numbers"),
        ("exchange/data", np.full((2, 2, 2), b"text"), "real numbers"),
        ("exchange/data_white", np.zeros((3, 9, 9)), "do not fit images"),
        ("exchange/data_dark", np.zeros((9, 9)), "do not fit images"),
        ("exchange/theta", np.full(N, b"text"), "does not hold real numbers"),
    ],
)
def test_datasets_that_cannot_be(exchange: Path, name: str, value: np.ndarray, message: str) -> None:
    change(exchange, name, value)
    with pytest.raises(FormatError, match=message) as caught:
        open_stack(exchange)
    assert str(exchange) in str(caught.value)


def test_image_keys_that_cannot_be(nxtomo: Path) -> None:
    name = "entry1/tomo_entry/instrument/detector/image_key"
    change(nxtomo, name, np.zeros(3, int))
    with pytest.raises(FormatError, match="3 image keys for 15 images"):
        open_stack(nxtomo)
    change(nxtomo, name, np.ones(15, int))
    with pytest.raises(FormatError, match="no image in it is a projection"):
        open_stack(nxtomo)


def test_sinograms_are_turned(exchange: Path) -> None:
    change(exchange, "exchange/data", COUNTS.transpose(1, 0, 2), axes="y:theta:x")
    stack = open_stack(exchange)
    np.testing.assert_allclose(stack.data[...], TRANSMISSION, rtol=1e-6)
    np.testing.assert_allclose(stack.data[1:3, 2], TRANSMISSION[1:3, 2], rtol=1e-6)
    assert "angle first" in stack.warnings[0]


def test_any_dataset_by_its_name(tmp_path: Path, exchange: Path) -> None:
    np.testing.assert_array_equal(open_stack(exchange, dataset="exchange/data_white").data[...], FLAT)
    assert not open_stack(exchange, dataset="/exchange/data_white").counts
    with pytest.raises(FormatError, match=r"no dataset 'x' in it; there are exchange/data \(5, 4, 6\)"):
        open_stack(exchange, dataset="x")
    with pytest.raises(FormatError, match="no dataset 'exchange'"):
        open_stack(exchange, dataset="exchange")
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as f:
        f["some/where"] = COUNTS
        f["list"] = np.zeros(3)
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.data[...], COUNTS)
    assert "some/where" in stack.warnings[0]
    with h5py.File(path, "r+") as f:
        f["another"] = COUNTS
    with pytest.raises(FormatError, match="Say dataset=NAME"):
        open_stack(path)


def test_files_without_anything(tmp_path: Path) -> None:
    path = tmp_path / "empty.h5"
    with h5py.File(path, "w") as f:
        f["broken"] = h5py.ExternalLink("gone.h5", "x")
        f["exchange/data"] = h5py.SoftLink("/nowhere")
        f["exchange/theta"] = h5py.Empty("f8")
    with pytest.raises(FormatError, match="no array with three axes in it; there are no datasets"):
        open_stack(path)


def test_a_file_that_goes_away_or_is_cut(exchange: Path) -> None:
    data = open_stack(exchange).data
    raw = exchange.read_bytes()
    exchange.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(FormatError, match=r"exchange\.h5: cannot be read"):
        data[0]
    exchange.unlink()
    with pytest.raises(FormatError, match="No such file"):
        data[0]


def test_a_file_stays_free_for_others(exchange: Path) -> None:
    stack = open_stack(exchange)
    stack.data[0]
    with h5py.File(exchange, "r+") as f:
        f["exchange/data"][0] = 1000
    assert stack.data[0].mean() > 0.9


def test_chunks_and_compression(tmp_path: Path) -> None:
    path = tmp_path / "packed.h5"
    with h5py.File(path, "w", userblock_size=1024) as f:
        f.create_dataset("exchange/data", data=COUNTS, chunks=(2, 2, 3), compression="gzip", shuffle=True)
    np.testing.assert_array_equal(open_stack(path).data[1:4, :, 2], COUNTS[1:4, :, 2])


def test_a_filter_that_is_missing(exchange: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(exchange, "r+") as f:
        del f["exchange/data"]
        f.create_dataset("exchange/data", data=COUNTS, compression="gzip")
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: False)
    with pytest.raises(FormatError, match="filter deflate, which is not installed: pip install hdf5plugin"):
        open_stack(exchange)


@settings(deadline=None, max_examples=30)
@given(
    values=hnp.arrays(st.sampled_from([np.float32, np.float64, np.uint8, np.int16]), hnp.array_shapes(min_dims=3, max_dims=3)),
    size=st.floats(1e-6, 1e6),
)
def test_ours_as_h5py_reads_them(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, size: float) -> None:
    path = tmp_path_factory.mktemp("h5") / "a.h5"
    header = Header(values.shape, values.dtype, size, "micrometer", labels=("one", "two"), attrs={"a": 1, "b": {"c": [1, 2]}})
    with writing(path, header) as sink:
        sink[:, :, :] = values
    with h5py.File(path) as f:
        data = f["exchange/data"]
        np.testing.assert_array_equal(data[...], values)
        assert (data.attrs["voxel_size"], data.attrs["unit"], data.attrs["axes"]) == (size, "micrometer", "z:y:x")
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.data[...], values)
    assert (stack.voxel_size, stack.unit, stack.labels, stack.counts) == (size, "micrometer", ("one", "two"), False)
    assert stack.attrs["a"] == 1


def test_a_series_of_ours_is_data_exchange(tmp_path: Path) -> None:
    with writing(tmp_path / "a.h5", Header((N, NY, NU), angles=np.deg2rad(DEGREES))) as sink:
        sink[:, :, :] = TRANSMISSION
    with h5py.File(tmp_path / "a.h5") as f:
        np.testing.assert_allclose(f["exchange/theta"][...], DEGREES)
        assert f["exchange/data"].attrs["axes"] == "theta:y:x"


def test_real_series(data_dir: Path) -> None:
    savu = read(data_dir / "savu_24737" / "savu_24737.h5")
    np.testing.assert_allclose(np.rad2deg(savu.geometry.angles[[0, -1]]), [-88.2, 91.8], atol=1e-4)
    assert savu.metadata["counts"]
    with h5py.File(data_dir / "savu_24737" / "savu_24737.h5") as f:  # transmissions already: nothing is changed
        np.testing.assert_array_equal(savu.projections[:, 10:12], f["exchange/data"][:, 10:12])
    tooth = data_dir / "tooth" / "tooth.h5"
    with h5py.File(tooth) as f:
        data, flat, dark = (f[f"exchange/{n}"][...].astype(np.float64) for n in ("data", "data_white", "data_dark"))
    expected = (data - dark.mean(0)) / (flat.mean(0) - dark.mean(0))
    series = read(tooth, minus_log=True)
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles[[0, -1]]), [0, 179.0055], atol=1e-3)
    np.testing.assert_allclose(series.projections[...], -np.log(expected), rtol=1e-4, atol=1e-5)
    assert not series.metadata["counts"]
