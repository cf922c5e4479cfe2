"""Training on two halves of the frames: one is the input, the other the target."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

import tomoprior
from tomoprior import TiltSeries
from tomoprior.errors import InputError, ResultWarning
from tomoprior.methods.wedge import training
from tomoprior.methods.wedge.cubes import Cubes
from tomoprior.methods.wedge.region import Region
from tomoprior.methods.wedge.rotations import informative_rotations
from tomoprior.methods.wedge.state import Trained
from tomoprior.metrics import evaluate
from tomoprior.running.halves import join_halves, reconstruct_halves

ANGLES = np.deg2rad(np.arange(-60, 61, 3))


@pytest.fixture(scope="module")
def halves(spheres):
    """Two recordings of the series with independent noise, ten times as strong as the signal."""
    series, rng = spheres[0], np.random.default_rng(3)
    std = np.sqrt(10 * series.projections.var())
    images = [(series.projections + std * rng.standard_normal(series.projections.shape)).astype(np.float32) for _ in "ab"]
    return [TiltSeries(each, series.geometry) for each in images]


@pytest.fixture
def run(halves, small):
    def call(series=None, **values):
        series = join_halves(*halves) if series is None else series
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResultWarning)
            return tomoprior.reconstruct(series, "wedge", device="cpu", **{**small, "halves": True, **values})

    return call


def test_input_and_target_come_from_the_same_place_of_different_halves(rng):
    piece = torch.randn(50, 48, 52, generator=rng)
    cubes = Cubes(Region(ANGLES), informative_rotations(ANGLES), 16, torch.ones(1, 1, 1))
    batch = cubes.batch(torch.stack([5 + piece, 5 - piece]), 30, np.random.default_rng(0), 0.0)
    alike = [
        float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])
        for a, b in zip(batch.inputs, batch.target, strict=True)
    ]
    assert max(alike) < -0.7
    # either half is the target of some cubes: 5 + x has the sign of the piece, 5 - x the opposite one
    first = piece.flatten().sort().values + 5
    counts = sum(bool(torch.isclose(first, t.flatten()[0], rtol=0, atol=1e-6).any()) for t in batch.target)
    assert 5 < counts < 25


def test_the_error_of_a_half_is_that_of_the_other_halfs_measured_part(rng):
    region = Region(ANGLES)
    first, second = (region.measured(torch.randn(20, 8, 20, generator=rng)) for _ in "ab")
    assert training.measure_half_error([second.clone(), first.clone()], [first, second], region) < 1e-10
    zeros = [torch.zeros_like(first), torch.zeros_like(first)]
    assert training.measure_half_error(zeros, [first, second], region) == pytest.approx(1)
    # what is predicted in the wedge does not count
    wedge = region.keep_(torch.randn(20, 8, 20, generator=rng), "missing")
    assert training.measure_half_error([second + wedge, first + wedge], [first, second], region) < 1e-8


def test_the_round_that_predicts_the_other_half_best_gives_the_result(run, monkeypatch, tmp_path):
    errors, averages = iter([0.5, 0.3, 0.4]), []

    def error(predictions, starts, region):
        return next(errors)

    finish = training.Training._finish_round

    def finish_and_note(self):
        finish(self)
        averages.append({name: value.clone() for name, value in self.state.average.items()})

    monkeypatch.setattr(training, "measure_half_error", error)
    monkeypatch.setattr(training.Training, "_finish_round", finish_and_note)
    result = run(num_iter=3, checkpoint=str(tmp_path / "training.safetensors"))
    assert [r["half_error"] for r in result.provenance["rounds"]] == [0.5, 0.3, 0.4]
    assert all(torch.equal(value, averages[1][name]) for name, value in result.network.weights.items())
    assert not all(torch.equal(value, averages[2][name]) for name, value in result.network.weights.items())
    # the file of the training gives the same network, and the same volume
    again = run(network=str(tmp_path / "training.safetensors"))
    np.testing.assert_array_equal(again.volume, result.volume)


def test_the_result_is_the_mean_of_the_predictions_of_both_halves(run, halves, tmp_path, small):
    result = run()
    result.network.save(tmp_path / "network.safetensors")
    alone = {"halves": False, "network": str(tmp_path / "network.safetensors"), "keep_measured": False, "start": "sirt"}
    each = [run(half, **alone).volume for half in halves]
    np.testing.assert_allclose(result.volume, (each[0] + each[1]) / 2, atol=1e-5 * np.abs(result.volume).max())
    kept = run(network=str(tmp_path / "network.safetensors"), keep_measured=True).volume
    assert not np.allclose(kept, result.volume, atol=1e-2 * np.abs(kept).max())
    assert "each half of the frames from the other" in " ".join(result.provenance["statement"])


def test_an_interrupted_training_continues_to_the_same_bits(run, tmp_path):
    plain, path = run(), tmp_path / "training.safetensors"

    def stop(iteration, num_iter, values):
        if iteration == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=str(path), progress=stop)
    np.testing.assert_array_equal(run(checkpoint=str(path)).volume, plain.volume)


def test_halves_share_one_network(run, halves, small, monkeypatch):
    saved = []
    save = Trained.save
    monkeypatch.setattr(Trained, "save", lambda self, path: (saved.append(self.weights), save(self, path)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResultWarning)
        found = reconstruct_halves(*halves, method="wedge", device="cpu", **small)
    assert len(saved) == 1
    record = found.mean.provenance
    assert record["settings"]["halves"] is True
    assert record["settings"]["network"] is None
    assert len(record["rounds"]) == small["num_iter"]
    assert record["halves"]["resolution"] > 0
    assert not np.array_equal(found.first.volume, found.second.volume)
    np.testing.assert_allclose(found.mean.volume, run().volume, atol=1e-5 * np.abs(found.mean.volume).max())
    np.testing.assert_allclose(found.mean.volume, (found.first.volume + found.second.volume) / 2, atol=1e-6)


def test_series_without_two_halves_are_refused(run, halves):
    with pytest.raises(InputError, match="the series needs every tilt twice"):
        run(halves[0])
    swapped = join_halves(*halves).select(np.r_[1, 0, 2 : 2 * halves[0].geometry.n_angles])
    with pytest.raises(InputError, match="the series needs every tilt twice"):
        run(swapped)
    with pytest.raises(InputError, match="makes a start from each"):
        run(initial=np.zeros(halves[0].geometry.shape, np.float32))


def test_halves_with_other_shifts_are_refused(halves):
    geometry = replace(halves[1].geometry, shifts=np.full((halves[1].geometry.n_angles, 2), 0.5))
    with pytest.raises(InputError, match="different shifts or axes"):
        join_halves(halves[0], replace(halves[1], geometry=geometry))


@pytest.mark.slow
def test_it_learns_where_noise_drowns_a_single_volume():
    """At a signal-to-noise ratio of 0.2 the volume alone teaches the network nothing, and its halves do."""
    made = tomoprior.simulate.simulate("spheres", (48, 48, 48), ANGLES, seed=1)
    rng, images = np.random.default_rng(0), made.series.projections
    std = np.sqrt(images.var() / 0.1)
    a, b = (
        TiltSeries((images + std * rng.standard_normal(images.shape)).astype(np.float32), made.series.geometry) for _ in "ab"
    )
    whole = TiltSeries((a.projections + b.projections) / 2, made.series.geometry)
    values = {"device": "cpu", "cube_size": 32, "depth": 2, "num_iter": 4, "steps_per_round": 70}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResultWarning)
        alone = tomoprior.reconstruct(whole, "wedge", **values).volume
        ours = reconstruct_halves(a, b, method="wedge", **values).mean.volume
    before, after = (evaluate(v, made.truth.volume, angles=ANGLES, match="affine") for v in (alone, ours))
    assert after["psnr"] > before["psnr"] + 1
