"""Images of brightness become projections: background, beam, contrast, logarithm."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import tomoprior
from tomoprior.errors import InputError, NoSuchFileError, ReadingWarning
from tomoprior.formats import open_stack, read, read_volume, write, write_series
from tomoprior.series import TiltSeries

DEGREES = [-60.0, -30, 0, 30, 60]


@pytest.fixture
def counts(tmp_path: Path) -> Path:
    """A beam of 1000 k counts in tilt k, and a specimen in a tenth of the pixels that lets one half or one quarter through."""
    path = tmp_path / "bf.npy"
    images = np.ones((5, 4, 40), np.float32) * 1000 * np.arange(1, 6)[:, None, None]
    images[:, :, 10:12] *= 0.5
    images[:, :, 20:22] *= 0.25
    np.save(path, images.astype(np.uint16))
    (tmp_path / "bf.tlt").write_text("\n".join(map(str, DEGREES)))
    return path


def test_counts_without_a_beam_have_no_logarithm(counts: Path) -> None:
    with pytest.raises(InputError, match=r"bf\.npy: values with a median of 3000 are no transmissions.*--i0"):
        open_stack(counts, minus_log=True).data[...]


@pytest.mark.parametrize("key", [np.s_[...], np.s_[1:3, 2], np.s_[[4, 0], :, 8:24]])
def test_the_beam_of_each_tilt_gives_line_integrals(counts: Path, key: object) -> None:
    stack = open_stack(counts, i0="auto")
    expected = np.zeros((5, 4, 40))
    expected[:, :, 10:12], expected[:, :, 20:22] = np.log(2), np.log(4)
    np.testing.assert_allclose(stack.data[key], expected[key], atol=1e-6)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(stack.data))[key], expected[key], atol=1e-6)
    assert not stack.counts


def test_a_beam_of_one_value(counts: Path) -> None:
    np.testing.assert_allclose(open_stack(counts, i0=5000).data[4, 0, 10], np.log(2), atol=1e-6)
    np.testing.assert_allclose(open_stack(counts, i0="5000", subtract="250").data[4, 0, 20], np.log(5000 / 1000), atol=1e-6)
    for wrong in ("bright", 0, -1, float("nan")):
        with pytest.raises(InputError, match=r"i0 .--i0."):
            open_stack(counts, i0=wrong)


def test_dark_on_bright_becomes_bright_on_zero(counts: Path) -> None:
    data = open_stack(counts, invert=True).data
    np.testing.assert_allclose(data[1, 0, [0, 10, 20]], [0, 1000, 1500])
    np.testing.assert_allclose(data[4, 0, [0, 10, 20]], [0, 2500, 3750])
    with pytest.raises(InputError, match="exclude each other"):
        open_stack(counts, invert=True, i0="auto")


def test_a_background_is_subtracted(tmp_path: Path) -> None:
    images = np.full((2, 4, 40), -300, np.int16)
    images[1], images[:, :, 5] = -100, 700
    np.save(tmp_path / "haadf.npy", images)
    data = open_stack(tmp_path / "haadf.npy", subtract="auto").data
    np.testing.assert_array_equal(data[:, 0, [0, 5]], [[0, 1000], [0, 800]])
    np.testing.assert_array_equal(open_stack(tmp_path / "haadf.npy", subtract=-300).data[1, 0, [0, 5]], [200, 1000])


@pytest.mark.parametrize("name", ["flats", "darks"])
def test_a_file_of_fields_that_is_not_there_is_named(counts: Path, name: str) -> None:
    with pytest.raises(NoSuchFileError, match=rf"gone\.npy: no such file \({name} of .*--{name}\)"):
        open_stack(counts, **{name: "gone.npy"})


def test_what_was_done_is_recorded(counts: Path) -> None:
    series = read(counts, i0="auto", subtract=100)
    assert (series.metadata["minus_log"], series.metadata["i0"], series.metadata["subtracted"]) == (True, "auto", "100")


def test_flat_and_dark_fields_of_other_files(tmp_path: Path, counts: Path) -> None:
    np.save(tmp_path / "flat.npy", np.full((3, 4, 40), 5100.0))
    np.save(tmp_path / "dark.npy", np.full((2, 4, 40), 100.0))
    stack = open_stack(counts, flats=tmp_path / "flat.npy", darks=tmp_path / "dark.npy")
    np.testing.assert_allclose(stack.data[:, 0, 0], (1000 * np.arange(1, 6) - 100) / 5000, rtol=1e-6)
    assert stack.counts
    with pytest.raises(InputError, match="dark fields alone"):
        open_stack(counts, darks=tmp_path / "dark.npy")


def test_python_is_warned_as_the_shell_is(counts: Path) -> None:
    with pytest.warns(ReadingWarning, match="look like degrees"):
        read(counts, angles=[-4, -2, 0, 2, 4])


def test_counts_of_a_file_that_says_so_warn(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["exchange/data"], f["exchange/theta"] = np.ones((5, 2, 8)), DEGREES
    with pytest.warns(ReadingWarning, match="minus_log=True"):
        read(tmp_path / "a.h5")


def test_write_takes_series_and_arrays(tmp_path: Path) -> None:
    geometry = tomoprior.Geometry(np.deg2rad(DEGREES), (8, 2, 16), voxel_size=2.0, unit="nanometer")
    series = TiltSeries(np.arange(5 * 2 * 16, dtype=np.float32).reshape(5, 2, 16), geometry)
    write(series, tmp_path / "a.mrc")
    write_series(series, tmp_path / "b.mrc")
    assert (tmp_path / "a.mrc").read_bytes() == (tmp_path / "b.mrc").read_bytes()
    np.testing.assert_allclose(np.rad2deg(read(tmp_path / "a.mrc").geometry.angles), DEGREES, atol=1e-5)
    values = np.arange(24.0).reshape(2, 3, 4)
    write(values, tmp_path / "v.tif")
    np.testing.assert_array_equal(read_volume(tmp_path / "v.tif").volume, values)
    for wrong in (np.zeros((2, 2)), np.zeros((2, 2, 2), complex), np.zeros((0, 2, 2)), "text"):
        with pytest.raises(InputError, match="three axes of real numbers"):
            write(wrong, tmp_path / "w.mrc")
    assert not (tmp_path / "w.mrc").exists()


def test_a_volume_is_read_with_its_voxel_size(tmp_path: Path) -> None:
    geometry = tomoprior.Geometry([0.0], (2, 3, 4), voxel_size=2.5, unit="nanometer")
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    write(tomoprior.Reconstruction(values, geometry), tmp_path / "v.mrc")
    volume = tomoprior.read_volume(tmp_path / "v.mrc")
    np.testing.assert_array_equal(volume.volume, values)
    assert (volume.voxel_size, volume.unit) == (2.5, "nanometer")
    np.savez(tmp_path / "two.npz", a=values, b=values + 1)
    np.testing.assert_array_equal(tomoprior.read_volume(tmp_path / "two.npz", dataset="b").volume, values + 1)
