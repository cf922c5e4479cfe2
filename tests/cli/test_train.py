from __future__ import annotations

import contextlib
import importlib
import resource
import subprocess
import sys
from itertools import count

import mrcfile
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.ndimage import gaussian_filter

from tomoprior.methods.diffusion.prior import Prior
from tomoprior.training.outputs import Outputs

SETTINGS = {
    "height": "16", "tile_size": "16", "field": "16,32", "widths": "16,16", "blocks": "1,1", "keep": "2", "batch_size": "1",
    "tilts": "5,9", "ranges": "20,60", "tilt_step": "5,10", "warm_up": "3", "group": "1", "num_cg": "10",
}  # fmt: skip


def tiny(**changes):
    return [part for name, value in (SETTINGS | changes).items() for part in ("--set", f"{name}={value}")]


TINY = tiny()
SIZE = ["--tissue-voxel-size", 10, "--unit", "nm", "--voxel-size", 10, 12]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("tomoprior.training.validation.SERIES", ((20, 10), (60, 20)))
    monkeypatch.setattr("tomoprior.training.calibration.SERIES", ((60, 20),))
    monkeypatch.setattr("tomoprior.training.calibration.REPEATS", 1)
    monkeypatch.setattr("tomoprior.training.calibration.SAMPLES", 2)


@pytest.fixture
def volumes(tmp_path):
    """Three volumes of grey values, 8 bit."""
    paths = []
    for seed in range(3):
        noise = gaussian_filter(np.random.default_rng(seed).standard_normal((48, 48, 48)), 1.2, mode="wrap")
        paths.append(tmp_path / f"{seed}.npy")
        np.save(paths[-1], np.clip(128 + 60 * noise / noise.std(), 0, 255).astype(np.uint8))
    return paths


def test_a_prior_is_trained_and_told_about(run, volumes, tmp_path):
    out = tmp_path / "p.safetensors"
    facts = ("--name", "noise", "--licence", "CC0-1.0", "--attribution", "nobody", "--threads", 1)
    ran = run("train", *volumes[:2], "--validation", volumes[2], "-o", out, *TINY, *SIZE, "--steps", 4, *facts)
    assert ran.code == 0, ran.err
    for part in (
        "48 x 48 x 48 (z, y, x) voxels of 10 nanometer",
        "16 x 16 x 32 (z, y, x) voxels of 10 to 12 nanometer", "over 20 to 60 degrees",
        "4 steps on 1 CPU thread", f"wrote        {out} after 4 steps", "p.csv",
    ):  # fmt: skip
        assert part in ran.out
    table = [line.split() for line in ran.out.splitlines() if line.startswith("  ")]
    assert table[0] == ["degrees", "step", "prior", "linear", "inside", "linear"]
    assert "spread at 60 degrees" in ran.out
    prior = Prior.load(out)
    assert len(prior.errors) > 5
    assert [factors[0] for factors in prior.calibration] == [60]
    assert [[float(v) for v in line] for line in table[1:]] == [
        [row["range"], row["step"], *(round(row[key], 2) for key in ("psnr", "linear_psnr", "inner", "linear_inner"))]
        for row in prior.card["validation"]
    ]
    assert prior.card["data"] == ["0.npy", "1.npy"]
    assert (prior.card["name"], prior.card["licence"], prior.card["attribution"]) == ("noise", "CC0-1.0", "nobody")
    assert (prior.unit, prior.voxel_sizes) == ("nanometer", (10, 12))
    assert {p.name for p in tmp_path.iterdir()} == {"0.npy", "1.npy", "2.npy", "p.safetensors", "p.csv"}


def test_a_prior_is_gone_on_from_and_not_calibrated_unless_wanted(run, volumes, tmp_path):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    assert run("train", volumes[0], "-o", first, *TINY, *SIZE, "--steps", 2).code == 0
    options = ("--start", first, "--validation", volumes[1], "--no-calibration")
    ran = run(
        "train",
        volumes[0],
        "-o",
        second,
        *TINY,
        *SIZE,
        "--steps",
        1,
        *options,
        "--set",
        "learning_rate=1e-7",
        "--set",
        "learning_rate_end=1e-7",
    )
    assert ran.code == 0, ran.err
    assert "calibrating" not in ran.out
    assert Prior.load(second).calibration == ()
    one, two = (load_file(path) for path in (first, second))
    assert all(torch.allclose(one[k], two[k], atol=1e-3) for k in one)


def test_voxels_are_by_default_somewhat_coarser_than_the_volumes(run, tmp_path, volumes):
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(np.load(volumes[0]).view(np.int8) ^ np.int8(-128))
        file.voxel_size = 100.0
    out = tmp_path / "p.safetensors"
    ran = run("train", tmp_path / "a.mrc", "-o", out, "--unit", "nm", *tiny(ranges="20,30"), "--steps", 1)
    assert ran.code == 0, ran.err
    assert "quality is not measured" in ran.out
    assert Prior.load(out).voxel_sizes == pytest.approx((16, 25))


def interrupted_at(monkeypatch, steps):
    """A bar that behaves as if Ctrl-C had come after so many steps."""

    @contextlib.contextmanager
    def bar(title):
        done = count(1)

        def step(*_):
            if next(done) == steps:
                raise KeyboardInterrupt

        yield step

    monkeypatch.setattr("tomoprior.progress.progress_bar", bar)


def test_after_ctrl_c_the_same_command_goes_on(run, volumes, tmp_path, monkeypatch):
    command = ["train", volumes[0], *TINY, *SIZE, "--steps", 6]
    assert run(*command, "-o", tmp_path / "whole.safetensors").code == 0
    with monkeypatch.context() as patch:
        interrupted_at(patch, 3)
        ran = run(*command, "-o", tmp_path / "p.safetensors")
    assert ran.code == 130
    assert (
        ran.err.strip()
        == f"interrupted  the state is in {tmp_path / 'p.state.safetensors'}; run the same command again to continue"
    )
    assert not (tmp_path / "p.safetensors").exists()
    ran = run(*command, "-o", tmp_path / "p.safetensors", "--set", "seed=1")
    assert ran.code == 1
    assert "started with other seed" in ran.err
    ran = run(*command, "-o", tmp_path / "p.safetensors")
    assert ran.code == 0, ran.err
    assert "continues from" in ran.out
    first, second = (load_file(tmp_path / f"{name}.safetensors") for name in ("whole", "p"))
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_an_interruption_before_the_first_step_writes_nothing(run, volumes, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("tomoprior.training.train"), "check_size", interrupted)
    ran = run("train", volumes[0], *TINY, *SIZE, "-o", tmp_path / "p.safetensors")
    assert ran.code == 130
    assert "nothing was written" in ran.err
    assert {p.suffix for p in tmp_path.iterdir()} == {".npy"}


def test_what_is_there_is_replaced_only_when_asked(run, volumes, tmp_path, monkeypatch):
    out = tmp_path / "p.safetensors"
    out.write_text("precious")
    command = ["train", volumes[0], *TINY, *SIZE, "--steps", 1, "-o", out]
    with monkeypatch.context() as patch:
        patch.setattr("tomoprior.cli.tissue.open_tissue", None)  # before anything is read
        ran = run(*command)
    assert ran.code == 2
    assert "--overwrite" in ran.err
    assert out.read_text() == "precious"
    assert run(*command, "--overwrite").code == 0
    assert Prior.load(out).card["steps"] == 1


def test_two_trainings_do_not_write_the_same_prior(run, volumes, tmp_path, monkeypatch):
    out = tmp_path / "p.safetensors"
    monkeypatch.setattr("tomoprior.cli.tissue.open_tissue", None)
    with Outputs(out).locked():
        ran = run("train", volumes[0], *TINY, *SIZE, "-o", out)
    assert ran.code == 1
    assert "trains it already" in ran.err
    assert len(ran.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--unit", "nm"], "does not say how large its voxels are"),
        (["--tissue-voxel-size", 10], "in which unit"),
        (["--tissue-voxel-size", 10, "--unit", "mile"], "--unit must be one of"),
        (["--tissue-voxel-size", -10, "--unit", "nm"], "0.npy: the voxel size must be a positive number"),
        ([*SIZE, "--minutes", 1, "--steps", 1], "give one"),
        ([*SIZE, "--minutes", 0], "minutes"),
        ([*SIZE, "--steps", 3, "--set", "steps=4"], "by --steps and by --set"),
        ([*SIZE, "--set", "voxel_size=10,12"], "by --voxel-size and by --set"),
        ([*SIZE, "--set", "hight=16"], "did you mean height"),
        ([*SIZE, "--set", "keep=none"], "keep"),
        ([*SIZE, "--validation", "{0}"], "one of those trained on"),
        (["--tissue-voxel-size", 10, "--unit", "nm", "--voxel-size", 5, 8], "voxels of 10 nanometer"),
        ([*SIZE, "--set", "reuse=1", "--set", "reuse=2"], "twice"),
        ([*SIZE, "-o", "{0}"], "must end in .safetensors"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_before_any_work(run, volumes, tmp_path, extra, message):
    extra = [volumes[0] if e == "{0}" else e for e in extra]
    ran = run("train", volumes[0], "-o", tmp_path / "p.safetensors", *TINY, *extra)
    assert ran.code == 2, ran.err
    assert message in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert {p.suffix for p in tmp_path.iterdir()} == {".npy"}


def test_a_volume_too_small_is_told_before_any_work(run, volumes, tmp_path):
    ran = run("train", volumes[0], "-o", tmp_path / "p.safetensors", *tiny(ranges="20,140"), *SIZE)
    assert ran.code == 2
    assert "no series at 70 degrees in voxels of 12" in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert {p.suffix for p in tmp_path.iterdir()} == {".npy"}


def test_a_file_that_is_no_volume_is_told(run, volumes, tmp_path):
    (tmp_path / "a.mrc").write_bytes(b"nothing of the kind")
    ran = run("train", tmp_path / "a.mrc", "-o", tmp_path / "p.safetensors", *TINY, *SIZE)
    assert ran.code == 1
    assert "a.mrc" in ran.err
    assert run("train", tmp_path / "missing.mrc", "-o", tmp_path / "p.safetensors").code == 2


@pytest.fixture
def no_large_files():
    """A disk that takes 100 kB of a file and no more; Python ignores the signal for it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_clear_line(run, volumes, tmp_path, no_large_files):
    ran = run("train", volumes[0], "-o", tmp_path / "p.safetensors", *TINY, *SIZE, "--steps", 2)
    assert ran.code == 1, ran.err
    assert ran.err.startswith(f"tomoprior: {tmp_path / 'p.state.safetensors'}: cannot be written (File too large)")
    assert ran.err.count("\n") == 1
    assert {p.suffix for p in tmp_path.iterdir()} == {".npy"}


def test_help_loads_nothing_heavy(run):
    code = (
        "import sys; from tomoprior.cli import main\n"
        "try: main(['train', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'astra', 'scipy', 'skimage', 'matplotlib', 'safetensors'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "tomoprior train fibsem.tif" in done.stdout
