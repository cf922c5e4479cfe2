"""Outputs are whole or absent."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import tomoprior
from tomoprior.errors import FormatError, InputError, OutputExistsError
from tomoprior.formats import Header, check_target, open_stack, read, replace_atomically, write, write_series, writing
from tomoprior.geometry import Geometry
from tomoprior.reconstruction import Reconstruction
from tomoprior.series import TiltSeries

EXTENSIONS = (".mrc", ".h5", ".tif", ".zarr", ".npy", ".npz")
SHAPE = (3, 4, 5)
VALUES = np.arange(60, dtype=np.float32).reshape(SHAPE)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def put(path: Path, values: np.ndarray = VALUES, **options: bool) -> None:
    with writing(path, Header(SHAPE), **options) as sink:
        sink[:, :, :] = values


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, OSError])
def test_an_error_leaves_nothing(tmp_path: Path, extension: str, error: type[BaseException]) -> None:
    def fail_half_way() -> None:
        with writing(tmp_path / f"out{extension}", Header(SHAPE)) as sink:
            sink[:, 0:2, :] = VALUES[:, :2]
            raise error("half way")

    with pytest.raises(error, match="half way"):  # as it is: an OSError from elsewhere is not the output's
        fail_half_way()
    assert names(tmp_path) == []


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_an_error_leaves_the_old_output_as_it_was(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"out{extension}"
    put(path)

    def fail_half_way() -> None:
        with writing(path, Header(SHAPE), overwrite=True) as sink:
            sink[:, 0:2, :] = VALUES[:, :2]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_half_way()
    assert names(tmp_path) == [path.name]
    np.testing.assert_array_equal(open_stack(path).data[...], VALUES)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_overwriting(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"out{extension}"
    put(path)
    with pytest.raises(OutputExistsError, match="--overwrite"):
        put(path, -VALUES)
    np.testing.assert_array_equal(open_stack(path).data[...], VALUES)
    put(path, -VALUES, overwrite=True)
    np.testing.assert_array_equal(open_stack(path).data[...], -VALUES)
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_part_that_never_came_is_an_error(tmp_path: Path, extension: str) -> None:
    def forget_a_row() -> None:
        with writing(tmp_path / f"out{extension}", Header(SHAPE)) as sink:
            sink[:, 0:3, :] = VALUES[:, :3]

    with pytest.raises(FormatError, match=r"out.*not written, because 3 rows of \(3, 4, 5\) are missing"):
        forget_a_row()
    assert names(tmp_path) == []


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_an_output_that_appears_meanwhile_is_kept(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"out{extension}"

    def race() -> None:
        with writing(path, Header(SHAPE)) as sink:
            sink[:, :, :] = VALUES
            path.write_text("someone else's")

    with pytest.raises(OutputExistsError, match="appeared while"):
        race()
    assert path.read_text() == "someone else's"
    assert names(tmp_path) == [path.name]


def test_a_folder_of_other_things_is_not_replaced(tmp_path: Path) -> None:
    for name in ("results.zarr", "results.mrc"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "thesis.tex").write_text("years of work")
        with pytest.raises(FormatError, match="it is not replaced"):
            put(folder, overwrite=True)
        assert (folder / "thesis.tex").read_text() == "years of work"
    assert names(tmp_path) == ["results.mrc", "results.zarr"]


def test_an_empty_folder_is_replaced(tmp_path: Path) -> None:
    for name in ("results.zarr", "results.mrc"):
        (tmp_path / name).mkdir()
        put(tmp_path / name, overwrite=True)
        np.testing.assert_array_equal(open_stack(tmp_path / name).data[...], VALUES)


def test_a_link_is_followed(tmp_path: Path) -> None:
    disk = tmp_path / "large disk"
    disk.mkdir()
    (disk / "volume.mrc").write_text("old")
    (tmp_path / "out.mrc").symlink_to(disk / "volume.mrc")
    put(tmp_path / "out.mrc", overwrite=True)
    assert (tmp_path / "out.mrc").is_symlink()
    np.testing.assert_array_equal(open_stack(disk / "volume.mrc").data[...], VALUES)
    (disk / "volume.mrc").unlink()
    put(tmp_path / "out.mrc")  # a link that leads nowhere yet
    assert names(disk) == ["volume.mrc"]


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such folder"):
        put(tmp_path / "none" / "out.mrc")
    with pytest.raises(FormatError, match=r"must end in one of .*\.mrc"):
        put(tmp_path / "out.xyz")
    os.mkfifo(tmp_path / "pipe.mrc")
    with pytest.raises(FormatError, match="neither a file nor a folder"):
        put(tmp_path / "pipe.mrc", overwrite=True)
    with pytest.raises(FormatError):
        put(tmp_path / "a\0b.mrc")
    with pytest.raises(FormatError):
        put(tmp_path / ("x" * 300 + ".mrc"))
    with pytest.raises(OutputExistsError):
        check_target(tmp_path / "pipe.mrc")


WITHOUT_PERMISSION = """
import os, sys
from pathlib import Path
from tomoprior import plugins
from tomoprior.errors import FormatError
from tomoprior.formats import Header, open_stack, read, registry, writing

folder = Path(sys.argv[1])
if os.geteuid() == 0:  # root may do everything, so it becomes someone else once all is imported
    open_stack(folder / "open.mrc"), [registry.get(n) for n in plugins.names(registry.GROUP)]
    os.setuid(65534)
calls = {
    "no permission to write": lambda: writing(folder / "out.mrc", Header((1, 1, 1))).__enter__(),
    "in.mrc: cannot be read (Permission denied)": lambda: open_stack(folder / "in.mrc"),
    "in.tlt: cannot be read (Permission denied)": lambda: read(folder / "open.mrc", angles=folder / "in.tlt"),
    "hidden: cannot be read (Permission denied)": lambda: open_stack(folder / "hidden"),
}
for message, call in calls.items():
    try:
        call()
    except FormatError as error:
        assert message in str(error), error
    else:
        raise SystemExit("no error: " + message)
print("refused")
"""


def test_without_permission(tmp_path: Path) -> None:
    put(tmp_path / "in.mrc")
    put(tmp_path / "open.mrc")
    (tmp_path / "in.tlt").write_text("0\n1\n2\n")
    (tmp_path / "hidden").mkdir()
    for name in ("in.mrc", "in.tlt", "hidden"):
        (tmp_path / name).chmod(0)
    folder = Path(tempfile.mkdtemp())  # and not below a folder that only root may enter
    try:
        for name in names(tmp_path):
            (tmp_path / name).rename(folder / name)
        folder.chmod(0o555)
        command = [sys.executable, "-c", WITHOUT_PERMISSION, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.stdout, done.stderr) == ("refused\n", "")
    finally:
        folder.chmod(0o755)
        (folder / "hidden").chmod(0o755)
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "header",
    [
        Header((0, 1, 1)),
        Header((2, 2)),  # type: ignore[arg-type]
        Header(SHAPE, np.complex64),
        Header(SHAPE, bool),
        Header(SHAPE, angles=np.zeros(2)),
    ],
)
def test_headers_that_make_no_sense(tmp_path: Path, header: Header) -> None:
    with pytest.raises(InputError), writing(tmp_path / "out.mrc", header):
        pass
    assert names(tmp_path) == []


def reconstruction(std: bool = False) -> Reconstruction:
    geometry = Geometry(np.zeros(1), SHAPE, voxel_size=2.5, unit="nanometer")
    return Reconstruction(VALUES, geometry, std=VALUES + 1 if std else None)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_reconstruction_with_its_standard_deviation(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"volume{extension}"
    write(reconstruction(std=True), path, labels=("sirt",))
    assert names(tmp_path) == sorted([path.name, f"volume_std{extension}"])
    volume, std = open_stack(path), open_stack(tmp_path / f"volume_std{extension}")
    np.testing.assert_array_equal(volume.data[...], VALUES)
    np.testing.assert_array_equal(std.data[...], VALUES + 1)
    assert (volume.voxel_size, volume.unit, volume.labels) == (2.5, "nanometer", ("sirt",))


def test_of_a_pair_neither_is_written_if_one_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "volume_std.mrc").write_text("precious")
    with pytest.raises(OutputExistsError):
        write(reconstruction(std=True), tmp_path / "volume.mrc")
    assert names(tmp_path) == ["volume_std.mrc"]
    assert (tmp_path / "volume_std.mrc").read_text() == "precious"


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.uint16, np.int16])
def test_a_series_comes_back_with_its_angles(tmp_path: Path, extension: str, dtype: type) -> None:
    geometry = Geometry(np.deg2rad([-60.0, 0.0, 60.0]), (7, 4, 5), (4, 5), voxel_size=0.7, unit="micrometer")
    series = TiltSeries(VALUES.astype(dtype), geometry)
    write_series(series, tmp_path / f"series{extension}")
    beside = ["series.tlt"] if extension in (".mrc", ".tif") else []
    assert names(tmp_path) == sorted([f"series{extension}", *beside])
    back = read(tmp_path / f"series{extension}", thickness=7)
    np.testing.assert_array_equal(np.asarray(back.projections), VALUES)
    np.testing.assert_allclose(back.geometry.angles, geometry.angles, atol=1e-9)
    assert (back.geometry.voxel_size, back.geometry.unit) == (0.7, "micrometer")
    assert not back.metadata["counts"]
    assert not back.metadata["warnings"]


def test_replacing_is_for_any_file(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    with replace_atomically(path) as temporary:
        assert temporary.suffix == ".html"
        temporary.write_text("done")
        assert not path.exists()
    assert names(tmp_path) == ["report.html"]


@pytest.mark.parametrize(("dtype", "steps"), [("int16", 65534), ("int8", 254)])
def test_whole_numbers_say_how_they_were_scaled(tmp_path, dtype, steps):
    values = np.linspace(-1, 3, 24, dtype=np.float32).reshape(2, 3, 4)
    path = tmp_path / "v.mrc"
    result = Reconstruction(values, Geometry([0.0], values.shape), provenance={"method": "none"})
    tomoprior.write(result, path, dtype=dtype)
    stack = open_stack(path)
    assert stack.data.dtype == np.dtype(dtype)
    stored = json.loads((tmp_path / "v.mrc.json").read_text())["stored"]
    assert stored == {"dtype": dtype, "scale": pytest.approx(4 / steps), "offset": pytest.approx(1.0)}
    assert any(label.startswith("value = ") and label.endswith("* stored + 1") for label in stack.labels)
    restored = stored["scale"] * np.asarray(stack.data[...], np.float64) + stored["offset"]
    np.testing.assert_allclose(restored, values, atol=0.51 * 4 / steps)


def test_a_constant_volume_is_stored_as_zeros_with_its_value_as_offset(tmp_path):
    tomoprior.write(np.full((2, 3, 4), 7.0), tmp_path / "v.mrc", dtype="int8")
    stack = open_stack(tmp_path / "v.mrc")
    assert not stack.data[...].any()
    assert "value = 1 * stored + 7" in stack.labels


def test_other_types_and_values_without_a_range_are_refused(tmp_path):
    with pytest.raises(InputError, match="float32, int16 or int8, not int32"):
        tomoprior.write(np.zeros((2, 3, 4)), tmp_path / "v.mrc", dtype="int32")
    with pytest.raises(InputError, match="not finite cannot be stored as int8"):
        tomoprior.write(np.full((2, 3, 4), np.nan), tmp_path / "v.mrc", dtype="int8")
    assert not list(tmp_path.iterdir())


def test_an_image_in_zarr_carries_the_name_of_its_file(tmp_path):
    tomoprior.write(np.zeros((2, 3, 4)), tmp_path / "my volume.zarr")
    attributes = json.loads((tmp_path / "my volume.zarr" / "zarr.json").read_text())["attributes"]
    assert attributes["ome"]["multiscales"][0]["name"] == "my volume"
