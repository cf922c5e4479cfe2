from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tomoprior import __version__, methods
from tomoprior.formats import open_stack


def test_info_says_what_is_in_a_file(run, series_file):
    ran = run("info", series_file, "--views")
    assert ran.code == 0
    for part in ("25 x 12 x 32", "8 angstrom", "25 from -60 to 60", "series.tlt", "tilt    3    -45.000"):
        assert part in ran.out


def test_info_of_something_else(run, tmp_path):
    (tmp_path / "a.mrc").write_bytes(b"nothing of the kind")
    ran = run("info", tmp_path / "a.mrc")
    assert ran.code == 1
    assert "a.mrc" in ran.err
    assert run("info", tmp_path / "missing.mrc").code == 2


def test_methods_are_listed_and_described(run):
    ran = run("methods")
    assert ran.code == 0
    for name in methods.available():
        assert name in ran.out
    for name in methods.available():
        ran = run("methods", name)
        assert ran.code == 0
        for setting, field in methods.get(name).Settings.model_fields.items():
            assert f"{setting} = " in ran.out
            assert field.description in ran.out
    assert run("methods", "svirt").code == 2


def test_help_has_examples(run):
    ran = run("recon", "--help")
    assert ran.code == 0
    assert "tomoprior recon series.mrc -o volume.mrc" in ran.out


def test_version_and_no_command(run):
    assert run("--version").out.strip() == f"tomoprior {__version__}"
    assert run().code == 2
    assert run("reconn").code == 2


def test_demo_makes_its_table_and_pictures(run, tmp_path, monkeypatch):
    import tomoprior.demo as demo

    monkeypatch.setattr(demo, "SHAPE", (40, 40, 48))
    monkeypatch.setattr(demo, "METHODS", {"wbp": {}, "sirt": {"num_iter": 40, "min_constraint": 0}, "tv": {"num_iter": 60}})
    out = tmp_path / "demo"
    ran = run("demo", "-o", out)
    assert ran.code == 0, ran.err
    scores = {
        line.split()[0]: float(line.split()[1]) for line in ran.out.splitlines() if line.startswith(("wbp", "sirt", "tv"))
    }
    assert scores["tv"] > scores["sirt"] > scores["wbp"]
    shown = ("truth", "wbp", "sirt", "tv")
    pictures = {"demo.png", *(f"{name}.png" for name in shown)}
    records = {f"{name}.mrc.json" for name in shown[1:]}
    files = {"series.mrc", "series.tlt", *(f"{name}.mrc" for name in shown), *pictures, *records}
    assert {p.name for p in out.iterdir()} == files
    for name in pictures:
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    ran = run("recon", out / "series.mrc", "-o", tmp_path / "again.npy", "-m", "wbp", "--thickness", 40)
    assert ran.code == 0
    # what the demo wrote is what the demo reconstructed: the round trip through the file loses nothing
    np.testing.assert_allclose(np.load(tmp_path / "again.npy"), open_stack(out / "wbp.mrc").data[...], atol=1e-5)


def test_a_pipe_that_closes_leaves_no_traceback():
    command = f"{sys.executable} -m tomoprior methods tv | head -1"
    ran = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in ran.stderr
    assert ran.stdout.startswith("tv:")


@pytest.mark.parametrize("text", ["1,40-45", "7"])
def test_view_lists(text):
    from tomoprior.cli.parse import view_list

    assert view_list(text) == {"1,40-45": [1, 40, 41, 42, 43, 44, 45], "7": [7]}[text]
