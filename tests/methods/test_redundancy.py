"""Full turns with the axis off the middle: every ray counts once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tomoprior
from tomoprior.methods.classical.angular import covers_full_turn
from tomoprior.methods.classical.redundancy import balance, balanced_geometry

#: x, z, standard deviation and height of Gaussian blobs: their line integrals and their values are known.
BLOBS = [(20, 5, 3, 1.0), (-24, -8, 4, 0.7), (4, 22, 3, 0.8), (-6, -20, 3, 0.9), (0, 0, 12, 0.5)]
WIDTH = 80
TURN = np.linspace(0, 2 * np.pi, 240, endpoint=False)


def measure(theta: np.ndarray, nu: int, center: float) -> np.ndarray:
    u = np.arange(nu) + 0.5 - center
    offsets = [(u - (x * np.cos(theta) - z * np.sin(theta))[:, None], s, a) for x, z, s, a in BLOBS]
    return sum(a * s * np.sqrt(2 * np.pi) * np.exp(-(d**2) / (2 * s * s)) for d, s, a in offsets)[:, None].astype(np.float32)


def truth() -> np.ndarray:
    x = np.arange(WIDTH) - (WIDTH - 1) / 2
    return sum(a * np.exp(-((x[None] - bx) ** 2 + (x[:, None] - bz) ** 2) / (2 * s * s)) for bx, bz, s, a in BLOBS)


def error(method: str, theta: np.ndarray, nu: int, center: float) -> float:
    grid = {"num_gridx": WIDTH, "num_gridy": WIDTH}
    volume = tomoprior.recon(measure(theta, nu, center), theta, center=center, algorithm=method, **grid)[0]
    return float(np.linalg.norm(volume - truth()) / np.linalg.norm(truth()))


@pytest.mark.parametrize("method", ["wbp", "fourier"])
@pytest.mark.parametrize(("nu", "center"), [(48, 8.0), (48, 40.0), (64, 24.3), (44, 4.0)])
def test_half_acquisition_is_as_good_as_a_detector_of_full_width(method: str, nu: int, center: float) -> None:
    assert error(method, TURN, nu, center) < 1.05 * error(method, TURN, WIDTH, WIDTH / 2)


@pytest.mark.parametrize("method", ["wbp", "fourier"])
def test_three_quarters_of_a_turn_are_as_good_as_half_a_turn(method: str) -> None:
    more = error(method, np.linspace(0, 1.5 * np.pi, 180, endpoint=False), WIDTH, WIDTH / 2)
    assert more < 1.05 * error(method, np.linspace(0, np.pi, 120, endpoint=False), WIDTH, WIDTH / 2)


def test_a_ray_and_its_partner_weigh_two_together() -> None:
    geometry = tomoprior.Geometry(TURN, (8, 1, 48), center=8.0)
    weighted, balanced = balance(torch.ones(geometry.range_shape), geometry)
    assert balanced.detector == (1, 80)  # 40 columns on either side of the axis
    assert balanced.center[0] == 40
    half = len(TURN) // 2
    together = weighted[:half] + weighted[half:].flip(2)  # (theta + pi, -u) is the ray (theta, u)
    torch.testing.assert_close(together, torch.full_like(together, 2.0))
    assert not weighted[:, :, :32].any()
    torch.testing.assert_close(weighted[:, :, 48:], torch.full((240, 1, 32), 2.0))  # rays without a partner


def test_slices_with_centers_of_their_own_are_balanced_one_by_one() -> None:
    geometry = tomoprior.Geometry(TURN, (8, 2, 48), center=[8.0, 12.0])
    weighted, balanced = balance(torch.ones(geometry.range_shape), geometry)
    assert balanced.center.tolist() == [40.0, 44.0]
    single, _ = balance(torch.ones(240, 1, 48), tomoprior.Geometry(TURN, (8, 1, 48), center=12.0))
    torch.testing.assert_close(weighted[:, 1, 32:80], single[:, 0, 24:72])


def test_other_geometries_are_left_alone() -> None:
    for theta, center in ((TURN, 24.0), (TURN, 24.9), (TURN[:120], 8.0), (TURN[:180], 8.0)):
        geometry = tomoprior.Geometry(theta, (8, 1, 48), center=center)
        assert balanced_geometry(geometry) is geometry
        data = torch.ones(geometry.range_shape)
        assert balance(data, geometry)[0] is data


def test_a_full_turn_has_no_missing_range() -> None:
    assert covers_full_turn(TURN)
    assert covers_full_turn(np.random.default_rng(0).random(400) * 2 * np.pi)
    assert covers_full_turn(np.append(TURN, 2 * np.pi))  # first and last tilt are the same
    assert not covers_full_turn(TURN[:200])
    assert not covers_full_turn(np.array([0.0, 1.0]))
    assert not covers_full_turn(np.linspace(0, np.pi, 90))
