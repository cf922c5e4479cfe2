"""Rotations are exact and proper; the informative ones show what the wedge hides."""

import numpy as np
import pytest
import torch

from tomoprior.methods.wedge.rotations import Rotation, cube_rotations, informative_rotations
from tomoprior.metrics import measured_region


def degrees(low, high, step=2):
    return np.deg2rad(np.arange(low, high + 1, step))


def test_there_are_24_and_all_are_proper(rng):
    found = cube_rotations()
    x = torch.randn(5, 5, 5, generator=rng)
    assert found[0] == Rotation((0, 1, 2), ())
    assert len({tuple(r(x).flatten().tolist()) for r in found}) == 24
    # the triple product of three edges is that of the rotated ones: none is mirrored
    for r in found:
        axes = torch.zeros(3, 3, 3, 3)
        for i in range(3):
            at = [1, 1, 1]
            at[i] = 2
            axes[(i, *at)] = 1
        turned = torch.stack([(r(a) == 1).nonzero()[0] - 1 for a in axes]).double()
        assert torch.linalg.det(turned) == pytest.approx(1)


def test_each_is_undone(rng):
    x = torch.randn(4, 4, 4, generator=rng)
    for r in cube_rotations():
        assert torch.equal(r.undo(r(x)), x)
        assert torch.equal(r(r.undo(x)), x)


@pytest.mark.parametrize(("low", "high", "count"), [(-60, 60, 20), (-45, 45, 20), (-50, 30, 22), (-20, 20, 20), (-5, 5, 20)])
def test_those_that_map_the_wedge_onto_itself_are_left_out(low, high, count):
    found = informative_rotations(degrees(low, high))
    assert len(found) == count
    own = [Rotation((0, 1, 2), ()), Rotation((0, 1, 2), (0, 2))]  # the identity and the half turn about the tilt axis
    assert not set(own) & set(found)


def test_a_quarter_turn_about_the_tilt_axis_shows_all_of_a_wedge_of_60_degrees():
    """A rotation shows the transform of the rotated volume in the wedge."""
    n, angles = 33, degrees(-60, 60)
    region = measured_region((n, n, n), angles, mode="wedge")
    gen = torch.Generator().manual_seed(1)
    limited = np.fft.irfftn(np.fft.rfftn(torch.randn(n, n, n, generator=gen).numpy()) * region, s=(n, n, n), axes=(0, 1, 2))
    quarter = Rotation((2, 1, 0), (0,))
    assert quarter in informative_rotations(angles)
    power = np.abs(np.fft.rfftn(quarter(torch.from_numpy(limited)).numpy())) ** 2
    assert power[~region].mean() > 0.5 * (np.abs(np.fft.rfftn(limited)) ** 2)[region].mean()
    itself = Rotation((0, 1, 2), (0, 1))  # for a range even about zero
    assert itself not in informative_rotations(angles)
    power = np.abs(np.fft.rfftn(itself(torch.from_numpy(limited)).numpy())) ** 2
    assert power[~region].sum() < 1e-9 * power.sum()


def test_nothing_is_missing_of_a_full_range():
    assert informative_rotations(degrees(-90, 90)) == []
