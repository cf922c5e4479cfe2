"""Zarr stores at addresses: a web server and an object store of this machine, and fsspec's store in memory."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import zarr

import tomoprior
from tomoprior.cli import main
from tomoprior.errors import FormatError, MissingDependencyError, NoSuchFileError
from tomoprior.formats import Header, open_stack, registry, writing

VALUES = np.arange(5 * 4 * 6, dtype=np.float32).reshape(5, 4, 6)
ANGLES = np.deg2rad([-60.0, -30.0, 0.0, 30.0, 60.0])


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass

    def send_error(self, code: int, *arguments: object) -> None:
        """Answer as an object store does where there is no object."""
        self._answer(code, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_GET(self) -> None:
        if "list-type=2" in self.path:  # an object store is asked what lies under a key that it lacks
            self._answer(200, b"<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>")
        else:
            super().do_GET()

    def _answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address under which a web server shows it."""
    pytest.importorskip("fsspec")
    pytest.importorskip("aiohttp")
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def write_series(path: Path) -> None:
    with writing(path, Header(VALUES.shape, voxel_size=2.5, unit="nanometer", angles=ANGLES)) as sink:
        sink[:, :, :] = VALUES


def test_a_series_on_a_web_server(served: tuple[Path, str]) -> None:
    folder, address = served
    write_series(folder / "a.zarr")
    series = tomoprior.read(f"{address}/a.zarr")
    np.testing.assert_array_equal(series.projections[1:3, 2, ::2], VALUES[1:3, 2, ::2])
    np.testing.assert_allclose(series.geometry.angles, ANGLES)
    assert series.metadata["source"] == f"{address}/a.zarr"


def test_an_image_of_a_web_server_with_a_path_for_its_address(served: tuple[Path, str]) -> None:
    folder, address = served
    with writing(folder / "volume.zarr", Header(VALUES.shape, voxel_size=3.0, unit="nanometer")) as sink:
        sink[:, :, :] = VALUES
    stack = open_stack(Path(f"{address}/volume.zarr"))  # a path loses the second slash
    np.testing.assert_array_equal(stack.data[...], VALUES)
    assert (stack.voxel_size, stack.unit) == (3.0, "nanometer")


def test_the_command_line_takes_addresses(served: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder, address = served
    write_series(folder / "a.zarr")
    with pytest.raises(SystemExit) as stop:
        main(["recon", f"{address}/a.zarr", "-o", str(tmp_path / "volume.mrc"), "-m", "wbp"])
    assert stop.value.code == 0, capsys.readouterr().err
    volume = tomoprior.read_volume(tmp_path / "volume.mrc")
    np.testing.assert_allclose(volume.volume, tomoprior.reconstruct(tomoprior.read(folder / "a.zarr"), "wbp").volume, rtol=1e-5)


def test_nothing_at_an_address_is_one_line(served: tuple[Path, str]) -> None:
    _, address = served
    with pytest.raises(NoSuchFileError, match="no Zarr array or group there"):
        open_stack(f"{address}/nothing.zarr")


def test_a_host_that_does_not_answer_is_one_line() -> None:
    pytest.importorskip("aiohttp")
    with pytest.raises(FormatError, match=r"127\.0\.0\.1:9/a\.zarr: ") as error:
        open_stack("http://127.0.0.1:9/a.zarr")
    assert "\n" not in str(error.value)


def test_a_store_in_memory_with_arrays_of_others() -> None:
    pytest.importorskip("fsspec")
    group = zarr.open_group("memory://scan.zarr", mode="w", zarr_format=2)
    group.create_array("projections", data=VALUES)
    group.create_array("theta", data=np.rad2deg(ANGLES)).attrs["units"] = "deg"
    series = tomoprior.read("memory://scan.zarr")
    np.testing.assert_array_equal(series.projections[...], VALUES)
    np.testing.assert_allclose(series.geometry.angles, ANGLES)


def test_an_object_store(served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """s3:// with a web server for its end: the requests for objects are the same."""
    pytest.importorskip("s3fs")
    import fsspec.config

    folder, address = served
    (folder / "bucket").mkdir()
    write_series(folder / "bucket" / "a.zarr")
    monkeypatch.setitem(fsspec.config.conf, "s3", {"anon": True, "client_kwargs": {"endpoint_url": address}})
    series = tomoprior.read("s3://bucket/a.zarr")
    np.testing.assert_array_equal(series.projections[...], VALUES)


def test_without_fsspec_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingDependencyError, match=r"tomoprior\[remote\]"):
        open_stack("s3://bucket/a.zarr")


def test_an_address_is_never_written_nor_taken_for_a_file(tmp_path: Path) -> None:
    assert registry.for_reading(Path("https://host/a.mrc")).name == "zarr"
    shutil.rmtree(tmp_path / "https:", ignore_errors=True)
    with pytest.raises(NoSuchFileError):
        registry.for_reading(tmp_path / "a.zarr")
