from __future__ import annotations

import csv
import math
import os
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from tomoprior.errors import FormatError, InputError, Interrupted, OutputExistsError, SettingsError, TomopriorError
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.methods.diffusion.tiling import TiledDenoiser
from tomoprior.simulate.tissue import Tissue
from tomoprior.training import TrainingSettings, calibration
from tomoprior.training import train as call
from tomoprior.training.log import COLUMNS
from tomoprior.training.optimiser import Training
from tomoprior.training.simulator import Simulator

from .conftest import TINY, grey, same, weights


def rows(path, *left_out):
    """The log, without columns that time is in."""
    with open(path, newline="") as file:
        return [{k: v for k, v in row.items() if k not in left_out} for row in csv.DictReader(file)]


def test_a_prior_is_written_with_its_log_and_its_card(train, tissue, other, tmp_path):
    shown = []
    out = tmp_path / "p.safetensors"
    train(
        out, validation=other, steps=6, progress=lambda *step: shown.append(step),
        card={"name": "noise", "licence": "CC0-1.0", "attribution": "nobody"},
    )  # fmt: skip
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.csv", "p.safetensors"]
    prior = Prior.load(out)
    card = prior.card
    assert (card["name"], card["licence"], card["attribution"]) == ("noise", "CC0-1.0", "nobody")
    assert (card["steps"], card["tiles"], card["threads"]) == (6, 6, torch.get_num_threads())
    assert (card["draws"], card["device"]) == (1, "cpu")
    assert card["settings"]["widths"] == [16, 16]
    assert [row["range"] for row in card["validation"]] == [20, 60]
    assert all(math.isfinite(row["psnr"]) and math.isfinite(row["linear_psnr"]) for row in card["validation"])
    assert (prior.tile, prior.voxel_sizes, prior.unit, prior.ranges) == ((16, 16, 16), (10, 12), "nanometer", (20, 60))
    log = rows(out.with_suffix(".csv"))
    assert tuple(log[0]) == COLUMNS
    assert all(math.isfinite(float(value)) for row in log for value in row.values())
    assert card["gain_over_linear"].keys() == {"0.2", "0.4", "0.8", "1.6"}
    assert [int(row["step"]) for row in log] == [1, 2, 3, 4, 5, 6]
    assert float(log[-1]["learning_rate"]) == pytest.approx(TrainingSettings().learning_rate_end)
    mean = np.mean([row["psnr"] for row in card["validation"]])
    assert float(log[-1]["validation_psnr"]) == pytest.approx(mean)
    assert [step[:2] for step in shown] == [(100 * i // 6, 100) for i in range(1, 7)]
    assert shown[-1][2]["validation_psnr"] == pytest.approx(mean)


def test_a_prior_that_was_loaded_denoises_as_the_one_that_was_trained(train, draws, tmp_path):
    made = train(tmp_path / "p.safetensors", steps=4)
    loaded = Prior.load(tmp_path / "p.safetensors")
    known = draws[0].condition
    told = replace(known, linear=known.linear.float(), inside=known.inside.float(), coverage=known.coverage.float())
    noisy = told.linear + torch.randn(told.linear.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        first, second = (TiledDenoiser(p.denoiser, p.tile, told)(noisy, 1.0) for p in (made, loaded))
    assert first.shape == noisy.shape
    torch.testing.assert_close(second, first, atol=2e-3, rtol=1e-2)
    error, before = ((v - draws[0].truth.float()).square().mean() for v in (first, noisy))
    assert error < 0.7 * before


def test_a_training_that_was_interrupted_is_the_one_that_was_not(train, tissue, other, tmp_path):
    stops = (1, 4, 5, 9)
    for name in "ab":
        (tmp_path / name).mkdir()
    train(tmp_path / "a/p.safetensors", steps=10, validation=other)
    done = 0
    left = list(stops)

    def progress(*_):
        nonlocal done
        done += 1
        if left and done == left[0]:
            left.pop(0)
            raise KeyboardInterrupt

    out = tmp_path / "b/p.safetensors"
    for _ in stops:
        with pytest.raises(Interrupted) as stop:
            train(out, steps=10, validation=other, progress=progress)
        assert stop.value.result == out.with_suffix(".state.safetensors")
        assert not out.exists()
    train(out, steps=10, validation=other, progress=progress)
    assert done == 10
    assert same(weights(tmp_path / "a/p.safetensors"), weights(out))
    assert rows(tmp_path / "a/p.csv", "minutes") == rows(tmp_path / "b/p.csv", "minutes")
    assert sorted(p.name for p in out.parent.iterdir()) == ["p.csv", "p.safetensors"]


@pytest.fixture
def quick_calibration(monkeypatch):
    """Two ranges with one series and two samples each."""
    monkeypatch.setattr(calibration, "SERIES", ((30, 10), (60, 20)))
    monkeypatch.setattr(calibration, "REPEATS", 1)
    monkeypatch.setattr(calibration, "SAMPLES", 2)


@pytest.mark.slow
@pytest.mark.parametrize("by_signal", [True, False])
def test_a_training_interrupted_while_it_calibrates_continues(train, other, tmp_path, quick_calibration, by_signal):
    out, said = tmp_path / "p.safetensors", []

    def report(what):
        said.append(what)
        if len(said) in (1, 3):
            if not by_signal:
                raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGINT)

    options = {"steps": 2, "validation": other, "calibration": True, "report": report}
    for _ in range(2):
        with pytest.raises(Interrupted) as stop:
            train(out, **options)
        assert stop.value.result == out.with_suffix(".state.safetensors")
        assert not out.exists()
    steps = []
    prior = train(out, progress=lambda *step: steps.append(step), **options)
    names = ["errors of the denoiser", "spread at 30 degrees, series 1 of 1", "spread at 60 degrees, series 1 of 1"]
    # a measurement in progress ends before the training stops on a signal; the callback's own interruption loses it
    assert said == (names if by_signal else [names[0], *names[:2], *names[1:]])
    assert steps == []
    assert not out.with_suffix(".state.safetensors").exists()
    whole = calibration.calibrate(train(tmp_path / "q.safetensors", steps=2, validation=other), other, settings_of(2))
    assert (prior.errors, prior.calibration) == (whole.errors, whole.calibration)
    assert Prior.load(out).calibration == prior.calibration


@pytest.mark.slow
def test_measurements_on_another_volume_are_not_used(train, other, tmp_path, quick_calibration):
    out, said = tmp_path / "p.safetensors", []

    def stopping_report(what):
        if "60" in what:
            raise KeyboardInterrupt

    options = {"steps": 2, "calibration": True}
    with pytest.raises(Interrupted):
        train(out, validation=other, report=stopping_report, **options)
    train(out, validation=Tissue.of(grey(7), 10.0), report=said.append, **options)
    assert len(said) == 3


def settings_of(steps):
    return TrainingSettings.parse(TINY | {"steps": steps})


def test_a_training_that_failed_continues_from_the_last_state(train, module, tmp_path, monkeypatch):
    whole = train(tmp_path / "a.safetensors", steps=8)
    monkeypatch.setattr(module, "SAVE_EVERY", -1.0)
    out = tmp_path / "b.safetensors"

    def progress(percent, *_):
        if percent >= 60:
            raise RuntimeError("from the callback")

    with pytest.raises(RuntimeError, match="from the callback"):
        train(out, steps=8, progress=progress)
    assert out.with_suffix(".state.safetensors").exists()
    assert not out.with_suffix(".lock").exists()
    seen = []
    again = train(out, steps=8, progress=lambda percent, *_: seen.append(percent))
    assert len(seen) == 4  # the fifth step was not saved
    assert same(whole.denoiser.state_dict(), again.denoiser.state_dict())


def test_a_stop_in_the_middle_of_a_group_of_draws_is_kept_too(train, tmp_path, monkeypatch):
    whole = train(tmp_path / "a.safetensors", steps=6, reuse=1)
    ordinary, made = Simulator.draws, []

    def draws(self, number):
        made.append(number)
        os.kill(os.getpid(), signal.SIGTERM)
        return ordinary(self, number)

    out = tmp_path / "b.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(Simulator, "draws", draws)
        for _ in range(3):  # each time at the next group, a step of which is done
            with pytest.raises(Interrupted):
                train(out, steps=6, reuse=1)
    assert made == [0, 1, 2]
    again = train(out, steps=6, reuse=1)
    assert same(whole.denoiser.state_dict(), again.denoiser.state_dict())


def test_signals_stop_it_between_steps_and_are_given_back(train, tmp_path):
    inherited = signal.signal(signal.SIGHUP, signal.default_int_handler)  # it may be ignored, as under nohup
    try:
        before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            with pytest.raises(Interrupted):
                train(tmp_path / "p.safetensors", steps=9, progress=lambda *_, s=s: os.kill(os.getpid(), s))
        assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
    finally:
        signal.signal(signal.SIGHUP, inherited)
    assert train(tmp_path / "p.safetensors", steps=9).card["steps"] == 9


def test_it_trains_in_a_thread(train, tmp_path):
    made = []
    thread = threading.Thread(target=lambda: made.append(train(tmp_path / "p.safetensors", steps=2)))
    thread.start()
    thread.join()
    assert made[0].card["steps"] == 2


@pytest.mark.parametrize("seconds", [1.7, 7.3, 21.0])
def test_the_rate_ends_when_the_time_is_over_whatever_the_speed(train, tmp_path, monkeypatch, seconds):
    now = [100.0]
    used = []
    ordinary = Training.learning_rate
    monkeypatch.setattr(Training, "learning_rate", lambda self, share, step: used.append(share) or ordinary(self, share, step))

    def progress(*_):
        now[0] += seconds

    out = tmp_path / "p.safetensors"
    made = train(out, minutes=1.0, validate_every=0.25, warm_up=0, clock=lambda: now[0], progress=progress)
    assert made.card["steps"] == math.ceil(60 / seconds) + 1
    assert made.card["minutes"] == pytest.approx(math.ceil(60 / seconds) * seconds / 60, abs=0.06)
    log = rows(out.with_suffix(".csv"))
    assert float(log[-1]["learning_rate"]) == pytest.approx(TrainingSettings().learning_rate_end)
    assert len(log) == 4 if seconds < 15 else len(log) == 3
    # the last step itself was taken within a step of the end
    steps = sorted({s for s in used if s < 1})
    assert steps[-1] >= 1 - seconds / 60 - 1e-9


def test_time_that_went_by_before_an_interruption_counts(train, tmp_path):
    now = [0.0]

    def progress(*_):
        now[0] += 10.0
        if now[0] == 40.0:
            raise KeyboardInterrupt

    out = tmp_path / "p.safetensors"
    options = {"minutes": 1.0, "clock": lambda: now[0], "progress": progress}
    with pytest.raises(Interrupted):
        train(out, **options)
    now[0] = 1000.0  # what lay between does not
    made = train(out, **options)
    assert made.card["steps"] == 4 + 4
    assert made.card["minutes"] == 1.0


def test_so_many_steps_are_so_many_at_any_speed(train, tmp_path):
    now = [0.0]

    def clock():
        now[0] += 1e6
        return now[0]

    slow = train(tmp_path / "a.safetensors", steps=4, clock=clock)
    fast = train(tmp_path / "b.safetensors", steps=4)
    assert slow.card["steps"] == fast.card["steps"] == 4
    assert same(slow.denoiser.state_dict(), fast.denoiser.state_dict())


def test_validation_changes_nothing_but_the_log(train, other, tmp_path):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    judged = train(tmp_path / "a.safetensors", steps=5, validation=other)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    alone = train(tmp_path / "b.safetensors", steps=5)
    assert same(judged.denoiser.state_dict(), alone.denoiser.state_dict())
    left_out = ("minutes", *COLUMNS[4:])
    assert rows(tmp_path / "a.csv", *left_out) == rows(tmp_path / "b.csv", *left_out)
    assert {row["validation_psnr"] for row in rows(tmp_path / "b.csv")} == {"nan"}


def test_one_volume_in_a_list_is_one_volume(train, tissue, tmp_path):
    alone = train(tmp_path / "a.safetensors", steps=3)
    listed = train(tmp_path / "b.safetensors", [tissue], steps=3)
    assert same(alone.denoiser.state_dict(), listed.denoiser.state_dict())


def test_several_volumes_are_trained_on_and_known_again(train, tissue, other, tmp_path):
    third = Tissue.of(grey(2), 10.0)
    out = tmp_path / "p.safetensors"
    mixed = train(tmp_path / "a.safetensors", [tissue, other], steps=6, validation=third)
    assert not same(mixed.denoiser.state_dict(), train(tmp_path / "b.safetensors", steps=6).denoiser.state_dict())

    def progress(percent, *_):
        if percent == 50:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        train(out, [tissue, other], steps=6, progress=progress)
    for wrong in (tissue, [other, tissue], [tissue, third]):
        with pytest.raises(FormatError, match="started with other tissue"):
            train(out, wrong, steps=6)
    again = train(out, [tissue, other], steps=6)
    assert same(mixed.denoiser.state_dict(), again.denoiser.state_dict())


def interrupted(train, out, **options):
    def progress(*_):
        raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        train(out, progress=progress, **options)
    return out.with_suffix(".state.safetensors")


def test_another_training_does_not_go_on_from_a_state(train, tmp_path):
    out = tmp_path / "p.safetensors"
    state = interrupted(train, out, steps=5)
    before = state.read_bytes()
    with pytest.raises(FormatError, match="started with other learning_rate, steps;"):
        train(out, steps=6, learning_rate=2e-3)
    assert state.read_bytes() == before
    assert train(out, steps=5).card["steps"] == 5


def test_a_broken_state_is_reported_and_kept(train, tmp_path):
    out = tmp_path / "p.safetensors"
    state = interrupted(train, out, steps=5)
    state.write_bytes(state.read_bytes()[:-100])
    with pytest.raises(FormatError, match="not the state of a training"):
        train(out, steps=5)
    assert state.exists()
    assert not out.with_suffix(".lock").exists()
    state.unlink()
    assert train(out, steps=5, overwrite=True).card["steps"] == 5


def test_a_training_that_was_over_only_writes(train, module, tmp_path, monkeypatch):
    out = tmp_path / "p.safetensors"
    whole = train(tmp_path / "a.safetensors", steps=4)
    ordinary = Prior.save

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Prior, "save", full)
    with pytest.raises(FormatError, match=r"p\.safetensors: cannot be written \(No space left on device\)"):
        train(out, steps=4)
    monkeypatch.setattr(Prior, "save", ordinary)
    monkeypatch.setattr(module, "Simulator", None)
    assert same(train(out, steps=4).denoiser.state_dict(), whole.denoiser.state_dict())


def test_what_is_wrong_is_reported_before_any_work(train, module, tissue, other, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "Simulator", None)
    out = tmp_path / "p.safetensors"
    in_pixels = Tissue.of(grey(3), 10.0, "pixel")
    coarse = Tissue.of(grey(3), 13.0)
    wrong = [
        (InputError, "no tissue", {"of": []}),
        (InputError, "one unit, not nanometer and pixel", {"of": [tissue, in_pixels]}),
        (InputError, "one unit", {"validation": in_pixels}),
        (InputError, "voxels of 13 nanometer", {"of": coarse}),
        (InputError, "one of those trained on", {"of": [tissue, other], "validation": other}),
        (InputError, "the card takes", {"card": {"data": {1, 2}}}),
        (InputError, "no series at 70 degrees", {"ranges": (20, 140), "field": (96, 96)}),
        (InputError, "the volume for validation", {"validation": Tissue.of(grey(4, 12), 10.0)}),
        (SettingsError, "did you mean steps", {"step": 3}),
        (SettingsError, "give one", {"settings": TrainingSettings(), "steps": 3}),
    ]
    for kind, message, options in wrong:
        with pytest.raises(kind, match=message) as error:
            train(out, **options) if "settings" not in options else call(tissue, out, **options)
        assert "\n" not in str(error.value)
        assert list(tmp_path.iterdir()) == []
    out.write_text("precious")
    with pytest.raises(OutputExistsError):
        train(out)
    assert out.read_text() == "precious"


def test_an_error_of_the_simulation_reaches_the_caller(train, tmp_path, monkeypatch):
    def failing(self, number):
        raise TomopriorError("20 places in a row show no tissue")

    monkeypatch.setattr(Simulator, "draws", failing)
    with pytest.raises(TomopriorError, match="20 places"):
        train(tmp_path / "p.safetensors", steps=2)
    assert list(tmp_path.iterdir()) == []


def test_losses_and_draws_do_not_pile_up(train, module, tmp_path, monkeypatch):
    kept = []
    ordinary = module.Training

    class Watched(ordinary):
        def validate(self, share):
            super().validate(share)
            kept.append((len(self.state.losses), len(self.state.draws), len(self.state.blocks)))

    monkeypatch.setattr(module, "Training", Watched)
    train(tmp_path / "p.safetensors", steps=30, reuse=1)
    losses, draws, blocks = (max(column) for column in zip(*kept, strict=True))
    assert losses <= 2
    assert draws == blocks == TINY["keep"]


def test_it_continues_from_the_weights_of_another_prior(train, tissue, tmp_path):
    first = train(tmp_path / "a.safetensors", steps=4)
    still = train(tmp_path / "b.safetensors", start=first, steps=1, learning_rate=1e-9, learning_rate_end=1e-9)
    for one, two in zip(first.denoiser.state_dict().values(), still.denoiser.state_dict().values(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-6)
    with pytest.raises(InputError, match="another network"):
        train(tmp_path / "c.safetensors", start=first, steps=1, widths=(16, 32))


def test_a_state_is_not_continued_from_with_another_start(train, tmp_path):
    first, second = (train(tmp_path / f"{name}.safetensors", steps=2, seed=seed) for seed, name in enumerate("ab"))
    with pytest.raises(Interrupted):
        train(tmp_path / "c.safetensors", start=first, steps=5, progress=stopping(2))
    with pytest.raises(FormatError, match="other start"):
        train(tmp_path / "c.safetensors", start=second, steps=5)


def test_the_prior_that_is_continued_from_is_not_changed(train, tmp_path):
    first = train(tmp_path / "a.safetensors", steps=2)
    before = {k: v.clone() for k, v in first.denoiser.state_dict().items()}
    train(tmp_path / "b.safetensors", start=first, steps=3)
    assert same(before, first.denoiser.state_dict())


def test_a_snapshot_is_a_prior_as_it_stands(train, module, tmp_path, monkeypatch, other):
    monkeypatch.setattr(module, "SAVE_EVERY", -1.0)
    (tmp_path / "elsewhere").mkdir()
    snapshot = tmp_path / "elsewhere/s.safetensors"
    seen = []

    def progress(percent, *_):
        if snapshot.exists():
            found = Prior.load(snapshot)
            seen.append((found.card["steps"], found.card["validation"]))

    prior = train(
        tmp_path / "p.safetensors", steps=4, snapshot=snapshot, progress=progress, validation=other, card={"name": "n"}
    )
    assert seen == [(1, []), (2, []), (3, [])]
    last = Prior.load(snapshot)
    assert (last.card["steps"], last.card["name"]) == (4, "n")
    assert (last.tile, last.voxel_sizes, last.ranges) == (prior.tile, prior.voxel_sizes, prior.ranges)
    assert same(last.denoiser.state_dict(), Prior.load(tmp_path / "p.safetensors").denoiser.state_dict())
    assert {p.name for p in tmp_path.rglob("*")} == {"elsewhere", "s.safetensors", "p.safetensors", "p.csv"}


def test_a_snapshot_that_could_not_be_written_is_reported_before_any_work(train, tmp_path):
    out = tmp_path / "p.safetensors"
    with pytest.raises(FormatError, match="no such folder"):
        train(out, steps=2, snapshot=tmp_path / "none/s.safetensors")
    with pytest.raises(InputError, match="overwrite=True"):
        train(out, steps=2, snapshot=out)
    assert list(tmp_path.iterdir()) == []
    train(out, steps=2, snapshot=out, overwrite=True)
    assert Prior.load(out).card["steps"] == 2


def test_a_training_that_was_interrupted_leaves_a_snapshot(train, tmp_path):
    snapshot = tmp_path / "s.safetensors"
    with pytest.raises(Interrupted):
        train(tmp_path / "p.safetensors", steps=5, snapshot=snapshot, progress=stopping(2))
    assert Prior.load(snapshot).card["steps"] == 2


def test_a_device_that_is_not_there_is_reported_before_any_work(train, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(TomopriorError, match="no GPU"):
        train(tmp_path / "p.safetensors", steps=2, device="cuda")
    assert list(tmp_path.iterdir()) == []


def test_several_series_at_a_time_are_trained_on(train, tmp_path):
    prior = train(tmp_path / "p.safetensors", steps=6, group=2, keep=4, reuse=0.5)
    assert prior.card["draws"] == 2 * math.ceil(6 / 2)


def stopping(step):
    calls = []

    def progress(*_):
        calls.append(1)
        if len(calls) == step:
            raise KeyboardInterrupt

    return progress
