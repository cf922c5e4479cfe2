"""Tiles cover everything, overlap as promised, and leave no trace of their borders."""

from __future__ import annotations

import itertools

import pytest
import torch

from tomoprior.methods.diffusion.denoiser import Condition
from tomoprior.methods.diffusion.tiles import blend, starts, window
from tomoprior.methods.diffusion.tiling import OVERLAP, TiledDenoiser

PHASES = (0.0, 0.01, 0.3, 0.5, 0.77, 0.999, 1.0)


@pytest.mark.parametrize(("tile", "overlap"), [(16, 8), (16, 0), (24, 5), (96, 8)])
def test_starts_cover_everything_with_the_promised_overlap(tile, overlap):
    for length, phase in itertools.product([*range(1, 4 * tile, 3), tile, tile + 1, 2 * tile - overlap, 1000], PHASES):
        found = starts(length, tile, overlap, phase)
        if length <= tile:
            assert found == [0]
            continue
        assert found == sorted(set(found))
        assert found[0] == 0
        assert found[-1] == length - tile
        shared = [a + tile - b for a, b in itertools.pairwise(found)]
        assert min(shared) >= overlap, (length, phase, found)


def test_no_more_tiles_than_needed():
    for phase in PHASES:
        assert len(starts(100, 16, 8, phase)) == 12
        assert len(starts(128, 48, 8, phase)) == 3


def test_phases_move_the_borders():
    inner = {tuple(starts(200, 48, 8, phase)[1:-1]) for phase in (0.0, 0.25, 0.5, 0.75)}
    assert len(inner) == 4


def test_a_window_is_full_inside_and_never_zero():
    w = window(16, 4)
    assert torch.equal(w, w.flip(0))
    assert torch.equal(w[:5], torch.tensor([0.125, 0.375, 0.625, 0.875, 1.0]))
    assert float(window(16, 0).min()) > 0


@pytest.mark.parametrize("phase", [(0.0, 0.0), (0.3, 0.9), (1.0, 0.5)])
def test_predictions_that_are_right_come_out_as_they_are(phase):
    x = torch.randn((8, 37, 51), generator=torch.Generator().manual_seed(0))
    sizes = []

    def predict(boxes):
        sizes.append(len(boxes))
        return torch.stack([torch.stack([x[box], -2 * x[box]]) for box in boxes])

    found = blend(predict, (8, 37, 51), (8, 16, 24), 8, phase, batch=3)
    torch.testing.assert_close(found, torch.stack([x, -2 * x]), rtol=1e-6, atol=1e-6)
    assert max(sizes) <= 3


def test_where_tiles_disagree_they_go_over_into_each_other():
    numbers = iter(range(10))

    def predict(boxes):
        return torch.stack([torch.full((4, 16, 16), float(next(numbers))) for _ in boxes])

    found = blend(predict, (4, 16, 24), (4, 16, 16), 8)[0, 0]
    step = found.diff()
    assert float(found[0]) == 0
    assert float(found[-1]) == 1
    assert bool((step >= -1e-6).all())
    assert float(step.max()) < 0.2  # over eight voxels


class Recording(torch.nn.Module):
    """In place of the network: keeps what it was given, and gives the noisy tiles back."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, noisy, sigma, linear, depth, coverage, numbers, told):
        self.calls.append(
            {"noisy": noisy, "sigma": sigma, "linear": linear, "coverage": coverage, "told": told, "depth": depth}
        )
        return noisy


def condition(shape):
    g = torch.Generator().manual_seed(1)
    return Condition(torch.randn(shape, generator=g), torch.rand((shape[0], shape[2]), generator=g), torch.zeros(6))


@pytest.mark.parametrize("shape", [(16, 40, 21), (16, 3, 40), (16, 16, 16), (16, 1, 5), (9, 20, 7)])
def test_volumes_of_any_size_come_back_and_smaller_ones_go_on_as_mirror_images(shape):
    told = condition(shape)
    network = Recording()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    found = TiledDenoiser(network, (16, 16, 16), told)(x, 0.7, (0.4, 0.2))
    torch.testing.assert_close(found, x, rtol=1e-5, atol=1e-5)
    for call in network.calls:
        assert call["noisy"].shape[1:] == (16, 16, 16)
        assert call["coverage"].shape[1:] == (16, 16)
        assert torch.equal(call["sigma"], torch.full_like(call["sigma"], 0.7))
        assert bool((call["told"] == 1).all())
    n = shape[2]
    low = (16 - shape[0]) // 2
    high = low + shape[0]
    for call in network.calls:
        outside = call["depth"].abs() > 1
        assert outside.sum(1).tolist() == [16 - shape[0]] * len(outside)
        for name in ("noisy", "linear", "coverage"):
            assert not bool(call[name][outside].any())
            assert bool(call[name][~outside].any())
    if n < 16:
        tile = network.calls[0]["noisy"][0, low:high, 0]
        torch.testing.assert_close(tile[:, :n], x[:, 0])
        torch.testing.assert_close(tile[:, n : min(2 * n, 16)], x[:, 0].flip(1)[:, : min(n, 16 - n)])
        linear = network.calls[0]["linear"][0, low:high, 0]
        torch.testing.assert_close(linear[:, n : min(2 * n, 16)], told.linear[:, 0].flip(1)[:, : min(n, 16 - n)])


def test_a_tile_gets_the_conditions_of_its_place():
    told = condition((16, 40, 40))
    network = Recording()
    TiledDenoiser(network, (16, 16, 16), told)(told.linear, 1.0)
    for call in network.calls:
        assert torch.equal(call["noisy"], call["linear"])
    placed = {tuple(c.flatten()[:3].tolist()) for call in network.calls for c in call["coverage"]}
    assert len(placed) == len(starts(40, 16, OVERLAP))


def test_the_unconditional_prior_is_asked_for():
    network = Recording()
    TiledDenoiser(network, (16, 16, 16), condition((16, 16, 16)), told=False)(torch.zeros(16, 16, 16), 1.0)
    assert bool((network.calls[0]["told"] == 0).all())
