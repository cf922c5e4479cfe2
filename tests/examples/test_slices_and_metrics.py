"""The notebook runs from top to bottom in a kernel of this Python, and is kept without outputs."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys

import pytest

from .conftest import EXAMPLES, environment

NOTEBOOK = EXAMPLES / "slices_and_metrics.ipynb"

#: In a process of its own: the libraries underneath warn of what is theirs. The kernel is this Python, whatever others are
#: installed.
RUN = """
import sys, nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

class Manager(AsyncKernelManager):
    kernel_spec = KernelSpec(argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python")

notebook = nbformat.read(sys.argv[1], 4)
nbformat.validate(notebook)
NotebookClient(notebook, timeout=150, kernel_manager_class=Manager).execute()
nbformat.write(notebook, "done.ipynb")
"""


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """The notebook's cells by their names, run; needs ``nbclient`` and ``ipykernel``."""
    for package in ("nbclient", "ipykernel"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("notebook")
    # Jupyter's and IPython's settings of this user are not this test's
    own = {"IPYTHONDIR": str(folder), "JUPYTER_CONFIG_DIR": str(folder), "JUPYTER_RUNTIME_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(NOTEBOOK)],
        cwd=folder, env=environment(**own), capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {cell["id"]: cell for cell in json.loads((folder / "done.ipynb").read_text(encoding="utf-8"))["cells"]}


def outputs(cell, kind):
    return [o for o in cell["outputs"] if o["output_type"] == kind]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["slices", "one", "fsc", "residuals"])
def test_a_figure_is_shown_once_as_a_picture(cells, name):
    (shown,) = outputs(cells[name], "execute_result")
    png = base64.b64decode(shown["data"]["image/png"])
    assert png[:4] == b"\x89PNG"
    width, height = (int.from_bytes(png[i : i + 4], "big") for i in (16, 20))
    assert width > 500
    assert height > 300
    assert not outputs(cells[name], "stream")


@pytest.mark.slow
def test_bars_are_drawn_and_nothing_is_warned_of(cells):
    said = "".join("".join(o["text"]) for o in outputs(cells["reconstruct"], "stream"))
    widgets = outputs(cells["reconstruct"], "display_data")
    assert "100/100" in said or any("application/vnd.jupyter.widget-view+json" in w["data"] for w in widgets)
    assert "Warning" not in said


@pytest.mark.slow
def test_the_measures_rank_the_methods(cells):
    (printed,) = outputs(cells["metrics"], "stream")
    found = re.search(r"psnr +wbp +([\d.]+) +sirt +([\d.]+) +tv +([\d.]+)", "".join(printed["text"]))
    wbp, sirt, tv = map(float, found.groups())
    assert wbp < sirt < tv


def test_it_is_kept_without_outputs():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(code) == 7
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
