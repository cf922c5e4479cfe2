"""A slab's faces from its tilts. The tilts are sums over sheared planes, without the package's projectors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from tomoprior.geometry import Geometry
from tomoprior.methods.diffusion.face_posterior import FacePosterior, find_faces
from tomoprior.methods.diffusion.slab_alignment import align_tilts
from tomoprior.methods.diffusion.spectrum import GaussianPrior, Spectrum
from tomoprior.methods.diffusion.tilt_coefficients import compute_tilt_coefficients

SHAPE = NZ, NY, NX = 24, 48, 64
SIGMA = 0.3
#: Beside the field of view on either side of x.
PAD = 40


@dataclass
class Tilts:
    projections: torch.Tensor
    geometry: Geometry
    spectrum: Spectrum

    def section(self, **values: Any) -> FacePosterior:
        p = self.projections
        noise = torch.full((len(p),), SIGMA**2)
        return find_faces(p, self.geometry, self.spectrum, **{"noise": noise, "valid": torch.ones_like(p), **values})


Make = Callable[..., Tilts]


@pytest.fixture(scope="module")
def make(spectrum: Spectrum) -> Make:
    """Tilts of a slab between two heights, over ``span`` degrees, each moved by an unknown ``(dy, dx)``."""

    def tilts(low: float, high: float, span: float = 60.0, step: float = 4.0, seed: int = 0, moved: float = 0.0) -> Tilts:
        theta = np.deg2rad(np.arange(-span / 2, span / 2 + 1e-6, step))
        rng = torch.Generator().manual_seed(seed)
        field = GaussianPrior((NZ, NY, NX + 2 * PAD), spectrum, spectrum.voxel_size, torch.device("cpu"))
        z = np.arange(NZ) + 0.5
        mask = np.clip(z - low + 0.5, 0, 1) * np.clip(high - z + 0.5, 0, 1)
        f = (field.root(torch.randn(field.inner, generator=rng)).numpy() + 1.0) * mask[:, None, None]
        p = np.empty((len(theta), NY, NX), np.float32)
        x = np.arange(NX) + 0.5 - NX / 2
        shift = moved * torch.randn(len(theta), generator=rng).numpy()
        for i, t in enumerate(theta):
            sheared = np.zeros((NY, NX))
            for k in range(NZ):
                at = (x - shift[i]) / math.cos(t) + (z[k] - NZ / 2) * math.tan(t) + PAD + NX / 2 - 0.5
                j = np.floor(at).astype(int)
                sheared += f[k][:, j] * (1 - at + j) + f[k][:, j + 1] * (at - j)
            p[i] = sheared / math.cos(t)
        noisy = torch.from_numpy(p) + SIGMA * torch.randn(p.shape, generator=rng)
        return Tilts(noisy, Geometry(theta, SHAPE, voxel_size=spectrum.voxel_size, unit="nanometer"), spectrum)

    return tilts


@pytest.fixture(scope="module")
def off(make: Make) -> Tilts:
    """Tilts of a slab above the middle of the grid."""
    return make(8.0, 22.0)


@pytest.fixture(scope="module")
def found(off: Tilts) -> FacePosterior:
    return off.section()


def test_both_faces_are_found(found: FacePosterior) -> None:
    assert found.measured
    assert abs(found.low - 8) < 2.5 * found.low_std < 3
    assert abs(found.high - 22) < 2.5 * found.high_std < 3
    assert found.thickness == pytest.approx(found.high - found.low)
    assert found.centre == pytest.approx((found.high + found.low) / 2)


def test_a_slab_below_the_middle_is_found_there(make: Make) -> None:
    section = make(2.0, 16.0, seed=1).section()
    assert section.low == pytest.approx(2, abs=1.5)
    assert section.high == pytest.approx(16, abs=1.5)


def test_negated_angles_mirror_the_section(off: Tilts, found: FacePosterior) -> None:
    mirrored = replace(off, geometry=off.geometry.flipped_hand()).section()
    assert mirrored.low == pytest.approx(NZ - found.high, abs=0.05)
    assert mirrored.thickness_std == pytest.approx(found.thickness_std, rel=0.02)


def test_the_profile_is_a_share_that_sums_to_the_thickness(found: FacePosterior) -> None:
    profile = found.profile
    assert profile.shape == (NZ,)
    assert profile.dtype == torch.float32
    assert float(profile.min()) >= 0
    assert float(profile.max()) <= 1
    assert float(profile.sum()) == pytest.approx(found.thickness, abs=0.6)
    assert float(profile[15]) > 0.95
    assert float(profile[3]) < 0.1


def test_with_too_few_tilts_the_posterior_is_the_prior(off: Tilts, make: Make) -> None:
    one = Tilts(off.projections[7:8], off.geometry.select([7]), off.spectrum).section()
    assert not one.measured
    assert one.thickness == pytest.approx(0.625 * NZ, abs=0.1)
    assert one.centre == pytest.approx(NZ / 2)
    assert one.thickness_std == pytest.approx(0.75 * NZ / math.sqrt(12), rel=0.05)
    few = make(8.0, 22.0, span=4.0, step=1.0).section()
    assert few.thickness_std > 0.5 * one.thickness_std
    assert few.centre_std > 0.5 * one.centre_std
    assert abs(few.centre - NZ / 2) < one.centre_std


def test_a_small_range_gives_a_wider_posterior(make: Make, found: FacePosterior) -> None:
    small = make(8.0, 22.0, span=20.0).section()
    assert small.thickness_std > 1.2 * found.thickness_std
    assert small.centre_std > 1.2 * found.centre_std


def test_the_prior_of_the_thickness_counts(off: Tilts, found: FacePosterior) -> None:
    known = off.section(thickness=14.0, thickness_std=0.3)
    assert known.thickness == pytest.approx(14, abs=0.3)
    assert known.thickness_std < 0.35 < found.thickness_std
    wrong = off.section(thickness=4.0, thickness_std=0.1)  # below the least share, and against the tilts
    assert wrong.thickness == pytest.approx(4, abs=0.5)
    assert math.isfinite(wrong.low_std)


def test_a_spoilt_tilt_of_little_weight_is_ignored(off: Tilts, found: FacePosterior) -> None:
    spoilt = off.projections.clone()
    spoilt[4] = 10 * torch.randn(NY, NX, generator=torch.Generator().manual_seed(3))
    trust = torch.ones(len(spoilt))
    trust[4] = 0.2
    section = replace(off, projections=spoilt).section(tilt_weights=trust)
    assert section.low == pytest.approx(found.low, abs=0.3)
    assert section.high == pytest.approx(found.high, abs=0.3)


def test_invalid_rays_are_not_used(off: Tilts, found: FacePosterior) -> None:
    broken, valid = off.projections.clone(), torch.ones_like(off.projections)
    broken[..., :6] = float("nan")
    valid[..., :6] = 0
    section = replace(off, projections=broken).section(valid=valid)
    assert section.low == pytest.approx(found.low, abs=1.5)
    assert section.high == pytest.approx(found.high, abs=1.5)


def test_contrast_and_brightness_have_no_influence(off: Tilts, found: FacePosterior) -> None:
    other = replace(off, projections=3 * off.projections + 5).section(noise=torch.full((16,), 9 * SIGMA**2))
    assert other.low == pytest.approx(found.low, abs=1e-3)
    assert other.thickness_std == pytest.approx(found.thickness_std, rel=1e-3)


def test_shifts_of_the_geometry_are_undone(off: Tilts, found: FacePosterior) -> None:
    moved = torch.stack([tilt.roll((i % 3 - 1, i % 5 - 2), (0, 1)) for i, tilt in enumerate(off.projections)])
    shifts = [(i % 3 - 1, i % 5 - 2) for i in range(len(moved))]
    geometry = Geometry(off.geometry.angles, SHAPE, shifts=shifts, voxel_size=off.geometry.voxel_size, unit="nanometer")
    section = replace(off, projections=moved, geometry=geometry).section()
    assert section.low == pytest.approx(found.low, abs=0.6)
    assert section.high == pytest.approx(found.high, abs=0.6)


def test_remaining_shifts_are_found(make: Make) -> None:
    tilts = make(6.0, 20.0, moved=0.3, seed=5)
    p, g = tilts.projections, tilts.geometry
    compared = compute_tilt_coefficients(p, g, torch.full((len(p),), SIGMA**2), torch.ones_like(p), None)
    assert compared is not None
    _, size = align_tilts(compared, tilts.spectrum, g.voxel_size, 14.0, 1.0)
    assert size == pytest.approx(0.3, rel=0.35)
    section = tilts.section()
    assert abs(section.low - 6) < 2.5 * section.low_std
    assert abs(section.high - 20) < 2.5 * section.high_std


def test_a_slab_thicker_than_the_grid_fills_it(make: Make) -> None:
    section = make(-4.0, NZ + 4.0, seed=2).section()
    assert section.low < 1.2
    assert section.high > NZ - 1.2
    assert float(section.profile[3:-3].min()) > 0.9
