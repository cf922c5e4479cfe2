from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tomoprior import __version__, methods
from tomoprior.errors import FormatError
from tomoprior.formats import open_stack
from tomoprior.methods.diffusion.prior import load_prior


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
    assert run("methods", "svirt").code == 2


@pytest.mark.parametrize("name", methods.available())
def test_a_method_is_described(run, name):
    if name == "diffusion.slice":
        try:
            load_prior("tissue-slice")
        except FormatError as error:
            pytest.skip(f"the prior that comes along cannot be read: {error}")
    ran = run("methods", name)
    assert ran.code == 0
    for setting, field in methods.get(name).Settings.model_fields.items():
        assert f"{setting} = " in ran.out
        assert field.description in ran.out


def test_help_has_examples(run):
    ran = run("recon", "--help")
    assert ran.code == 0
    assert "tomoprior recon series.mrc -o volume.mrc" in ran.out


def test_version_and_no_command(run):
    assert run("--version").out.strip() == run("-V").out.strip() == f"tomoprior {__version__}"
    assert run().code == 2
    assert run("reconn").code == 2


@pytest.mark.parametrize(
    ("words", "place", "expected"), [("tomoprior re", 1, "recon"), ("tomoprior recon --meth", 2, "--method")]
)
def test_the_shell_completes_commands_and_options(words, place, expected):
    shell = {"_TOMOPRIOR_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(place)}
    code = "import sys; sys.argv[0] = 'tomoprior'; from tomoprior.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **shell}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == [expected]


def test_demo_compares_two_specimens_and_reports(run, tmp_path, monkeypatch):
    """At a tenth of its size and without the network, in this process."""
    import tomoprior.cli.scenes as demo
    import tomoprior.comparison

    few = ("wbp", "sirt")
    monkeypatch.setattr(demo, "SCENES", tuple(replace(s, shape=(24, 24, 32), methods=few) for s in demo.SCENES))
    compare = tomoprior.comparison.compare
    monkeypatch.setattr(tomoprior.comparison, "compare", lambda *a, **k: compare(*a, **k, isolate=False))
    out = tmp_path / "demo"
    ran = run("demo", "-o", out)
    assert ran.code == 0, ran.err
    for name in ("spheres", "tissue"):
        page = (out / name / "report.html").read_text()
        assert f"<title>{name}: " in page or f"{name}: " in page
        assert str(out / name / "report.html") in ran.out
        assert (out / name / "figures" / "slices.png").read_bytes().startswith(b"\x89PNG")
        truth = open_stack(out / f"{name}_truth.mrc")
        assert truth.data.shape == (24, 24, 32)
    assert ran.out.count("By the truth") == 2
    ran = run("recon", out / "spheres.mrc", "-o", tmp_path / "again.npy", "-m", "wbp", "--thickness", 24)
    assert ran.code == 0
    # what the demo wrote is what the demo reconstructed: the round trip through the file loses nothing
    np.testing.assert_allclose(
        np.load(tmp_path / "again.npy"), np.load(out / "spheres" / "runs" / "wbp" / "volume.npy"), atol=1e-5
    )


def test_a_pipe_that_closes_leaves_no_traceback():
    command = f"{sys.executable} -m tomoprior methods tv | head -1"
    ran = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in ran.stderr
    assert ran.stdout.startswith("tv:")


@pytest.mark.parametrize("text", ["1,40-45", "7"])
def test_view_lists(text):
    from tomoprior.cli.parse import view_list

    assert view_list(text) == {"1,40-45": [1, 40, 41, 42, 43, 44, 45], "7": [7]}[text]
