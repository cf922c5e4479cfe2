from __future__ import annotations

import importlib.util
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch

from tomoprior import methods
from tomoprior.formats import open_stack
from tomoprior.projector import ProjectorOptions
from tomoprior.running.slabs import plan
from tomoprior.running.slabs.journal import Journal


def values(path: Path) -> np.ndarray:
    return np.asarray(open_stack(path).data[...])


def test_a_series_becomes_a_volume_with_its_record(run, series_file, tmp_path, phantom):
    out = tmp_path / "volume.mrc"
    ran = run("recon", series_file, "-o", out, "--method", "tv", "--thickness", 16, "--set", "num_iter=150", "--set", "pad=0")
    assert ran.code == 0, ran.err
    truth = phantom[0]
    volume = open_stack(out)
    assert (volume.voxel_size, volume.unit) == (pytest.approx(8.0), "angstrom")
    assert np.corrcoef(values(out).ravel(), truth.ravel())[0, 1] > 0.9
    record = json.loads((tmp_path / "volume.mrc.json").read_text())
    assert record["method"] == "tv"
    assert record["settings"]["num_iter"] == 150
    assert record["settled"]["reg_par"] > 0  # left open, and chosen
    assert len(record["history"]["residual"]) == 150
    assert record["projector"]["adjoint_error"] < 1e-6
    assert record["geometry"]["unit"] == "angstrom"
    assert record["versions"]["astra-toolbox"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["series.mrc", "series.tlt", "volume.mrc", "volume.mrc.json"]


@pytest.mark.parametrize("name", ["volume.tif", "volume.h5", "volume.zarr", "volume.npy", "volume.rec"])
def test_every_format_holds_the_same_volume(run, series_file, tmp_path, name):
    assert run("recon", series_file, "-o", tmp_path / "a.mrc", "-m", "wbp").code == 0
    ran = run("recon", series_file, "-o", tmp_path / name, "-m", "wbp")
    assert ran.code == 0, ran.err
    np.testing.assert_array_equal(values(tmp_path / name), values(tmp_path / "a.mrc"))
    assert open_stack(tmp_path / name).voxel_size == pytest.approx(8.0)


def test_the_hand_flips_the_volume_in_z(run, series_file, tmp_path):
    for name, extra in (("a.npy", []), ("b.npy", ["--flip-hand"])):
        assert run("recon", series_file, "-o", tmp_path / name, "-m", "wbp", *extra).code == 0
    np.testing.assert_allclose(values(tmp_path / "b.npy"), values(tmp_path / "a.npy")[::-1], atol=1e-5)


def test_tilts_are_chosen_by_number_and_by_range(run, series_file, tmp_path):
    ran = run("recon", series_file, "-o", tmp_path / "a.npy", "-m", "wbp", "--exclude", "0,3-4", "--angle-range", -40, 40)
    assert ran.code == 0, ran.err
    assert "0 (-60.0 deg), 3 (-45.0 deg), 4 (-40.0 deg)" in ran.out
    record = json.loads((tmp_path / "a.npy.json").read_text())
    assert record["views"] == list(range(5, 21))
    np.testing.assert_allclose(np.rad2deg(record["geometry"]["angles"]), np.arange(-35, 41, 5))


def test_binning_keeps_the_physical_size(run, series_file, tmp_path):
    ran = run("recon", series_file, "-o", tmp_path / "a.mrc", "-m", "wbp", "--bin", 2, "--thickness", 16, "--center", 16)
    assert ran.code == 0, ran.err
    volume = open_stack(tmp_path / "a.mrc")
    assert volume.data.shape == (8, 6, 16)
    assert volume.voxel_size == pytest.approx(16.0)


def test_a_dry_run_estimates_and_writes_nothing(run, series_file, tmp_path):
    before = sorted(tmp_path.iterdir())
    ran = run("recon", series_file, "-o", tmp_path / "a.mrc", "--dry-run")
    assert ran.code == 0
    assert "memory" in ran.out
    assert "time" in ran.out
    assert sorted(tmp_path.iterdir()) == before


def test_a_start_and_a_mask_are_read(run, series_file, tmp_path):
    np.save(tmp_path / "mask.npy", np.pad(np.ones((28, 12, 28), np.float32), ((2, 2), (0, 0), (2, 2))))
    assert run("recon", series_file, "-o", tmp_path / "a.npy", "--set", "num_iter=5").code == 0
    ran = run(
        "recon", series_file, "-o", tmp_path / "b.npy", "--set", "num_iter=1",
        "--initial", tmp_path / "a.npy", "--mask", tmp_path / "mask.npy",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    first, second = (json.loads((tmp_path / f"{n}.npy.json").read_text())["history"]["residual"] for n in "ab")
    assert second[0] < first[1]
    assert not values(tmp_path / "b.npy")[0].any()


def test_nan_pixels_stop_until_repair_is_asked_for(run, series_file, tmp_path):
    data = values(series_file).copy()
    data[3, 5, 7] = np.nan
    np.savez(tmp_path / "bad.npz", projections=data, angles=open_angles(series_file))
    ran = run("recon", tmp_path / "bad.npz", "-o", tmp_path / "a.mrc")
    assert ran.code == 2
    assert "--repair" in ran.err
    ran = run("recon", tmp_path / "bad.npz", "-o", tmp_path / "a.mrc", "--repair")
    assert ran.code == 0, ran.err
    assert "repaired 1 pixel" in ran.out


def open_angles(path: Path) -> np.ndarray:
    return np.deg2rad(np.loadtxt(path.with_suffix(".tlt")))


WRONG = [
    (["--method", "sirtt"], "did you mean sirt"),
    (["--set", "num_itr=3"], "did you mean num_iter"),
    (["--set", "num_iter=many"], "num_iter"),
    (["--set", "num_iter=0"], "num_iter"),
    (["--set", "num_iter"], "name=value"),
    (["--exclude", "99"], "99"),
    (["--exclude", "a-b"], "--exclude"),
    (["--exclude", "0-24"], "empty"),
    (["--angle-range", "70", "80"], "no tilt"),
    (["--center", "nowhere"], "--center"),
    (["--center", "1e9"], "center"),
    (["--bin", "64"], "binning"),
    (["--kind", "cubic"], "kind"),
    (["--backend", "astra-3d"], "astra-2d"),
    (["--method", "astra.EM"], "astra.EM_CUDA"),
    (["--angles", "{tmp}/missing.tlt"], "missing.tlt"),
    (["--thickness", "0"], "thickness"),
]


@pytest.mark.parametrize(("extra", "message"), WRONG)
def test_a_mistake_gets_one_clear_line_and_writes_nothing(run, series_file, tmp_path, extra, message):
    before = sorted(tmp_path.iterdir())
    ran = run("recon", series_file, "-o", tmp_path / "a.mrc", *(e.format(tmp=tmp_path) for e in extra))
    assert ran.code in (1, 2)
    assert message.lower() in ran.err.lower()
    assert sorted(tmp_path.iterdir()) == before
    if ran.err.startswith("tomoprior:"):
        assert ran.err.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("extra", [["--device", "cuda"], ["--backend", "astra-cuda"], ["--method", "astra.SIRT_CUDA"]])
def test_a_missing_gpu_is_said(run, series_file, tmp_path, extra):
    ran = run("recon", series_file, "-o", tmp_path / "a.mrc", *extra)
    assert ran.code == 1
    assert "GPU" in ran.err


def test_tomopy_that_is_not_installed_says_how_to_get_it(run, series_file, tmp_path):
    if importlib.util.find_spec("tomopy"):
        pytest.skip("TomoPy is installed")
    ran = run("recon", series_file, "-o", tmp_path / "a.mrc", "--method", "tomopy.gridrec")
    assert ran.code == 1
    assert "conda install -c conda-forge tomopy" in ran.err


def test_an_output_is_not_overwritten_unless_asked(run, series_file, tmp_path):
    out = tmp_path / "a.mrc"
    out.write_bytes(b"precious")
    ran = run("recon", series_file, "-o", out, "-m", "wbp")
    assert ran.code == 2
    assert "--overwrite" in ran.err
    assert out.read_bytes() == b"precious"
    assert run("recon", series_file, "-o", out, "-m", "wbp", "--overwrite").code == 0
    assert values(out).shape == (32, 12, 32)


def test_an_input_is_never_overwritten(run, series_file, tmp_path):
    link = tmp_path / "link.mrc"
    link.symlink_to(series_file)
    np.save(tmp_path / "start.npy", np.zeros((32, 12, 32), np.float32))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    for out, extra in ((series_file, []), (link, []), (tmp_path / "start.npy", ["--initial", tmp_path / "start.npy"])):
        ran = run("recon", series_file, "-o", out, "--overwrite", *extra)
        assert ran.code == 2
        assert "input" in ran.err
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_the_record_says_what_was_done_to_the_input(run, series_file, tmp_path):
    np.save(tmp_path / "mask.npy", np.ones((16, 6, 16), np.float32))
    ran = run(
        "recon", series_file, "-o", tmp_path / "a.npy", "--set", "num_iter=3", "--minus-log", "--repair", "--bin", 2,
        "--flip-hand", "--mask", tmp_path / "mask.npy",
    )  # fmt: skip
    if ran.code == 2:  # line integrals of zero have no logarithm: that many cannot be dead pixels
        assert "no transmissions" in ran.err
        data = np.exp(-np.asarray(open_stack(series_file).data[...]))
        np.savez(tmp_path / "t.npz", projections=data, angles=open_angles(series_file))
        ran = run(
            "recon", tmp_path / "t.npz", "-o", tmp_path / "a.npy", "--set", "num_iter=3", "--minus-log", "--bin", 2,
            "--flip-hand", "--mask", tmp_path / "mask.npy",
        )  # fmt: skip
    assert ran.code == 0, ran.err
    record = json.loads((tmp_path / "a.npy.json").read_text())
    assert record["input"]["minus_log"] is True
    assert record["input"]["binned"] == 2
    assert record["input"]["flipped_hand"] is True
    assert record["mask"] is True
    assert record["initial"] is False
    assert record["command"]
    assert 0 < record["residual"] < record["history"]["residual"][-1]


@pytest.mark.parametrize("name", ["a.xyz", "nowhere/a.mrc"])
def test_an_output_that_cannot_be_is_refused_before_the_work(run, series_file, tmp_path, name):
    ran = run("recon", series_file, "-o", tmp_path / name)
    assert ran.code == 2
    assert ran.out == ""


def test_a_folder_that_may_not_be_written_is_said(run, series_file, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    closed = tmp_path / "closed"
    closed.mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
    assert run("recon", series_file, "-o", closed / "a.mrc").code == 1


FULL_DISK = """
import resource, signal, sys
from tomoprior.cli.app import app
from tomoprior.cli.errors import report
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
for out in sys.argv[2:]:
    print(report(app, ["recon", sys.argv[1], "-o", out, "-m", "wbp"]), file=sys.stderr)
"""


def test_a_full_disk_leaves_nothing_behind(series_file, tmp_path):
    before = sorted(tmp_path.iterdir())
    outs = [str(tmp_path / name) for name in ("a.mrc", "a.h5", "a.tif", "a.npy")]
    command = [sys.executable, "-c", FULL_DISK, str(series_file), *outs]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stderr.splitlines()
    assert len(lines) == 2 * len(outs), ran.stderr
    for out, told, code in zip(outs, lines[::2], lines[1::2], strict=True):
        assert told.startswith(f"tomoprior: {out}: cannot be written"), told
        assert code == "1"
    assert sorted(tmp_path.iterdir()) == before


def test_an_interrupt_leaves_nothing_behind(run, series_file, tmp_path, monkeypatch):
    from tomoprior.methods.classical.sirt import SIRT

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(SIRT, "solve", interrupted)
    before = sorted(tmp_path.iterdir())
    ran = run("recon", series_file, "-o", tmp_path / "a.mrc")
    assert ran.code == 130
    assert "nothing was written" in ran.err
    assert sorted(tmp_path.iterdir()) == before


def test_an_interrupted_fit_of_a_field_keeps_its_volume(run, series_file, tmp_path, monkeypatch):
    from tomoprior.methods.cn.primal_dual import PrimalDualSolver

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(PrimalDualSolver, "run", interrupted)
    ran = run(
        "recon", series_file, "-o", tmp_path / "kept.mrc", "--method", "cn", "--set", "reg_par=auto", "--set", "stop=none"
    )
    assert ran.code == 130
    assert "the volume is that of an unfinished run" in ran.err
    assert "nothing was written" not in ran.err
    assert (tmp_path / "kept.mrc").exists()
    assert '"interrupted": true' in (tmp_path / "kept.mrc.json").read_text()


def test_a_field_is_written_and_refused_where_there_is_none(run, series_file, tmp_path):
    from tomoprior.methods.cn import load_field

    field = tmp_path / "f.safetensors"
    common = ("recon", series_file, "-o", tmp_path / "a.mrc", "--field", field)
    ran = run(
        *common, "--method", "cn", "--set", "reg_par=auto", "--set", "stop=none", "--set", "num_iter=3", "--set", "degree=3"
    )
    assert ran.code == 0
    volume = mrcfile.read(tmp_path / "a.mrc")
    np.testing.assert_allclose(load_field(field).sample(), volume, atol=1e-5 * volume.max())
    ran = run("recon", series_file, "-o", tmp_path / "b.mrc", "--field", tmp_path / "g.safetensors", "--method", "sirt")
    assert ran.code == 2
    assert "fits no field" in ran.err
    assert not (tmp_path / "b.mrc").exists()


TLS = ("--tls-ca", "/dev/null", "--tls-cert", "/dev/null", "--tls-key", "/dev/null")
SLABBED = ("--method", "sirt", "--thickness", 16, "--set", "num_iter=3", "--set", "pad=0")


def test_slab_by_slab_is_the_same_volume(run, series_file, tmp_path):
    assert run("recon", series_file, "-o", tmp_path / "a.mrc", *SLABBED).code == 0
    ran = run("recon", series_file, "-o", tmp_path / "b.mrc", *SLABBED, "--slab", 5)
    assert ran.code == 0, ran.err
    assert "slabs        3 of 5 rows" in ran.out
    # no terminal: a line for each slab, for a batch job's log
    assert [line.split("slab ")[1].split(",")[0] for line in ran.err.splitlines()] == ["1 of 3", "2 of 3", "3 of 3"]
    np.testing.assert_array_equal(values(tmp_path / "a.mrc"), values(tmp_path / "b.mrc"))
    record = json.loads((tmp_path / "b.mrc.json").read_text())
    assert record["slabs"]["rows"] == 5
    assert record["command"]


def test_slabs_of_some_tilts_binned_and_mended(run, tmp_path, phantom):
    from tomoprior.formats import write_series
    from tomoprior.series import TiltSeries

    data = phantom[1].projections.copy()
    data[4, 5, 6] = np.nan
    write_series(TiltSeries(data, phantom[1].geometry), tmp_path / "series.mrc")
    more = ("--bin", 2, "--exclude", "0", "--flip-hand")
    plain = run("recon", tmp_path / "series.mrc", "-o", tmp_path / "a.npy", *SLABBED, *more, "--repair")
    assert plain.code == 0, plain.err
    told = run("recon", tmp_path / "series.mrc", "-o", tmp_path / "b.npy", *SLABBED, *more, "--slab", 2)
    assert told.code == 2
    assert "1 pixel(s) in rows 2 to 4 are NaN or infinite, in tilts 3; --repair" in told.err
    ran = run("recon", tmp_path / "series.mrc", "-o", tmp_path / "c.npy", *SLABBED, *more, "--slab", 2, "--repair")
    assert ran.code == 0, ran.err
    np.testing.assert_array_equal(values(tmp_path / "a.npy"), values(tmp_path / "c.npy"))


def test_a_dry_run_of_slabs_writes_nothing(run, series_file, tmp_path):
    ran = run("recon", series_file, "-o", tmp_path / "v.zarr", *SLABBED, "--slab", "auto", "--memory", "800MiB", "--dry-run")
    assert ran.code == 0, ran.err
    for word in ("slabs ", "memory ", "disk ", "time ", "nothing was written"):
        assert word in ran.out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["series.mrc", "series.tlt"]


def test_an_interrupt_keeps_the_slabs_that_are_done(run, series_file, tmp_path, monkeypatch):
    from tomoprior.cli import slabbed

    call = slabbed._SlabProgress.__call__

    def interrupted(self, done, total, found, /):
        call(self, done, total, found)
        if done == 2:
            raise KeyboardInterrupt

    out = tmp_path / "v.mrc"
    with monkeypatch.context() as patched:
        patched.setattr(slabbed._SlabProgress, "__call__", interrupted)
        ran = run("recon", series_file, "-o", out, *SLABBED, "--slab", 5)
    assert ran.code == 130
    assert "2 of 3 slab(s) are kept; the same command with --resume continues" in ran.err
    again = run("recon", series_file, "-o", out, *SLABBED, "--slab", 5)
    assert again.code == 2
    assert "holds 2 slab(s) of an earlier run" in again.err
    ran = run("recon", series_file, "-o", out, *SLABBED, "--resume")
    assert ran.code == 0, ran.err
    assert "2 of 3 slab(s) are finished already" in ran.out
    assert "slab 3 of 3" in ran.err
    assert run("recon", series_file, "-o", out, *SLABBED, "--resume").code == 0  # it is finished: nothing is done
    assert run("recon", series_file, "-o", out, *SLABBED, "--resume", "--set", "relaxation=0.9").code == 2


def test_an_interrupt_before_the_first_slab_says_that_nothing_was_written(run, series_file, tmp_path, phantom, monkeypatch):
    def interrupted(*arguments, **more):
        raise KeyboardInterrupt

    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr("tomoprior.running.slabs.run.plan_slabs", interrupted)
    monkeypatch.setattr("tomoprior.cli.slabbed.plan_run", lambda *_, **__: plan.split_rows(phantom[1].geometry, 5, 0))
    ran = run("recon", series_file, "-o", tmp_path / "v.mrc", *SLABBED, "--slab", 5)
    assert (ran.code, ran.err) == (130, "interrupted  nothing was written\n")
    assert sorted(tmp_path.iterdir()) == before


def test_an_interrupt_after_the_last_step_says_that_the_volume_is_finished(run, series_file, tmp_path, monkeypatch):
    from tomoprior.running.slabs import run as slab_run

    publish = slab_run.publish

    def interrupted(*arguments, **more):
        publish(*arguments, **more)
        raise KeyboardInterrupt

    out = tmp_path / "v.mrc"
    assert run("recon", series_file, "-o", out, *SLABBED, "--slab", 5).code == 0
    monkeypatch.setattr(slab_run, "publish", interrupted)
    ran = run("recon", series_file, "-o", out, *SLABBED, "--slab", 5, "--overwrite")
    assert ran.code == 130
    assert ran.err.endswith(f"interrupted  {out} is finished\n")
    assert out.exists()


def test_an_interrupt_elsewhere_claims_nothing_about_files(run, series_file, tmp_path, monkeypatch):
    def interrupted(*arguments, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr("tomoprior.comparison.compare", interrupted)
    ran = run("compare", series_file, "-o", tmp_path / "report", "--methods", "wbp,sirt")
    assert (ran.code, ran.err) == (130, "tomoprior: interrupted\n")


def test_a_second_run_on_the_same_output_is_told_that_one_is_at_work(run, series_file, tmp_path):
    out = tmp_path / "v.mrc"
    with Journal(out).locked():
        ran = run("recon", series_file, "-o", out, *SLABBED, "--slab", 5)
    assert ran.code == 2
    assert f"{out} is being written by process {os.getpid()} on" in ran.err


def test_threads_are_those_of_the_option(run, series_file, tmp_path, monkeypatch):
    from tomoprior.methods.classical.wbp import WBP

    counts = []
    reconstruct = WBP.reconstruct

    def counted(*arguments, **more):
        counts.append(torch.get_num_threads())
        return reconstruct(*arguments, **more)

    monkeypatch.setattr(WBP, "reconstruct", counted)
    for more in ((), ("--threads", 2), ("--threads", 3, "--slab", 12)):
        assert run("recon", series_file, "-o", tmp_path / "v.npy", "-m", "wbp", "--overwrite", *more).code == 0
    assert counts == [1, 2, 3]
    assert torch.get_num_threads() == 1


def test_what_does_not_fit_into_memory_goes_slab_by_slab(run, series_file, tmp_path, monkeypatch):
    free = iter([1 << 20])  # when it is decided; then there is enough for a slab
    monkeypatch.setattr("tomoprior.memory.available", lambda: next(free, 200 << 20))
    ran = run("recon", series_file, "-o", tmp_path / "v.mrc", *SLABBED, "--backend", "astra-2d")
    assert ran.code == 0, ran.err
    assert "1.0 MiB are free: slab by slab" in ran.out
    assert "slabs        1 of 12 rows" in ran.out


def test_slabs_are_those_that_were_described_whatever_is_free_then(run, series_file, tmp_path, monkeypatch):
    from tomoprior.cli.slabbed import _describe as describe

    free = [1 << 30]  # when it is planned; then there is not enough for a slab
    monkeypatch.setattr("tomoprior.memory.available", lambda: free[0])
    monkeypatch.setattr("tomoprior.cli.slabbed._describe", lambda *a: (describe(*a), free.__setitem__(0, 1))[0])
    ran = run("recon", series_file, "-o", tmp_path / "v.mrc", *SLABBED, "--slab", "auto")
    assert ran.code == 0, ran.err
    assert "slabs        1 of 12 rows" in ran.out
    assert json.loads((tmp_path / "v.mrc.json").read_text())["slabs"]["rows"] == 12


def test_a_plan_counts_what_is_given_and_says_what_does_not_fit(run, series_file, tmp_path, phantom, monkeypatch):
    interpreter = 300 << 20
    monkeypatch.setattr("tomoprior.running.slabs.run.interpreter_bytes", lambda device: interpreter)
    for name, ny in (("mask", 12), ("wrong", 11)):
        np.save(tmp_path / f"{name}.npy", np.ones((16, ny, 32), np.float32))
    base = ("recon", series_file, "-o", tmp_path / "v.mrc", *SLABBED, "--slab", "auto", "--dry-run", "--backend", "astra-2d")
    geometry, sirt = phantom[1].geometry, methods.get("sirt")
    settings = sirt.Settings(num_iter=3, pad=0)
    options = ProjectorOptions("cpu", backend="astra-2d")
    whole = plan.split_rows(geometry, 12, 0)
    just = plan.estimate_cost(whole, geometry, sirt, settings, options).memory + interpreter
    assert "slabs        1 of 12 rows" in run(*base, "--memory", just).out
    less = run(*base, "--memory", just, "--mask", tmp_path / "mask.npy")
    assert less.code == 0, less.err
    assert "slabs        1 of 12 rows" not in less.out
    ran = run(*base, "--mask", tmp_path / "wrong.npy")
    assert ran.code == 2
    assert "mask has shape (16, 11, 32), but the grid is (16, 12, 32)" in ran.err


@pytest.mark.parametrize("workers", [1, 3])
def test_the_least_memory_in_a_refusal_is_enough_and_less_is_not(run, series_file, tmp_path, monkeypatch, workers):
    monkeypatch.setattr("tomoprior.running.slabs.run.interpreter_bytes", lambda device: 300 << 20)
    base = ("recon", series_file, "-o", tmp_path / "v.mrc", *SLABBED, "--workers", workers, "--dry-run")
    refused = run(*base, "--memory", "1MiB")
    assert refused.code == 2
    least = int(re.search(r"use --memory (\d+)MiB or more", refused.err)[1])
    assert run(*base, "--memory", f"{least}MiB").code == 0
    assert run(*base, "--memory", f"{least - 32}MiB").code == 2


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--slab", "x"), "auto or a number of rows"),
        (("--memory", "much"), "a size such as 8GiB"),
        (("--workers", 2, "--scheduler", "tcp://a:1"), "give one of them"),
        (("--slab", 4, "--memory", "1MiB", "--dry-run"), None),
        (("--slab", "auto", "--memory", "1MiB"), "without the Python interpreter, and each worker has 0 B: use --memory "),
        (("--tls-ca", "/dev/null"), "--tls-ca, --tls-cert and --tls-key are given together"),
        (("--scheduler", "tcp://a:1", *TLS), "a scheduler with TLS has an address tls://"),
        (("--method", "cn", "--field", "f.safetensors", "--slab", 4), "--field: each slab has its own field"),
    ],
)
def test_wrong_use_of_slabs_is_told(run, series_file, tmp_path, options, what):
    base = SLABBED[2:4] if "--method" in options else SLABBED
    ran = run("recon", series_file, "-o", tmp_path / "v.mrc", *base, *options)
    assert ran.code == (0 if what is None else 2), ran.err
    assert what is None or what in ran.err
    assert not [p for p in tmp_path.iterdir() if p.name.startswith("v")]


@pytest.mark.parametrize(("text", "size"), [("8GiB", 8 << 30), ("500MB", 500_000_000), ("1.5g", 3 << 29), ("1024", 1024)])
def test_sizes(text, size):
    from tomoprior.cli.slabbed import parse_size

    assert parse_size(text) == size


@pytest.mark.parametrize("method", ["tv", "cn"])
def test_a_dark_specimen_on_bright_is_noted_with_the_switch_that_helps(run, series_file, tmp_path, phantom, method):
    np.save(tmp_path / "dark.npy", -phantom[1].projections)
    common = ("--angles=-60:60:5", "-m", method, "--thickness", 16, "--set", "num_iter=40", "--set", "min_constraint=0")
    ran = run("recon", tmp_path / "dark.npy", "-o", tmp_path / "zero.npy", *common)
    assert ran.code == 0, ran.err
    assert "note         the volume is zero (residual 1)" in ran.out
    assert "--invert" in ran.out
    assert not values(tmp_path / "zero.npy").any()
    ran = run("recon", tmp_path / "dark.npy", "-o", tmp_path / "bright.npy", "--invert", *common)
    assert "the volume is zero" not in ran.out
    assert values(tmp_path / "bright.npy").max() > 0


def test_the_grid_has_the_width_that_is_given(run, series_file, tmp_path):
    ran = run(
        "recon", series_file, "-o", tmp_path / "v.npy", "-m", "sirt", "--set", "num_iter=2", "--width", 48, "--thickness", 16
    )
    assert ran.code == 0, ran.err
    assert "volume       16 x 12 x 48 (z, y, x) voxels" in ran.out
    assert values(tmp_path / "v.npy").shape == (16, 12, 48)


def test_half_acquisition_is_noted_with_the_width_that_it_needs(run, tmp_path):
    np.save(tmp_path / "s.npy", np.ones((60, 2, 48), np.float32))
    common = ("--angles=0:354:6", "--center", 8, "-m", "wbp", "--dry-run", "-o", tmp_path / "v.npy")
    assert "--width 80 --thickness 80" in run("recon", tmp_path / "s.npy", *common).out
    assert "--width 80" not in run("recon", tmp_path / "s.npy", "--width", 80, "--thickness", 80, *common).out


def test_whole_numbers_are_written_on_request_and_refused_slab_by_slab(run, series_file, tmp_path):
    common = ("recon", series_file, "-m", "wbp", "--thickness", 16)
    ran = run(*common, "-o", tmp_path / "v.mrc", "--dtype", "int16")
    assert ran.code == 0, ran.err
    assert values(tmp_path / "v.mrc").dtype == np.int16
    assert json.loads((tmp_path / "v.mrc.json").read_text())["stored"]["dtype"] == "int16"
    assert "slab by slab is float32" in run(*common, "-o", tmp_path / "w.mrc", "--dtype", "int16", "--slab", 4).err
    assert "--dtype takes float32, int16 or int8" in run(*common, "-o", tmp_path / "w.mrc", "--dtype", "float64").err


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ((), "voxels of 0.8 nanometer are outside the prior's training range"),
        (
            ("--voxel-size", 20, "--unit", "nanometer", "--angle-range", 0, 0),
            "a tilt range of 0 degrees is outside the prior's",
        ),
        (("--voxel-size", 20, "--unit", "nanometer", "--thickness", 500), "exceeds the prior's limit"),
    ],
)
@pytest.mark.parametrize("slab", [(), ("--slab", "auto")])
def test_a_dry_run_refuses_what_the_prior_was_not_trained_for(run, series_file, tmp_path, extra, message, slab):
    grid = () if "--thickness" in extra else ("--thickness", 16)
    ran = run("recon", series_file, "-o", tmp_path / "v.mrc", "-m", "diffusion", "--dry-run", *grid, *extra, *slab)
    assert ran.code == 2
    assert message in ran.err


def test_fast_leaves_nothing_to_held_out_tilts(run, series_file, tmp_path):
    out = tmp_path / "v.npy"
    ran = run("recon", series_file, "-o", out, "-m", "sart", "--thickness", 16, "--fast", "--set", "num_iter=3")
    assert ran.code == 0, ran.err
    assert re.search(r"num_iter=3, pad=\d+", ran.out)
    assert "stop" not in ran.out
    ran = run("recon", series_file, "-o", out, "-m", "tv", "--thickness", 16, "--fast", "--dry-run", "--overwrite")
    assert "num_iter=100" in ran.out
    assert "reg_par=auto" in ran.out
