"""The GPU: ASTRA's own projector and the exact matrix there, against the matrix on the CPU. Skipped without a GPU."""

import astra
import numpy as np
import pytest
import torch

from tomoprior import Geometry, Projector, methods, testing
from tomoprior.errors import BackendError, InputError

WITH_GPU = torch.cuda.is_available() and bool(astra.use_cuda())
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not WITH_GPU, reason="there is no GPU that both torch and ASTRA can use")]

ANGLES = np.deg2rad(np.linspace(-62, 60, 21))
GEOMETRIES = {
    "plain": Geometry(ANGLES, (24, 10, 40)),
    "centre": Geometry(ANGLES, (24, 10, 40), (10, 48), 22.3),
    "centres": Geometry(ANGLES, (24, 10, 40), center=np.repeat([19.5, 20.6], 5)),
    "shifts": Geometry(ANGLES, (24, 10, 40), shifts=np.random.default_rng(0).uniform(-1.5, 1.5, (21, 2))),
    "one slice": Geometry(ANGLES, (24, 1, 40)),
}


def smooth(geometry):
    """A volume without detail that two kernels would see differently."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in geometry.shape), indexing="ij")
    near = np.exp(-((z - 0.3) ** 2 + (y + 0.2) ** 2 + (x - 0.4) ** 2) / 0.08)
    return torch.from_numpy((near + 0.5 * np.exp(-((z + 0.4) ** 2 + (x + 0.3) ** 2) / 0.05)).astype(np.float32))


def relative(a, b):
    return float((a.cpu() - b.cpu()).norm() / b.cpu().norm())


@pytest.mark.parametrize("name", GEOMETRIES)
def test_astras_gpu_projector_agrees_with_the_matrix(name):
    geometry = GEOMETRIES[name]
    x = smooth(geometry)
    exact, A = Projector(geometry, "cpu", backend="astra-matrix"), Projector(geometry, "cuda", backend="astra-cuda")
    y = exact(x)
    assert relative(A(x.cuda()), y) < 1e-2
    assert relative(A.T(y.cuda()), exact.T(y)) < 1e-2


@pytest.mark.parametrize("name", GEOMETRIES)
def test_conformance_of_astras_gpu_projector(name):
    A = Projector(GEOMETRIES[name], "cuda", backend="astra-cuda")
    assert not A.matched
    testing.check_projector(A)


@pytest.mark.parametrize("kind", ["linear", "line", "strip"])
@pytest.mark.parametrize("name", ["centres", "shifts"])
def test_the_matrix_is_exact_on_the_gpu(kind, name):
    geometry = GEOMETRIES[name]
    x = smooth(geometry)
    A, exact = Projector(geometry, "cuda", kind, "astra-matrix"), Projector(geometry, "cpu", kind, "astra-matrix")
    assert relative(A(x.cuda()), exact(x)) < 1e-5
    assert A.adjoint_error() < 1e-6
    testing.check_operator(A)


def test_auto_takes_the_gpu_and_its_own_projector():
    A = Projector(GEOMETRIES["plain"])
    assert (A.device.type, A.backend) == ("cuda", "astra-cuda")
    assert Projector(GEOMETRIES["plain"], kind="strip").backend == "astra-matrix"


def test_nothing_is_copied_without_need():
    """One call allocates its result and no more than a whole array besides."""
    geometry = Geometry(ANGLES, (64, 64, 64))
    A = Projector(geometry, "cuda", backend="astra-cuda")
    x = torch.rand(geometry.shape, device="cuda")
    A(x)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    y = A(x)
    assert torch.cuda.max_memory_allocated() - before < 1.25 * y.numel() * 4 + 2**20


def test_a_tensor_from_a_side_stream_is_waited_for():
    geometry = Geometry(ANGLES, (128, 64, 128))
    A = Projector(geometry, "cuda", backend="astra-cuda")
    x = torch.rand(geometry.shape, device="cuda")
    expected = A(2 * x)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(200_000_000)  # a tenth of a second: the product below is queued behind it
        result = A(x * 2)
    stream.synchronize()
    torch.testing.assert_close(result, expected)


@pytest.mark.parametrize("backend", ["astra-cuda", "astra-matrix"])
def test_any_memory_layout_is_accepted(backend):
    geometry = GEOMETRIES["plain"]
    A = Projector(geometry, "cuda", backend=backend)
    x = smooth(geometry).cuda()
    turned = x.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    torch.testing.assert_close(A(turned), A(x), rtol=1e-5, atol=1e-5)


def test_a_call_that_does_nothing_is_an_error(monkeypatch):
    geometry = GEOMETRIES["plain"]
    A = Projector(geometry, "cuda", backend="astra-cuda")
    monkeypatch.setattr(astra.projector3d, "direct_FP", lambda *a, out: None)
    with pytest.raises(BackendError, match="without a result"):
        A(smooth(geometry).cuda())


def test_tensors_on_the_wrong_device_are_refused():
    A = Projector(GEOMETRIES["plain"], "cuda")
    with pytest.raises(InputError, match="the tensor on cpu"):
        A(torch.zeros(A.domain_shape))
    assert isinstance(A(np.zeros(A.domain_shape, np.float32)), np.ndarray)


def test_a_missing_gpu_is_refused():
    with pytest.raises(BackendError, match="torch sees"):
        Projector(GEOMETRIES["plain"], f"cuda:{torch.cuda.device_count()}")


@pytest.mark.parametrize("backend", ["astra-cuda", "astra-matrix"])
def test_sirt_agrees_with_the_cpu(backend):
    geometry = GEOMETRIES["centre"]
    method = methods.get("sirt")
    y = Projector(geometry, "cpu")(smooth(geometry)).contiguous()
    there = method.reconstruct(y.cuda(), Projector(geometry, "cuda", backend=backend), method.Settings(num_iter=20)).volume
    here = method.reconstruct(y, Projector(geometry, "cpu"), method.Settings(num_iter=20)).volume
    assert relative(there, here) < (1e-2 if backend == "astra-cuda" else 1e-4)


@pytest.mark.parametrize("name", ["wbp", "fourier", "sirt", "tv"])
def test_methods_conform_on_the_gpu(name):
    settings = {"num_iter": 20} if name in ("sirt", "tv") else {}
    testing.check_method(name, settings, device="cuda", order_tolerance=1e-2)
