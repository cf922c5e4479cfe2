"""``tomoprior simulate``: what it writes reads back and reconstructs, and what is wrong is told before any work."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tomoprior.cli import simulate as command
from tomoprior.formats import Header, open_stack, read, writing
from tomoprior.simulate import MicroscopeSettings, Tissue, get_phantom, list_phantoms, tilt_series
from tomoprior.simulate import simulate as make
from tomoprior.simulate.phantoms import PHANTOMS

SIZE = ("--size", "40x20x24", "--angles", "-60:60:10")
MIDDLE = ("--size", "24x20x16", "--angles", "-60:60:10")
SMALL = ("--size", "20x16x8", "--angles", "-40:40:20")
FILES = {"series.mrc", "series.tlt", "truth.mrc", "simulation.json", "simulation.png"}


@pytest.fixture(scope="module")
def grey():
    smooth = gaussian_filter(np.random.default_rng(0).standard_normal((80, 70, 90), dtype=np.float32), 2)
    return np.uint8(255 * (smooth - smooth.min()) / np.ptp(smooth))


@pytest.fixture(scope="module")
def volumes(grey, tmp_path_factory):
    """The same tissue as a TIFF and a NumPy file, which do not tell how large voxels are, and as an MRC file, which does."""
    folder = tmp_path_factory.mktemp("tissue")
    for name, unit, size in (("tissue.tif", "pixel", 1.0), ("tissue.npy", "pixel", 1.0), ("tissue.mrc", "nanometer", 10.0)):
        with writing(folder / name, Header(grey.shape, np.uint8, voxel_size=size, unit=unit)) as sink:
            sink[:, :, :] = grey
    return folder


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

    monkeypatch.setattr("tomoprior.simulate.picture.save_picture", full)
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
        (("spheres", "--angles", "0:60:-2"), "steps of -2 do not lead from 0 to 60"),
        (("spheres", "--angles", "0:60:0"), "steps of 0 do not lead"),
        (("spheres", "--angles", "0:60:0.0001"), "more than 10000"),
        (("spheres", "--angles", "0:nan:1"), "--angles takes degrees"),
        (("spheres", "--angles", "1000,2000"), "--angles takes degrees"),
        (("spheres", *SIZE, "--set", "walls=1"), "did you mean wall"),
        (("spheres", *SIZE, "--set", "wall=2"), "wall: "),
        (("spheres", *SIZE, "--set", "lowpass=1", "--lowpass", 1), "by --lowpass and by --set"),
        (("spheres", *SIZE, "--file", "x.mrc"), "no setting is called 'file'"),
        (("capsid", *SIZE, "--file", "none.cif"), "none.cif: no such file"),
        (("capsid", *SIZE, "--file", "a.cif", "--file", "b.cif"), "file: "),
        (("spheres", *SIZE, "--snr", 1, "--dose", 5), "not both"),
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


def test_tissue_reads_back_and_reconstructs(run, volumes, grey, tmp_path):
    out = tmp_path / "made"
    own = ("--tissue-voxel-size", 10, "--set", "thickness=0.5,0.9", "--dose", 900, "--set", "outliers=1")
    ran = run("simulate", volumes / "tissue.tif", "-o", out, *MIDDLE, "--seed", 3, "--voxel-size", 20, *own)
    assert ran.code == 0, ran.err
    assert ran.err == ""
    assert {p.name for p in out.iterdir()} == {*FILES, "true.tlt", "true.xf", "variance.mrc"}
    assert (out / "simulation.png").read_bytes().startswith(b"\x89PNG")
    angles = np.deg2rad(np.arange(-60, 61, 10))
    settings = {"dose": 900, "thickness": (0.5, 0.9), "outliers": 1}
    same = tilt_series(Tissue.of(grey, 10.0), (16, 20, 24), angles, seed=3, voxel_size=20.0, **settings)
    series = read(out / "series.mrc", thickness=16)
    np.testing.assert_array_equal(np.asarray(series.projections[...]), same.series.projections)
    assert (series.geometry.voxel_size, series.geometry.unit) == (20.0, "nanometer")
    np.testing.assert_allclose(series.geometry.angles, angles, atol=1e-7)
    truth = np.asarray(open_stack(out / "truth.mrc").data[...])
    np.testing.assert_array_equal(truth, same.truth.volume)
    np.testing.assert_array_equal(np.asarray(open_stack(out / "variance.mrc").data[...]), same.variance)
    true = read(out / "series.mrc", angles=out / "true.tlt", shifts=out / "true.xf").geometry
    np.testing.assert_allclose(true.angles, same.geometry.angles, atol=1e-7)
    np.testing.assert_allclose(true.shifts, same.geometry.shifts, atol=1e-6)
    record = json.loads((out / "simulation.json").read_text())
    assert record["tissue"] == str(volumes / "tissue.tif")
    assert record["bright_is_dense"] is False
    assert "command" in record
    assert {k: v for k, v in record.items() if k not in ("command", "tissue", "bright_is_dense")} == json.loads(
        json.dumps(same.record)
    )
    drawn = same.record["drawn"]
    for part in (
        "80 x 70 x 90 (z, y, x) voxels of 10 nanometer", "seed 3",
        "16 x 20 x 24 (z, y, x) voxels of 20 nanometer",
        "13 tilts from -60 to 60 degrees", f"section      {100 * drawn['thickness']:.3g} %", "dose 900 electrons", "errors  ",
        "spoilt       tilts ", "true.tlt", "--thickness 16",
    ):  # fmt: skip
        assert part in ran.out, part
    for tilt in same.record["spoilt_tilts"]:
        assert f"{tilt} (" in ran.out
    volume = tmp_path / "volume.npy"
    ran = run("recon", out / "series.mrc", "-o", volume, "-m", "sirt", "--thickness", 16)
    assert ran.code == 0, ran.err
    # tissue goes on beside so small a field, and what is seen of it fills the grid's faces: look between them
    middle = (8, slice(None), slice(6, -6))
    assert np.corrcoef(np.load(volume)[middle].ravel(), truth[middle].ravel())[0, 1] > 0.5
    # a phantom in its place leaves none of this behind
    assert run("simulate", "shapes", "-o", out, *SIZE, "--overwrite").code == 0
    assert {p.name for p in out.iterdir()} == FILES


def test_tissue_of_any_format_and_polarity(run, volumes, grey, tmp_path, monkeypatch):
    monkeypatch.setattr("tomoprior.simulate.picture.save_picture", lambda *_: None)  # which takes longest
    ways = {
        "told": ("tissue.mrc",),
        "given": ("tissue.mrc", "--tissue-voxel-size", 10),
        "numpy": ("tissue.npy", "--tissue-voxel-size", 10),
        "angstrom": ("tissue.tif", "--tissue-voxel-size", 100, "--unit", "A", "--voxel-size", 200),
        "inverted": ("tissue.mrc", "--bright-is-dense"),
    }
    found = {}
    for name, (file, *options) in ways.items():
        ran = run("simulate", volumes / file, "-o", tmp_path / name, *SMALL, *options)
        assert ran.code == 0, ran.err
        found[name] = np.asarray(open_stack(tmp_path / name / "truth.mrc").data[...])
    tissue = Tissue.of(grey, 10.0)
    np.testing.assert_array_equal(
        found["told"], tilt_series(tissue, (8, 16, 20), np.deg2rad([-40, -20, 0, 20, 40])).truth.volume
    )
    for name in ("given", "numpy", "angstrom"):
        np.testing.assert_array_equal(found[name], found["told"])
    assert np.corrcoef(found["inverted"].ravel(), found["told"].ravel())[0, 1] < 0.5
    stack = open_stack(tmp_path / "angstrom" / "truth.mrc")
    assert (stack.voxel_size, stack.unit) == (pytest.approx(200), "angstrom")


@pytest.mark.parametrize(
    ("file", "arguments", "message"),
    [
        ("none.tif", (), "none.tif: no such file"),
        ("tissue.tif", (), "does not say how large its voxels are: --tissue-voxel-size"),
        ("tissue.tif", ("--tissue-voxel-size", 0), "voxel size must be a positive number"),
        ("tissue.tif", ("--tissue-voxel-size", 10, "--unit", "parsec"), "--unit must be one of"),
        ("tissue.mrc", ("--snr", 1), "--snr goes with phantoms only, not with a volume of tissue; use --set dose=..."),
        ("tissue.mrc", ("--attenuation", 1), "--attenuation goes with phantoms only"),
        ("tissue.mrc", ("--lowpass", 0), "--lowpass goes with phantoms only"),
        ("tissue.mrc", ("--file", "a.mrc"), "--file goes with phantoms only, not with a volume of tissue"),
        ("tissue.mrc", ("--shift-std", 0), "use --set shift_error=... instead"),
        ("tissue.mrc", ("--drift", 0, 0), "--drift goes with phantoms only"),
        ("tissue.mrc", ("--angle-std", 1), "--set angle_error=..."),
        ("tissue.mrc", ("--axis-offset", 1), "--axis-offset goes with phantoms only"),
        ("tissue.mrc", ("--aligned",), "--aligned goes with phantoms only"),
        ("tissue.mrc", ("--supersample", 2), "--supersample goes with phantoms only"),
        ("tissue.mrc", ("--set", "doze=5"), "did you mean dose"),
        ("tissue.mrc", ("--set", "thickness=2"), "thickness: "),
        ("tissue.mrc", ("--set", "dose=9,5"), "from a lower to a higher value"),
        ("tissue.mrc", ("--set", "dose=9", "--dose", 5), "by --dose and by --set"),
        ("tissue.mrc", ("--dose", -5), "dose: "),
        ("tissue.mrc", ("--voxel-size", 5), "finer than the tissue's 10"),
        ("tissue.mrc", ("--voxel-size", "nan"), "finer than"),
        ("tissue.mrc", ("--angles", "-85:85:5"), "at most 80"),
        ("tissue.mrc", ("--size", "400x16x8"), "more than a volume of"),
        ("tissue.mrc", ("--size", "9999x9999x9999"), "are free"),
        ("tissue.mrc", ("--seed", -1), "seed must be"),
    ],
)
def test_what_is_wrong_with_tissue_is_told_in_one_line(run, volumes, tmp_path, file, arguments, message):
    out = tmp_path / "made"
    ran = run("simulate", volumes / file, "-o", out, *SMALL, *arguments)
    assert ran.code == 2, ran.err
    assert message in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert not out.exists()


def test_what_is_no_tissue(run, series_file, volumes, tmp_path):
    (tmp_path / "words.tif").write_text("no picture")
    np.save(tmp_path / "flat.npy", np.full((20, 20, 20), 7))
    np.save(tmp_path / "thin.npy", np.random.default_rng(0).random((4, 40, 40)))
    for path, message in (
        (series_file, "series.mrc: a tilt series with angles"),
        (tmp_path / "words.tif", "words.tif"),
        (tmp_path / "flat.npy", "flat.npy: nearly the whole volume has one grey value"),
        (tmp_path / "thin.npy", "thin.npy: tissue needs a volume of at least 8 voxels"),
    ):
        ran = run("simulate", path, "-o", tmp_path / "made", *SMALL, "--tissue-voxel-size", 10)
        assert ran.code in (1, 2)
        assert message in ran.err
        assert len(ran.err.strip().splitlines()) == 1
    for option in (("--tissue-voxel-size", 10), ("--unit", "nm"), ("--bright-is-dense",)):
        ran = run("simulate", "spheres", "-o", tmp_path / "made", *SMALL, *option)
        assert ran.code == 2
        assert f"{option[0]} goes with a volume of tissue only, not with a phantom" in ran.err


def test_a_phantom_s_name_is_no_folder(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spheres").mkdir()
    assert run("simulate", "spheres", "-o", "spheres", "--size", "16x9x12", "--angles", "0,30", "--overwrite").code == 0
    ran = run("simulate", "spherez", "-o", "other")
    assert ran.code == 2
    assert "did you mean spheres" in ran.err


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
    for name in list_phantoms():
        assert f"  {name} " in ran.out
        for setting in PHANTOMS[name].model_fields:
            assert setting in ("lowpass", "file") or setting in ran.out, (name, setting)
    assert get_phantom("foam").summary
    assert "tomoprior simulate fibsem.tif" in ran.out
    for setting in MicroscopeSettings.model_fields:
        assert setting in ran.out, setting


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from tomoprior.cli import main\n"
        "try: main(['simulate', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'astra', 'scipy', 'skimage', 'matplotlib', 'gemmi'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_halves_of_the_frames_are_written_and_reconstructed(run, tmp_path):
    out = tmp_path / "made"
    ran = run("simulate", "shapes", "-o", out, *SIZE, "--snr", 0.5, "--halves")
    assert ran.code == 0, ran.err
    assert {p.name for p in out.iterdir()} == FILES | {"even.mrc", "even.tlt", "odd.mrc", "odd.tlt"}
    assert "snr 0.25 in each half of the frames" in ran.out
    assert f"recon {out / 'even.mrc'} --halves {out / 'odd.mrc'}" in ran.out
    even, odd, whole = (np.asarray(read(out / name).projections[...]) for name in ("even.mrc", "odd.mrc", "series.mrc"))
    np.testing.assert_allclose(whole, (even + odd) / 2, atol=1e-5)
    volume = tmp_path / "volume.npy"
    ran = run("recon", out / "even.mrc", "--halves", out / "odd.mrc", "-o", volume, "--thickness", 24, "--set", "num_iter=3")
    assert ran.code == 0, ran.err
    assert "those of one reconstruction, and there are two; settings left open" in ran.out
    assert np.load(volume).shape == (24, 20, 40)
    wedge = ("-m", "wedge", "--dry-run", "-o", tmp_path / "wedge.npy", "--thickness", 24)
    ran = run("recon", out / "even.mrc", "--halves", out / "odd.mrc", *wedge)
    assert "those of the training; the network is then applied to each half" in ran.out
    # a simulation without halves leaves none of an earlier one behind
    assert run("simulate", "shapes", "-o", out, *SIZE, "--snr", 0.5, "--overwrite").code == 0
    assert {p.name for p in out.iterdir()} == FILES
