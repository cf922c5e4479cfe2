"""Halves of tilts and of frames: what is reconstructed, what the resolution says, and how they choose a setting."""

import numpy as np
import pytest

from tomoprior import Geometry, Projector, TiltSeries, reconstruct
from tomoprior.errors import InputError
from tomoprior.microscopy import CTF, Transfer
from tomoprior.running.half_choice import choose_by_halves
from tomoprior.running.halves import reconstruct_halves, split_tilts
from tomoprior.simulate import simulate

ANGLES = np.deg2rad(np.arange(-60, 61, 4))


@pytest.fixture(scope="module")
def simulation():
    return simulate("spheres", (16, 24, 32), ANGLES, seed=2, snr=1.0)


def test_the_tilts_are_split_by_their_order_of_angle(simulation):
    shuffled = simulation.series.select([4, 0, 2, 1, 3])
    even, odd = split_tilts(shuffled)
    assert sorted(even.views) == [0, 2, 4]
    assert sorted(odd.views) == [1, 3]
    with pytest.raises(InputError, match="3 tilts are too few"):
        split_tilts(shuffled.select([0, 1, 2]))


def test_the_mean_and_its_resolution_come_from_both_halves(simulation):
    found = reconstruct_halves(simulation.series, method="sirt", num_iter=5)
    even, odd = (reconstruct(half, "sirt", num_iter=5).volume for half in split_tilts(simulation.series))
    np.testing.assert_allclose(found.mean.volume, (even + odd) / 2, atol=1e-6)
    record = found.mean.provenance["halves"]
    assert record["half_resolution"] == pytest.approx(found.mean.voxel_size / found.correlation.resolved_frequency)
    assert record["resolution"] == found.resolution == pytest.approx(found.mean.voxel_size / found.predicted.crossing(0.5))
    assert found.local.shape == (16, 24, 32)
    assert found.local.min() >= 2 * found.mean.voxel_size - 1e-4
    assert found.sharpened.volume.shape == (16, 24, 32)


def test_noise_alone_resolves_nothing():
    geometry = Geometry(ANGLES, (16, 24, 32))
    rng = np.random.default_rng(0)
    halves = [TiltSeries(rng.standard_normal(geometry.range_shape), geometry) for _ in range(2)]
    assert reconstruct_halves(*halves, method="sirt", num_iter=3).resolution > 6
    clean = simulate("spheres", (16, 24, 32), ANGLES, seed=2).series
    assert reconstruct_halves(clean, clean, method="sirt", num_iter=3).resolution == pytest.approx(
        2 * clean.geometry.voxel_size
    )


def test_halves_of_frames_choose_the_iterations_before_the_noise_is_fitted(simulation):
    clean, truth = simulate("spheres", (16, 24, 32), ANGLES, seed=2).series, simulation.truth.volume
    rng = np.random.default_rng(1)
    std = np.sqrt(10 * clean.projections.var())  # SNR 0.1
    halves = [
        TiltSeries(clean.projections + std * rng.standard_normal(clean.projections.shape), clean.geometry) for _ in range(2)
    ]
    counts = (1, 2, 4, 8, 16, 32)
    chosen, errors = choose_by_halves(*halves, "cgls", "num_iter", counts)
    assert len(errors) == 6
    mean = TiltSeries((halves[0].projections + halves[1].projections) / 2, clean.geometry)
    by_truth = [np.mean((reconstruct(mean, "cgls", num_iter=n).volume - truth) ** 2) for n in counts]
    assert abs(counts.index(chosen) - int(np.argmin(by_truth))) <= 1


def test_halves_with_a_transfer_predict_filtered_images():
    geometry = Geometry(ANGLES, (16, 24, 32), voxel_size=8.0, unit="angstrom")
    truth = np.zeros(geometry.shape, np.float32)
    truth[6:10, 8:16, 10:20] = 1
    transfer = Transfer((24, 32), 8.0, ctf=[CTF(3e4)] * len(ANGLES))
    from tomoprior import FilteredProjector

    images = FilteredProjector(Projector(geometry, "cpu"), transfer)(truth)
    half = TiltSeries(images, geometry, transfer=transfer)
    chosen, errors = choose_by_halves(half, half, "cgls", "num_iter", (1, 20))
    assert chosen == 20
    assert errors[1] < 0.05


def test_halves_that_do_not_belong_together_are_refused(simulation):
    series = simulation.series
    with pytest.raises(InputError, match="different grids"):
        reconstruct_halves(series, series.binned(2), "sirt")
    with pytest.raises(InputError, match="same tilts"):
        choose_by_halves(*split_tilts(series), "sirt", "num_iter", (1, 2))
    with pytest.raises(InputError, match="no value"):
        choose_by_halves(series, series, "sirt", "num_iter", ())
    with pytest.raises(InputError, match="out="):
        reconstruct_halves(series, method="sirt", out="v.mrc")
