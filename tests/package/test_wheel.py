"""What is installed: the packages that pyproject.toml lists, the wheel's content, the entry points."""

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest

from tomoprior import plugins

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="the sources are not beside the tests")


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_packages_listed_are_the_folders_in_the_tree(project):
    folders = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "tomoprior").rglob("__init__.py")}
    folders |= {".".join(("tomoprior", *p.parent.relative_to(ROOT).parts)) for p in (ROOT / "adapters").rglob("__init__.py")}
    assert set(project["tool"]["setuptools"]["packages"]) == folders
    # a module in a folder without __init__.py would be left behind
    for top in ("tomoprior", "adapters"):
        for path in (ROOT / top).rglob("*.py"):
            assert (path.parent / "__init__.py").exists(), path


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the source archive, built without a network from a copy of what git would have."""
    folder = tmp_path_factory.mktemp("build")
    source = folder / "source"
    source.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=False
    )
    if listed.returncode:
        pytest.skip("the sources are not in a git checkout")
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file() and not name.startswith("tests/data"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source)],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_holds_every_module_and_nothing_else(wheel):
    names = set(wheel.namelist())
    expected = {str(p.relative_to(ROOT)) for p in (ROOT / "tomoprior").rglob("*.py")}
    expected |= {str(Path("tomoprior") / p.relative_to(ROOT)) for p in (ROOT / "adapters").rglob("*.py")}
    assert {n for n in names if n.endswith(".py")} == expected
    assert "tomoprior/adapters/astra/matrix.py" in names
    assert "tomoprior/py.typed" in names
    report = ROOT / "tomoprior" / "comparison" / "report"
    parts = {str(p.relative_to(ROOT)) for folder in ("assets", "templates") for p in (report / folder).iterdir()}
    assert len(parts) >= 6
    assert parts <= names
    (info,) = {n.split("/")[0] for n in names} - {"tomoprior"}
    assert info.startswith("tomoprior-")
    assert info.endswith(".dist-info")
    assert f"{info}/licenses/LICENSE" in names


def test_the_wheel_says_what_it_is(wheel, project):
    (metadata,) = (wheel.read(n).decode() for n in wheel.namelist() if n.endswith("/METADATA"))
    assert "License-Expression: GPL-3.0-or-later" in metadata
    assert "Requires-Dist: astra-toolbox>=2.5" in metadata
    # on conda-forge only; the dxchange on PyPI is another package
    assert "Requires-Dist: tomopy" not in metadata
    assert "dxchange" not in metadata
    (entries,) = (wheel.read(n).decode() for n in wheel.namelist() if n.endswith("/entry_points.txt"))
    for group, members in project["project"]["entry-points"].items():
        assert f"[{group}]" in entries
        for name, target in members.items():
            assert f"{name} = {target}" in entries
    assert "tomoprior = tomoprior.cli:main" in entries


def test_the_source_archive_builds_the_same(built):
    """``python -m build`` made the wheel from the archive, so the archive holds what it takes."""
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {n.split("/", 1)[1] for n in archive.getnames() if "/" in n}
    assert {"pyproject.toml", "LICENSE", "adapters/astra/matrix.py", "tomoprior/py.typed"} <= names


def test_the_wheel_works_from_an_empty_folder(wheel, tmp_path):
    """Unpacked elsewhere, with no checkout on the path: the adapters are inside."""
    wheel.extractall(tmp_path / "site")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]\n"
        "import tomoprior, tomoprior.adapters.astra.linear_kernel as k\n"
        f"assert k.__file__.startswith({str(tmp_path)!r}), k.__file__\n"
        f"assert tomoprior.__file__.startswith({str(tmp_path)!r}), tomoprior.__file__\n"
        "import numpy as np\n"
        "A = tomoprior.Projector(tomoprior.Geometry([0.1], (2, 2, 2)), 'cpu')\n"
        "assert A(np.ones((2, 2, 2))).shape == (1, 2, 2)\n"
        "try:\n    import adapters\nexcept ImportError: pass\nelse: raise SystemExit('a top-level adapters')\n"
    )
    without_path = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # which may name a checkout
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=without_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_python_started_in_the_checkout_finds_the_adapters():
    code = "import tomoprior.adapters.astra.matrix as m; print(m.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("group", plugins.GROUPS)
def test_what_is_registered_here_is_what_is_installed(group, project):
    declared = project["project"]["entry-points"].get(group, {})
    installed = {e.name: e.value for e in entry_points(group=group)}
    assert declared.items() <= installed.items(), "install the checkout again: its entry points have changed"


@pytest.mark.parametrize(("group", "name"), [(g, n) for g in plugins.GROUPS for n in plugins.names(g)])
def test_every_entry_point_loads(group, name):
    assert callable(plugins.load(group, name))


def test_the_libraries_that_are_required_are_those_that_are_imported(project):
    required = {d.split(">")[0].split("[")[0].strip().lower() for d in project["project"]["dependencies"]}
    modules = {"astra-toolbox": "astra", "scikit-image": "skimage"}
    for name in required:
        assert find_spec(modules.get(name, name)), name
