"""Tikhonov regularisation: the optimum, and what the penalty does."""

import pytest
import torch

from tomoprior import testing
from tomoprior.methods.solving import gradient


@pytest.mark.parametrize("order", [0, 1])
def test_conformance(order):
    testing.check_method("tikhonov", {"num_iter": 10, "order": order})


def penalty(x, order):
    """``L^T L x``."""
    if order == 0:
        return x
    g = gradient.add_forward_(torch.zeros(3, *x.shape), x, 1.0)
    return gradient.add_adjoint_(torch.zeros_like(x), g, 1.0)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("order", "reg_par"), [(0, 0.5), (0, 20.0), (1, 0.5), (1, 20.0)])
def test_the_gradient_vanishes_at_the_solution(limited, order, reg_par, weighted):
    A, p = limited.projector, limited.projections
    w = torch.rand(p.shape, generator=torch.Generator().manual_seed(0)) + 0.1 if weighted else torch.ones_like(p)
    x = limited.run("tikhonov", order=order, reg_par=reg_par, num_iter=300, pad=0, weights=w if weighted else None).volume
    slope = A.T((w * (A(x) - p)).contiguous()) + reg_par * penalty(x, order)
    assert float(slope.norm() / A.T((w * p).contiguous()).norm()) < 1e-4


def test_no_penalty_is_cgls(limited, difference):
    """On one slice, since a penalty on differences ties slices together and cgls takes each alone."""
    p, projector = limited.projections[:, 5:6].contiguous(), limited.projector.with_geometry(limited.geometry.rows(5, 6))
    cgls, zero, one = (
        limited.run(name, projections=p, projector=projector, num_iter=6, pad=0, **settings).volume
        for name, settings in (("cgls", {}), ("tikhonov", {"reg_par": 0, "order": 0}), ("tikhonov", {"reg_par": 0, "order": 1}))
    )
    assert difference(zero, cgls) < 1e-4
    assert difference(one, cgls) < 1e-4


def test_more_penalty_is_smaller_or_smoother(limited):
    sizes = [float(limited.run("tikhonov", order=0, reg_par=r).volume.norm()) for r in (0.1, 10.0, 1000.0)]
    assert sizes == sorted(sizes, reverse=True)
    steps = [float(limited.run("tikhonov", order=1, reg_par=r).volume.diff(dim=2).norm()) for r in (0.1, 10.0, 1000.0)]
    assert steps == sorted(steps, reverse=True)
