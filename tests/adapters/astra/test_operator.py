"""AstraOperator: ASTRA's numbers for each 2-D geometry, the checks of an operator, threads, pickling, refusals."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import astra
import numpy as np
import pytest
import torch

import tomoprior
from tomoprior import AstraOperator, testing
from tomoprior.errors import BackendError, GeometryError, SettingsError

WITH_GPU = torch.cuda.is_available() and bool(astra.use_cuda())
ANGLES = np.deg2rad([-80.0, -45.0, -10.0, 0.0, 33.0, 90.0])
PARALLEL = astra.create_proj_geom("parallel", 0.8, 30, ANGLES)
FAN = astra.create_proj_geom("fanflat", 1.2, 34, ANGLES, 40.0, 20.0)
GRID = astra.create_vol_geom(18, 22)
#: A grid whose pixels are not unit squares around the origin.
WINDOW = astra.create_vol_geom(18, 22, -10.0, 12.0, -9.0, 27.0)
CASES = {
    "parallel": (PARALLEL, GRID, "linear"),
    "parallel_vec": (astra.geom_postalignment(PARALLEL, 1.3), GRID, "linear"),
    "parallel strip": (PARALLEL, GRID, "strip"),
    "fanflat": (FAN, GRID, "line"),
    "fanflat strip": (FAN, GRID, "strip"),
    "fanflat_vec": (astra.geom_postalignment(FAN, -2.1), GRID, "line"),
    "window": (FAN, WINDOW, "line"),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def test_products_are_those_of_astra(case):
    rays, grid, kind = case
    A = AstraOperator(rays, grid, kind=kind, slices=3, device="cpu")
    rng = np.random.default_rng(0)
    x, y = rng.random(A.domain_shape).astype(np.float32), rng.random(A.range_shape).astype(np.float32)
    name = f"{kind}_fanflat" if rays["type"].startswith("fan") else kind
    projector = astra.create_projector(name, rays, grid)
    for s in range(3):
        number, sinogram = astra.create_sino(np.ascontiguousarray(x[:, s]), projector)
        astra.data2d.delete(number)
        number, image = astra.create_backprojection(np.ascontiguousarray(y[:, s]), projector)
        astra.data2d.delete(number)
        np.testing.assert_allclose(A(x)[:, s], sinogram, rtol=1e-4, atol=1e-5 * sinogram.max())
        np.testing.assert_allclose(A.T(y)[:, s], image, rtol=1e-4, atol=1e-5 * image.max())
    astra.projector.delete(projector)


def test_conformance(case):
    rays, grid, kind = case
    A = AstraOperator(rays, grid, kind=kind, slices=2, device="cpu")
    testing.check_operator(A)
    assert A.matched
    assert A.adjoint_error() < 1e-6


def test_it_is_used_from_threads_and_pickled_before_and_after_its_first_product():
    A = AstraOperator(FAN, GRID, slices=2, device="cpu")
    before = pickle.loads(pickle.dumps(A))
    x = torch.rand(A.domain_shape)
    expected = A(x)
    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(result, expected) for result in pool.map(lambda _: A(x), range(8)))
    after = pickle.loads(pickle.dumps(A.T)).T
    for other in (before, after):
        assert torch.equal(other(x), expected)
        assert repr(other) == repr(A)


def test_later_changes_of_the_dictionaries_do_not_reach_it():
    rays = astra.create_proj_geom("parallel", 1.0, 20, ANGLES.copy())
    A, B = (AstraOperator(rays, GRID, device="cpu") for _ in range(2))
    expected = B(np.ones(B.domain_shape))
    rays["ProjectionAngles"] += 0.5
    np.testing.assert_array_equal(A(np.ones(A.domain_shape)), expected)


def test_a_projector_is_one_case_of_it():
    geometry = tomoprior.Geometry(ANGLES, (18, 2, 22), (2, 30))
    A = AstraOperator(astra.create_proj_geom("parallel", 1.0, 30, ANGLES), GRID, kind="line", slices=2, device="cpu")
    x = np.random.default_rng(0).random(A.domain_shape)
    np.testing.assert_allclose(A(x), tomoprior.Projector(geometry, "cpu", "line")(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("rays", "grid", "values", "error", "message"),
    [
        (FAN, GRID, {"kind": "linear"}, SettingsError, "kernels for fanflat are line, strip"),
        (CASES["fanflat_vec"][0], GRID, {"kind": "strip"}, SettingsError, "kernels for fanflat_vec are line"),
        (PARALLEL, GRID, {"slices": 0}, SettingsError, "slices must be a whole number"),
        ({**PARALLEL, "type": "helix"}, GRID, {}, GeometryError, "'helix' is not one of parallel"),
        ({"type": "parallel"}, GRID, {}, GeometryError, "ASTRA does not accept this geometry"),
        (PARALLEL, astra.create_vol_geom(4, 4, 4), {}, GeometryError, "needs a volume of 2 dimensions, got 3"),
        (
            astra.create_proj_geom("cone", 1.0, 1.0, 4, 8, ANGLES, 40, 20), astra.create_vol_geom(8, 8, 4), {},
            BackendError, "ASTRA projects cone on a GPU only, and the device is cpu",
        ),
        (
            astra.create_proj_geom("parallel3d", 1.0, 1.0, 4, 8, ANGLES), astra.create_vol_geom(8, 8, 4), {"kind": "line"},
            SettingsError, "one kernel for parallel3d",
        ),
    ],
)  # fmt: skip
def test_what_astra_cannot_do_is_refused_in_one_line(rays, grid, values, error, message):
    with pytest.raises(error, match=message):
        AstraOperator(rays, grid, device="cpu", **values)


def test_a_geometry_that_astra_refuses_at_the_first_product_is_one_line_too():
    broken = {**FAN, "DistanceOriginSource": "far"}
    with pytest.raises(GeometryError, match="ASTRA does not accept this projector"):
        AstraOperator(broken, GRID, device="cpu")(np.ones((18, 1, 22)))


@pytest.mark.gpu
@pytest.mark.skipif(not WITH_GPU, reason="there is no GPU that both torch and ASTRA can use")
@pytest.mark.parametrize("name", ["parallel3d", "parallel3d_vec", "cone", "cone_vec"])
def test_geometries_in_3d_on_the_gpu(name):
    if name.startswith("parallel"):
        rays = astra.create_proj_geom("parallel3d", 1.0, 1.0, 12, 24, ANGLES)
    else:
        rays = astra.create_proj_geom("cone", 1.5, 1.5, 12, 24, ANGLES, 60.0, 30.0)
    grid = astra.create_vol_geom(18, 20, 10)
    A = AstraOperator(astra.geom_2vec(rays) if name.endswith("_vec") else rays, grid, device="cuda")
    assert (A.domain_shape, A.range_shape) == ((10, 18, 20), (12, len(ANGLES), 24))
    assert not A.matched
    testing.check_operator(A)
    x = np.random.default_rng(0).random(A.domain_shape).astype(np.float32)
    number, expected = astra.create_sino3d_gpu(x, rays, grid)
    astra.data3d.delete(number)
    assert np.linalg.norm(A(x) - expected) < 1e-3 * np.linalg.norm(expected)
    assert repr(pickle.loads(pickle.dumps(A))) == repr(A)
