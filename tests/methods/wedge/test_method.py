"""The method for its users: filled and kept frequencies, checkpoints, interruption, slabs, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import tomoprior
from tomoprior import Geometry, TiltSeries
from tomoprior.errors import FormatError, InputError, Interrupted, SettingsError, UnknownNameError
from tomoprior.methods.learning.optimiser import Optimiser
from tomoprior.methods.wedge import training
from tomoprior.methods.wedge.method import FilledReconstruction, Wedge
from tomoprior.methods.wedge.region import Region
from tomoprior.methods.wedge.settings import WedgeSettings
from tomoprior.methods.wedge.statement import statement
from tomoprior.metrics import evaluate
from tomoprior.testing import check_method


@pytest.fixture
def run(spheres, small):
    def call(series=spheres[0], **values):
        return tomoprior.reconstruct(series, "wedge", device="cpu", **{**small, **values})

    return call


@pytest.fixture(scope="module")
def plain(spheres, small):
    return tomoprior.reconstruct(spheres[0], "wedge", device="cpu", **small)


def test_the_method_keeps_what_every_method_promises():
    check_method("wedge", {"cube_size": 16, "width": 4, "depth": 2, "batch_size": 1, "num_iter": 1, "steps_per_round": 2})


@pytest.mark.slow
def test_it_fills_the_wedge_in():
    """The result is better than the start, most in the wedge; scale and offset are fitted."""
    made = tomoprior.simulate.simulate("spheres", (48, 48, 48), np.deg2rad(np.arange(-60, 61, 3)), seed=1)
    truth, angles = made.truth.volume, made.series.geometry.angles
    values = {"cube_size": 32, "width": 16, "depth": 2, "num_iter": 3, "steps_per_round": 70, "noise_level": 0}
    wbp, ours = (tomoprior.reconstruct(made.series, m, device="cpu", **v).volume for m, v in (("wbp", {}), ("wedge", values)))
    before, after = (evaluate(v, truth, angles=angles, match="affine") for v in (wbp, ours))
    assert after["psnr"] > before["psnr"] + 0.7
    assert after["fsc_missing_mean"] > before["fsc_missing_mean"] + 0.15
    assert after["fsc_present_mean"] > before["fsc_present_mean"] - 0.05


def test_what_was_measured_stays(run, spheres):
    """On a grid so high that nothing is cut off along z, the result differs from the start in the wedge alone."""
    series = spheres[0]
    # a high learning rate: even after few steps the network changes something
    result = run(learning_rate=1e-2)
    start = tomoprior.reconstruct(series, "wbp").volume
    change = torch.from_numpy(result.volume - start)
    assert float(change.abs().max()) > 1e-3 * float(np.abs(start).max())
    region = Region(series.geometry.angles)
    # on the requested grid a little of the change appears in the measured part
    assert region.missing_share(change) > 0.7


def test_the_whole_prediction_if_requested(run, plain):
    result = run(keep_measured=False)
    assert not np.array_equal(result.volume, plain.volume)
    assert any("keep_measured=False" in line for line in result.provenance["statement"])
    assert result.history == plain.history  # the training is the same


@pytest.mark.parametrize("factor", [1e4, 1e-4])
def test_values_stay_on_their_scale(run, plain, spheres, factor):
    series = spheres[0]
    other = run(TiltSeries(series.projections * factor, series.geometry))
    assert np.linalg.norm(other.volume / factor - plain.volume) < 2e-2 * np.linalg.norm(plain.volume)


def test_the_record(plain, small, spheres):
    record = plain.provenance
    json.dumps(dict(record))
    assert isinstance(plain, FilledReconstruction)
    assert len(plain.history["loss"]) == record["steps"] == small["num_iter"] * small["steps_per_round"]
    assert len(record["rounds"]) == small["num_iter"]
    assert record["rounds"][-1]["inferred_power"] == pytest.approx(record["inferred_power"])
    assert 0 < record["inferred_power"] < 0.5
    assert record["measured_degrees"] == pytest.approx([-60, 60])
    first = record["statement"][0]
    assert first.startswith("no tilt measured the missing wedge of 60 degrees (33 % of all directions about the tilt axis)")
    assert f"{100 * record['inferred_power']:.1f} % of the result's power" in first
    assert "trained on the same data" in first
    assert 0 < record["residual_start"] < 1
    wbp = tomoprior.reconstruct(spheres[0], "wbp").volume
    A = tomoprior.Projector(spheres[0].geometry)
    p = spheres[0].projections
    assert record["residual_start"] == pytest.approx(np.linalg.norm(A(wbp) - p) / np.linalg.norm(p), rel=1e-3)


def test_the_seed_counts(run, plain):
    assert np.array_equal(run(seed=0).volume, plain.volume)
    assert not np.array_equal(run(seed=1).volume, plain.volume)


@pytest.mark.parametrize(("power", "count"), [(0.3, 0), (0.001, 1)])
def test_a_wedge_that_stays_empty_is_reported(power, count):
    lines = statement(np.deg2rad([-60, 60]), power, trained_here=True, keep_measured=True)
    assert sum("next to nothing" in line for line in lines) == count


class Killed(Exception):
    """The cause of death of a run in these tests."""


def stopping(at, error):
    def progress(iteration, num_iter, values):
        if iteration == at:
            raise error

    return progress


@pytest.mark.parametrize("at", [4, 6, 9])
def test_an_interrupted_training_continues_to_the_same_bits(run, plain, tmp_path, at):
    path = tmp_path / "training.safetensors"
    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=str(path), progress=stopping(at, KeyboardInterrupt))
    steps = []
    result = run(checkpoint=str(path), progress=lambda i, n, values: steps.append(i))
    assert steps == list(range(at + 1, 13))
    assert np.array_equal(result.volume, plain.volume)
    assert result.history == plain.history
    again = run(checkpoint=str(path))  # nothing is left to do
    assert np.array_equal(again.volume, plain.volume)


def test_a_killed_training_continues_from_the_round_before(run, plain, tmp_path):
    path = tmp_path / "training.safetensors"
    with pytest.raises(Killed):
        run(checkpoint=str(path), progress=stopping(9, Killed))
    steps = []
    result = run(checkpoint=str(path), progress=lambda i, n, values: steps.append(i))
    assert steps == list(range(7, 13))
    assert np.array_equal(result.volume, plain.volume)


def test_a_step_cut_in_two_is_not_saved(run, plain, tmp_path, monkeypatch):
    """The state on the disk is then that of the round before, and leads to the same volume."""
    path = tmp_path / "training.safetensors"
    descend = Optimiser._descend

    def torn(self, learning_rate):
        descend(self, learning_rate)
        if self.state.step == 8:
            raise KeyboardInterrupt

    monkeypatch.setattr(Optimiser, "_descend", torn)
    with pytest.raises(Interrupted):
        run(checkpoint=str(path))
    monkeypatch.undo()
    steps = []
    result = run(checkpoint=str(path), progress=lambda i, n, values: steps.append(i))
    assert steps[0] == 7
    assert np.array_equal(result.volume, plain.volume)


@pytest.mark.parametrize(
    ("change", "named"), [({"width": 4}, "width"), ({"learning_rate": 0.01}, "learning_rate"), ({"seed": 5}, "seed")]
)
def test_a_checkpoint_of_other_settings_is_refused(run, tmp_path, change, named):
    path = tmp_path / "training.safetensors"
    run(checkpoint=str(path), num_iter=1, steps_per_round=1)
    with pytest.raises(FormatError, match=f"started with other {named}") as error:
        run(checkpoint=str(path), **{"num_iter": 1, "steps_per_round": 1, **change})
    assert "\n" not in str(error.value)


def test_a_checkpoint_of_other_data_is_refused(run, spheres, tmp_path):
    path, series = tmp_path / "training.safetensors", spheres[0]
    run(checkpoint=str(path), num_iter=1, steps_per_round=1)
    with pytest.raises(FormatError, match="started with other data"):
        run(TiltSeries(series.projections * 1.001, series.geometry), checkpoint=str(path), num_iter=1, steps_per_round=1)


def test_a_checkpoint_that_cannot_be_written_is_reported_before_any_work(run, tmp_path):
    with pytest.raises(FormatError, match="no such folder"):
        run(checkpoint=str(tmp_path / "none" / "a.safetensors"), progress=stopping(1, Killed))


def test_interrupted_after_a_round_it_gives_that_round(run, plain):
    with pytest.raises(Interrupted) as stop:
        run(progress=stopping(7, KeyboardInterrupt))
    result = stop.value.result
    assert result.provenance["interrupted"] is True
    assert len(result.provenance["rounds"]) == 1
    assert result.volume.shape == plain.volume.shape
    assert np.isfinite(result.volume).all()
    with pytest.raises(KeyboardInterrupt) as early:  # nothing was inferred yet
        run(progress=stopping(3, KeyboardInterrupt))
    assert not isinstance(early.value, Interrupted)


def test_a_trained_network_is_applied(run, plain, tmp_path):
    path = tmp_path / "network.safetensors"
    plain.network.save(path)
    result = run(network=str(path))
    np.testing.assert_allclose(result.volume, plain.volume, atol=1e-5 * np.abs(plain.volume).max())
    assert result.history == {}
    assert result.provenance["steps"] == 0
    assert "trained on another volume" in result.provenance["statement"][0]


def test_the_first_method_may_be_another(run, spheres, plain):
    result = run(start="sirt", num_iter=1, steps_per_round=1)
    assert not np.array_equal(result.volume, plain.volume)
    assert result.provenance["residual_start"] < plain.provenance["residual_start"]


def test_an_initial_volume_is_filled_in(run, spheres, plain):
    wbp = tomoprior.reconstruct(spheres[0], "wbp", filter_name="hann").volume
    result = run(initial=wbp)
    assert np.corrcoef(result.volume.ravel(), wbp.ravel())[0, 1] > 0.9
    assert not np.array_equal(result.volume, plain.volume)
    series = TiltSeries(spheres[0].projections, spheres[0].geometry, weights=np.ones(31))
    with pytest.raises(InputError, match="passes weights to the method of its start"):
        run(series, initial=wbp)


def test_tilts_without_weight_measured_nothing(run, spheres):
    series = spheres[0]
    weights = np.ones(31)
    weights[:5] = 0
    result = run(TiltSeries(series.projections, series.geometry, weights=weights))
    assert result.provenance["measured_degrees"] == pytest.approx([-40, 60])
    per_pixel = np.ones(series.projections.shape, np.float32)
    with pytest.raises(InputError, match="wbp takes one weight per tilt"):
        run(TiltSeries(series.projections, series.geometry, weights=per_pixel))


def test_a_slab_thinner_than_a_cube(run, small):
    geometry = Geometry(np.deg2rad(np.arange(-50, 51, 5)), (7, 5, 20), center=10.4)
    p = np.random.default_rng(0).random(geometry.range_shape, dtype=np.float32)
    result = run(TiltSeries(p, geometry))
    assert result.volume.shape == (7, 5, 20)
    assert np.isfinite(result.volume).all()


@pytest.mark.parametrize(
    ("degrees", "match"), [(np.arange(-90, 91, 5), "no missing wedge"), (np.array([7.0]), "more than one direction")]
)
def test_tilts_with_which_it_makes_no_sense(run, degrees, match):
    geometry = Geometry(np.deg2rad(degrees), (16, 16, 16))
    with pytest.raises(InputError, match=match):
        run(TiltSeries(np.ones(geometry.range_shape, np.float32), geometry))


def test_an_empty_volume_teaches_nothing(run, spheres):
    with pytest.raises(InputError, match="nothing to learn"):
        run(TiltSeries(np.zeros_like(spheres[0].projections), spheres[0].geometry))


@pytest.mark.parametrize(
    "values",
    [{"start": "wedge"}, {"checkpoint": "a", "network": "b"}, {"cube_size": 20}, {"cube_size": 8}, {"num_iter": 0},
     {"percentile": 50}, {"depth": 4}, {"preset": "slow"}],
)  # fmt: skip
def test_settings_that_make_no_sense(values):
    with pytest.raises(SettingsError) as error:
        WedgeSettings.parse(values)
    assert "\n" not in str(error.value)


def test_an_unknown_start(run):
    with pytest.raises(UnknownNameError, match="sirtt"):
        run(start="sirtt")


def test_presets_give_defaults_and_settings_override_them():
    full = WedgeSettings.parse({"preset": "full", "steps_per_round": "7"})
    assert (full.num_iter, full.cube_size, full.learning_rate, full.steps_per_round) == (30, 64, 4e-4, 7)
    assert [full.noise(r) > 0 for r in (9, 10)] == [False, True]


def test_a_learning_rate_that_is_too_high_is_reported(run):
    with pytest.raises(InputError, match="not finite in step"):
        run(learning_rate=1e30)


def test_slabs_share_one_network(spheres, small, tmp_path, monkeypatch):
    """The middle slab trains and the others apply its network: there is no step between two slabs."""
    series = spheres[0]
    trained, run = [], training.Training.run
    monkeypatch.setattr(training.Training, "run", lambda self: trained.append(1) or run(self))
    result = tomoprior.reconstruct(series, "wedge", out=tmp_path / "v.npy", slab=12, device="cpu", **small)
    assert result.volume.shape == series.geometry.shape
    assert len(result.provenance["slabs"]["each"]) == 3
    assert len(trained) == 1
    wbp = tomoprior.reconstruct(series, "wbp").volume
    steps = np.abs(np.diff(np.asarray(result.volume), axis=1)).mean((0, 2)) / np.abs(np.diff(wbp, axis=1)).mean((0, 2))
    assert steps.max() < 1.3 * np.median(steps)


def test_estimates_know_of_the_start_and_the_training():
    geometry = Geometry(np.deg2rad(np.arange(-60, 61, 2)), (128, 128, 128))
    method = Wedge()
    of = lambda **v: WedgeSettings.parse(v)  # noqa: E731
    assert method.cost_in_pairs(geometry, of(steps_per_round=400)) > 1.8 * method.cost_in_pairs(geometry, of())
    assert method.cost_in_pairs(geometry, of(network="a")) < 0.1 * method.cost_in_pairs(geometry, of())
    assert method.memory(geometry, of(preset="full")) > 2 * method.memory(geometry, of())
    assert method.halo(geometry, of(start="tv")) > method.halo(geometry, of()) == 24
