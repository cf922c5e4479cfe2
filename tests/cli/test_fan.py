"""The command line on a fan-beam series with its geometry file."""

import json

import numpy as np
import pytest

import tomoprior
from tomoprior import FanGeometry, Projector, TiltSeries


@pytest.fixture
def fan_file(tmp_path):
    geometry = FanGeometry(
        np.deg2rad(np.arange(-60, 61, 6)), (24, 2, 24), (2, 40), 19.6, voxel_size=0.5, unit="millimeter",
        source_distance=60, detector_distance=30,
    )  # fmt: skip
    z, x = np.mgrid[:24, :24] - 11.5
    truth = np.repeat(((z**2 + x**2 < 81) & ((z - 3) ** 2 + (x + 4) ** 2 > 9)).astype(np.float32)[:, None], 2, 1)
    path = tmp_path / "series.npy"
    tomoprior.write_series(TiltSeries(Projector(geometry, "cpu")(truth), geometry), path)
    return path, geometry, truth


def test_recon_finds_the_fan_beside_the_series(run, fan_file, tmp_path):
    path, geometry, truth = fan_file
    out = tmp_path / "volume.npy"
    ran = run("recon", path, "-o", out, "--method", "tv", "--set", "num_iter=100", "--set", "reg_par=auto")
    assert ran.code == 0, ran.err
    assert "a fan: source 60, detector 30 voxels" in ran.out
    record = json.loads((tmp_path / "volume.npy.json").read_text())
    assert tomoprior.Geometry.from_dict(record["geometry"]) == geometry
    assert np.corrcoef(np.load(out).ravel(), truth.ravel())[0, 1] > 0.9


def test_slabs_and_binning_keep_the_fan(run, fan_file, tmp_path):
    path, geometry, _ = fan_file
    out = tmp_path / "volume.zarr"
    ran = run("recon", path, "-o", out, "--method", "cgls", "--set", "num_iter=3", "--slab", "1", "--bin", "2")
    assert ran.code == 0, ran.err
    record = json.loads((tmp_path / "volume.zarr.json").read_text())
    assert tomoprior.Geometry.from_dict(record["geometry"]) == geometry.binned(2)


@pytest.mark.slow
def test_compare_runs_on_a_fan(run, fan_file, tmp_path):
    path, _, _ = fan_file
    ran = run(
        "compare", path, "-o", tmp_path / "report", "--methods", "sirt,cgls", "--no-tune", "--checks", "held-out",
        "--set", "sirt.num_iter=20", "--set", "cgls.num_iter=5",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert "held_out" in json.dumps(metrics)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recon", "-o", "volume.mrc", "--method", "wbp", "--dry-run"], "wbp takes a parallel beam only"),
        (["recon", "-o", "volume.mrc", "--method", "diffusion"], "diffusion takes a parallel beam only"),
        (["recon", "-o", "volume.mrc", "--method", "pnp", "--set", "denoiser=prior"], "outside the prior's training range"),
        (["recon", "-o", "volume.mrc", "--align"], "the alignment takes a parallel beam only"),
        (["recon", "-o", "volume.mrc", "--center", "20"], "states the geometry of series.npy: leave center out"),
        (["recon", "-o", "volume.mrc", "--center", "auto"], "the search for the axis takes a parallel beam only"),
        (["compare", "-o", "report", "--methods", "sirt,wbp"], "wbp takes a parallel beam only"),
        (["align", "-o", "aligned.npy"], "the alignment takes a parallel beam only"),
    ],
)
def test_what_cannot_be_done_on_a_fan_is_one_line_before_any_work(
    run, fan_file, tmp_path, monkeypatch, arguments, message
):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    ran = run(arguments[0], fan_file[0], *arguments[1:])
    assert ran.code != 0
    assert message in ran.err
    assert sorted(tmp_path.iterdir()) == before


def test_info_shows_the_fan(run, fan_file):
    ran = run("info", fan_file[0])
    assert ran.code == 0, ran.err
    assert "FanGeometry(21 tilts" in ran.out
    assert "series.geometry.json" in ran.out


def test_the_second_half_of_a_fan_needs_its_own_geometry(run, fan_file, tmp_path):
    other = tmp_path / "odd.npy"
    np.save(other, np.load(fan_file[0]))
    ran = run("recon", fan_file[0], "-o", tmp_path / "v.mrc", "--method", "cgls", "--halves", other)
    assert ran.code != 0
    assert "odd.geometry.json" in ran.err
