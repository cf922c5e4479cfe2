"""recon with a contrast transfer function and a dose: the three modes, what the record says, and what is refused."""

import json

import numpy as np
import pytest

from tomoprior import FilteredProjector, Projector, TiltSeries
from tomoprior.formats import open_stack
from tomoprior.formats.writing import write_series
from tomoprior.microscopy import CTF, Transfer, flip_phases, weight_by_dose

N = 25


@pytest.fixture
def images(phantom, tmp_path):
    """A file of images at 3 micrometers and the defocus and the dose of its tilts; the series, too."""
    truth, series = phantom
    dose = np.arange(N) * 3.0
    transfer = Transfer((12, 32), 8.0, ctf=[CTF(30000.0 + 100 * i) for i in range(N)], dose=dose)
    recorded = FilteredProjector(Projector(series.geometry, "cpu"), transfer)(truth)
    path = tmp_path / "series.mrc"
    write_series(TiltSeries(recorded, series.geometry), path)
    lines = [f"{i + 1} {i + 1} 0 0 {3000 + 10 * i}" for i in range(N)]
    (tmp_path / "series.defocus").write_text("\n".join([lines[0] + " 2", *lines[1:]]))
    (tmp_path / "dose.txt").write_text("\n".join(map(str, dose)))
    return path, recorded, transfer


def values(path):
    return np.asarray(open_stack(path).data[...])


def test_the_model_finds_the_specimen_and_records_how(run, images, tmp_path, phantom):
    path, _, _ = images
    optics = ["--ctf-file", tmp_path / "series.defocus", "--dose-file", tmp_path / "dose.txt", "--dose-weight"]
    common = ["recon", path, "--method", "tv", "--thickness", 16, "--set", "num_iter=60", "--set", "pad=0"]
    ran = run(*common, "-o", tmp_path / "model.mrc", *optics)
    assert ran.code == 0, ran.err
    assert "one defocus for a whole image" in ran.out
    assert run(*common, "-o", tmp_path / "none.mrc").code == 0
    truth = phantom[0].ravel()
    model, none = (np.corrcoef(values(tmp_path / f"{name}.mrc").ravel(), truth)[0, 1] for name in ("model", "none"))
    assert model > 0.85
    assert model > none + 0.2
    record = json.loads((tmp_path / "model.mrc.json").read_text())
    assert record["transfer"]["ctf"]["defocus"][:2] == [30000, 30100]
    assert record["transfer"]["dose"][:2] == [0, 3]
    # half of 32 pixels of 8 angstrom, times tan 60 degrees, times pi lambda / 16^2
    expected = np.pi * 0.0196875 / 256 * 128 * np.tan(np.pi / 3)
    assert record["transfer"]["ctf"]["neglected_gradient_radians_at_nyquist"]["across"] == pytest.approx(expected, rel=1e-3)


def test_the_hand_of_the_defocus_is_recorded_and_another_refused(run, images, tmp_path):
    common = ["recon", images[0], "-o", tmp_path / "v.mrc", "-m", "cgls", "--ctf-file", tmp_path / "series.defocus"]
    common += ["--thickness", 16, "--set", "num_iter=1", "--defocus-hand"]
    assert run(*common, "-1").code == 0
    assert json.loads((tmp_path / "v.mrc.json").read_text())["transfer"]["ctf"]["hand"] == -1
    wrong = run(*common, 3, "--overwrite")
    assert wrong.code != 0
    assert "hand of the defocus must be 1, -1 or 0" in wrong.err


def test_tilts_that_are_left_out_take_their_defocus_with_them(run, images, tmp_path):
    ran = run(
        "recon", images[0], "-o", tmp_path / "v.mrc", "-m", "cgls", "--ctf-file", tmp_path / "series.defocus",
        "--exclude", "0,2", "--bin", 2, "--thickness", 16, "--set", "num_iter=2",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    record = json.loads((tmp_path / "v.mrc.json").read_text())
    assert record["transfer"]["ctf"]["defocus"][:2] == [30100, 30300]
    assert record["transfer"]["pixel_size"] == pytest.approx(16)


@pytest.mark.parametrize("slab", [[], ["--slab", "6"]], ids=["memory", "slabs"])
def test_flipped_phases_and_weights_serve_every_method(run, images, tmp_path, slab):
    path, recorded, transfer = images
    corrected = weight_by_dose(flip_phases(recorded, transfer), transfer)
    write_series(TiltSeries(corrected, phantom_geometry(path)), tmp_path / "corrected.mrc")
    optics = ["--ctf-file", tmp_path / "series.defocus", "--dose-file", tmp_path / "dose.txt", "--dose-weight"]
    common = ["--method", "wbp", "--thickness", 16]
    ran = run("recon", path, "-o", tmp_path / "a.npy", *common, *optics, "--ctf", "phase-flip", *slab)
    assert ran.code == 0, ran.err
    assert run("recon", tmp_path / "corrected.mrc", "-o", tmp_path / "b.npy", *common).code == 0
    expected = values(tmp_path / "b.npy")
    np.testing.assert_allclose(values(tmp_path / "a.npy"), expected, atol=1e-4 * np.abs(expected).max())


def phantom_geometry(path):
    from tomoprior.formats import read_series

    return read_series(path, thickness=16).geometry


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ctf", "model"], "--ctf model needs the defocus of each tilt: --ctf-file"),
        (["--ctf", "wiener", "--ctf-file", "series.defocus"], "--ctf takes model, phase-flip, none"),
        (["--dose-weight"], "--dose-weight needs the dose of each tilt: --dose-file"),
        (["--ctf-file", "series.defocus", "-m", "wbp"], "wbp cannot use a transfer function; flip phases first"),
        (["--ctf-file", "series.defocus", "--slab", "6"], "cannot be reconstructed slab by slab"),
        (["--ctf-file", "dose.txt"], "line 1 has 1 words where CTFFIND and AreTomo have 7 or more"),
    ],
)
def test_options_that_cannot_work_are_refused_in_one_line(run, images, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    ran = run("recon", images[0], "-o", "v.mrc", *arguments)
    assert ran.code != 0
    assert message in ran.err
    assert not (tmp_path / "v.mrc").exists()


def test_halves_of_tilts_write_their_mean_and_its_resolution(run, images, tmp_path):
    ran = run("recon", images[0], "-o", tmp_path / "v.mrc", "-m", "sirt", "--thickness", 16, "--halves", "tilts")
    assert ran.code == 0, ran.err
    assert "resolution   " in ran.out
    halves = [values(tmp_path / f"v_half{i}.mrc") for i in (1, 2)]
    np.testing.assert_allclose(values(tmp_path / "v.mrc"), np.mean(halves, 0), atol=1e-5)
    assert values(tmp_path / "v_resolution.mrc").min() >= 16 - 1e-3  # two voxels of 8 angstrom
    record = json.loads((tmp_path / "v.mrc.json").read_text())
    assert record["halves"]["unit"] == "angstrom"
    again = run("recon", images[0], "-o", tmp_path / "v.mrc", "-m", "sirt", "--halves", "tilts")
    assert again.code != 0
    assert "v.mrc" in again.err


def test_a_fusion_of_methods_is_written_beside_their_mean(run, images, tmp_path):
    arguments = ["recon", images[0], "-o", tmp_path / "v.mrc", "-m", "sirt", "--set", "num_iter=5", "--thickness", 16]
    assert "--halves too" in run(*arguments, "--fuse", "cgls").err
    assert "nothing" in run(*arguments, "--halves", "tilts", "--fuse", "nothing").err
    ran = run(*arguments, "--halves", "tilts", "--fuse", "cgls")
    assert ran.code == 0, ran.err
    assert "explained of the other half: sirt " in ran.out
    record = json.loads((tmp_path / "v_fused.mrc.json").read_text())
    assert record["members"] == ["sirt", "cgls"]
    assert values(tmp_path / "v_fused.mrc").shape == values(tmp_path / "v.mrc").shape


def test_halves_of_frames_come_from_two_files(run, images, tmp_path):
    path, recorded, _ = images
    write_series(TiltSeries(recorded + 1, phantom_geometry(path)), tmp_path / "odd.mrc")
    optics = ["--ctf-file", tmp_path / "series.defocus", "--thickness", 16, "--set", "num_iter=3"]
    ran = run("recon", path, "-o", tmp_path / "v.mrc", "-m", "cgls", "--halves", tmp_path / "odd.mrc", *optics)
    assert ran.code == 0, ran.err
    # the halves differ by their mean only, which a transfer function does not pass
    a, b = (values(tmp_path / f"v_half{i}.mrc") for i in (1, 2))
    np.testing.assert_allclose(a, b, atol=1e-3)
    slabs = run("recon", path, "-o", tmp_path / "w.mrc", "--halves", "tilts", "--slab", "6")
    assert "--halves works in memory" in slabs.err
    missing = run("recon", path, "-o", tmp_path / "w.mrc", "--halves", tmp_path / "none.mrc")
    assert "no such file" in missing.err


def test_the_command_that_simulate_prints_uses_the_optics(run, tmp_path):
    scene = ["--ctf", "--snr", 1, "--size", "32x32x16", "--voxel-size", 8, "--angles=-60:60:10"]
    ran = run("simulate", "spheres", "-o", tmp_path / "cryo", *scene)
    assert ran.code == 0, ran.err
    command = ran.out.split("next         tomoprior ")[1].split()
    command[command.index("volume.mrc")] = tmp_path / "v.mrc"
    again = run(*command, "--set", "num_iter=5", "--set", "reg_par=auto")
    assert again.code == 0, again.err
    record = json.loads((tmp_path / "v.mrc.json").read_text())
    assert len(record["transfer"]["ctf"]["defocus"]) == 13
    # 120 electrons in all: the middles of the first and of the last exposure
    dose = record["transfer"]["dose"]
    assert [min(dose), max(dose)] == pytest.approx([120 / 26, 120 * 25 / 26], abs=1e-2)
