"""Files of microscopes' programs: images, pixel sizes and tilts, and a clear line without the package that reads them."""

from __future__ import annotations

import pickle
import random
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import tomoprior
from tomoprior.errors import FormatError, MissingDependencyError, NoSuchFileError, TomopriorError
from tomoprior.formats import open_stack, registry

IMAGES = np.arange(5 * 4 * 6, dtype=np.float32).reshape(5, 4, 6)
DEGREES = np.array([-60.0, -30.0, 0.0, 30.0, 60.0])
LIMIT = 64 << 20


@pytest.fixture
def rsciio():
    return pytest.importorskip("rsciio")


def test_a_series_of_tia_lies_bottom_up_and_its_axis_holds_the_tilts(tmp_path: Path, write_ser: Callable, rsciio) -> None:
    path = tmp_path / "a.ser"
    write_ser(path, IMAGES.astype(np.int16), pixel=2e-9, start=-60, step=30, unit="deg")
    series = tomoprior.read(path)
    np.testing.assert_array_equal(series.projections[...], IMAGES[:, ::-1])
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), DEGREES)
    assert (series.geometry.voxel_size, series.geometry.unit) == (pytest.approx(2), "nanometer")


@pytest.mark.parametrize("version", [3, 4])
def test_digital_micrograph_stacks(tmp_path: Path, write_dm: Callable, rsciio, version: int) -> None:
    path = tmp_path / f"a.dm{version}"
    write_dm(path, IMAGES, version, scales=(30, 0.5, 0.5), units=("deg", "nm", "nm"), origins=(-60, 0, 0))
    series = tomoprior.read(path)
    np.testing.assert_array_equal(series.projections[...], IMAGES)
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), DEGREES, atol=1e-5)
    assert (series.geometry.voxel_size, series.geometry.unit) == (pytest.approx(0.5), "nanometer")


def test_a_stack_without_a_tilt_axis_says_so(tmp_path: Path, write_dm: Callable, rsciio) -> None:
    path = tmp_path / "a.dm3"
    write_dm(path, IMAGES)
    assert open_stack(path).angles is None
    with pytest.raises(TomopriorError, match="no tilt angles"):
        tomoprior.read(path)
    assert tomoprior.read(path, angles="-60:60:30").geometry.n_angles == 5


def test_velox_frames_come_first_and_the_stage_knows_the_tilts(tmp_path: Path, write_velox: Callable, rsciio) -> None:
    path = tmp_path / "a.emd"
    write_velox(path, IMAGES, np.deg2rad(DEGREES), pixel=2e-9)
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.data[1:3, 1:, 2:4], IMAGES[1:3, 1:, 2:4])
    np.testing.assert_allclose(np.rad2deg(stack.angles), DEGREES)
    assert stack.nominal_angles
    assert (stack.voxel_size, stack.unit) == (pytest.approx(2), "nanometer")
    (tmp_path / "a.tlt").write_text("-59\n-30\n0\n30\n61\n")  # refined angles come before those of the stage
    assert np.rad2deg(tomoprior.read(path).geometry.angles)[0] == pytest.approx(-59)


def test_a_velox_stack_of_a_camera_has_its_exposure_elsewhere(tmp_path: Path, write_velox: Callable, rsciio) -> None:
    path = tmp_path / "a.emd"
    write_velox(path, IMAGES.astype(np.int16), np.deg2rad(DEGREES), detectors=("BM-Ceta",), camera=True)
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.data[...], IMAGES)
    np.testing.assert_allclose(np.rad2deg(stack.angles), DEGREES)
    assert stack.attrs["title"] == "BM-Ceta"


@pytest.mark.parametrize(("detectors", "title"), [(("HAADF", "BF"), "BF"), (("HAADF", "HAADF"), "HAADF 2")])
def test_every_detector_of_a_velox_file_has_the_tilts(
    tmp_path: Path, write_velox: Callable, rsciio, detectors: tuple[str, ...], title: str
) -> None:
    path = tmp_path / "a.emd"
    write_velox(path, IMAGES, np.deg2rad(DEGREES), detectors=detectors)
    with pytest.raises(FormatError, match=f"which stack is meant.*{title}"):
        open_stack(path)
    stack = open_stack(path, dataset=title)
    np.testing.assert_array_equal(stack.data[...], IMAGES + 1)
    np.testing.assert_allclose(np.rad2deg(stack.angles), DEGREES)


def test_velox_frames_of_one_tilt_are_no_series_and_give_way_to_a_side_file(
    tmp_path: Path, write_velox: Callable, rsciio
) -> None:
    path = tmp_path / "a.emd"
    write_velox(path, IMAGES, np.full(5, -0.2))
    with pytest.raises(TomopriorError, match=r"all 5 angles are -0\.2, so this is no tilt series"):
        tomoprior.read(path)
    (tmp_path / "a.rawtlt").write_text("\n".join(map(str, DEGREES)))
    with pytest.warns(UserWarning, match="not used"):
        np.testing.assert_allclose(np.rad2deg(tomoprior.read(path).geometry.angles), DEGREES)


def test_a_package_that_a_kind_of_content_needs_is_named(
    tmp_path: Path, write_velox: Callable, rsciio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spectra beside the images need the package sparse."""
    path = tmp_path / "a.emd"
    write_velox(path, IMAGES, np.deg2rad(DEGREES))

    def read(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'sparse'")

    monkeypatch.setattr("rsciio.emd.file_reader", read)
    with pytest.raises(MissingDependencyError, match=r"needs another package for this file.*sparse"):
        open_stack(path)


def test_a_series_of_spectra_says_what_it_is(tmp_path: Path, write_ser: Callable, rsciio) -> None:
    path = tmp_path / "a.ser"
    write_ser(path, IMAGES.astype(np.int16))
    raw = bytearray(path.read_bytes())
    raw[6:10] = (0x4120).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(FormatError, match="a series of spectra, no images"):
        open_stack(path)


def test_an_emd_of_another_kind_is_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "tomviz.emd"
    with h5py.File(path, "w") as file:
        file["data/tomography/data"] = IMAGES
    assert registry.for_reading(path).name == "hdf5"


def test_arrays_go_to_other_processes(tmp_path: Path, write_dm: Callable, rsciio) -> None:
    path = tmp_path / "a.dm4"
    write_dm(path, IMAGES, 4)
    stack = open_stack(path)
    stack.data[0]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(stack.data))[...], IMAGES)


def test_without_the_package_the_message_names_the_extra(
    tmp_path: Path, write_ser: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.ser"
    write_ser(path, IMAGES)
    monkeypatch.setitem(sys.modules, "rsciio.tia", None)
    with pytest.raises(MissingDependencyError, match=r"rosettasciio.*tomoprior\[em\]"):
        open_stack(path)


def test_one_image_is_no_stack(tmp_path: Path, write_dm: Callable, rsciio) -> None:
    path = tmp_path / "a.dm3"
    write_dm(path, IMAGES[0], scales=(1.0, 1.0), units=("nm", "nm"), origins=(0, 0))
    with pytest.raises(FormatError, match=r"no stack of images in it \(shapes: \(4, 6\)\)"):
        open_stack(path)


def test_a_wrong_title_lists_the_right_ones(tmp_path: Path, write_dm: Callable, rsciio) -> None:
    path = tmp_path / "a.dm3"
    write_dm(path, IMAGES)
    np.testing.assert_array_equal(open_stack(path, dataset="series").data[...], IMAGES)
    with pytest.raises(TomopriorError, match=r"'other'.*there are series"):
        open_stack(path, dataset="other")


def test_these_files_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(NoSuchFileError, match=r"must end in one of (?!.*\.dm3)"):
        registry.for_writing(tmp_path / "a.dm3")


def test_broken_files_are_one_line(tmp_path: Path, write_ser: Callable, write_dm: Callable, rsciio) -> None:
    rng = random.Random(0)
    for name, write in (("a.ser", write_ser), ("a.dm3", write_dm)):
        write(tmp_path / name, IMAGES)
        raw = (tmp_path / name).read_bytes()
        broken = tmp_path / f"broken{Path(name).suffix}"
        for i in range(80):
            changed = bytearray(raw)
            for _ in range(rng.randrange(1, 5)):
                changed[rng.randrange(4, 400)] = rng.choice((0, 1, 127, 255, rng.randrange(256)))
            broken.write_bytes(bytes(changed if i % 4 else changed[: rng.randrange(len(changed))]))
            _readable_or_refused(broken)


def _readable_or_refused(path: Path) -> None:
    tracemalloc.start()
    try:
        stack = open_stack(path)
        assert len(stack.data.shape) == 3
        assert 0 < stack.voxel_size < np.inf
        float(stack.data[-1, -1, -1])
    except TomopriorError as error:
        check_message(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < LIMIT


def check_message(error: TomopriorError) -> None:
    assert "\n" not in str(error)


@pytest.mark.parametrize(("at", "value", "words"), [(54, 1 << 30, "a text of"), (54, -1, "a text of -1"), (26, 99, "99 axes")])
def test_a_series_of_tia_whose_texts_do_not_fit_is_refused(
    tmp_path: Path, write_ser: Callable, rsciio, at: int, value: int, words: str
) -> None:
    path = tmp_path / "a.ser"
    write_ser(path, IMAGES.astype(np.int16), unit="deg")
    raw = bytearray(path.read_bytes())
    raw[at : at + 4] = value.to_bytes(4, "little", signed=True)
    path.write_bytes(raw)
    with pytest.raises(FormatError, match=words):
        open_stack(path)
