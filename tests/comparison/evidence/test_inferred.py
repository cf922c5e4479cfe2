"""The share of the power in directions that no tilt measured."""

from __future__ import annotations

import numpy as np
import pytest

from tomoprior import Geometry
from tomoprior.comparison.evidence.inferred import inferred_share

SHAPE = (32, 8, 32)
GEOMETRY = Geometry(np.deg2rad(np.arange(-60, 61, 5.0)), SHAPE)


def wave(along: str, periods: float = 8) -> np.ndarray:
    z, _, x = np.indices(SHAPE)
    return np.cos(2 * np.pi * periods * (x if along == "x" else z) / 32).astype(np.float32)


def test_a_wave_across_the_beam_is_measured_and_one_along_it_is_inferred():
    assert inferred_share(wave("x"), GEOMETRY) < 0.02
    assert inferred_share(wave("z"), GEOMETRY) > 0.98


def test_powers_add_up():
    # amplitudes 1 and 2 along the two directions: 1 of 5 parts, 4 of 5 parts
    assert inferred_share(2 * wave("x") + wave("z"), GEOMETRY) == pytest.approx(0.2, abs=0.01)
    assert inferred_share(wave("x") + 2 * wave("z"), GEOMETRY) == pytest.approx(0.8, abs=0.01)


def test_scale_and_offset_do_not_count():
    volume = wave("x") + wave("z")
    assert inferred_share(7 * volume + 100, GEOMETRY) == pytest.approx(inferred_share(volume, GEOMETRY), abs=1e-4)
    assert inferred_share(np.full(SHAPE, 3.0, np.float32), GEOMETRY) == 0


def test_the_jump_at_the_faces_is_not_inferred():
    """A wave along a measured direction that does not fit into the box: without a taper its jumps have power along z."""
    z, _, x = np.indices(SHAPE)
    oblique = np.cos(2 * np.pi * (6.5 * x + 1.5 * z) / 32).astype(np.float32)
    power = np.abs(np.fft.fftn(oblique - oblique.mean())) ** 2
    kz, kx = np.fft.fftfreq(32)[:, None, None], np.fft.fftfreq(32)[None, None, :]
    steep = np.broadcast_to(np.abs(kz) > np.tan(np.deg2rad(60)) * np.abs(kx) + 1e-9, SHAPE)
    without_taper = power[steep].sum() / power.sum()
    assert without_taper > 0.01
    assert inferred_share(oblique, GEOMETRY) < 0.1 * without_taper


def test_only_the_ends_of_an_axis_fade():
    """One direction in the first and last of eight slices, the other in the middle: with a fifth faded all have full weight."""
    volume = np.zeros(SHAPE, np.float32)
    volume[:, [0, 7]], volume[:, [3, 4]] = wave("x")[:, [0, 7]], wave("z")[:, [3, 4]]
    assert inferred_share(volume, GEOMETRY) == pytest.approx(0.5, abs=0.02)


def test_noise_has_the_share_of_the_wedge():
    # directions within 60 degrees of x: 2/3 of all in a plane; the corners of the square count too
    noise = np.random.default_rng(0).normal(size=(48, 16, 48)).astype(np.float32)
    geometry = Geometry(np.deg2rad(np.arange(-60, 61, 5.0)), noise.shape)
    corner = np.tan(np.deg2rad(30))  # of a square of side 2: the two triangles beside the z axis have 2 * tan(30) of 4
    assert inferred_share(noise, geometry) == pytest.approx(corner / 2, abs=0.02)


def test_the_mean_of_the_faded_volume_is_no_power():
    """A volume that varies along z alone has all of its power in the missing wedge, also if fading gives it a mean."""
    volume = np.zeros((32, 1, 1), np.float32)
    volume[12:20] = 1
    assert inferred_share(volume, Geometry(np.deg2rad([-60.0, 0.0, 60.0]), (32, 1, 1))) == pytest.approx(1)
