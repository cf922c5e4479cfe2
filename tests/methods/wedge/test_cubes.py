"""Cubes are rotated pieces of the volume, again without the wedge; the same for a step, and centred inside the mask."""

import numpy as np
import torch

from tomoprior.methods.wedge.cubes import MARGIN, Cubes
from tomoprior.methods.wedge.region import Region
from tomoprior.methods.wedge.rotations import Rotation, informative_rotations

ANGLES = np.deg2rad(np.arange(-60, 61, 3))
SIZE = 16
EDGE = SIZE + 2 * MARGIN


def cubes(inside=None, rotations=None):
    return Cubes(
        Region(ANGLES), rotations or informative_rotations(ANGLES), SIZE, torch.ones(1, 1, 1) if inside is None else inside
    )


def draw(found, volume, step=0, noise=0.0, count=4):
    return found.batch(volume, count, np.random.default_rng([5, step]), noise)


def test_a_target_is_a_rotated_piece(rng):
    volume = torch.randn(EDGE, EDGE, EDGE, generator=rng)
    batch = draw(cubes(), volume)
    middle = volume[3 * (slice(MARGIN, MARGIN + SIZE),)]
    for r, target in zip(batch.rotations, batch.target, strict=True):
        assert torch.equal(r.undo(target), middle)


def test_what_is_given_lacks_the_wedge(rng):
    """And only that: white noise keeps two thirds of its power, and the rest is the target's own."""
    volume = torch.randn(60, 60, 60, generator=rng)
    batch = draw(cubes(), volume)
    difference = batch.inputs - batch.target
    assert 0.6 < float(batch.inputs.var() / batch.target.var()) < 0.74
    assert abs(float((batch.inputs * difference).mean())) < 0.02


def test_the_same_step_gives_the_same_cubes_and_another_others(rng):
    volume = torch.randn(40, 50, 45, generator=rng)
    found = cubes()
    first, again, other = (draw(found, volume, step, noise=0.5) for step in (0, 0, 1))
    assert torch.equal(first.inputs, again.inputs)
    assert first.rotations == again.rotations
    assert not torch.equal(first.inputs, other.inputs)


def test_noise_is_that_of_back_projections(rng):
    """Its power is zero along the tilt axis, rises away from it, and adds up to the level before the wedge takes its part."""
    found = cubes(rotations=[Rotation((2, 1, 0), (0,))])
    silent = torch.zeros(EDGE, EDGE, EDGE)
    noise = torch.cat([draw(found, silent, step, noise=2.0).inputs for step in range(20)])
    assert 4 * 0.55 < float(noise.var()) < 4 * 0.8
    power = torch.fft.fftn(noise, dim=(1, 2, 3)).abs().square().mean(0)
    near, far = power[0, :, 1].mean(), power[0, :, SIZE // 2 - 1].mean()
    assert 2 < float(far / near) < 12


def test_cubes_lie_in_the_mask():
    inside = torch.zeros(60, 1, 60)
    inside[24:30, :, 30:34] = 1
    found = cubes(inside)
    z, x = torch.meshgrid(torch.arange(60.0), torch.arange(60.0), indexing="ij")
    for axis, place in enumerate((z, x)):
        volume = place[:, None, :].expand(60, 50, 60).contiguous()
        batch = draw(found, volume, count=20)
        centre = torch.stack(
            [r.undo(t)[SIZE // 2, SIZE // 2, SIZE // 2] for r, t in zip(batch.rotations, batch.target, strict=True)]
        )
        low, high = ((24, 29), (30, 33))[axis]
        assert low <= float(centre.min()) <= float(centre.max()) <= high
