"""``tomoprior simulate``: what it writes reads back and reconstructs, and what is wrong is told before any work."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from tomoprior.cli import simulate as command
from tomoprior.formats import open_stack, read
from tomoprior.simulate import available, get
from tomoprior.simulate import simulate as make
from tomoprior.simulate.phantoms import PHANTOMS

SIZE = ("--size", "40x20x24", "--angles", "-60:60:10")
FILES = {"series.mrc", "series.tlt", "truth.mrc", "simulation.json", "simulation.png"}


def test_a_simulation_reads_back_and_reconstructs(run, tmp_path):
    out = tmp_path / "made"
    ran = run("simulate", "shapes", "-o", out, *SIZE, "--seed", 3, "--lowpass", 0.8, "--set", "fill=0.1", "--voxel-size", 8)
    assert ran.code == 0, ran.err
    assert {p.name for p in out.iterdir()} == FILES
    assert (out / "simulation.png").read_bytes().startswith(b"\x89PNG")
    angles = np.deg2rad(np.arange(-60, 61, 10))
    same = make("shapes", (24, 20, 40), angles, seed=3, lowpass=0.8, fill=0.1, voxel_size=8.0)
    series = read(out / "series.mrc", thickness=24)
    np.testing.assert_array_equal(np.asarray(series.projections[...]), same.series.projections)
    assert series.geometry.shape == (24, 20, 40)
    assert (series.geometry.voxel_size, series.geometry.unit) == (8.0, "angstrom")
    np.testing.assert_allclose(series.geometry.angles, angles, atol=1e-7)
    truth = np.asarray(open_stack(out / "truth.mrc").data[...])
    np.testing.assert_array_equal(truth, same.truth.volume)
    record = json.loads((out / "simulation.json").read_text())
    assert record["settings"]["fill"] == 0.1
    assert "simulate" in record["command"] or record["command"]
    assert {k: v for k, v in record.items() if k != "command"} == json.loads(json.dumps(same.record))
    for part in ("24 x 20 x 40 (z, y, x)", "13 tilts from -60 to 60 degrees", "seed 3", "--thickness 24"):
        assert part in ran.out
    volume = tmp_path / "volume.npy"
    ran = run("recon", out / "series.mrc", "-o", volume, "-m", "sirt", "--thickness", 24, "--set", "min_constraint=0")
    assert ran.code == 0, ran.err
    assert np.corrcoef(np.load(volume).ravel(), truth.ravel())[0, 1] > 0.9


def test_the_true_geometry_is_in_forms_that_recon_takes(run, tmp_path):
    out = tmp_path / "made"
    errors = ("--shift-std", 2, "--angle-std", 1, "--axis-offset", 1.5, "--drift", 1, -2)
    ran = run("simulate", "shapes", "-o", out, *SIZE, *errors, "--seed", 3)
    assert ran.code == 0, ran.err
    assert {p.name for p in out.iterdir()} == {*FILES, "true.tlt", "true.xf"}
    assert "axis         at 21.5" in ran.out
    likeness = []
    truth = np.asarray(open_stack(out / "truth.mrc").data[...]).ravel()
    known = ("--angles", out / "true.tlt", "--shifts", out / "true.xf", "--center", 21.5)
    for options in ((), known):
        volume = tmp_path / f"{len(likeness)}.npy"
        common = ("-m", "sirt", "--thickness", 24, "--set", "min_constraint=0", "--set", "num_iter=60")
        ran = run("recon", out / "series.mrc", "-o", volume, *common, *options)
        assert ran.code == 0, ran.err
        likeness.append(np.corrcoef(np.load(volume).ravel(), truth)[0, 1])
    assert likeness[1] > 0.9
    assert likeness[0] < likeness[1] - 0.1
    # an aligned one beside it leaves none of this behind
    assert run("simulate", "shapes", "-o", out, *SIZE, "--overwrite").code == 0
    assert {p.name for p in out.iterdir()} == FILES


def test_nothing_is_replaced_unasked_and_what_else_is_there_stays(run, tmp_path):
    out = tmp_path / "made"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    assert run("simulate", "spheres", "-o", out, *SIZE).code == 0
    before = (out / "series.mrc").read_bytes()
    ran = run("simulate", "spheres", "-o", out, *SIZE, "--seed", 1)
    assert ran.code == 2
    assert "--overwrite" in ran.err
    assert (out / "series.mrc").read_bytes() == before
    assert run("simulate", "spheres", "-o", out, *SIZE, "--seed", 1, "--overwrite").code == 0
    assert (out / "series.mrc").read_bytes() != before
    assert (out / "notes.txt").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["made"]


def test_a_failure_while_writing_leaves_nothing(run, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tomoprior.simulate.picture.picture", full)
    ran = run("simulate", "spheres", "-o", tmp_path / "made", *SIZE)
    assert ran.code == 1
    assert "No space left" in ran.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("spherez", *SIZE), "did you mean spheres"),
        (("spheres", "--size", "40x20"), "--size takes voxels along x, y and z"),
        (("spheres", "--size", "40x0x20"), "--size takes"),
        (("spheres", "--size", "-4x4x4"), "--size takes"),
        (("spheres", "--size", "40x20x4"), "too small for spheres"),
        (("spheres", "--size", "99999x99999x99999"), "are free"),
        (("spheres", "--angles", "-60:60"), "--angles takes degrees"),
        (("spheres", "--angles", "a:b:c"), "--angles takes degrees"),
        (("spheres", "--angles", "missing.tlt"), "--angles takes degrees"),
        (("spheres", "--angles", "0:60:-2"), "no way leads from 0 to 60"),
        (("spheres", "--angles", "0:60:0"), "no way leads"),
        (("spheres", "--angles", "0:60:0.0001"), "more than 10000"),
        (("spheres", "--angles", "0:nan:1"), "--angles takes degrees"),
        (("spheres", "--angles", "1000,2000"), "--angles takes degrees"),
        (("spheres", *SIZE, "--set", "walls=1"), "did you mean wall"),
        (("spheres", *SIZE, "--set", "wall=2"), "wall: "),
        (("spheres", *SIZE, "--set", "lowpass=1", "--lowpass", 1), "by --lowpass and by --set"),
        (("spheres", *SIZE, "--file", "x.mrc"), "no setting is called 'file'"),
        (("capsid", *SIZE, "--file", "none.cif"), "none.cif: no such file"),
        (("capsid", *SIZE, "--file", "a.cif", "--file", "b.cif"), "file: "),
        (("spheres", *SIZE, "--snr", 1, "--dose", 5), "not by both"),
        (("spheres", *SIZE, "--snr", "nan"), "snr must be"),
        (("spheres", *SIZE, "--seed", -1), "seed must be"),
        (("spheres", *SIZE, "--supersample", 0), "supersample"),
        (("spheres", *SIZE, "--shift-std", -1), "shift_std"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_before_any_work(run, tmp_path, arguments, message):
    out = tmp_path / "made"
    ran = run("simulate", *arguments, "-o", out)
    assert ran.code == 2, ran.err
    assert message in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert not out.exists()


def test_outputs_that_cannot_be(run, tmp_path):
    (tmp_path / "file").write_text("")
    for out, code in ((tmp_path / "file", 1), (tmp_path / "none" / "such", 2)):
        ran = run("simulate", "spheres", "-o", out, *SIZE)
        assert ran.code == code
        assert len(ran.err.strip().splitlines()) == 1


def test_angles_and_sizes():
    np.testing.assert_allclose(command._degrees("-60:60:2"), np.arange(-60, 61, 2))
    np.testing.assert_allclose(command._degrees("-60:60:0.1"), np.arange(1201) * 0.1 - 60)
    np.testing.assert_allclose(command._degrees("10:-10:-5"), [10, 5, 0, -5, -10])
    np.testing.assert_allclose(command._degrees("0:10:4"), [0, 4, 8])
    np.testing.assert_allclose(command._degrees("-3,0,1.5"), [-3, 0, 1.5])
    np.testing.assert_allclose(command._degrees("7"), [7])
    assert command._size("128x64X48") == (48, 64, 128)


def test_angles_from_a_file(run, tmp_path):
    (tmp_path / "a.tlt").write_text("-10\n0\n12.5\n")
    ran = run("simulate", "spheres", "-o", tmp_path / "made", "--size", "16x9x12", "--angles", tmp_path / "a.tlt")
    assert ran.code == 0, ran.err
    np.testing.assert_allclose(np.rad2deg(read(tmp_path / "made/series.mrc").geometry.angles), [-10, 0, 12.5])


def test_help_tells_all_phantoms_and_their_settings(run):
    ran = run("simulate", "--help")
    assert ran.code == 0
    assert "tomoprior simulate shapes -o shapes --size" in ran.out
    for name in available():
        assert f"  {name} " in ran.out
        for setting in PHANTOMS[name].model_fields:
            assert setting in ("lowpass", "file") or setting in ran.out, (name, setting)
    assert get("foam").summary


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from tomoprior.cli import main\n"
        "try: main(['simulate', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'astra', 'scipy', 'skimage', 'matplotlib', 'gemmi'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
