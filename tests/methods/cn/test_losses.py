"""Losses and regularisers: closed forms, and derivatives against torch's."""

import itertools

import numpy as np
import pytest
import torch

from tomoprior import Geometry
from tomoprior.methods.cn import losses, schedule
from tomoprior.methods.cn.settings import CNSettings
from tomoprior.methods.solving import strength
from tomoprior.methods.solving.problem import set_up_problem


def volume(seed=0, shape=(5, 4, 6)):
    x = torch.randn(shape[0], shape[2], shape[1], generator=torch.Generator().manual_seed(seed))
    return x.permute(0, 2, 1)


def differences(x):
    """``(3, nz, ny, nx)`` forward differences, independently of the library, zero at the end of an axis."""
    pad = torch.nn.functional.pad
    return torch.stack([
        pad(x.diff(dim=0), (0, 0, 0, 0, 0, 1)), pad(x.diff(dim=1), (0, 0, 0, 1)), pad(x.diff(dim=2), (0, 1))
    ])  # fmt: skip


EXPECTED = {
    "l1": lambda r: r.abs(),
    "l2": lambda r: 0.5 * r**2,
    "huber": lambda r: torch.nn.functional.huber_loss(r, torch.zeros_like(r), reduction="none", delta=0.5),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", EXPECTED)
def test_losses(name, weighted):
    r = volume().requires_grad_()
    w = torch.rand(5, 1, 1) if weighted else None
    value, slope = losses.make_loss(CNSettings(loss=name, loss_huber_delta=0.25), 2.0)(r.detach(), w)
    expected = (EXPECTED[name](r) * (1 if w is None else w)).sum()
    expected.backward()
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(slope, r.grad)


PENALTIES = {
    "squared": lambda d: (d**2).sum(),
    "tv": lambda d: ((d**2).sum(0) + 0.02**2).sqrt().sum() - 0.02 * d[0].numel(),
    "huber-tv": lambda d: (
        torch.nn.functional.huber_loss(n := ((d**2).sum(0) + 1e-24).sqrt(), torch.zeros_like(n), reduction="sum", delta=0.8)
        / 0.8
    ),
}


@pytest.mark.parametrize("name", PENALTIES)
def test_regularisers(name):
    x = volume(1).requires_grad_()
    settings = CNSettings(regulariser=name, huber_delta=0.4)
    out = volume(2)
    expected_out = out.clone()
    value = losses.make_regulariser(settings, 3.0, 2.0)(x.detach(), out)
    expected = 3 * PENALTIES[name](differences(x))
    expected.backward()
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(out, expected_out + x.grad)


@pytest.mark.parametrize("name", ["tv", "huber-tv"])
def test_a_step_costs_its_height_times_its_area(name):
    """As in ``tv``, so that a strength means the same."""
    x = torch.zeros(6, 5, 7)
    x[3:] = 4.0
    value = losses.make_regulariser(CNSettings(regulariser=name, huber_delta=0.01), 0.5, 1.0)(x, torch.zeros_like(x))
    assert float(value) == pytest.approx(0.5 * 4.0 * 35, rel=0.01)


@pytest.mark.parametrize("name", PENALTIES)
def test_a_flat_volume_costs_nothing_and_is_left_alone(name):
    x, out = torch.full((4, 4, 4), 3.0), torch.zeros(4, 4, 4)
    assert float(losses.make_regulariser(CNSettings(regulariser=name), 1.0, 1.0)(x, out)) == 0
    assert not out.any()


@pytest.mark.parametrize("name", ["squared", "huber-tv"])
def test_a_strength_means_the_same_for_splines_as_for_networks(name, limited):
    """Where a spline fit has converged, a network's derivatives of loss and penalty cancel."""
    settings = {"regulariser": name, "huber_delta": 0.5, "reg_par": 2.0}
    fixed = {"degree": 1, "min_constraint": None, "stop": None, "pad": 0}
    x = limited.run("cn", num_iter=1000, **settings, **fixed).volume
    data = limited.projector.T(limited.projector(x) - limited.projections)
    penalty = torch.zeros_like(x)
    contrast = strength.estimate_contrast(
        set_up_problem(limited.projections, limited.projector, 0, weights=None, initial=None, mask=None)
    )
    losses.make_regulariser(CNSettings(**settings), 2.0, contrast)(x, penalty)
    assert float((data + penalty).norm() / data.norm()) < 1e-3


def test_no_regulariser():
    assert losses.make_regulariser(CNSettings(regulariser=None), 1.0, 1.0) is None
    assert losses.make_regulariser(CNSettings(regulariser="tv"), 0.0, 1.0) is None


def test_the_rate_is_constant_and_then_falls_log_linearly():
    rates = [schedule.learning_rate_factor(i, 101, 0.01) for i in range(101)]
    assert rates[:51] == [1.0] * 51
    assert rates[100] == pytest.approx(0.01, rel=0.01)
    ratios = [b / a for a, b in itertools.pairwise(rates[52:])]
    assert max(ratios) - min(ratios) < 1e-9
    assert schedule.learning_rate_factor(0, 1, 0.1) == 1.0


@pytest.mark.parametrize(("ny", "slices", "expected"), [
    (7, 2, [(0, 2, 0, 2), (2, 4, 2, 4), (4, 6, 4, 6), (5, 7, 6, 7)]),
    (6, 3, [(0, 3, 0, 3), (3, 6, 3, 6)]),
    (3, 8, [(0, 3, 0, 3)]),
    (1, 1, [(0, 1, 0, 1)]),
])  # fmt: skip
def test_slabs_are_equally_thick_and_cover_every_slice_once(ny, slices, expected):
    assert [(s.start, s.stop, s.first, s.last) for s in schedule.cut_slabs(ny, slices)] == expected


def test_the_middle_slab_comes_first_and_each_other_starts_from_its_inner_neighbour():
    assert schedule.training_order(5) == [(2, None), (1, 2), (3, 2), (0, 1), (4, 3)]
    assert schedule.training_order(4) == [(2, None), (1, 2), (3, 2), (0, 1)]
    assert schedule.training_order(1) == [(0, None)]


def test_refitted_the_middle_slab_starts_from_its_first_neighbour_too():
    assert schedule.training_order(5, refit=True) == [(2, None), (1, 2), (2, 1), (3, 2), (0, 1), (4, 3)]
    assert schedule.training_order(2, refit=True) == [(1, None), (0, 1), (1, 0)]
    assert schedule.training_order(1, refit=True) == [(0, None), (0, 0)]


def test_the_papers_slices():
    """264,449 weights, 61 tilts: two slices of 1024 pixels, and four of 512 (section 4.2)."""
    assert schedule.choose_slices(264_449, 61, 1024) == 2
    assert schedule.choose_slices(264_449, 61, 512) == 4
    assert schedule.choose_slices(264_449, 61, 64) == 4


def test_slices_are_given_all_or_as_many_as_suit_the_weights():
    geometry = Geometry(np.linspace(-1, 1, 61), (64, 5, 512))
    for given, expected in [("all", 5), (3, 3), (9, 5), ("auto", 4)]:
        assert schedule.count_slices(CNSettings(preset="paper", slices=given), geometry) == expected
    assert schedule.count_slices(CNSettings(preset="paper", width=64), geometry) == 2
    assert schedule.count_slices(CNSettings(preset="paper"), geometry.rows(0, 1)) == 1


def test_totals():
    paper = CNSettings(preset="paper")
    assert schedule.count_all_iterations(paper, 1) == 2000 + 400
    assert schedule.count_all_iterations(paper, 3) == 2000 + 3 * 400
    assert schedule.count_all_iterations(CNSettings(preset="paper", refit=False), 3) == 2000 + 2 * 400
    assert schedule.count_all_iterations(CNSettings(preset="paper", warm_start=False), 3) == 6000
    assert schedule.count_all_iterations(CNSettings(preset="paper", stop="held-out"), 3) == 6400
