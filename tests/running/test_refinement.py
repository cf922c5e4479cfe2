"""Shifts refined with the method that reconstructs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

import tomoprior
from tomoprior import Geometry, TiltSeries
from tomoprior.alignment.matching import remove_gauge
from tomoprior.errors import InputError
from tomoprior.methods.base import TiltComparison
from tomoprior.methods.diffusion.settings import DiffusionSettings
from tomoprior.projector import ProjectorOptions
from tomoprior.running.refinement import refine_shifts
from tomoprior.simulate import Spheres

ANGLES = np.deg2rad(np.arange(-60, 61, 5.0))


def shifted_series(size=0.7):
    shape = (20, 20, 40)
    shifts = np.random.default_rng(1).normal(size=(25, 2)) * size
    geometry = Geometry(ANGLES, shape)
    spheres = Spheres.random((20, 14, 40), radius=(3, 5), seed=3)
    volume = np.pad(spheres.volume((20, 14, 40)), ((0, 0), (3, 3), (0, 0)))
    projections = tomoprior.Projector(replace(geometry, shifts=shifts), "cpu")(volume)
    return TiltSeries(np.asarray(projections, np.float32), geometry), shifts


@pytest.mark.parametrize(
    ("method", "values"),
    [("tv", {"reg_par": 0.05, "num_iter": 40}), ("cn", {"reg_par": 0.05, "num_iter": 40, "stop": None, "degree": 3})],
)
def test_the_shifts_of_a_series_are_refined_with_the_method(method, values):
    series, true = shifted_series()
    result = tomoprior.reconstruct(series, method, device="cpu", refine_shifts=6, **values)
    found = result.geometry.shifts
    ones = np.ones(25)
    before, after = (np.sqrt(np.mean(remove_gauge(s - true, ANGLES, ones) ** 2)) for s in (0 * true, found))
    assert after < 0.25 * before
    record = result.provenance["input"]["refined_shifts"]
    assert record["rounds"] == 6
    assert record["residuals"][-1] < 0.5 * record["residuals"][0]
    assert remove_gauge(found, ANGLES, ones) == pytest.approx(found, abs=1e-6)


def test_all_slabs_share_the_refined_shifts(tmp_path):
    series, _ = shifted_series()
    values = {"reg_par": 0.05, "num_iter": 20, "device": "cpu", "refine_shifts": 2}
    whole = tomoprior.reconstruct(series, "tv", **values)
    slabbed = tomoprior.reconstruct(series, "tv", out=tmp_path / "volume.npy", slab=10, **values)
    np.testing.assert_allclose(slabbed.geometry.shifts, whole.geometry.shifts)


@dataclass
class Placed:
    """A method whose reprojections are the images one row higher, and that keeps the uncertainties it is told."""

    told: list[tuple[float, ...]] = field(default_factory=list)

    def compare_tilts(self, projections, projector, settings, *, weights=None):
        moved = torch.from_numpy(np.roll(projections.numpy(), -1, axis=1))
        return TiltComparison(projections, moved, torch.full_like(projections, 100.0))

    def settings_for_shifts(self, settings, stds):
        self.told.append(stds)
        return settings


def test_a_tilt_without_contrast_is_uncertain():
    series, _ = shifted_series(0.0)
    images = np.array(series.projections)
    images[3] = 0.0
    method = Placed()
    refined, _ = refine_shifts(replace(series, projections=images), method, DiffusionSettings(), ProjectorOptions(), 1)
    stds = np.array(method.told[0])
    assert stds[3] == pytest.approx(1.0)  # the largest
    assert np.delete(stds, 3).max() < 0.3
    others = np.delete(refined.geometry.shifts[:, 0], 3)
    assert np.ptp(others) < 0.3  # all moved alike, and the gauge takes the common part off


def test_images_too_small_for_their_shifts_are_refused():
    series, _ = shifted_series()
    far = series.with_geometry(replace(series.geometry, shifts=np.full((25, 2), 12.0)))
    with pytest.raises(InputError, match="too small"):
        tomoprior.reconstruct(far, "sirt", num_iter=1, device="cpu", refine_shifts=1)
