"""Draws and blocks: the same for the same seed and number, with a truth and an estimate that belong to each other."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch

from tomoprior.errors import FormatError, InputError
from tomoprior.formats.raw import RawArray
from tomoprior.methods.diffusion.denoiser import N_SERIES_NUMBERS
from tomoprior.methods.diffusion.ray_geometry import compute_padding
from tomoprior.methods.diffusion.scale import UNIT_STD
from tomoprior.simulate.microscope import MicroscopeSettings
from tomoprior.simulate.tissue import Tissue
from tomoprior.training import simulator as module
from tomoprior.training.draws import Draw
from tomoprior.training.faces import Faces
from tomoprior.training.parameters import draw_angles, draw_voxel_size
from tomoprior.training.simulator import Simulator
from tomoprior.training.tissues import check_size, tissue_spectrum

from .conftest import grey


def equal(one, two):
    return all(torch.equal(v, two.to_dict()[k]) for k, v in one.to_dict().items())


def changed(simulator, tissues=None, **values):
    settings = simulator.settings.model_copy(update=values)
    return Simulator(tissues or simulator.tissues, simulator.spectrum, settings)


def test_a_draw_is_the_same_whenever_it_is_made(simulator, draws):
    (again,) = simulator.draws(1)
    assert equal(again, draws[1])
    assert equal(changed(simulator).draws(1)[0], draws[1])
    assert not equal(draws[0], draws[1])
    assert not equal(changed(simulator, seed=1).draws(1)[0], draws[1])


def test_a_block_is_the_same_whenever_it_is_made(simulator, blocks):
    assert equal(simulator.blocks(1)[0], blocks[1])
    assert not equal(blocks[0], blocks[1])
    assert not equal(changed(simulator, seed=1).blocks(1)[0], blocks[1])


def test_a_draw_has_volumes_of_one_grid_in_half_precision(draws):
    for draw in draws:
        told = draw.condition
        assert draw.truth.dtype == told.linear.dtype == told.inside.dtype == torch.float16
        assert draw.truth.shape == told.linear.shape == told.inside.shape
        assert draw.truth.shape[0] <= 16
        assert told.coverage.shape == (draw.truth.shape[0], draw.truth.shape[2])
        assert told.numbers.shape == (7,)
        assert draw.has_series
        low, high = draw.seen
        assert 0 <= low < high <= draw.truth.shape[2]
        assert high - low >= 32  # the field of view, where the angles are as small as here


def test_a_block_has_no_series(blocks):
    for block in blocks:
        told = block.condition
        assert not block.has_series
        assert block.truth.shape[1:] == (24, 24)
        assert not bool(told.linear.any() or told.coverage.any() or told.numbers[:N_SERIES_NUMBERS].any())
        assert told.inside.shape == block.truth.shape
        assert block.seen == (0, 24)


def test_a_group_has_as_many_as_were_requested_of_one_grid(simulator):
    made = changed(simulator, group=3).draws(0)
    assert len(made) == 3
    assert len({tuple(d.truth.shape) for d in made}) == 1
    # angles and voxel size are shared, sections are not
    numbers = torch.stack([d.condition.numbers for d in made])
    shared = [0, 1, 2, N_SERIES_NUMBERS + 1]
    assert bool((numbers[:, shared] == numbers[0, shared]).all())
    assert not torch.equal(made[0].truth, made[1].truth)
    assert len(changed(simulator, group=3).blocks(0)) == 3


def test_draws_come_back_from_their_arrays(draws, blocks, settings):
    for draw in (draws[0], blocks[0]):
        again = Draw.from_dict(draw.to_dict(), settings, torch.device("cpu"))
        assert equal(again, draw)
        assert again.has_series is draw.has_series


def test_tilts_lie_within_what_was_requested(settings):
    for seed in range(200):
        found = np.rad2deg(draw_angles(settings, np.random.default_rng(seed)))
        assert 5 <= len(found) <= 9
        assert 20 - 1e-9 <= np.ptp(found) <= 60 + 1e-9
        assert np.abs(found).max() <= 30 + 1e-9


def test_of_several_volumes_each_is_drawn_by_its_size(simulator, tissue, other):
    coarse = Tissue.of(np.asarray(other.grey)[:24, :, :], 20.0)  # half the voxels, of eight times the size
    np.testing.assert_allclose(changed(simulator, [tissue, coarse])._shares, [0.2, 0.8])


def test_draws_of_several_volumes_come_from_all(simulator, tissue, other, spectrum):
    mixed, again = ([changed(simulator, [tissue, other]).blocks(i)[0] for i in range(6)] for _ in range(2))
    assert all(equal(a, b) for a, b in zip(mixed, again, strict=True))
    empty = Tissue(np.full((48, 48, 48), 255, np.uint8), 10.0, "nanometer", 255.0, 0.0)
    half = [changed(simulator, [tissue, empty]).blocks(i)[0] for i in range(12)]
    assert 2 <= sum(float(b.truth.float().std()) > 0.1 for b in half) <= 10
    joint = tissue_spectrum([tissue, other], 11.0, UNIT_STD, 0)
    np.testing.assert_allclose(joint.power[8:], spectrum.power[8:], rtol=0.3)


def test_a_volume_of_coarse_voxels_shows_no_finer_ones(simulator, tissue, other):
    """It would be shown as if its structures were smaller than they are."""
    coarse = Tissue.of(np.asarray(other.grey), 11.5)
    both = changed(simulator, [tissue, coarse])
    rng = np.random.default_rng(0)
    assert {both._choose_tissue(11.0, rng) for _ in range(50)} == {0}
    assert {both._choose_tissue(11.5, rng) for _ in range(50)} == {0, 1}
    assert {both._choose_tissue(12.0, rng) for _ in range(50)} == {0, 1}
    assert {changed(simulator, [coarse, tissue])._choose_tissue(11.0, rng) for _ in range(50)} == {1}
    sizes = {round(draw_voxel_size(both.settings, both.tissues, rng), 1) for _ in range(300)}
    assert min(sizes) == 10.0  # fine voxels are drawn all the same
    assert max(sizes) == 12.0


def test_a_volume_without_stain_is_reported(simulator):
    empty = Tissue(np.full((48, 48, 48), 255, np.uint8), 10.0, "nanometer", 255.0, 0.0)
    with pytest.raises(InputError, match=r"polarity right.* The last: the section is empty") as error:
        changed(simulator, [empty]).draws(0)
    assert "\n" not in str(error.value)


def test_a_group_at_an_empty_place_is_made_elsewhere(simulator, monkeypatch):
    ordinary, tried = Simulator.record, []

    def record(self, angles, *rest):
        tried.append(angles)
        if len(tried) == 1:
            raise ValueError("the section is empty")
        return ordinary(self, angles, *rest)

    monkeypatch.setattr(Simulator, "record", record)
    (found,) = simulator.draws(0)
    assert len(tried) == 2
    assert len(tried[0]) != len(tried[1]) or not np.allclose(*tried)
    monkeypatch.setattr(Simulator, "record", ordinary)
    assert not equal(found, simulator.draws(0)[0])


def test_series_without_contrast_are_left_out_and_of_none_others_are_made(simulator, monkeypatch):
    ordinary, seen = module.measure_mean_and_gain, []

    def measure(*values):
        mean, gain = ordinary(*values)
        seen.append(len(gain))
        gain[: len(gain) if len(seen) == 1 else 1] = math.nan
        return mean, gain

    monkeypatch.setattr(module, "measure_mean_and_gain", measure)
    assert len(changed(simulator, group=2).draws(0)) == 1
    assert seen == [2, 2]


def test_a_volume_too_small_for_the_widest_tilts_is_reported(tissue, settings):
    check_size([tissue], settings)
    small = Tissue.of(np.asarray(tissue.grey)[:16, :16, :16], 10.0)
    with pytest.raises(InputError, match="no series at 30 degrees in voxels of 12"):
        check_size([small], settings)
    check_size([small, tissue], settings)


@pytest.mark.parametrize("budget", [2**30, 0])
def test_a_file_that_goes_away_is_reported(simulator, tmp_path, monkeypatch, budget):
    monkeypatch.setattr(module.TissueBlocks.__init__, "__defaults__", (budget,))
    np.zeros((48, 48, 48), np.uint8).tofile(tmp_path / "a.raw")
    volume = RawArray(tmp_path / "a.raw", 0, (48, 48, 48), np.uint8)
    (tmp_path / "a.raw").unlink()
    with pytest.raises(FormatError, match=r"a\.raw: cannot be read") as error:
        changed(simulator, [Tissue(volume, 10.0, "nanometer", 255.0, 0.0)]).draws(0)
    assert "\n" not in str(error.value)


#: Without errors of alignment or noise to speak of.
CLEAN = MicroscopeSettings.parse({
    "angle_error": 0, "axis_error": 0, "shift_error": 0, "drift": 0, "magnification_error": 0, "saturation": 0, "blur": 0.3,
    "dose": 1e7, "read_noise": 0, "gain_error": 0, "offset_error": 0, "outliers": 0, "gamma": 1, "stain_gradient": 0,
    "roughness": 0,
})  # fmt: skip


def observed(simulator, degrees, seed=0, microscope=CLEAN, thickness=(0.999, 0.9999), num_cg=100):
    """Return a draw with exact faces, its group, and the columns of the field of view."""
    simulator = changed(simulator, num_cg=num_cg, turned=0.0)
    rng = np.random.default_rng(seed)
    group = simulator.record(np.deg2rad(degrees), 10.0, 16, 1, rng, microscope, thickness)
    (specimen,) = group.specimens
    known = Faces(specimen.inside, specimen.high - specimen.low, 0.0)
    (draw,) = simulator.observe(group, [known])
    pad = compute_padding(group.geometry)
    return draw, group, slice(pad, draw.truth.shape[2] - pad)


def test_the_estimate_is_one_of_the_truth(simulator):
    draw, _, field = observed(simulator, np.arange(-60.0, 61.0, 3.0))
    truth, linear = (v.float()[..., field] for v in (draw.truth, draw.condition.linear))
    # the truth is in the prior's units, and about zero
    assert float(truth.std()) == pytest.approx(UNIT_STD, rel=0.3)
    assert abs(float(truth.mean())) < 0.3 * UNIT_STD
    error = (linear - truth).square().mean().sqrt() / truth.std()
    assert float(error) < 0.7
    # and of no other place or direction
    for wrong in (truth.flip(0), truth.flip(1), truth.flip(2)):
        assert float((linear - wrong).square().mean().sqrt() / truth.std()) > 1.0


def test_more_tilts_give_a_better_estimate(simulator):
    errors = []
    for reach in (5.0, 25.0, 60.0):
        draw, _, field = observed(simulator, np.linspace(-reach, reach, 31))
        truth, linear = (v.float()[..., field] for v in (draw.truth, draw.condition.linear))
        errors.append(float((linear - truth).square().mean() / truth.var()))
    assert errors[0] > errors[1] + 0.1 > errors[2] + 0.2


@pytest.mark.parametrize("side", list(product((0, 1), repeat=2)))
def test_a_dense_bar_lies_where_it_is_in_the_estimate(simulator, monkeypatch, side):
    """Angles, detector and grid have one sense of direction, the geometry's: z and x both run the right way."""
    ordinary = Simulator._section

    def with_bar(self, *rest):
        cut = ordinary(self, *rest)
        nz, _, nx = cut.density.shape
        lower, left = side[0] * nz // 2, nx // 2 - 16 + side[1] * 20  # 12 of the 64 fine columns that are seen
        cut.density[lower : lower + nz // 2, :, left : left + 12] += 0.5
        return cut

    monkeypatch.setattr(Simulator, "_section", with_bar)
    draw, _, field = observed(simulator, np.arange(-45.0, 61.0, 3.0))
    for volume in (draw.truth, draw.condition.linear):
        seen = volume.float()[..., field]
        columns = [seen[..., 8 + 10 * i : 14 + 10 * i].mean((1, 2)) for i in (0, 1)]
        halves = torch.stack([c[8 * i : 8 * i + 8].mean() for i in (0, 1) for c in columns])
        assert int(halves.argmax()) == 2 * side[0] + side[1]
        assert float(halves.sort().values.diff()[-1]) > 0.3 * UNIT_STD


def test_given_faces_of_a_draw_are_those_of_its_truth(simulator):
    draw, group, field = observed(simulator, np.arange(-60.0, 61.0, 5.0), thickness=(0.5, 0.6))
    (specimen,) = group.specimens
    told = draw.condition.inside.float()[..., field]
    vacuum = draw.condition.numbers[N_SERIES_NUMBERS]
    outside = told == 0
    assert 0.3 < float(outside.float().mean()) < 0.55
    assert float((draw.truth.float()[..., field][outside] - vacuum).abs().max()) < 2e-3
    assert 8 <= specimen.high - specimen.low <= 9.6


def test_a_filled_block_shows_neither_faces_nor_gradient(simulator):
    block = simulator.filled_block(3)
    assert block.truth.shape == (16, 32, 32)
    assert bool((block.condition.inside == 1).all())
    assert float(block.condition.numbers[N_SERIES_NUMBERS + 1]) == pytest.approx(
        0.0, abs=0.01
    )  # the typical voxel is the spectrum's
    assert abs(float(block.truth.float().mean())) < 1e-2
    assert float(block.truth.float().std()) == pytest.approx(UNIT_STD, rel=0.1)
    assert equal(block, simulator.filled_block(3))
    assert not equal(block, simulator.filled_block(4))


def test_blocks_have_the_contrast_that_the_prior_expects_within_its_errors(simulator):
    made = [d for i in range(30) for d in changed(simulator, group=2).blocks(i)]
    inner = [d.truth.float()[d.condition.inside.float() > 0.99] for d in made]
    stds = np.array([float(v.std()) for v in inner if len(v) > 500])
    means = np.array([float(v.mean()) for v in inner if len(v) > 500])
    assert np.median(stds) == pytest.approx(UNIT_STD, rel=0.15)
    assert np.abs(np.mean(means)) < 0.1
    assert 0.03 < np.std(means) < 0.3
    assert len(made) == 60


def test_volumes_of_grey_values_give_the_same_draws_however_they_are_held(simulator, tmp_path):
    grey(0).tofile(tmp_path / "a.raw")
    lazy = RawArray(tmp_path / "a.raw", 0, (48, 48, 48), np.uint8)
    held = simulator.tissues[0]
    of_file = changed(simulator, [Tissue(lazy, 10.0, "nanometer", held.least, held.most)])
    assert equal(of_file.draws(1)[0], simulator.draws(1)[0])
