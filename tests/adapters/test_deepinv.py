"""deepinv's algorithms on the projector: adjointness, least squares, SIRT, FISTA, plug-and-play, gradients."""

import numpy as np
import pytest
import torch

from tomoprior import FanGeometry, Geometry, Projector

deepinv = pytest.importorskip("deepinv")
pytestmark = pytest.mark.filterwarnings("ignore")  # of deepinv's own dependencies

ANGLES = np.deg2rad(np.arange(-75, 76, 10))
GEOMETRIES = {
    "parallel": Geometry(ANGLES, (16, 2, 16), (2, 24)),
    "fan": FanGeometry(ANGLES, (16, 2, 16), (2, 28), source_distance=50, detector_distance=20),
}


@pytest.fixture(params=GEOMETRIES)
def physics(request):
    from tomoprior.adapters.deepinv import TomographyPhysics

    return TomographyPhysics(Projector(GEOMETRIES[request.param], "cpu"))


@pytest.fixture
def truth():
    z, x = torch.arange(16)[:, None] - 7.5, torch.arange(16)[None, :] - 7.5
    return ((z**2 + x**2 < 30).float()[:, None] * torch.ones(16, 2, 16))[None, None]


def relative(physics, x, y):
    return float((physics.A(x) - y).norm() / y.norm())


def test_the_adjoint_passes_deepinvs_own_test(physics, truth):
    y = physics.A(truth)
    assert y.shape == (1, 1, *physics.operator.range_shape)
    assert abs(float(physics.adjointness_test(truth))) < 1e-5
    assert float(physics.compute_sqnorm(truth, tol=1e-5, verbose=False)) == pytest.approx(1, rel=0.02)


def test_least_squares_explain_the_projections(physics, truth):
    y = physics.A(truth)
    physics.max_iter, physics.tol = 100, 1e-6
    assert relative(physics, physics.A_dagger(y), y) < 0.02


def test_landweber_and_projected_gradient_descent_converge(physics, truth):
    y = physics.A(truth)
    x = torch.zeros_like(truth)
    for _ in range(50):
        x = (x - physics.A_adjoint(physics.A(x) - y)).clamp(min=0)
    assert relative(physics, x, y) < 0.1


@pytest.mark.parametrize("name", ["PGD", "FISTA", "HQS", "ADMM"])
def test_plug_and_play_with_total_variation(name, physics, truth):
    y = physics.A(truth)
    prior = deepinv.optim.TVPrior(n_it_max=20)
    model = deepinv.optim.optim_builder(
        name, prior=prior, data_fidelity=deepinv.optim.L2(), max_iter=30,
        params_algo={"stepsize": 1.0, "lambda": 1e-3, "a": 3},
    )  # fmt: skip
    flat = physics.A_adjoint(y)
    result = model(y, physics)
    assert result.shape == flat.shape
    assert relative(physics, result, y) < 0.1


def test_gradients_reach_the_volume(physics, truth):
    x = truth.clone().requires_grad_()
    (physics.A(x) ** 2).sum().backward()
    torch.testing.assert_close(x.grad, 2 * physics.A_adjoint(physics.A(truth)))


def test_without_normalisation_it_is_the_operator_itself(truth):
    from tomoprior.adapters.deepinv import TomographyPhysics

    operator = Projector(GEOMETRIES["parallel"], "cpu")
    physics = TomographyPhysics(operator, normalize=False)
    torch.testing.assert_close(physics.A(truth), operator(truth))
