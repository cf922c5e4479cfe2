from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from tomoprior import Projector
from tomoprior.methods.diffusion.denoiser import BLIND_SIGMA, N_SERIES_NUMBERS
from tomoprior.methods.diffusion.ray_geometry import compute_padding
from tomoprior.simulate.microscope import MicroscopeSettings
from tomoprior.training.draws import Group, Specimen
from tomoprior.training.faces import Faces
from tomoprior.training.rays import MatrixProjector
from tomoprior.training.tiles import LEVELS, MIRRORS, cut_batch, cut_tile

FLIPS = list(product([False, True], repeat=3))


class Scripted:
    """In place of random numbers: the first tile that there is."""

    def integers(self, low, high):
        return low


def test_the_same_step_has_the_same_tiles_and_another_has_others(draws, blocks, settings):
    first, again, after = (cut_batch(draws, blocks, settings, step) for step in (7, 7, 8))
    for name, value in vars(first).items():
        assert torch.equal(value, getattr(again, name))
    assert not torch.equal(first.noisy, after.noisy)
    other = cut_batch(draws, blocks, settings.model_copy(update={"seed": 1}), 7)
    assert not torch.equal(first.noisy, other.noisy)


def test_a_batch_has_the_shapes_that_the_denoiser_takes(draws, blocks, settings):
    made = cut_batch(draws, blocks, settings.model_copy(update={"batch_size": 3}), 0)
    assert made.truth.shape == made.noisy.shape == made.linear.shape == made.inside.shape == (3, 16, 16, 16)
    assert made.coverage.shape == (3, 16, 16)
    assert made.numbers.shape == (3, 7)
    assert made.depth.shape == (3, 16)
    assert made.sigma.shape == made.conditioned.shape == (3,)
    assert all(v.dtype == torch.float32 for v in vars(made).values())


def test_draws_are_not_changed_by_cutting_tiles(draws, blocks, settings):
    before = [{k: v.clone() for k, v in d.to_dict().items()} for d in (*draws, *blocks)]
    for step in range(20):
        cut_batch(draws, blocks, settings, step)
    for kept, found in zip(before, (*draws, *blocks), strict=True):
        assert all(torch.equal(kept[k], v) for k, v in found.to_dict().items())


def test_conditions_are_left_out_as_often_as_set(draws, settings):
    many = settings.model_copy(update={"batch_size": 50, "drop": 0.3})
    told = torch.cat([cut_batch(draws, [], many, step).conditioned for step in range(8)])
    assert set(told.tolist()) == {0.0, 1.0}
    assert abs(float(told.mean()) - 0.7) < 0.07


def test_tiles_come_from_blocks_as_often_as_set(draws, blocks, settings):
    many = settings.model_copy(update={"batch_size": 50, "drop": 0.0, "free": 0.4})
    made = [cut_batch(draws, blocks, many, step) for step in range(8)]
    told, seen = (torch.cat([getattr(m, name) for m in made]) for name in ("conditioned", "coverage"))
    assert abs(float(told.mean()) - 0.6) < 0.07
    # without a series the coverage is zero
    assert bool((seen[told == 0] == 0).all())
    assert bool((seen[told == 1].amax((1, 2)) > 0).all())
    assert not bool(cut_batch([], blocks, many, 0).conditioned.any())


def test_noise_levels_are_those_requested_and_some_tiles_are_blind(draws, blocks, settings):
    many = settings.model_copy(update={"batch_size": 50, "blind": 0.2, "drop": 0.0, "free": 0.5, "log_sigma": (-0.6, 1.2)})
    made = [cut_batch(draws, blocks, many, step) for step in range(12)]
    sigma, told = (torch.cat([getattr(m, name) for m in made]) for name in ("sigma", "conditioned"))
    blind = sigma == BLIND_SIGMA
    assert abs(float(blind[told == 1].float().mean()) - 0.2) < 0.06
    assert not bool(blind[told == 0].any())  # without conditions either there would be nothing to go by
    log = sigma[~blind].log()
    assert abs(float(log.mean()) + 0.6) < 0.15
    assert abs(float(log.std()) - 1.2) < 0.1
    assert LEVELS[0] - 1e-6 <= float(sigma[~blind].min()) <= float(sigma[~blind].max()) <= LEVELS[1]
    for m in made[:2]:
        off = (m.noisy - m.truth) / m.sigma[:, None, None, None]
        full = m.depth.abs().amax(1) < 1
        assert abs(float(off[full].std()) - 1) < 0.02


def test_all_ways_to_mirror_occur(draws, settings):
    """Neighbouring tiles of a batch are mirrored in turn, so that an error of one orientation averages out."""
    found = set()
    for step in range(8):
        made = cut_batch(draws[:1], [], settings, step)
        truth = made.truth[0]
        for flips in FLIPS:
            rng = np.random.default_rng([settings.seed, 2**32 - 1, step])
            rng.integers(1)
            if torch.equal(cut_tile(draws[0], settings.tile_shape, rng, flips)[0], truth):
                found.add(flips)
    assert found == set(MIRRORS) == set(FLIPS)


def mirrored(group, flips):
    """What a microscope would have seen of the mirrored section: along x or z, its angles are negated."""
    (s,) = group.specimens
    sign = -1 if flips[0] != flips[2] else 1
    axes = [axis for axis in (0, 1, 2) if flips[axis]]
    p = group.projections.flip([axis + 1 for axis in (1, 2) if flips[axis]])
    height = s.truth.shape[0]
    low, high = (height - s.high, height - s.low) if flips[0] else (s.low, s.high)
    there = Specimen(s.fine.flip(axes), s.truth.flip(axes), s.inside.flip(axes), low, high)
    return Group(replace(group.geometry, angles=sign * group.geometry.angles), p, [there])


@pytest.fixture(scope="module")
def group(simulator):
    angles = np.deg2rad([-31.0, -20.0, -5.0, 4.0, 12.0, 22.0])
    return simulator.record(angles, 11.0, 16, 1, np.random.default_rng(5), MicroscopeSettings(), (0.7, 0.9))


def observed(simulator, group):
    (s,) = group.specimens
    known = Faces(s.inside, s.high - s.low, 0.7)
    (draw,) = simulator.observe(group, [known])
    return draw


@pytest.mark.parametrize("flips", FLIPS)
def test_projections_of_a_mirrored_volume_are_those_of_negated_angles_mirrored(group, flips):
    geometry = group.geometry.padded(compute_padding(group.geometry))
    there = mirrored(group, flips)
    turned = replace(geometry, angles=there.geometry.angles)
    axes = [axis for axis in (1, 2) if flips[axis]]
    for kind in (MatrixProjector, lambda g, device: Projector(g, device, "strip")):
        straight = kind(geometry, "cpu")(group.specimens[0].truth)
        found = kind(turned, "cpu")(there.specimens[0].truth)
        torch.testing.assert_close(found, straight.flip(axes), atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("flips", FLIPS)
def test_a_mirrored_tile_is_the_tile_of_the_mirrored_section(simulator, group, flips):
    draw, there = observed(simulator, group), observed(simulator, mirrored(group, flips))
    size = tuple(draw.truth.shape)
    found, wanted = (cut_tile(d, size, Scripted(), way) for d, way in ((draw, flips), (there, (False,) * 3)))
    for one, two in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, two, atol=5e-3, rtol=1e-3)
    # and the test would see it if angles were left as they are
    if flips[0] != flips[2]:
        assert not torch.allclose(found[4], draw.condition.numbers, atol=1e-2)
    if any(flips):
        assert not torch.allclose(found[1], cut_tile(draw, size, Scripted(), (False,) * 3)[1], atol=0.1)


def test_a_thin_grid_lies_in_the_middle_of_the_tile_and_nothing_outside_is_noisy(simulator, group, settings):
    draw = observed(simulator, group)
    told = draw.condition
    thin = replace(
        draw,
        truth=draw.truth[:7],
        condition=replace(told, linear=told.linear[:7], inside=told.inside[:7], coverage=told.coverage[:7]),
    )
    made = cut_batch([thin], [], settings, 0)
    inside = made.depth.abs() < 1
    assert inside.sum(1).tolist() == [7] * len(inside)
    for name in ("truth", "noisy", "linear", "inside", "coverage"):
        assert not bool(getattr(made, name)[~inside].any())
        assert bool(getattr(made, name)[inside].any())


def test_tiles_lie_where_tilts_look(simulator, draws, settings):
    """Hardly a column lies beyond those that a third of the tilts see."""
    draw = draws[0]
    nx = draw.truth.shape[2]
    low, high = draw.seen
    marked = replace(draw, truth=torch.arange(float(nx)).half().expand(draw.truth.shape))
    first = []
    for seed in range(200):
        truth, *_ = cut_tile(marked, settings.tile_shape, np.random.default_rng(seed), (False,) * 3)
        first.append(int(truth[:, 0, 0].max()))
    assert min(first) == max(0, low - 5)
    assert max(first) == min(nx, high + 5) - 16


def test_the_numbers_of_a_draw_do_not_name_it(draws, settings):
    """Each tile has numbers of its own around the draw's."""
    many = settings.model_copy(update={"batch_size": 60})
    made = cut_batch(draws[:1], [], many, 0).numbers
    assert len({tuple(row.tolist()) for row in made}) == 60
    exact = draws[0].condition.numbers
    mirrored = torch.cat([-exact[[1]], -exact[[0]], exact[2:]])
    off = torch.minimum((made - exact).abs().amax(1), (made - mirrored).abs().amax(1))
    assert 0.03 < float(off.median()) < 0.2
    assert exact.shape == (N_SERIES_NUMBERS + 3,)
