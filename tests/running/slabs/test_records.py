"""Records that are damaged, huge or foreign give one line, and a damaged output is noticed before work goes on."""

from __future__ import annotations

import json

import pytest

import tomoprior
from tomoprior.errors import FormatError, InputError, OutputExistsError
from tomoprior.running.slabs import records
from tomoprior.running.slabs.finishing import overall_residual, read_run_identity
from tomoprior.running.slabs.journal import Journal
from tomoprior.running.slabs.records import RunRecord, SlabRecord, VolumeRecord, read_record

GIVEN = {"slab": 32, "num_iter": 2, "device": "cpu"}

DAMAGED = {
    "nothing": b"",
    "a half": b'{"rows": [',
    "no object": b"[1, 2]",
    "a number": b"7",
    "bytes": b"\xff\xfe\x00\x80",
    "broken text": b'{"rows": [0, 1], "host": "\xff"}',
    "deep": b'{"rows": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep where anything may be": b'{"rows": [0, 1], "settled": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    "wrong type": b'{"rows": "0 to 1"}',
    "text for a number": b'{"rows": ["0", "1"]}',
    "negative rows": b'{"rows": [-1, 3]}',
    "a text residual": b'{"rows": [0, 1], "residual": "small"}',
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_record_is_one_line(tmp_path, content):
    path = tmp_path / "00000.json"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"00000\.json: not a record of tomoprior") as refusal:
        read_record(path, SlabRecord)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400


def test_a_huge_record_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "LARGEST", 1 << 20)
    path = tmp_path / "run.json"
    path.write_bytes(b'{"program": "tomoprior", "version": 1, "seed": 1' + b" " * (1 << 20) + b"}")
    with pytest.raises(FormatError, match="a record of more than 1 MiB"):
        read_record(path, RunRecord)


def test_values_come_back_as_they_were_written(tmp_path):
    values = {"rows": [3, 5], "residual": float("inf"), "settled": {"reg_par": 0.1, "path": None}, "more": [1, "a"]}
    records.write_record(tmp_path / "a.json", values)
    assert read_record(tmp_path / "a.json", SlabRecord).plain() == values


def test_the_residual_of_all_slabs_is_the_root_mean_square_of_any_values():
    assert overall_residual([{"residual": 3.0}, {"residual": 4.0}, {"residual": None}, {}]) == pytest.approx(12.5**0.5)
    assert overall_residual([{"residual": 1e308}]) == 1e308  # its square is beyond the largest number
    assert overall_residual([{}]) is None


@pytest.mark.parametrize(
    "content",
    [
        # the others are read above; here all of them run twice, which takes seconds
        pytest.param(content, id=name, marks=() if name in ("a half", "wrong type") else pytest.mark.slow)
        for name, content in DAMAGED.items()
    ],
)
def test_a_slab_with_a_damaged_record_is_computed_again(series, tmp_path, bytes_of, content):
    known, out = tmp_path / "known.npy", tmp_path / "v.npy"
    tomoprior.reconstruct(series, "sirt", out=known, **GIVEN)

    def damage(done, total, values):
        if done == 2:
            (Journal(out).folder / "slabs" / "00001.json").write_bytes(content)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tomoprior.reconstruct(series, "sirt", out=out, progress=damage, **GIVEN)
    counts = []
    tomoprior.reconstruct(series, "sirt", out=out, resume=True, progress=lambda n, *_: counts.append(n), **GIVEN)
    assert counts == [2, 3]
    assert bytes_of(out) == bytes_of(known)


def test_a_record_of_other_rows_does_not_count(series, tmp_path):
    out = tmp_path / "v.npy"

    def swap(done, total, values):
        path = Journal(out).folder / "slabs" / "00000.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "rows": [0, 80]}))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tomoprior.reconstruct(series, "sirt", out=out, progress=swap, **GIVEN)
    counts = []
    tomoprior.reconstruct(series, "sirt", out=out, resume=True, progress=lambda n, *_: counts.append(n), **GIVEN)
    assert counts == [1, 2, 3]


def test_a_pilots_settings_of_a_wrong_type_are_one_line(series, tmp_path):
    out, given = tmp_path / "v.npy", {"slab": 32, "num_iter": 5, "device": "cpu"}

    def damage(done, total, values):
        path = Journal(out).folder / "slabs" / "00001.json"
        record = json.loads(path.read_text())
        path.write_text(json.dumps({**record, "settings_from_pilot": {"reg_par": ["much"]}}))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tomoprior.reconstruct(series, "tv", out=out, progress=damage, **given)
    with pytest.raises(tomoprior.errors.SettingsError, match="reg_par"):
        tomoprior.reconstruct(series, "tv", out=out, resume=True, **given)


@pytest.mark.parametrize("content", [*DAMAGED.values(), b'{"run": {"program": "tomoprior", "version": 1, "seed": ""}}'])
def test_a_volume_with_a_damaged_record_is_no_run_to_continue(series, tmp_path, content):
    out = tmp_path / "v.npy"
    tomoprior.reconstruct(series, "sirt", out=out, **GIVEN)
    assert read_record(tmp_path / "v.npy.json", VolumeRecord).run is not None
    assert read_run_identity(out)["method"] == "sirt"
    (tmp_path / "v.npy.json").write_bytes(content)
    assert read_run_identity(out) == {}
    with pytest.raises(OutputExistsError, match="exists"):
        tomoprior.reconstruct(series, "sirt", out=out, resume=True, **GIVEN)


def test_a_damaged_run_record_is_refused_and_kept(series, tmp_path):
    out = tmp_path / "v.npy"
    folder = Journal(out).folder
    with pytest.raises(InputError):  # a mask of a wrong shape
        tomoprior.reconstruct(series, "sirt", out=out, mask=series.projections[:2, :3, 0], **GIVEN)
    assert not folder.exists()

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tomoprior.reconstruct(series, "sirt", out=out, progress=stop, **GIVEN)
    (folder / "run.json").write_bytes(b'{"program": "tomoprior", "version": 1, "plan": 3}')
    with pytest.raises(OutputExistsError, match=r"foreign files \(run\.json"):
        tomoprior.reconstruct(series, "sirt", out=out, resume=True, **GIVEN)
    assert (folder / "slabs" / "00000.json").exists()


@pytest.mark.parametrize("file", ["zarr.json", "0/zarr.json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_damaged_metadata_of_a_partial_output_are_noticed(series, tmp_path, file, damage):
    out = tmp_path / "v.zarr"

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tomoprior.reconstruct(series, "sirt", out=out, progress=stop, **GIVEN)
    path = Journal(out).folder / "v.zarr" / file
    text = path.read_text()
    if damage == "gone":
        path.unlink()
    else:
        path.write_text(text[:100] if damage == "cut" else text.replace("zarr_format", "zarr_farmat", 1))
    with pytest.raises(FormatError, match=r"zarr\.json: damaged, .*--overwrite begins anew"):
        tomoprior.reconstruct(series, "sirt", out=out, resume=True, **GIVEN)
    tomoprior.reconstruct(series, "sirt", out=out, overwrite=True, **GIVEN)
    assert out.exists()
