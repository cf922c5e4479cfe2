"""Training: derivatives, slabs, stopping, interruption, what comes out."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tomoprior import Geometry, Projector
from tomoprior.errors import InputError, Interrupted
from tomoprior.methods.cn import grid_evaluation, held_out, training
from tomoprior.methods.cn.encoders import REGISTRY
from tomoprior.methods.cn.network import CoordinateNetwork
from tomoprior.methods.cn.settings import CLASSES, CNSettings
from tomoprior.methods.solving.problem import set_up_problem

ENCODERS = sorted(REGISTRY)


def small(encoder="grid", **values):
    kind = CLASSES[encoder]
    values = {"width": 8, "depth": 1, "features": 2, "num_iter": 5, "seed": 0, **values}
    return kind(**{k: v for k, v in values.items() if k in kind.model_fields})


def problem_of(case, *, projections=None, pad=0, **arguments):
    given = {"weights": None, "initial": None, "mask": None, **arguments}
    p = case.projections if projections is None else projections
    return set_up_problem(p, case.projector, pad, **given)


def fit(case, settings, reg_par=0.0, progress=None, background=0.0, **arguments):
    return training.train(problem_of(case, **arguments), settings, reg_par, progress, background=background)


@pytest.fixture
def small_chunks(monkeypatch):
    """Cuts a slab of the case into dozens of pieces."""
    monkeypatch.setattr(grid_evaluation, "points_per_chunk", lambda network: 100)


@pytest.mark.parametrize("pieces", [(1, 1), (7, 5), (100, 1000), (481, 3), (480, 480)])
def test_chunks_cover_every_voxel_once(pieces):
    points, _ = pieces
    count = np.zeros((16, 40), int)
    for z, x in grid_evaluation.cut_chunks((16, 12, 40), points):
        count[z, x] += 1
        assert (z.stop - z.start) * (x.stop - x.start) * 12 <= max(points, 12)
    assert (count == 1).all()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_gradients_by_chunks_are_the_plain_ones(encoder, limited, difference, small_chunks):
    """``1/2 ||A m (b + s f) - p||^2`` by torch's own derivatives, all voxels at once and as points."""
    settings = small(encoder, table_size=8)
    nz, ny, nx = limited.projector.domain_shape
    networks = [CoordinateNetwork(settings, (nz, ny, nx)) for _ in range(2)]
    middles = torch.stack(torch.meshgrid(*(torch.arange(n) for n in (nz, ny, nx)), indexing="ij"), -1).reshape(-1, 3)
    plain = networks[0](networks[0].coordinates.of_voxels(middles.double()).float()).reshape(nz, ny, nx)
    loss = 0.5 * (limited.projector(plain) - limited.projections).square().sum()
    loss.backward()

    slab = grid_evaluation.GridEvaluation(networks[1], torch.device("cpu"))
    assert len(slab._pieces) > 10
    x = slab.values()
    assert not x.requires_grad
    torch.testing.assert_close(x, plain.detach(), rtol=1e-4, atol=1e-5)
    slab.backward(limited.projector.T(limited.projector(x) - limited.projections))
    for a, b in zip(networks[1].parameters(), networks[0].parameters(), strict=True):
        assert difference(a.grad, b.grad) < 1e-4


@pytest.mark.parametrize("encoder", ENCODERS)
def test_chunks_make_no_difference_to_a_fit(encoder, limited, difference, monkeypatch):
    whole = fit(limited, small(encoder))[1]
    monkeypatch.setattr(grid_evaluation, "points_per_chunk", lambda network: 100)
    assert difference(fit(limited, small(encoder))[1], whole) < 1e-3


def test_the_first_projections_have_about_the_measured_mass(limited):
    for encoder in ENCODERS:
        for least in (0.0, None):
            found = {}

            def stop(iteration, total, values, found=found):
                raise KeyboardInterrupt

            with pytest.raises(Interrupted) as caught:
                fit(limited, small(encoder, min_constraint=least), progress=stop)
            found = limited.projector(caught.value.result[1]).sum() / limited.projections.sum()
            assert float(found) == pytest.approx(1, abs=0.15), (encoder, least)


GOOD = {
    "grid": {"num_iter": 120, "depth": 0, "learning_rate": 0.04},
    "hash": {"num_iter": 150, "depth": 1, "width": 16, "table_size": 12},
    "fourier": {"num_iter": 150, "features": 1, "bandwidth": 0.12, "width": 32},
    "siren": {"num_iter": 200, "width": 48, "depth": 2},
}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_each_encoder_beats_back_projection(encoder, limited):
    field, volume, history = fit(limited, CNSettings(encoder=encoder, **GOOD[encoder]), reg_par=0.1)
    assert limited.psnr(volume) > limited.psnr(limited.run("wbp").volume) + 3
    assert limited.correlation(volume) > 0.8
    assert history["residual"][-1] < 0.15
    assert len(history["residual"]) == len(history["loss"]) == GOOD[encoder]["num_iter"]
    middles = torch.stack(torch.meshgrid(*(torch.arange(n) for n in volume.shape), indexing="ij"), -1)
    torch.testing.assert_close(field(middles), volume, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("loss", ["l1", "huber"])
@pytest.mark.parametrize("regulariser", ["squared", "tv", "huber-tv"])
def test_losses_and_regularisers_fit_too(loss, regulariser, limited):
    settings = CNSettings(encoder="grid", **{**GOOD["grid"], "num_iter": 80}, loss=loss, regulariser=regulariser)
    _, volume, history = fit(limited, settings, reg_par=0.05)
    assert limited.psnr(volume) > limited.psnr(limited.run("wbp").volume)
    assert history["loss"][-1] < 0.5 * history["loss"][0]


def test_a_stronger_regulariser_makes_a_smoother_volume(limited):
    rough, smooth = (fit(limited, small(num_iter=60), reg_par=s)[1] for s in (0.0, 3.0))
    assert float(smooth.diff(dim=0).abs().sum()) < 0.8 * float(rough.diff(dim=0).abs().sum())


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_same_seed_gives_the_same_bits_and_leaves_torchs_generator_alone(encoder, limited):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    a = fit(limited, small(encoder))[1]
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    assert torch.equal(fit(limited, small(encoder))[1], a)
    assert not torch.equal(fit(limited, small(encoder, seed=1))[1], a)


def test_projections_and_problem_are_left_as_they_are(limited):
    problem = problem_of(limited, weights=torch.rand(25))
    before = {k: v.clone() for k, v in vars(problem).items() if isinstance(v, torch.Tensor)}
    training.train(problem, small(), 0.1, None)
    assert all(torch.equal(getattr(problem, k), v) for k, v in before.items())


def test_under_no_grad(limited):
    expected = fit(limited, small())[1]
    with torch.no_grad():
        assert torch.equal(fit(limited, small())[1], expected)


def test_the_unit_of_the_projections_does_not_matter(limited, difference):
    a = fit(limited, small(num_iter=20))[1]
    b = fit(limited, small(num_iter=20), projections=1e-4 * limited.projections)[1]
    assert difference(1e4 * b, a) < 1e-2


def test_tilts_without_weight_do_not_count(limited, difference):
    """Whatever they show."""
    weights = torch.ones(25)
    weights[3:9] = 0
    spoilt = limited.projections.clone()
    spoilt[3:9] = 17.0
    good = fit(limited, small(num_iter=20), weights=weights)[1]
    bad = fit(limited, small(num_iter=20), weights=weights, projections=spoilt)[1]
    assert difference(bad, good) < 1e-5


def test_weights_count_in_the_loss(limited):
    w = torch.rand(25)
    problem = problem_of(limited, weights=w)
    _, _, history = training.train(problem, small(num_iter=1, loss="l2", regulariser=None), 0.0, None)
    assert history["loss"][0] == pytest.approx(0.5 * (history["residual"][0] * problem.norm(problem.data)) ** 2, rel=1e-4)


def test_the_mask_holds_and_the_background_is_added(limited):
    mask = torch.zeros(16, 40)
    mask[4:12, 10:30] = 1
    _, volume, _ = fit(limited, small(), mask=mask)
    assert bool((volume[~mask.bool()[:, None].expand_as(volume)] == 0).all())
    field, volume, _ = fit(limited, small(), background=0.25)
    assert float(volume.min()) >= 0.25
    assert field.background == 0.25


def test_padding(limited):
    field, volume, _ = fit(limited, small(), pad=3)
    assert tuple(volume.shape) == (16, 12, 46)
    assert field.shape == (16, 12, 40)
    middles = torch.stack(torch.meshgrid(*(torch.arange(n) for n in field.shape), indexing="ij"), -1)
    torch.testing.assert_close(field(middles), volume[..., 3:-3], rtol=1e-5, atol=1e-5)


def test_slabs_are_trained_from_the_middle(limited):
    calls = []
    settings = small(slices=5, num_iter=10, num_iter_next=4)
    field, volume, history = fit(limited, settings, progress=lambda *call: calls.append(call))
    assert [(p.start, p.stop, p.first, p.last) for p in field.parts] == [(0, 5, 0, 5), (5, 10, 5, 10), (7, 12, 10, 12)]
    assert [c[0] for c in calls] == list(range(1, 19))
    assert {c[1] for c in calls} == {18}
    assert len(history["loss"]) == 18
    middles = torch.stack(torch.meshgrid(*(torch.arange(n) for n in field.shape), indexing="ij"), -1)
    torch.testing.assert_close(field(middles), volume, rtol=1e-4, atol=1e-4)


def test_a_network_goes_on_from_its_neighbours_weights(limited):
    """Three times the same slices: the second network begins where the first one ended, and from scratch it begins as that."""
    case = stack_of_alike_slabs(limited)
    residual = fit(case, small(slices=4, num_iter=30, num_iter_next=4))[2]["residual"]
    assert max(residual[30], residual[34]) < 1.02 * residual[29] < 0.8 * residual[0]
    residual = fit(case, small(slices=4, num_iter=5, warm_start=False))[2]["residual"]
    assert len(residual) == 15
    assert residual[:5] == pytest.approx(residual[5:10], rel=1e-4)


def stack_of_alike_slabs(limited):
    stack = torch.cat([limited.projections[:, 4:8]] * 3, 1)
    geometry = Geometry(limited.geometry.angles, (16, 12, 40), center=20.3)
    return SimpleNamespace(projector=Projector(geometry, "cpu"), projections=stack)


def test_a_slab_alone_is_the_same_as_in_a_stack(limited, difference):
    """Networks see their own slices only; scales and levels are the stack's, here that of each slab."""
    case = stack_of_alike_slabs(limited)
    one = SimpleNamespace(
        projector=Projector(case.projector.geometry.rows(0, 4), "cpu"), projections=case.projections[:, :4].clone()
    )
    settings = small(slices=4, warm_start=False, regulariser=None)
    assert difference(fit(case, settings)[1][:, 4:8], fit(one, settings)[1]) < 1e-3


def test_slices_auto_uses_two_to_four(limited):
    """25 tilts of 40 pixels: any network has weights enough for four slices."""
    field, _, _ = fit(limited, small("siren", slices="auto", num_iter=2, num_iter_next=1, width=128))
    assert [p.stop - p.start for p in field.parts] == [4, 4, 4]
    field, _, _ = fit(limited, small("siren", slices="auto", num_iter=2, num_iter_next=1))
    assert [p.stop - p.start for p in field.parts] == [2] * 6


def test_the_papers_recipe_runs(limited):
    settings = CNSettings(preset="paper", num_iter=2, num_iter_next=1)
    field, volume, history = fit(limited, settings)
    assert len(history["loss"]) == 2 + 3
    assert torch.isfinite(volume).all()
    assert field.parts[0].network.n_parameters == 264_449


def test_the_papers_outputs_are_in_parts_of_the_projections_range(limited, difference):
    """So that its rates suit its outputs; tilts without weight have no say."""
    settings = CNSettings(preset="paper", width=16, depth=1, num_iter=3, num_iter_next=2)
    weights, spoilt = torch.ones(25), limited.projections.clone()
    weights[3:9], spoilt[3:9] = 0, 1e3
    field, volume, _ = fit(limited, settings, projections=spoilt, weights=weights)
    seen = limited.projections[weights > 0]
    assert field.scale == pytest.approx(float(seen.max() - seen.min()))
    smaller = fit(limited, settings, projections=1e-4 * spoilt, weights=weights)[1]
    assert difference(1e4 * smaller, volume) < 1e-3
    drawn = CoordinateNetwork(settings, (16, 4, 40)).output.bias.detach()
    assert float(field.parts[0].network.output.bias.detach()) == pytest.approx(float(drawn), abs=0.01)


def test_clip_cuts_negative_values_off_after_the_fit(limited):
    settings = small("siren", min_constraint=None, num_iter=60)
    centred = limited.projections - limited.projections.mean()
    free, _, history = fit(limited, settings, projections=centred)
    bound, volume, same = fit(
        limited, settings.model_copy(update={"min_constraint": 0.0, "activation": "clip"}), projections=centred
    )
    assert same == history
    middles = torch.stack(torch.meshgrid(*(torch.arange(n) for n in volume.shape), indexing="ij"), -1)
    assert float(free(middles).min()) < 0 == float(volume.min())
    torch.testing.assert_close(volume, free(middles).clamp(min=0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(bound(middles), volume, rtol=1e-4, atol=1e-4)


def test_fitted_again_the_first_network_goes_on_from_its_neighbour(limited):
    case = stack_of_alike_slabs(limited)
    settings = small(slices=4, num_iter=30, num_iter_next=4, refit=True)
    residual = fit(case, settings)[2]["residual"]
    assert len(residual) == 30 + 3 * 4
    assert max(residual[30::4]) < 1.02 * residual[29]


@pytest.mark.parametrize("rate", [1e-9, 10.0])
def test_an_interruption_of_the_second_fit_keeps_the_better_one(rate, limited):
    """Neighbours that differ: the second fit begins worse than the first one ended, and at once."""
    settings = small(slices=6, num_iter=40, num_iter_next=3, refit=True, learning_rate_next=rate)
    with pytest.raises(Interrupted) as caught:
        fit(limited, settings, progress=interrupt_at(44))
    volume = caught.value.result[1]
    first = fit(limited, settings.model_copy(update={"refit": False}))[1]
    torch.testing.assert_close(volume[:, 6:], first[:, 6:], rtol=1e-5, atol=1e-5)


def test_shifts_along_y_couple_all_slices(limited):
    shifts = np.zeros((25, 2))
    shifts[3, 0] = 1.0
    geometry = Geometry(limited.geometry.angles, (16, 12, 40), shifts=shifts)
    case = SimpleNamespace(projector=Projector(geometry, "cpu"), projections=limited.projections)
    with pytest.raises(InputError, match="slices=all"):
        fit(case, small(slices=5))
    fit(case, small())
    fit(case, small(slices=12))


def test_a_rate_that_is_too_large_ends_with_one_line(limited):
    settings = small("siren", min_constraint=None, learning_rate=1e30)
    with pytest.raises(InputError, match=r"not finite in iteration \d of 5; try a learning_rate below 1e\+30") as caught:
        fit(limited, settings)
    assert "\n" not in str(caught.value)


def test_no_network_starts_from_a_volume(limited):
    with pytest.raises(InputError, match="cannot start"):
        fit(limited, small(), initial=limited.truth)


def test_nothing_at_all(limited):
    """Empty projections give an empty volume."""
    _, volume, _ = fit(limited, small(num_iter=50), projections=torch.zeros_like(limited.projections))
    assert torch.isfinite(volume).all()
    assert float(volume.abs().max()) < 0.05


def interrupt_at(when):
    def progress(iteration, total, values):
        if iteration == when:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("stop", [None, "held-out"])
def test_an_interruption_keeps_the_best(stop, limited):
    settings = small(num_iter=40, stop=stop)
    with pytest.raises(Interrupted) as caught:
        fit(limited, settings, reg_par=0.1, progress=interrupt_at(25))
    field, volume, history = caught.value.result
    assert len(history["loss"]) == 25
    problem = problem_of(limited)
    scores = history["held_out" if stop == "held-out" else "residual"]
    best = scores.index(min(scores)) if stop == "held-out" else history["loss"].index(min(history["loss"]))
    if stop is None:
        assert problem.norm(problem.A(volume) - problem.data) / problem.norm(problem.data) == pytest.approx(
            scores[best], rel=1e-3
        )
    else:
        out = np.argsort(limited.geometry.angles)[2:-1:5]
        r = (problem.A(volume) - problem.data)[torch.from_numpy(out)]
        assert float(r.norm() / problem.data[torch.from_numpy(out)].norm()) == pytest.approx(scores[best], rel=1e-3)
    middles = torch.stack(torch.meshgrid(*(torch.arange(n) for n in volume.shape), indexing="ij"), -1)
    torch.testing.assert_close(field(middles), volume, rtol=1e-4, atol=1e-4)


def test_an_interruption_as_the_fit_of_all_tilts_begins_keeps_the_one_without_some(limited):
    settings = small(num_iter=30, stop="held-out")
    with pytest.raises(Interrupted) as caught:
        fit(limited, settings, progress=interrupt_at(31))
    _, volume, history = caught.value.result
    problem = problem_of(limited)
    residual = problem.norm(problem.A(volume) - problem.data) / problem.norm(problem.data)
    assert residual < 0.5 * history["residual"][30]


def test_slabs_that_an_interruption_left_out_hold_the_background(limited):
    with pytest.raises(Interrupted) as caught:
        fit(limited, small(slices=4, num_iter_next=5), progress=interrupt_at(8), background=0.125)
    field, volume, _ = caught.value.result
    assert [(p.first, p.last) for p in field.parts] == [(0, 4), (4, 8)]
    assert bool((volume[:, 8:] == 0.125).all())
    assert float(volume[:, :4].std()) > 0
    assert float(field([[8, 10, 20]])[0]) == 0.125


def test_an_interruption_is_a_keyboard_interrupt_and_other_errors_get_out(limited):
    assert issubclass(Interrupted, KeyboardInterrupt)

    def fail(*_):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fit(limited, small(), progress=fail)


@pytest.mark.slow
def test_held_out_tilts_choose_the_iterations(limited):
    """With noise, the error of tilts that are not fitted rises again; a fit of all tilts then ends there."""
    generator = torch.Generator().manual_seed(0)
    noise = 1.0 * limited.projections.std() * torch.randn(limited.projections.shape, generator=generator)
    calls = []
    settings = CNSettings(encoder="grid", num_iter=100, stop="held-out", regulariser=None, slices=6, num_iter_next=10)
    _, volume, history = fit(
        limited, settings, projections=limited.projections + noise, progress=lambda *call: calls.append(call)
    )
    assert len(history["held_out"]) == 110
    best = int(np.argmin(history["held_out"][:100]))
    assert 0 < best < 90
    assert history["iterations"][0] == best
    assert len(history["loss"]) == 110 + sum(history["iterations"])
    iterations = [c[0] for c in calls]
    assert all(b > a for a, b in itertools.pairwise(iterations))
    assert {c[1] for c in calls} == {220}
    assert max(iterations) <= 220
    settings = settings.model_copy(update={"stop": None})
    longer = fit(limited, settings, projections=limited.projections + noise)[1]
    assert limited.psnr(volume) > limited.psnr(longer)


def test_held_out_tilts_are_neither_the_first_nor_the_last_nor_without_weight(limited):
    problem = problem_of(limited)
    w, out = held_out.split_weights(problem)
    assert torch.equal(w + out, torch.ones(25, 1, 1))
    assert out[:, 0, 0].nonzero()[:, 0].tolist() == [2, 7, 12, 17, 22]
    weights = torch.ones(25, 1, 1)
    weights[2] = 0
    w, out = held_out.split_weights(replace(problem, weights=weights))
    assert torch.equal(w + out, weights)
    assert out[:, 0, 0].nonzero()[:, 0].tolist() == [3, 8, 13, 18, 23]
    with pytest.raises(InputError, match="too few to hold some out; use stop=none"):
        fit(limited, small(stop="held-out"), weights=torch.tensor([1.0] * 4 + [0.0] * 21))


def test_reduced_precision_fits_as_well(limited):
    settings = CNSettings(encoder="fourier", precision="bfloat16", **GOOD["fourier"])
    _, volume, _ = fit(limited, settings, reg_par=0.1)
    assert limited.psnr(volume) > limited.psnr(limited.run("wbp").volume) + 2
