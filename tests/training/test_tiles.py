from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from tomoprior import Projector, TiltSeries
from tomoprior.methods.diffusion.measurement import padding
from tomoprior.training.draws import Draw, observe, simulated
from tomoprior.training.tiles import _tile, batch


class Scripted:
    """In place of random numbers: the first tile that there is, mirrored as told."""

    def __init__(self, flips):
        self.flips = flips

    def integers(self, low, high, size=None):
        return low if size is None else np.array(self.flips)


def test_the_same_step_has_the_same_tiles_and_another_has_others(draws, settings):
    first, again, after = batch(draws, settings, 7), batch(draws, settings, 7), batch(draws, settings, 8)
    for name in ("truth", "noisy", "sigma", "linear", "coverage", "numbers", "told"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert not torch.equal(first.noisy, after.noisy)
    other = batch(draws, settings.model_copy(update={"seed": 1}), 7)
    assert not torch.equal(first.noisy, other.noisy)


def test_a_batch_has_the_shapes_that_the_denoiser_takes(draws, settings):
    made = batch(draws, settings.model_copy(update={"batch": 3}), 0)
    assert made.truth.shape == made.noisy.shape == made.linear.shape == (3, 16, 16, 16)
    assert made.coverage.shape == (3, 16, 16)
    assert made.numbers.shape == (3, 6)
    assert made.depth.shape == (3, 16)
    assert made.sigma.shape == made.told.shape == (3,)
    assert all(v.dtype == torch.float32 for v in vars(made).values())


def test_draws_are_not_changed_by_cutting_tiles(draws, settings):
    before = [{k: v.clone() for k, v in d.to_dict().items()} for d in draws]
    for step in range(20):
        batch(draws, settings, step)
    for kept, found in zip(before, draws, strict=True):
        assert all(torch.equal(kept[k], v) for k, v in found.to_dict().items())


def test_conditions_are_left_out_as_often_as_told(draws, settings):
    many = settings.model_copy(update={"batch": 50, "drop": 0.3})
    told = torch.cat([batch(draws, many, step).told for step in range(8)])
    assert set(told.tolist()) == {0.0, 1.0}
    assert abs(float(told.mean()) - 0.7) < 0.07


def mirrored(made, flips):
    """What a microscope would have seen of the mirrored section: along x or z, its angles are negated."""
    p, volume, geometry = made.series.projections, made.truth.volume, made.series.geometry
    sign = -1 if flips[0] != flips[2] else 1
    turned = replace(geometry, angles=sign * geometry.angles)
    axes = [axis for axis in (0, 1, 2) if flips[axis]]
    p = np.flip(p, [axis for axis in (1, 2) if flips[axis]])
    series = TiltSeries(np.ascontiguousarray(p), turned)
    truth = replace(made.truth, volume=np.ascontiguousarray(np.flip(volume, axes)))
    return replace(made, series=series, truth=truth)


@pytest.fixture(scope="module")
def section(tissue, settings):
    return simulated(tissue, settings, np.deg2rad([-31.0, -20.0, -5.0, 4.0, 12.0, 22.0]), 11.0, 5)


@pytest.mark.parametrize("flips", list(product([False, True], repeat=3)))
def test_projections_of_a_mirrored_volume_are_those_of_negated_angles_mirrored(section, flips):
    geometry = section.series.geometry.padded(padding(section.series.geometry))
    there = mirrored(section, flips)
    volume = torch.from_numpy(section.truth.volume.copy())
    straight = Projector(geometry, "cpu")(volume)
    turned = Projector(replace(geometry, angles=there.series.geometry.angles), "cpu")(torch.from_numpy(there.truth.volume))
    axes = [axis for axis in (1, 2) if flips[axis]]
    torch.testing.assert_close(turned, straight.flip(axes), atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("flips", list(product([False, True], repeat=3)))
def test_a_mirrored_tile_is_the_tile_of_the_mirrored_section(section, spectrum, flips):
    _, truth, told = observe(section, spectrum)
    _, truth_there, told_there = observe(mirrored(section, flips), spectrum)
    size = tuple(truth.shape)
    found = _tile(Draw(truth, told), size, Scripted(flips))
    wanted = (truth_there, told_there.linear, told_there.coverage, told_there.numbers)
    for one, two in zip(found[:4], wanted, strict=True):
        torch.testing.assert_close(one, two, atol=5e-3, rtol=1e-3)
    # and the test would see it if angles were left as they are
    if flips[0] != flips[2]:
        assert not torch.allclose(found[3], told.numbers, atol=1e-2)


def test_a_thin_grid_lies_in_the_middle_of_the_tile_and_nothing_outside_is_noisy(section, spectrum, settings):
    _, truth, told = observe(section, spectrum)
    thin = Draw(truth[:7], replace(told, linear=told.linear[:7], coverage=told.coverage[:7]))
    made = batch([thin], settings, 0)
    inside = made.depth.abs() < 1
    assert inside.sum(1).tolist() == [7] * len(inside)
    for name in ("truth", "noisy", "linear", "coverage"):
        assert not bool(getattr(made, name)[~inside].any())
        assert bool(getattr(made, name)[inside].any())


def test_the_numbers_of_a_draw_do_not_name_it(draws, settings):
    """Each tile has numbers of its own around the draw's."""
    many = settings.model_copy(update={"batch": 60})
    made = batch(draws[:1], many, 0).numbers
    assert len({tuple(row.tolist()) for row in made}) == 60
    exact = draws[0].condition.numbers
    mirrored = torch.cat([-exact[[1]], -exact[[0]], exact[2:]])
    off = torch.minimum((made - exact).abs().amax(1), (made - mirrored).abs().amax(1))
    assert 0.03 < float(off.median()) < 0.2
