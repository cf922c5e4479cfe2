"""What is imported when, and by whom: the core knows no adapter, and importing it loads nothing heavy."""

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tomoprior

ROOT = Path(__file__).parents[2]
CORE = sorted((ROOT / "tomoprior").rglob("*.py"))
ADAPTERS = sorted((ROOT / "adapters").rglob("*.py"))
#: Libraries that only adapters know; the core reaches them through entry points.
FOREIGN = {"astra", "tomopy", "dxchange", "mrcfile", "h5py", "tifffile", "zarr", "dask", "distributed", "adapters"}
HEAVY = ("torch", "astra", "numpy", "scipy", "pydantic", "matplotlib", "skimage")

sources = pytest.mark.skipif(not CORE or not ADAPTERS, reason="the sources are not beside the tests")


def loaded_after(code):
    """Which of HEAVY a fresh Python has loaded after ``code``."""
    report = f"\nimport sys, json; print('|' + json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.rsplit("|", 1)[1])


def test_importing_tomoprior_loads_nothing_heavy():
    assert loaded_after("import tomoprior; tomoprior.__version__; dir(tomoprior)") == []


def test_a_geometry_needs_no_torch():
    assert "torch" not in loaded_after("from tomoprior import Geometry; Geometry([0.1], (2, 2, 2))")


def test_help_loads_neither_torch_nor_astra():
    if not hasattr(importlib.import_module("tomoprior.cli"), "main"):
        pytest.skip("tomoprior.cli has no main yet")
    code = (
        "import sys; from tomoprior.cli import main; sys.argv = ['tomoprior', '--help']\ntry: main()\nexcept SystemExit: pass"
    )
    assert not {"torch", "astra", "scipy", "skimage", "matplotlib"} & set(loaded_after(code))


def test_listing_names_of_methods_imports_none_of_them():
    code = "from tomoprior import plugins; assert 'sirt' in plugins.names('tomoprior.methods')"
    assert "torch" not in loaded_after(code)


@pytest.mark.parametrize("name", tomoprior.__all__)
def test_every_public_name_is_there(name):
    assert getattr(tomoprior, name) is not None
    assert name in dir(tomoprior)


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(tomoprior.__file__).read_text(encoding="utf-8"))
    (block,) = (node.body for node in tree.body if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING")
    names = [alias.asname for node in block if isinstance(node, ast.ImportFrom) for alias in node.names if alias.asname]
    names += [node.name for node in block if isinstance(node, ast.FunctionDef)]
    names += [node.target.id for node in block if isinstance(node, ast.AnnAssign)]
    assert sorted(names) == sorted(tomoprior.__all__)


def test_unknown_names_raise_attribute_error():
    with pytest.raises(AttributeError, match="attribute reconstrukt"):
        tomoprior.reconstrukt  # noqa: B018
    assert not hasattr(tomoprior, "gpu")


def imported(path):
    """Absolute names of all modules that a file imports, anywhere in it, with the line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0:
                yield node.module, node.lineno
                yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant) and named(node.func):
            yield node.args[0].value, node.lineno


def named(function):
    """True for ``importlib.import_module`` and its kin."""
    return getattr(function, "attr", getattr(function, "id", "")) in ("import_module", "__import__")


@sources
@pytest.mark.parametrize("path", CORE, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_core_imports_no_adapter_and_none_of_their_libraries(path):
    for module, line in imported(path):
        assert module.split(".")[0] not in FOREIGN, f"{path}:{line} imports {module}"
        assert not module.startswith("tomoprior.adapters"), f"{path}:{line} imports {module}"


@sources
@pytest.mark.parametrize("path", ADAPTERS, ids=lambda p: str(p.relative_to(ROOT)))
def test_adapters_import_each_other_relatively(path):
    for module, line in imported(path):
        assert not module.startswith(("adapters", "tomoprior.adapters")), f"{path}:{line} imports {module}"


@sources
def test_nothing_reads_pickles():
    """A pickle runs what its author likes. Only the shipped checks make one, of an object of their own."""
    for path in CORE + ADAPTERS:
        if path.parent.name == "testing":
            continue
        allowed = {"cloudpickle", "cloudpickle.dumps"}  # which writes, and reads nothing
        if path == ROOT / "tomoprior/running/slabs/worker.py":
            # a worker process gets its work from the run that started it, through a pipe that no one else has
            assert path.read_text(encoding="utf-8").count("pickle.") == 1
            allowed = {"pickle"}
        for module, line in imported(path):
            is_pickle = module.split(".")[0] in ("pickle", "dill", "cloudpickle", "shelve", "marshal")
            assert not is_pickle or module in allowed, f"{path}:{line}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant), f"{path}:{node.lineno}"
                assert node.value.value is False, f"{path}:{node.lineno}"


@sources
@pytest.mark.parametrize("path", CORE + ADAPTERS, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_caught_bare_and_nothing_printed(path):
    """A bare except takes Ctrl-C too; what a library prints, its callers cannot silence."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{path}:{node.lineno} catches everything, KeyboardInterrupt too"
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print":
            assert "cli" in path.parts or path.name == "demo.py", f"{path}:{node.lineno} prints"


def test_a_file_is_described_without_torch(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.ones((3, 4, 5), np.float32))
    assert "torch" not in loaded_after(
        f"from tomoprior.cli import main\ntry: main(['info', {str(path)!r}, '--no-pixels'])\nexcept SystemExit: pass"
    )


def test_a_file_with_a_usual_ending_loads_no_other_format(tmp_path):
    tomoprior.write(np.ones((3, 4, 5), np.float32), tmp_path / "a.mrc")
    code = f"import tomoprior, sys; tomoprior.open_stack({str(tmp_path / 'a.mrc')!r})"
    code += "\nassert not {'zarr', 'h5py', 'tifffile'} & set(sys.modules), sys.modules.keys()"
    assert "torch" not in loaded_after(code)
