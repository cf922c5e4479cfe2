"""The projector on every CPU backend and kernel: adjoint, hand, refusals, choice of backend, copies."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tomoprior import Geometry, Projector, testing
from tomoprior.errors import BackendError, InputError, SettingsError, UnknownNameError

BACKENDS = ("astra-matrix", "astra-2d")
KINDS = ("linear", "line", "strip")
SPECIAL = [0.0, np.pi / 4, -np.pi / 4, np.pi / 2, -np.pi / 2, np.pi, 1e-9, np.deg2rad(60)]


@st.composite
def geometries(draw):
    """Small geometries of every sort: odd and even, thick and flat, wide and narrow detectors, special angles."""
    size = st.integers(1, 12)
    nz, ny, nx, nu = draw(size), draw(st.integers(1, 3)), draw(size), draw(st.integers(1, 16))
    angle = st.one_of(st.sampled_from(SPECIAL), st.floats(-np.pi, np.pi))
    angles = draw(st.lists(angle, min_size=1, max_size=5))
    offset = st.floats(-2, 2)
    center = nu / 2 + np.array(draw(st.one_of(offset, st.lists(offset, min_size=ny, max_size=ny))))
    n = len(angles)
    pair = st.tuples(offset, offset)
    shifts = draw(st.one_of(st.none(), st.lists(pair, min_size=n, max_size=n).map(np.array)))
    return Geometry(angles, (nz, ny, nx), (ny, nu), np.clip(center, -nu / 2, 1.5 * nu), shifts)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(geometry=geometries())
def test_the_adjoint_is_exact_for_any_geometry(backend, kind, geometry):
    A = Projector(geometry, "cpu", kind, backend)
    assert A.matched
    testing.check_adjoint(A)


@settings(max_examples=25, deadline=None)
@given(geometry=geometries(), seed=st.integers(0, 1000))
def test_backends_agree_for_any_geometry(geometry, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.random(geometry.domain_shape), rng.random(geometry.range_shape)
    one, other = (Projector(geometry, "cpu", backend=b) for b in BACKENDS)
    for a, b in ((one(x), other(x)), (one.T(y), other.T(y))):
        assert np.linalg.norm(a - b) <= 1e-5 * np.linalg.norm(b) + 1e-6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [(7, 3, 12), (8, 2, 5)], ids=str)
def test_conformance(backend, kind, size):
    rng = np.random.default_rng(0)
    _, ny, nx = size
    center = (nx + 2) / 2 + rng.normal(size=ny) * 0.3
    geometry = Geometry(np.deg2rad(np.linspace(-60, 60, 9)), size, (ny, nx + 2), center, rng.normal(size=(9, 2)))
    A = Projector(geometry, "cpu", kind, backend)
    testing.check_projector(A)
    assert A.adjoint_error() < 1e-6


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 1, 8), (1, 2, 8), (8, 2, 1)], ids=str)
def test_conformance_at_sizes_of_one(backend, shape):
    testing.check_projector(Projector(Geometry([0.2], shape), "cpu", "linear", backend))


def blob(shape, center, sigma=1.3):
    """A Gaussian at ``(Z, y, X)``: Z and X from the middle of the grid, y an index."""
    nz, ny, nx = shape
    z, y, x = np.meshgrid(np.arange(nz) - (nz - 1) / 2, np.arange(ny), np.arange(nx) - (nx - 1) / 2, indexing="ij")
    return np.exp(-((z - center[0]) ** 2 + (y - center[1]) ** 2 + (x - center[2]) ** 2) / (2 * sigma**2)).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("nz", "nx", "nu"), [(21, 25, 33), (22, 24, 32), (20, 25, 34)])
def test_an_off_centre_blob_lands_where_the_geometry_says(backend, kind, nz, nx, nu):
    """``u = X cos - Z sin``, ``d = u + center - 0.5 + dx``, ``r = y + dy``: this test pins the hand."""
    rng = np.random.default_rng(1)
    degrees = np.array([-90, -71, -45, -20, 0, 13, 45, 60, 90, 170, -135.0])
    shifts = rng.uniform(-2, 2, (len(degrees), 2))
    geometry = Geometry(np.deg2rad(degrees), (nz, 17, nx), (17, nu), nu / 2 + 1.3, shifts)
    Z, y, X = 4.2, 7.6, 3.4
    p = Projector(geometry, "cpu", kind, backend)(blob(geometry.shape, (Z, y, X))).astype(float)
    total = p.sum((1, 2))
    column = (p * np.arange(nu)).sum((1, 2)) / total
    row = (p * np.arange(17)[:, None]).sum((1, 2)) / total
    u = X * np.cos(geometry.angles) - Z * np.sin(geometry.angles)
    error = np.abs(column - (u + nu / 2 + 1.3 - 0.5 + shifts[:, 1]))
    # lengths of intersection do not interpolate: close to an axis of the grid a whole column of voxels falls on one ray
    along_axis = np.abs(np.sin(2 * geometry.angles)) < 0.4
    assert error[~along_axis].max() < (0.035 if kind == "line" else 0.015)
    assert error[along_axis].max() < (0.5 if kind == "line" else 0.015)
    np.testing.assert_allclose(row, y + shifts[:, 0], atol=0.01)
    # a line integral in voxel units: the mass on the detector is the mass in the volume
    np.testing.assert_allclose(total, blob(geometry.shape, (Z, y, X)).sum(), rtol=0.015 if kind == "line" else 0.005)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_slice_has_its_own_centre(backend):
    center = np.array([11.0, 12.25, 13.5, 12.25])
    geometry = Geometry(np.deg2rad([-50, 0, 40]), (15, 4, 20), (4, 25), center)
    column = blob((15, 1, 20), (2.0, 0, -3.0))
    p = Projector(geometry, "cpu", backend=backend)(np.repeat(column, 4, axis=1)).astype(float)
    result = (p * np.arange(25)).sum(2) / p.sum(2)
    u = -3.0 * np.cos(geometry.angles) - 2.0 * np.sin(geometry.angles)
    np.testing.assert_allclose(result, u[:, None] + center[None, :] - 0.5, atol=0.02)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_slice_depends_on_its_own_slice_only(backend):
    geometry = Geometry(np.deg2rad([-50, 0, 40]), (6, 5, 8))
    x = np.zeros(geometry.shape, np.float32)
    x[:, 2] = 1
    p = Projector(geometry, "cpu", backend=backend)(x)
    assert not p[:, [0, 1, 3, 4]].any()
    assert p[:, 2].any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_slab_and_a_subset_project_as_the_whole(backend):
    rng = np.random.default_rng(2)
    geometry = Geometry(np.deg2rad(np.linspace(-60, 60, 7)), (6, 5, 8), center=rng.normal(4, 0.2, 5))
    A, x = Projector(geometry, "cpu", backend=backend), rng.random(geometry.shape, np.float32)
    np.testing.assert_allclose(A.with_geometry(geometry.rows(1, 4))(x[:, 1:4]), A(x)[:, 1:4], rtol=1e-6)
    np.testing.assert_allclose(A.subset([5, 2])(x), A(x)[[5, 2]], rtol=1e-6)
    padded = np.pad(x, ((0, 0), (0, 0), (3, 3)))
    np.testing.assert_allclose(A.with_geometry(geometry.padded(3))(padded), A(x), rtol=1e-4, atol=1e-5)


def test_norm_is_the_largest_singular_value():
    geometry = Geometry(np.deg2rad([-50, 0, 40]), (4, 1, 5))
    A = Projector(geometry, "cpu")
    dense = A(np.eye(20, dtype=np.float32).reshape(20, 4, 1, 5)).reshape(20, -1)
    assert A.norm(100) == pytest.approx(np.linalg.svd(dense, compute_uv=False)[0], rel=1e-4)


def test_autograd_finds_the_gradient_of_a_batch():
    geometry = Geometry(np.deg2rad([-50, 0, 40]), (4, 2, 5))
    A = Projector(geometry, "cpu")
    x = torch.rand(3, *geometry.shape, requires_grad=True)
    A(x).square().sum().backward()
    torch.testing.assert_close(x.grad, 2 * A.T(A(x.detach())))


def test_nothing_is_saved_for_the_backward_pass():
    geometry = Geometry(np.deg2rad([-50, 0, 40]), (4, 2, 5))
    A = Projector(geometry, "cpu")
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        A.T(A(torch.rand(geometry.shape, requires_grad=True)))
    assert saved == []


def test_messages_name_shapes_types_and_devices():
    A = Projector(Geometry([0.1, 0.2], (4, 2, 5)), "cpu")
    with pytest.raises(InputError, match=r"\(\.\.\., 4, 2, 5\), got \(4, 2, 6\)"):
        A(np.zeros((4, 2, 6)))
    with pytest.raises(InputError, match=r"float64; use x.float"):
        A(torch.zeros(4, 2, 5, dtype=torch.float64))
    with pytest.raises(InputError, match="on cpu, the tensor on meta"):
        A(torch.zeros(4, 2, 5, device="meta"))
    with pytest.raises(InputError, match="real numbers"):
        A(np.zeros((4, 2, 5), dtype="U1"))


def test_unknown_kinds_backends_and_devices_are_refused():
    geometry = Geometry([0.1], (4, 2, 5))
    with pytest.raises(SettingsError, match="linear, line, strip"):
        Projector(geometry, "cpu", "cubic")
    with pytest.raises(UnknownNameError, match="astra-matrix"):
        Projector(geometry, "cpu", backend="astra-matrx")
    for device in ("gpu", "cpu:cpu", "meta", object()):
        with pytest.raises(BackendError):
            Projector(geometry, device)


def test_the_budget_decides_between_the_matrix_and_what_needs_none(monkeypatch):
    geometry = Geometry(np.deg2rad(np.linspace(-60, 60, 61)), (64, 2, 64))
    size = Projector(geometry, "cpu", backend="astra-matrix").cost.bytes
    assert size > 2**20
    assert Projector(geometry, "cpu", budget=size).backend == "astra-matrix"
    assert Projector(geometry, "cpu", budget=size - 1).backend == "numba"
    assert Projector(geometry, "cpu", "strip", budget=size - 1).backend == "astra-2d"
    with pytest.raises(BackendError, match=r"the matrix needs .* MiB, the budget is"):
        Projector(geometry, "cpu", backend="astra-matrix", budget=size - 1)
    monkeypatch.setenv("TOMOPRIOR_MATRIX_BUDGET", "1")
    assert Projector(geometry, "cpu").backend == "numba"
    # who asks for it by name has decided
    assert Projector(geometry, "cpu", backend="astra-matrix").backend == "astra-matrix"
    monkeypatch.setenv("TOMOPRIOR_MATRIX_BUDGET", "1000")
    assert Projector(geometry, "cpu").backend == "astra-matrix"
    for wrong in ("lots", "nan", "inf", ""):
        monkeypatch.setenv("TOMOPRIOR_MATRIX_BUDGET", wrong)
        with pytest.raises(BackendError, match=f"number of MiB, got '{wrong}'"):
            Projector(geometry, "cpu")


def test_a_large_matrix_is_left_to_the_kernel_that_needs_none(monkeypatch):
    monkeypatch.delenv("TOMOPRIOR_MATRIX_BUDGET", raising=False)
    angles = np.deg2rad(np.linspace(-60, 60, 61))
    small, large = Geometry(angles, (128, 2, 128)), Geometry(angles, (256, 2, 256))
    assert Projector(small, "cpu").backend == "astra-matrix"
    assert Projector(large, "cpu").backend == "numba"
    # other kernels have no such choice
    assert Projector(large, "cpu", "strip").backend == "astra-matrix"


def test_distinct_centres_count_against_the_budget():
    angles = np.deg2rad(np.linspace(-60, 60, 61))
    one = Projector(Geometry(angles, (32, 8, 32)), "cpu", backend="astra-matrix").cost.bytes
    eight = Projector(Geometry(angles, (32, 8, 32), center=np.linspace(15, 17, 8)), "cpu", backend="astra-matrix").cost.bytes
    assert eight == pytest.approx(8 * one, rel=0.01)


def test_a_wider_grid_may_fall_back_where_the_backend_is_automatic(monkeypatch):
    geometry = Geometry(np.deg2rad(np.linspace(-60, 60, 61)), (32, 2, 32))
    A = Projector(geometry, "cpu")
    monkeypatch.setenv("TOMOPRIOR_MATRIX_BUDGET", str(A.cost.bytes * 1.2 / 2**20))
    assert A.backend == "astra-matrix"
    assert A.with_geometry(geometry.padded(16)).backend == "numba"


@pytest.mark.parametrize("backend", BACKENDS)
def test_copies_are_independent(backend):
    geometry = Geometry(np.deg2rad([-50, 0, 40]), (4, 2, 5))
    A, x = Projector(geometry, "cpu", "line", backend), np.random.default_rng(0).random((4, 2, 5))
    expected = A(x)
    others = [copy.copy(A), copy.deepcopy(A), pickle.loads(pickle.dumps(A)), pickle.loads(pickle.dumps(A.T)).T]
    del A
    for other in others:
        assert (other.kind, other.backend) == ("line", backend)
        np.testing.assert_array_equal(other(x), expected)


def test_repr_says_what_it_is():
    A = Projector(Geometry([0.1], (4, 2, 5)), "cpu")
    assert "astra-matrix" in repr(A)
    assert repr(A.T) == f"{A!r}.T"


@pytest.mark.parametrize("ny", [1, 3])
@pytest.mark.parametrize("backend", ["astra-matrix", "astra-2d", "numba"])
def test_arrays_of_zeros_have_the_memory_layout_of_products_without_one(monkeypatch, backend, ny):
    geometry = Geometry(np.deg2rad([-40, 0, 40, 80]), (5, ny, 6), (ny, 7))
    A = Projector(geometry, "cpu", backend=backend)
    projections, volume = A(torch.ones(geometry.shape)), A.T(torch.ones(geometry.range_shape))
    for operation in ("forward", "adjoint"):
        monkeypatch.setattr(A._backend, operation, lambda x: pytest.fail("a product"))
    for zeros, like in ((A.make_projections(), projections), (A.make_volume(), volume)):
        assert zeros.shape == like.shape
        assert zeros.stride() == like.stride()
        assert zeros.dtype == torch.float32
        assert not zeros.any()


def test_the_set_up_of_an_iterative_method_computes_no_product(monkeypatch):
    from tomoprior.methods.solving.problem import select_tilts, set_up_problem

    geometry = Geometry(np.deg2rad([-40, 0, 40, 80]), (5, 3, 6))
    A = Projector(geometry, "cpu", backend="astra-2d")
    monkeypatch.setattr(Projector, "_apply", lambda self, x: pytest.fail("a product"))
    monkeypatch.setattr(Projector, "_apply_adjoint", lambda self, x: pytest.fail("a product"))
    data = torch.rand(geometry.range_shape)
    problem = set_up_problem(data, A, 2, weights=None, initial=None, mask=None)
    assert torch.equal(problem.data, data)
    assert not problem.x.any()
    assert torch.equal(select_tilts(problem, np.array([2, 0])).data, data[[2, 0]])
