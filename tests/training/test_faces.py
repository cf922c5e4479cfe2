"""Knowledge of a section's faces in a training: exact, estimated within its errors, or unknown."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tomoprior.methods.diffusion.section import compute_expected_profile
from tomoprior.training import faces
from tomoprior.training.faces import EXACT, EXPECTED, ROUGHNESS, UNKNOWN, draw_faces

NZ, PAD = 32, 6


class Scripted:
    """Random numbers; the first chooses the knowledge of the faces."""

    def __init__(self, kind, seed=0):
        self._first, self._rng = kind, np.random.default_rng(seed)

    def random(self):
        value, self._first = self._first, None
        return self._rng.random() if value is None else value

    def standard_normal(self):
        return self._rng.standard_normal()


def section(low, high, nx=20):
    profile = compute_expected_profile(NZ, low, high, 0.0, 0.0)
    inside = profile[:, None, None].expand(NZ, 4, nx).clone()
    return inside


def test_given_faces_are_the_true_ones_and_go_on_beside_the_field_of_view_as_at_its_edge():
    inside = section(5.0, 27.0)
    tilt = torch.arange(20.0) / 100
    inside = (inside + tilt).clamp(0, 1)
    found = draw_faces(inside, 5.0, 27.0, PAD, Scripted(EXACT / 2))
    assert (found.thickness, found.face_std) == (22.0, 0.0)
    assert found.inside.shape == inside.shape
    assert torch.equal(found.inside[..., PAD:-PAD], inside[..., PAD:-PAD])
    for side in (found.inside[..., :PAD], found.inside[..., -PAD:]):
        assert bool((side == side[..., :1]).all())
    assert torch.equal(found.inside[..., 0], inside[..., PAD])
    assert torch.equal(found.inside[..., -1], inside[..., -PAD - 1])
    alone = draw_faces(inside, 5.0, 27.0, 0, Scripted(EXACT / 2))
    assert torch.equal(alone.inside, inside)


def test_of_an_unknown_section_nothing_shows():
    found = [draw_faces(section(*f), *f, PAD, Scripted(EXACT + UNKNOWN / 2, seed)) for seed, f in enumerate([(2, 20), (9, 31)])]
    assert torch.equal(found[0].inside, found[1].inside)
    assert found[0].thickness == pytest.approx(EXPECTED[0] * NZ)
    assert found[0].face_std == pytest.approx(EXPECTED[1] * NZ / math.sqrt(2))
    assert found[0].inside.shape == (NZ, 1, 1)
    torch.testing.assert_close(found[0].inside, found[0].inside.flip(0), atol=1e-6, rtol=0)
    assert 0.9 < float(found[0].inside[NZ // 2]) <= 1
    assert 0.1 < float(found[0].inside[0]) < 0.9


def test_a_found_section_lies_where_it_is_within_its_errors(monkeypatch):
    """Sections of the prior thickness: the estimate is then a posterior."""
    ordinary, said = faces.compute_expected_profile, []
    monkeypatch.setattr(faces, "compute_expected_profile", lambda *values: said.append(values[1:3]) or ordinary(*values))
    rng = np.random.default_rng(0)
    inside, z2 = torch.ones(NZ, 1, 1), []
    for seed in range(500):
        thickness = NZ * (EXPECTED[0] + EXPECTED[1] * rng.standard_normal())
        centre = NZ / 2 + max((NZ - thickness) / 2, 0.05 * NZ) / math.sqrt(3) * rng.standard_normal()
        true = (centre - thickness / 2, centre + thickness / 2)
        found = draw_faces(inside, *true, 0, Scripted(EXACT + UNKNOWN + 0.1, seed))
        low, high = said[-1]
        assert high - low == pytest.approx(found.thickness)
        if found.thickness < NZ:  # no section is said to be thicker than the grid
            z2 += [((a - b) / found.face_std) ** 2 for a, b in zip((low, high), true, strict=True)]
    assert len(z2) > 600
    assert 0.8 < np.mean(z2) < 1.25


@pytest.mark.parametrize("spread", [2.0, 5.0])
def test_what_is_found_is_a_posterior(spread):
    """The mean square of the standardised error is 1 for values drawn from the prior."""
    rng = np.random.default_rng(1)
    z2, stds = [], []
    for _ in range(2000):
        value = 20 + spread * rng.standard_normal()
        mean, std = faces._estimate(value, (0.3, 6.0), 20.0, spread, rng)
        z2.append(((mean - value) / std) ** 2)
        stds.append(std)
    assert 0.88 < np.mean(z2) < 1.12
    assert min(stds) < 0.4
    assert max(stds) < spread


def test_the_profile_is_that_of_the_faces_and_their_errors():
    found = draw_faces(section(6.0, 25.0), 6.0, 25.0, PAD, Scripted(0.9, 3))
    profile = found.inside[:, 0, 0]
    assert bool(((profile >= 0) & (profile <= 1)).all())
    assert float(profile.sum()) == pytest.approx(found.thickness, abs=1.0)
    # half inside where a face is expected, over a distance of its standard deviation
    steepest = float(profile.diff().abs().max())
    std = math.hypot(math.hypot(found.face_std, ROUGHNESS), math.sqrt(1 / 12))
    assert steepest == pytest.approx(1 / (std * math.sqrt(2 * math.pi)), rel=0.15)


def test_shares_of_what_is_known_are_as_said():
    rng = np.random.default_rng(2)
    found = [draw_faces(section(4.0, 28.0), 4.0, 28.0, PAD, rng) for _ in range(600)]
    given = np.mean([f.face_std == 0 for f in found])
    unknown = np.mean([f.thickness == EXPECTED[0] * NZ for f in found])
    assert abs(given - EXACT) < 0.05
    assert abs(unknown - UNKNOWN) < 0.05
