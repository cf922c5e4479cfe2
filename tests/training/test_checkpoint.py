from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tomoprior.errors import FormatError
from tomoprior.methods.learning.state import PARTS
from tomoprior.training import checkpoint
from tomoprior.training.calibration import LEVELS
from tomoprior.training.optimiser import Training, initial_state, new_denoiser

ABOUT = {"settings": {"minutes": 1.0, "ranges": (20, 60), "seed": 0}, "tissue": {"sha256": "a"}, "version": 3}


@pytest.fixture
def run(settings, spectrum, draws, blocks):
    denoiser = new_denoiser(settings, spectrum)
    state = initial_state(denoiser)
    state.draws, state.blocks, state.drawn = list(draws[:2]), list(blocks), 5
    made = Training(denoiser, state, settings, spectrum, None)
    for i in range(3):
        made.step(i / 3)
    state.seconds, state.rows = 12.345678901234567, [{"step": 2, "loss": 0.1, "validation_psnr": math.nan}]
    return made


@pytest.fixture
def path(run, tmp_path):
    checkpoint.save(run.state, tmp_path / "p.state.safetensors", ABOUT)
    return tmp_path / "p.state.safetensors"


@pytest.fixture
def load(spectrum, settings):
    def call(path, about=ABOUT, **changes):
        return checkpoint.load(
            path, about, initial_state(new_denoiser(settings.model_copy(update=changes), spectrum)), settings
        )

    return call


def rewritten(path, change):
    """The same arrays with other facts."""
    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()["state"])
    facts = change(facts)
    save_file(load_file(path), path, {"state": json.dumps(facts)})


def test_everything_comes_back_as_it_was(run, path, load):
    state = load(path)
    for part in PARTS:
        before, found = getattr(run.state, part), getattr(state, part)
        assert before.keys() == found.keys()
        for name, value in before.items():
            assert torch.equal(value, found[name])
            # sums are taken in the order of memory
            assert value.stride() == found[name].stride()
    for kind in ("draws", "blocks"):
        for one, two in zip(getattr(run.state, kind), getattr(state, kind), strict=True):
            for name, value in one.to_dict().items():
                found = two.to_dict()[name]
                assert found.dtype == value.dtype
                assert torch.equal(found, value)
    assert (state.step, state.seconds, state.drawn) == (3, 12.345678901234567, 5)
    assert state.losses == run.state.losses
    assert state.rows[0]["step"] == 2
    assert math.isnan(state.rows[0]["validation_psnr"])


def test_what_is_loaded_no_longer_needs_its_file(run, path, load):
    state = load(path)
    path.write_bytes(b"")
    assert torch.equal(state.draws[0].truth, run.state.draws[0].truth)
    assert all(torch.equal(v, run.state.average[k]) for k, v in state.average.items())


def test_of_many_draws_the_newest_are_saved(run, load, tmp_path, draws, monkeypatch):
    monkeypatch.setattr(checkpoint, "SAVED", 2)
    run.state.draws = list(draws)
    checkpoint.save(run.state, tmp_path / "a.safetensors", ABOUT)
    found = load(tmp_path / "a.safetensors")
    assert len(found.draws) == len(found.blocks) == 2
    for one, two in zip(found.draws, draws[1:], strict=True):
        assert torch.equal(one.truth, two.truth)
    assert len(run.state.draws) == 3  # the training that goes on keeps them all


@pytest.mark.parametrize(
    ("about", "names"),
    [
        (ABOUT | {"settings": {"minutes": 2.0, "ranges": (20, 60), "seed": 1}}, "other minutes, seed;"),
        (ABOUT | {"settings": {"minutes": 1.0, "ranges": (20, 60), "seed": 0, "new": 1}}, "other new;"),
        (ABOUT | {"tissue": {"sha256": "b"}}, "other tissue;"),
        (ABOUT | {"tissue": [{"sha256": "a"}, {"sha256": "b"}]}, "other tissue;"),
        (ABOUT | {"version": 2}, "other version;"),
        (ABOUT | {"start": "d"}, "other start;"),
    ],
)
def test_another_training_is_named(path, load, about, names):
    with pytest.raises(FormatError, match=names) as error:
        load(path, about)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_state_is_for_one_network(path, load):
    with pytest.raises(FormatError, match="not the state of a training"):
        load(path, widths=(16, 32))


@pytest.mark.parametrize("left", [0, 5, 1000, -1000, -1])
def test_a_file_cut_short_is_reported(path, load, left):
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(FormatError, match=r"not the state of a training .*; remove it to start anew") as error:
        load(path)
    assert "\n" not in str(error.value)


def put(**values):
    return lambda facts: facts | values


def rows(**values):
    return lambda facts: facts | {"rows": [values]}


def calibration(*measurements, tissue="a"):
    return put(calibration={"tissue": tissue, "rows": list(measurements)})


ERRORS, SPREAD = [0.1] * len(LEVELS), [1.0] * 6

#: Changes of the header.
FACTS = {
    "a list": lambda facts: [],
    "nothing": lambda facts: {},
    "no about": put(about=None),
    "settings that are a number": put(about={"settings": 3}),
    "more draws than there are": put(draws=9),
    "more blocks than there are": put(blocks=9),
    "draws beyond all bounds": put(draws=10**9),
    "negative draws": put(draws=-1),
    "half a draw": put(draws=1.5),
    "no draws": put(draws=0),
    "no losses": lambda facts: {k: v for k, v in facts.items() if k != "losses"},
    "losses of text": put(losses=["a"]),
    "a loss that is no number": put(losses=[math.nan]),
    "no step": put(step=None),
    "a negative step": put(step=-1),
    "a step of text": put(step="3"),
    "a step beyond all numbers": put(step=10**30),
    "steps without a draw": put(drawn=0),
    "negative draws so far": put(drawn=-3),
    "negative time": put(seconds=-1.0),
    "time without end": put(seconds=math.inf),
    "time that is no number": put(seconds=math.nan),
    "rows that are a number": put(rows=4),
    "a row that is a list": put(rows=[[1]]),
    "a row of text": rows(loss="a"),
    "a column that no log has": rows(secret=1.0),
    "a million rows": put(rows=[{}] * 10**5),
    "a calibration that is a list": put(calibration=[]),
    "a calibration of few errors": calibration([0.1]),
    "a negative error": calibration([-0.1] * len(LEVELS)),
    "an error that is no number": calibration([math.nan] * len(LEVELS)),
    "a spread of few values": calibration(ERRORS, [1.0] * 5),
    "a spread of no voxels": calibration(ERRORS, [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]),
    "too many measurements": calibration(ERRORS, *[SPREAD] * 100),
}


@pytest.mark.parametrize("name", FACTS)
def test_facts_that_make_no_sense_are_reported(path, load, name):
    rewritten(path, FACTS[name])
    with pytest.raises(FormatError, match=r"not the state of a training|started with other") as error:
        load(path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < len(str(path)) + 300


def test_measurements_of_a_calibration_come_back(path, load):
    rewritten(path, calibration(ERRORS, SPREAD))
    assert load(path).calibration.rows == [ERRORS, SPREAD]


#: Changes of an array by its name: the new value, or None to leave it out.
ARRAYS = {
    "average/unet.enter.weight": torch.zeros(3),
    "weights/unet.enter.bias": None,
    "weights/unet.more": torch.zeros(2),
    "moments/unet.enter.bias.m": torch.full((16,), math.nan),
    "moments/unet.enter.bias.v": torch.zeros(16, dtype=torch.int64),
    "draws/0/truth": torch.zeros(16, 4, 4, dtype=torch.float16),
    "draws/0/linear": torch.zeros(2, 2, 2, dtype=torch.float16),
    "draws/0/coverage": torch.zeros(1),
    "draws/0/numbers": torch.zeros(6),
    "draws/0/told": torch.ones(2, dtype=torch.bool),
    "draws/1/inside": None,
    "draws/1/truth": None,
    "blocks/0/truth": torch.zeros(400, 24, 24, dtype=torch.float16),
    "blocks/0/numbers": torch.full((7,), math.inf),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_do_not_fit_are_reported(path, load, name):
    arrays = load_file(path)
    with safe_open(path, "pt") as file:
        header = file.metadata()
    if ARRAYS[name] is None:
        del arrays[name]
    else:
        arrays[name] = ARRAYS[name]
    save_file(arrays, path, header)
    with pytest.raises(FormatError, match=r"not the state of a training \(.*\); remove it to start anew") as error:
        load(path)
    assert "\n" not in str(error.value)


def test_a_state_with_the_earlier_names_of_settings_is_read(path, load):
    old = {"learning_rate": "rate", "batch_size": "batch"}
    about = ABOUT | {"settings": ABOUT["settings"] | {"learning_rate": 0.1, "batch_size": 2}}

    def earlier(facts):
        settings = {old.get(k, k): v for k, v in about["settings"].items()}
        return facts | {"about": about | {"settings": settings}, "rows": [{"step": 2, "rate": 0.1}]}

    rewritten(path, earlier)
    assert load(path, about).rows == [{"step": 2, "learning_rate": 0.1}]


def test_other_files_are_no_states(path, load):
    save_file(load_file(path), path)
    with pytest.raises(FormatError, match="not the state of a training"):
        load(path)
    path.write_text("step 3")
    with pytest.raises(FormatError, match="not the state of a training"):
        load(path)


def test_a_full_disk_leaves_the_state_of_before(run, path, load, monkeypatch):
    import pathlib

    before = path.read_bytes()

    def full(self, data):
        with open(self, "wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    run.step(1.0)
    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    with pytest.raises(FormatError, match=r"No space left on device.*the state saved before is still there") as error:
        checkpoint.save(run.state, path, ABOUT)
    assert ".part" not in str(error.value)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert load(path).step == 3
