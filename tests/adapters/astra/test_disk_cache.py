"""Matrices on disk: used again for the same rays only, and built again when they are damaged."""

import io
import os
import zipfile

import numpy as np
import pytest

from tomoprior import Geometry, Projector
from tomoprior.adapters.astra import disk_cache, matrix

GEOMETRY = Geometry(np.deg2rad([-50.0, 0.0, 40.0]), (6, 2, 8))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(disk_cache.VARIABLE, str(tmp_path / "cache"))
    matrix.MatrixBackend.clear_cache()
    yield tmp_path / "cache"
    matrix.MatrixBackend.clear_cache()


@pytest.fixture
def builds(monkeypatch):
    """The kinds of all matrices exported from ASTRA."""
    calls = []
    original = matrix.export_matrix
    monkeypatch.setattr(matrix, "export_matrix", lambda *a: calls.append(a[0]) or original(*a))
    return calls


def project(geometry=GEOMETRY, kind="line"):
    """Return a product of a new projector, without the cache in memory."""
    matrix.MatrixBackend.clear_cache()
    x = np.random.default_rng(0).random(geometry.shape, np.float32)
    return Projector(geometry, "cpu", kind, "astra-matrix")(x)


def test_nothing_is_written_unless_a_folder_is_named(tmp_path, monkeypatch, builds):
    monkeypatch.delenv(disk_cache.VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    project()
    project()
    assert builds == ["line", "line"]
    assert list(tmp_path.iterdir()) == []


def test_the_second_time_nothing_is_built(folder, builds):
    first = project()
    assert len(list(folder.iterdir())) == 1
    np.testing.assert_array_equal(project(), first)
    assert builds == ["line"]


def test_in_memory_one_matrix_serves_all_projectors_of_the_same_rays(builds):
    matrix.MatrixBackend.clear_cache()
    x = np.ones(GEOMETRY.shape, np.float32)
    Projector(GEOMETRY, "cpu", "line", "astra-matrix")(x)
    Projector(GEOMETRY, "cpu", "line", "astra-matrix")(x)
    Projector(GEOMETRY.rows(0, 1), "cpu", "line", "astra-matrix")(x[:, :1])
    assert builds == ["line"]
    matrix.MatrixBackend.clear_cache()


@pytest.mark.parametrize(
    "change",
    [{"angles": [-50.0, 0.0, 0.7]}, {"shape": (7, 2, 8)}, {"shape": (6, 2, 9)}, {"detector": (2, 9)}, {"center": 4.1}],
    ids=lambda c: next(iter(c)),
)
def test_other_rays_have_another_entry(folder, change):
    values = {**GEOMETRY.to_dict(), **change}
    values["angles"] = np.clip(values["angles"], -1, 1)
    assert disk_cache.matrix_key(Geometry.from_dict(values), 0, "line") != disk_cache.matrix_key(GEOMETRY, 0, "line")
    assert disk_cache.matrix_key(GEOMETRY, 0, "strip") != disk_cache.matrix_key(GEOMETRY, 0, "line")


def damage_empty(data):
    return b""


def damage_truncated(data):
    return data[: len(data) // 2]


def damage_flipped(data):
    return data[:200] + bytes([data[200] ^ 0xFF]) + data[201:]


def damage_text(data):
    return b"this is no matrix"


@pytest.mark.parametrize("damage", [damage_empty, damage_truncated, damage_flipped, damage_text], ids=lambda d: d.__name__)
def test_a_damaged_entry_is_built_again_and_replaced(folder, builds, damage):
    first = project()
    (entry,) = folder.iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    np.testing.assert_array_equal(project(), first)
    assert builds == ["line", "line"]
    (again,) = folder.iterdir()
    assert again == entry
    np.testing.assert_array_equal(project(), first)
    assert builds == ["line", "line"]


def test_an_entry_that_lacks_an_array_is_built_again(folder, builds):
    first = project()
    (entry,) = folder.iterdir()
    np.savez(entry, data=np.ones(3))
    np.testing.assert_array_equal(project(), first)
    assert builds == ["line", "line"]


@pytest.mark.parametrize("damage", ["index beyond the voxels", "negative index", "other shape", "falling row starts"])
def test_an_entry_with_impossible_indices_is_built_again(folder, builds, damage):
    """torch does not check indices: with these it would read beyond the volume."""
    first = project()
    (entry,) = folder.iterdir()
    with np.load(entry) as arrays:
        values = dict(arrays)
    if damage == "index beyond the voxels":
        values["indices"][5] = 6 * 8
    elif damage == "negative index":
        values["indices"][5] = -1
    elif damage == "other shape":
        values["indptr"] = values["indptr"][:-1]
    else:
        values["indptr"][3] = values["indptr"][4] + 1
    np.savez(entry, **values)
    np.testing.assert_array_equal(project(), first)
    assert builds == ["line", "line"]


def replace_by_compressed_arrays(entry):
    with np.load(entry) as arrays:
        np.savez_compressed(entry, **arrays)  # a small file may unpack to any size


def replace_by_one_array(entry):
    with entry.open("wb") as file:
        np.save(file, np.ones(3))


def replace_by_encrypted_archive(entry):
    content = bytearray(entry.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    entry.write_bytes(bytes(content))


def replace_by_claim_of_a_huge_array(entry):
    with np.load(entry) as arrays:
        values = dict(arrays)
    huge = io.BytesIO()
    np.lib.format.write_array_header_1_0(huge, {"descr": "<f4", "fortran_order": False, "shape": (2**60,)})
    with zipfile.ZipFile(entry, "w") as archive:
        for name, value in values.items():
            content = io.BytesIO()
            np.save(content, value)
            archive.writestr(f"{name}.npy", huge.getvalue() if name == "data" else content.getvalue())


def replace_by_pipe(entry):
    entry.unlink()
    os.mkfifo(entry)


@pytest.mark.parametrize(
    "replace",
    [
        replace_by_compressed_arrays, replace_by_one_array, replace_by_encrypted_archive, replace_by_claim_of_a_huge_array,
        replace_by_pipe,
    ],
    ids=lambda replace: replace.__name__,
)  # fmt: skip
def test_an_entry_of_another_kind_is_built_again_and_replaced(folder, builds, replace):
    first = project()
    (entry,) = folder.iterdir()
    replace(entry)
    np.testing.assert_array_equal(project(), first)
    assert builds == ["line", "line"]
    np.testing.assert_array_equal(project(), first)
    assert builds == ["line", "line"]


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(disk_cache.VARIABLE, str(tmp_path / "file" / "cache"))
    assert np.isfinite(project()).all()
