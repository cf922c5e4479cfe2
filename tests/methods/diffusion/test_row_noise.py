"""A row has the same random numbers, however a volume is cut into slabs."""

from __future__ import annotations

import itertools

import pytest
import torch

from tomoprior.methods.diffusion.row_noise import PURPOSES, RowNoise

CPU = torch.device("cpu")


def test_a_row_is_the_same_in_every_slab():
    whole = RowNoise(5, 0, range(40), CPU)(3, "clean", (6, 40, 9))
    for rows in (range(10), range(7, 19), range(39, 40)):
        part = RowNoise(5, 0, rows, CPU)(3, "clean", (6, len(rows), 9))
        assert torch.equal(part, whole[:, rows.start : rows.stop])


def test_rows_samples_levels_purposes_and_seeds_differ():
    shape = (4, 3, 5)
    found = [RowNoise(5, 0, range(3), CPU)(0, "clean", shape)[:, y] for y in range(3)]
    found += [RowNoise(5, 1, range(3), CPU)(0, "clean", shape)[:, 0], RowNoise(6, 0, range(3), CPU)(0, "clean", shape)[:, 0]]
    found += [RowNoise(5, 0, range(3), CPU)(1, "clean", shape)[:, 0]]
    found += [RowNoise(5, 0, range(3), CPU)(0, purpose, shape)[:, 0] for purpose in PURPOSES if purpose != "clean"]
    for a, b in itertools.combinations(found, 2):
        assert not bool((a == b).any())


@pytest.mark.parametrize("purpose", ["start", "next"])
def test_they_are_standard_normal_and_uncorrelated(purpose):
    x = RowNoise(1, 2, range(200), CPU)(4, purpose, (20, 200, 30))
    assert float(x.mean()) == pytest.approx(0, abs=0.015)
    assert float(x.var()) == pytest.approx(1, abs=0.02)
    assert float((x**4).mean()) == pytest.approx(3, abs=0.15)
    # of neighbouring rows, samples and levels
    other = RowNoise(1, 3, range(200), CPU)(4, purpose, (20, 200, 30))
    later = RowNoise(1, 2, range(200), CPU)(5, purpose, (20, 200, 30))
    for a, b in ((x[:, 1:], x[:, :-1]), (x, other), (x, later)):
        assert float((a * b).mean()) == pytest.approx(0, abs=0.015)


def test_numbers_without_rows_belong_to_the_sample():
    a, b = (RowNoise(5, 0, rows, CPU) for rows in (range(3), range(90, 99)))
    assert torch.equal(a(2, "phase", (2,)), b(2, "phase", (2,)))
    assert torch.equal(a(2, "offset", (21,)), b(2, "offset", (21,)))
    assert not torch.equal(a(2, "offset", (2,)), a(2, "phase", (2,)))
    assert not torch.equal(RowNoise(5, 1, range(3), CPU)(2, "phase", (2,)), a(2, "phase", (2,)))


def test_large_seeds_are_valid():
    a, b = (RowNoise(seed, 0, range(2), CPU)(100, "next", (2, 2, 2)) for seed in (2**31 - 1, 2**31 - 2))
    assert not bool((a == b).any())
