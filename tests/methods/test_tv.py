"""Total variation: convergence, the objective, bounds, the choice of the strength."""

import numpy as np
import pytest
import torch

from tomoprior import Projector, testing
from tomoprior.methods.solving import strength


@pytest.mark.parametrize(
    "settings", [{}, {"min_constraint": None, "reg_par": 0.3}, {"huber_delta": 0.1}, {"reg_par": 0}], ids=str
)
def test_conformance(settings):
    testing.check_method("tv", {"num_iter": 15, **settings})


@pytest.mark.slow
def test_conformance_with_a_strength_from_held_out_tilts():
    testing.check_method("tv", {"num_iter": 5, "reg_par": "held-out"})


@pytest.fixture(scope="module")
def spheres(case_of):
    """The benchmark's phantom, half its size and fewer slices."""
    return case_of((24, 16, 64), np.linspace(-60, 60, 61), seed=0)


def objective(case, x, reg_par, A=None):
    """``1/2 ||A x - p||^2 + reg_par TV(x)``, differences taken independently of the method."""
    A = A or case.projector
    x = x.double()
    steps = [torch.zeros_like(x) for _ in range(3)]
    for axis, step in enumerate(steps):
        step.narrow(axis, 0, x.shape[axis] - 1).copy_(x.diff(dim=axis))
    variation = sum(s**2 for s in steps).sqrt().sum()
    return float(0.5 * (A(x.float()).double() - case.projections).square().sum() + reg_par * variation)


@pytest.mark.slow
def test_four_hundred_iterations_are_converged(spheres):
    """Against ten times as many: within half a dB, and the default strength is far above SIRT."""
    short = spheres.psnr(spheres.run("tv").volume)
    long = spheres.psnr(spheres.run("tv", num_iter=4000).volume)
    assert abs(short - long) < 0.5
    sirt = spheres.psnr(spheres.run("sirt", num_iter=400, min_constraint=0.0).volume)
    assert short > sirt + 1


def test_the_objective_falls_below_every_other_methods(limited):
    """And the more iterations, the lower."""
    values = [objective(limited, limited.run("tv", reg_par=0.5, num_iter=n, pad=0).volume, 0.5) for n in (10, 40, 160, 640)]
    assert values == sorted(values, reverse=True)
    for name in ("sirt", "sart", "cgls", "tikhonov"):
        volume = limited.run(name, num_iter=60, pad=0).volume.clamp(min=0)
        assert objective(limited, volume, 0.5) > values[2], name


def test_no_perturbation_lowers_the_objective_of_the_solution(limited):
    x = limited.run("tv", reg_par=0.5, num_iter=1500, pad=0).volume
    best = objective(limited, x, 0.5)
    generator = torch.Generator().manual_seed(0)
    others = [limited.truth, torch.zeros_like(x), 1.02 * x, 0.98 * x]
    others += [x + 0.05 * torch.randn(x.shape, generator=generator) for _ in range(5)]
    for other in others:
        for share in (0.01, 0.1, 1.0):
            assert objective(limited, ((1 - share) * x + share * other).clamp(min=0), 0.5) > best * (1 - 1e-4)


def test_bounds_are_kept_and_can_be_lifted(limited):
    default = limited.run("tv", num_iter=60)
    assert default.volume.min() >= 0
    assert limited.run("tv", num_iter=60, min_constraint=None).volume.min() < 0
    assert limited.run("tv", num_iter=60, max_constraint=0.7).volume.max() <= 0.7
    assert limited.psnr(default.volume) > limited.psnr(limited.run("tv", num_iter=60, min_constraint="none").volume)


def test_huber_with_a_large_delta_is_tikhonov(limited, difference):
    """Below delta a difference g costs ``reg_par g^2 / (2 delta)``: where all are, that is Tikhonov of order 1."""
    huber = limited.run("tv", reg_par=100.0, huber_delta=20.0, min_constraint=None, num_iter=600, pad=0).volume
    quadratic = limited.run("tikhonov", order=1, reg_par=5.0, num_iter=200, pad=0).volume
    assert difference(huber, quadratic) < 0.02


def test_huber_with_a_small_delta_is_tv(limited, difference):
    settings = {"reg_par": 0.5, "num_iter": 150, "pad": 0}
    plain = limited.run("tv", **settings).volume
    assert difference(limited.run("tv", huber_delta=1e-5, **settings).volume, plain) < 1e-3
    assert difference(limited.run("tv", huber_delta=0.2, **settings).volume, plain) > 0.02


def test_the_strength_that_was_chosen_is_on_record(limited):
    auto = limited.run("tv", num_iter=10, reg_par="auto")
    rule = auto.provenance["settled"]["reg_par"]
    # 0.005 x tilts x the height of typical contrast, which is about 1 here
    assert 0.3 * 0.005 * 25 < rule < 2 * 0.005 * 25
    given = limited.run("tv", num_iter=10, reg_par=rule)
    assert torch.equal(given.volume, auto.volume)
    doubled = limited.run("tv", num_iter=10, reg_par="auto", projections=2 * limited.projections)
    assert doubled.provenance["settled"]["reg_par"] == pytest.approx(2 * rule, rel=1e-3)
    torch.testing.assert_close(doubled.volume, 2 * auto.volume, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_held_out_tilts_choose_about_the_rules_strength_or_less_and_more_for_noise(limited):
    clean = limited.run("tv", num_iter=100, reg_par="held-out")
    rule = limited.run("tv", num_iter=1, reg_par="auto").provenance["settled"]["reg_par"]
    chosen = clean.provenance["settled"]["reg_par"]
    assert rule / 70 <= chosen <= 4 * rule
    assert limited.psnr(clean.volume) > limited.psnr(limited.run("tv", num_iter=100, reg_par="auto").volume) - 1
    noisy = limited.projections + 2 * torch.randn(limited.projections.shape, generator=torch.Generator().manual_seed(0))
    more = limited.run("tv", num_iter=100, reg_par="held-out", projections=noisy)
    assert more.provenance["settled"]["reg_par"] > chosen
    assert limited.psnr(more.volume) > limited.psnr(limited.run("tv", num_iter=100, reg_par=chosen, projections=noisy).volume)


def test_too_few_tilts_take_the_rule_of_thumb_and_say_so(limited):
    few = Projector(limited.geometry.select([0, 8, 16, 24]), "cpu")
    p = limited.projections[[0, 8, 16, 24]]
    rule = limited.run("tv", projections=p, projector=few, reg_par="auto", num_iter=20)
    chosen = limited.run("tv", projections=p, projector=few, num_iter=20)
    assert torch.equal(chosen.volume, rule.volume)
    assert chosen.provenance["settled"]["reg_par_by"] == "rule of thumb, because 4 tilts are too few to hold some out"
    assert rule.provenance["settled"]["reg_par_by"] == "rule of thumb"


def test_negative_values_are_allowed_where_the_tilts_show_them(limited):
    """Images without their mean have a mean of zero; with the bound they could not be fitted."""
    without = limited.projections - limited.projections.mean((1, 2), keepdim=True)
    result = limited.run("tv", num_iter=50, projections=without)
    assert result.provenance["settled"]["min_constraint"] is None
    assert float(result.volume.min()) < -0.05
    assert limited.run("tv", num_iter=1).provenance["settled"]["min_constraint"] == 0


def test_the_search_is_counted_in_the_cost(limited):
    from tomoprior import methods

    method = methods.get("tv")
    work = [method.cost_in_pairs(limited.geometry, method.Settings(reg_par=r)) for r in (1.0, "auto", "held-out")]
    assert work[0] < work[1] < work[2]
    # of an iteration 0.8 of the tilts, and 2 pairs each
    assert work[2] - work[0] > 1.6 * len(strength.FACTORS) * strength.TRIAL_ITERATIONS
    memory = [method.memory(limited.geometry, method.Settings(reg_par=r)) for r in ("auto", "held-out")]
    assert memory[0] < memory[1]


def test_without_a_penalty_it_is_least_squares_with_bounds(limited):
    tv = limited.run("tv", reg_par=0, num_iter=400, pad=0)
    sirt = limited.run("sirt", num_iter=400, min_constraint=0.0, pad=0)
    assert tv.history["residual"][-1] < sirt.history["residual"][-1]


@pytest.mark.parametrize("factor", [1e-4, 1e4])
@pytest.mark.parametrize("reg_par", ["auto", 0.1])
def test_a_common_factor_of_the_weights_changes_nothing_but_the_scale_of_the_strength(limited, difference, factor, reg_par):
    settings = {"num_iter": 60, "pad": 0}
    weights = torch.full((len(limited.projections),), factor)
    plain = limited.run("tv", reg_par=reg_par, **settings)
    given = reg_par if reg_par == "auto" else reg_par * factor
    scaled = limited.run("tv", reg_par=given, weights=weights, **settings)
    assert difference(scaled.volume, plain.volume) < 1e-3
    assert scaled.provenance["settled"]["reg_par"] == pytest.approx(factor * plain.provenance["settled"]["reg_par"], rel=1e-3)


def test_the_rule_looks_inside_a_mask(limited):
    mask = torch.zeros(limited.projector.domain_shape[0], limited.projector.domain_shape[2])
    mask[8:10, 8:10] = 1
    assert limited.run("tv", num_iter=2, pad=0, mask=mask).provenance["settled"]["reg_par"] > 0


def directional_objective(case, x, reg_par, z_weight):
    """The objective with ``sqrt(Dx^2 + Dy^2 + (a Dz)^2)``, differences taken independently of the method."""
    x = x.double()
    steps = [torch.zeros_like(x) for _ in range(3)]
    for axis, step in enumerate(steps):
        step.narrow(axis, 0, x.shape[axis] - 1).copy_(x.diff(dim=axis))
    steps[0] *= z_weight
    variation = sum(s**2 for s in steps).sqrt().sum()
    return float(0.5 * (case.projector(x.float()).double() - case.projections).square().sum() + reg_par * variation)


def test_the_weight_along_z_minimises_its_own_objective(limited):
    settings = {"reg_par": 2.0, "num_iter": 600, "pad": 0}
    plain, weighted = limited.run("tv", **settings).volume, limited.run("tv", z_weight=0.3, **settings).volume
    assert directional_objective(limited, weighted, 2.0, 0.3) < directional_objective(limited, plain, 2.0, 0.3)
    assert directional_objective(limited, plain, 2.0, 1.0) < directional_objective(limited, weighted, 2.0, 1.0)
    generator = torch.Generator().manual_seed(0)
    best = directional_objective(limited, weighted, 2.0, 0.3)
    for share in (0.01, 0.1):
        other = (weighted + share * torch.randn(weighted.shape, generator=generator)).clamp(min=0)
        assert directional_objective(limited, other, 2.0, 0.3) > best * (1 - 1e-4)


def test_a_weight_of_one_changes_no_bit(limited):
    settings = {"reg_par": 0.5, "num_iter": 20, "pad": 0}
    assert torch.equal(limited.run("tv", z_weight=1.0, **settings).volume, limited.run("tv", **settings).volume)


def test_held_out_tilts_choose_the_weight_along_z(limited):
    chosen = limited.run("tv", num_iter=20, z_weight="held-out")
    settled = chosen.provenance["settled"]
    assert settled["z_weight"] in (0.25, 0.35, 0.5, 1.0)
    given = limited.run("tv", num_iter=20, **{name: settled[name] for name in ("reg_par", "z_weight", "min_constraint")})
    assert torch.equal(given.volume, chosen.volume)
    from tomoprior import methods

    method = methods.get("tv")
    open_settings = method.Settings(z_weight="held-out", reg_par=1.0)
    assert method.settings_from_pilot(chosen.numpy(), open_settings, None)["z_weight"] == settled["z_weight"]
    work = [method.cost_in_pairs(limited.geometry, method.Settings(z_weight=z)) for z in (1.0, "held-out")]
    assert work[1] - work[0] >= 2 * 4 * 100
    memory = [method.memory(limited.geometry, method.Settings(z_weight=z, reg_par=1.0)) for z in (1.0, "held-out")]
    assert memory[1] > memory[0]
