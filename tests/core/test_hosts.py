"""The operator in other libraries' protocols: ``out=``, SciPy, PyLops."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import lsqr, svds

from tomoprior import Geometry, Projector
from tomoprior.errors import InputError

GEOMETRY = Geometry(np.deg2rad(np.arange(-80, 90, 20)), (6, 2, 8), (2, 10))


@pytest.fixture
def A():
    return Projector(GEOMETRY, "cpu")


def test_a_result_is_written_to_out(A):
    rng = np.random.default_rng(0)
    for operator in (A, A.T):
        x = rng.random((3, *operator.domain_shape)).astype(np.float32)
        out = np.full((3, *operator.range_shape), np.nan, np.float32)
        assert operator(x, out=out) is out
        np.testing.assert_array_equal(out, operator(x))
        tensor = torch.full(out.shape, torch.nan)
        assert operator(torch.from_numpy(x), out=tensor) is tensor
        assert torch.equal(tensor, operator(torch.from_numpy(x)))


def test_what_out_cannot_be_is_refused(A):
    x = torch.zeros(A.domain_shape)
    with pytest.raises(InputError, match=r"out needs shape \(9, 2, 10\), got \(2, 10\)"):
        A(x, out=torch.zeros(2, 10))
    with pytest.raises(InputError, match="must both be torch tensors or both NumPy arrays"):
        A(x, out=np.zeros(A.range_shape))
    with pytest.raises(InputError, match="no gradient flows through out"):
        A(x.requires_grad_(), out=torch.zeros(A.range_shape))
    with torch.no_grad():
        A(x, out=torch.zeros(A.range_shape))


def tomosipo_sirt(A, y, iterations):
    """SIRT as in ``ts_algorithms``, which calls nothing but ``A(x, out=)``, ``A.T(y, out=)`` and the two shapes."""
    x, residual = torch.zeros(A.domain_shape), torch.zeros(A.range_shape)
    update = torch.zeros(A.domain_shape)
    C, R = A.T(torch.ones(A.range_shape)), A(torch.ones(A.domain_shape))
    C, R = torch.where(C > 1e-6, 1 / C, 0.0), torch.where(R > 1e-6, 1 / R, 0.0)
    for _ in range(iterations):
        A(x, out=residual)
        residual.sub_(y).mul_(R)
        A.T(residual, out=update)
        x.sub_(update.mul_(C))
    return x


def test_an_algorithm_in_the_protocol_of_tomosipo_runs(A):
    truth = torch.rand(A.domain_shape)
    y = A(truth)
    assert torch.linalg.vector_norm(A(tomosipo_sirt(A, y, 50)) - y) < 0.05 * torch.linalg.vector_norm(y)


def test_scipy_sees_the_matrix(A):
    S = A.as_scipy()
    assert S.shape == (9 * 2 * 10, 6 * 2 * 8)
    matrix = S @ np.eye(S.shape[1], dtype=np.float32)
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(S.T @ np.eye(S.shape[0], dtype=np.float32), matrix.T, atol=1e-6)
    x = np.random.default_rng(0).random(S.shape[1])
    np.testing.assert_allclose(S @ x, A(x.reshape(A.domain_shape)).ravel(), rtol=1e-6)
    norm = svds(S, 1, return_singular_vectors=False)[0]
    np.testing.assert_allclose(norm, A.norm(100), rtol=1e-3)
    solution = lsqr(S, matrix @ x, iter_lim=200)[0]
    np.testing.assert_allclose(matrix @ solution, matrix @ x, atol=1e-2)


def test_pylops_solves_with_the_operator(A):
    pylops = pytest.importorskip("pylops")
    P = A.as_pylops()
    assert isinstance(P, pylops.LinearOperator)
    x = np.random.default_rng(0).random(P.shape[1]).astype(np.float32)
    np.testing.assert_allclose(P @ x, A(x.reshape(A.domain_shape)).ravel(), rtol=1e-6)
    assert pylops.utils.dottest(P, *P.shape, rtol=1e-4)


def test_without_pylops_one_line_says_how_to_install_it(A, monkeypatch):
    from tomoprior.errors import MissingDependencyError

    monkeypatch.setitem(__import__("sys").modules, "pylops", None)
    with pytest.raises(MissingDependencyError, match="pip install pylops"):
        A.as_pylops()
