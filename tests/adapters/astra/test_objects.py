"""ASTRA's objects are numbers in a table of the process: they are freed, and failures inside ASTRA surface."""

import gc
import os
import subprocess
import sys

import astra
import numpy as np
import pytest
import torch

import tomoprior
from tomoprior import Geometry, Projector, methods
from tomoprior.adapters.astra import matrix
from tomoprior.adapters.astra.slicewise import SlicewiseBackend
from tomoprior.errors import BackendError, UnknownNameError

GEOMETRY = Geometry(np.deg2rad([-50.0, 0.0, 40.0]), (8, 3, 8), center=np.array([3.9, 4.0, 4.1]))
WITHOUT_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


@pytest.fixture
def objects(capfd):
    """How many objects ASTRA holds: its own tables, printed from C++."""

    def count():
        gc.collect()
        capfd.readouterr()
        for table in (astra.projector, astra.matrix, astra.data2d, astra.algorithm, astra.projector3d, astra.data3d):
            table.info()
        return sum(line[:1].isdigit() for line in capfd.readouterr().out.splitlines())

    return count


def test_the_count_sees_an_object(objects):
    before = objects()
    rays, grid = astra.create_proj_geom("parallel", 1.0, 8, GEOMETRY.angles), astra.create_vol_geom(8, 8)
    projector = astra.create_projector("line", rays, grid)
    assert objects() == before + 1
    astra.projector.delete(projector)
    assert objects() == before


def test_clearing_the_cache_frees_the_matrices_kept_for_later_projectors():
    tomoprior.clear_cache()
    assert not matrix._cache
    A = Projector(GEOMETRY, "cpu", "line", "astra-matrix")
    assert not A.is_prepared
    x = torch.rand(GEOMETRY.shape)
    before = A(x)
    assert A.is_prepared
    assert len(matrix._cache) == 3  # one for each distinct centre
    tomoprior.clear_cache()
    assert not matrix._cache
    assert torch.equal(A(x), before)  # a projector in use keeps its own


@pytest.mark.parametrize("backend", ["astra-2d", "astra-matrix"])
def test_a_projector_frees_its_objects(objects, backend):
    before = objects()
    matrix.MatrixBackend.clear_cache()
    A = Projector(GEOMETRY, "cpu", "line", backend)
    assert objects() == before, "ASTRA has no new object before the first product"
    x = torch.rand(GEOMETRY.shape, requires_grad=True)
    A(x).sum().backward()
    assert objects() == before + (3 if backend == "astra-2d" else 0), "one for each distinct centre"
    del A, x
    assert objects() == before


def test_many_projectors_leave_nothing(objects):
    before = objects()
    for i in range(20):
        A = Projector(Geometry([0.01 * i], (4, 2, 4)), "cpu", backend="astra-2d")
        A.T(A(np.ones((4, 2, 4))))
    del A
    assert objects() == before


@pytest.mark.parametrize("name", ["astra.SIRT", "astra.BP", "astra.FBP"])
def test_a_method_frees_its_objects_also_when_it_fails(objects, name):
    method = methods.get(name)
    geometry = Geometry(GEOMETRY.angles, (8, 2, 8))
    before = objects()
    method.reconstruct(torch.ones(geometry.range_shape), Projector(geometry, "cpu"), method.Settings(num_iter=1))
    if name == "astra.FBP":
        with pytest.raises(BackendError):
            method.reconstruct(
                torch.ones(geometry.range_shape), Projector(geometry, "cpu"), method.Settings(filter_name="no such")
            )
    assert objects() == before


def test_a_result_that_astra_left_unwritten_is_an_error(monkeypatch):
    backend = SlicewiseBackend(GEOMETRY, "linear", torch.device("cpu"))
    monkeypatch.setattr(astra.projector, "direct_FP", lambda *a, out: out)
    with pytest.raises(BackendError, match="without a result"):
        backend.forward(torch.ones(1, *GEOMETRY.shape))


def test_an_exception_in_a_thread_propagates(monkeypatch):
    def fail(*arguments, out):
        raise RuntimeError("deep inside")

    backend = SlicewiseBackend(GEOMETRY, "linear", torch.device("cpu"))
    monkeypatch.setattr(astra.projector, "direct_BP", fail)
    with pytest.raises(RuntimeError, match="deep inside"):
        backend.adjoint(torch.ones(1, *GEOMETRY.range_shape))


@pytest.mark.parametrize("backend", ["astra-2d", "astra-matrix"])
def test_values_that_are_not_finite_are_projected(backend):
    x = np.full(GEOMETRY.shape, np.nan, np.float32)
    assert np.isnan(Projector(GEOMETRY, "cpu", backend=backend)(x)).any()


@WITHOUT_GPU
@pytest.mark.parametrize("device", ["cuda", "cuda:0", torch.device("cuda")])
def test_a_gpu_that_is_not_there_is_an_error_of_one_line(device):
    with pytest.raises(BackendError, match="no GPU that torch can use; use device cpu") as caught:
        Projector(GEOMETRY, device)
    assert "\n" not in str(caught.value)


@WITHOUT_GPU
def test_the_gpu_projector_is_refused_on_the_cpu_before_astra_is_touched():
    """ASTRA would create it and then kill Python with SIGFPE."""
    with pytest.raises(BackendError, match="astra-cuda cannot run here: it needs a GPU"):
        Projector(GEOMETRY, "cpu", backend="astra-cuda")
    assert Projector(GEOMETRY, "auto").device.type == "cpu"


@WITHOUT_GPU
def test_the_gpu_projector_asks_astra_and_not_its_features(monkeypatch):
    """torch may see a GPU that ASTRA was not built for."""
    from tomoprior.adapters.astra import cuda

    monkeypatch.setattr(astra, "has_feature", lambda name: True)
    assert not cuda.has_gpu()
    reason = cuda.CudaBackend.refusal(GEOMETRY, "linear", torch.device("cuda"), 0)
    assert reason == "ASTRA finds no GPU that it can use"


@WITHOUT_GPU
def test_methods_that_need_a_gpu_are_not_listed_and_refused():
    assert not [name for name in methods.available() if "CUDA" in name]
    with pytest.raises(BackendError, match="needs a GPU"):
        methods.get("astra.SIRT_CUDA")
    with pytest.raises(UnknownNameError, match="SIRT"):
        methods.get("astra.SIRTT")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_gets_threads_of_its_own():
    script = (
        "import os, numpy as np\n"
        "from tomoprior import Geometry, Projector\n"
        "A = Projector(Geometry([0.1, 0.2], (8, 3, 8)), 'cpu', backend='astra-2d')\n"
        "x = np.ones((8, 3, 8), np.float32)\n"
        "A(x)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    A(x)\n"
        "    os._exit(7)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], timeout=60, check=True)
