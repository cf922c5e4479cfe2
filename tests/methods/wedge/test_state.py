"""Files of networks and trainings: they come back as written, and other files are refused in one line."""

import json
import re
from dataclasses import replace

import pytest
import torch

from tomoprior.errors import FormatError, InputError, NoSuchFileError
from tomoprior.methods.wedge import training
from tomoprior.methods.wedge.network import new_network
from tomoprior.methods.wedge.state import KEY, Trained, load_network, load_training, save_training
from tomoprior.storage.tensors import load_tensors, save_tensors

CPU, SPAN = torch.device("cpu"), (-1.0, 1.0)
ABOUT = {"width": 8, "seed": 3, "data": "abc"}
LOSSES = [0.5, 0.25, 0.2, 0.2, 0.1, 0.1, 0.1]
ROUND = {"loss": 0.3, "inferred_power": 0.1, "change": 0.5}


@pytest.fixture
def state():
    state = training.initial_state(new_network(8, 2, 0, CPU), torch.ones(4, 5, 6))
    with torch.no_grad():
        for part in (state.weights, state.average, state.moments):
            for i, value in enumerate(part.values()):
                value += 0.1 * i
    state.step, state.losses, state.rounds = 7, LOSSES, [ROUND]
    return state


@pytest.fixture
def trained(state):
    return Trained(state.average, 8, 2, 1.5, 0.25, SPAN)


def initial():
    return training.initial_state(new_network(8, 2, 1, CPU), torch.zeros(4, 5, 6))


def test_a_training_comes_back(state, trained, tmp_path):
    path = tmp_path / "training.safetensors"
    save_training(path, state, trained, ABOUT)
    found = load_training(path, ABOUT, initial())
    for name in ("weights", "average", "moments"):
        own, theirs = getattr(state, name), getattr(found, name)
        assert own.keys() == theirs.keys()
        assert all(torch.equal(own[k], theirs[k]) for k in own)
        assert all(own[k].stride() == theirs[k].stride() for k in own)
    assert torch.equal(found.filled, state.filled)
    assert (found.step, found.losses, found.rounds) == (7, LOSSES, [ROUND])
    assert [p.name for p in tmp_path.iterdir()] == ["training.safetensors"]


def test_the_network_of_a_training_or_alone(state, trained, tmp_path):
    save_training(tmp_path / "a.safetensors", state, trained, ABOUT)
    trained.save(tmp_path / "b.safetensors")
    x = torch.randn(1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    wanted = trained.network(CPU)(x)
    for name in ("a", "b"):
        found = load_network(tmp_path / f"{name}.safetensors", (-1.01, 1.02))
        assert torch.equal(found.network(CPU)(x), wanted)
        assert (found.offset, found.unit, found.span) == (1.5, 0.25, SPAN)
    with pytest.raises(FormatError, match="without the state of its training"):
        load_training(tmp_path / "b.safetensors", ABOUT, initial())


def earlier(name):
    """The name of an array before the blocks of a level were numbered and the U-Net was a module of its own."""
    part, _, key = name.partition("/")
    if not key:
        return name
    return f"{part}/" + re.sub(r"^(down|up)\.(\d)\.0\.", r"\1.\2.", key.removeprefix("unet."))


def test_files_with_the_earlier_names_of_arrays_and_settings_are_read(state, trained, tmp_path):
    path = tmp_path / "a.safetensors"
    about = {"depth": 2, "steps_per_round": 3, "data": "abc"}
    save_training(path, state, trained, {"levels": 2, "steps": 3, "data": "abc"})
    facts, arrays = load_tensors(path, KEY)
    old = {earlier(name): array for name, array in arrays.items()}
    assert {"average/down.0.first.weight", "moments/up.0.gain.m", "weights/enter.bias"} <= old.keys()
    save_tensors(path, KEY, facts, old, overwrite=True)
    found = load_training(path, about, initial())
    for name in ("weights", "average", "moments"):
        assert all(torch.equal(v, getattr(found, name)[k]) for k, v in getattr(state, name).items())
    weights = load_network(path, SPAN).weights
    assert weights.keys() == state.average.keys()
    assert all(torch.equal(v, weights[k]) for k, v in state.average.items())


def test_a_network_for_another_wedge_is_refused(trained, tmp_path):
    trained.save(tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"trained on the wedge of tilts from -57.3 to 57.3 degrees, but these are from -40"):
        load_network(tmp_path / "a.safetensors", (-0.7, 0.7))


@pytest.mark.parametrize(("change", "named"), [({"seed": 4}, "seed"), ({"data": "x", "width": 9}, "data, width")])
def test_a_training_with_other_settings_or_data_is_refused(state, trained, tmp_path, change, named):
    path = tmp_path / "a.safetensors"
    save_training(path, state, trained, ABOUT)
    with pytest.raises(FormatError, match=f"started with other {named};") as error:
        load_training(path, {**ABOUT, **change}, initial())
    assert "\n" not in str(error.value)


def test_other_files_are_refused(state, trained, tmp_path):
    with pytest.raises(NoSuchFileError, match="no such file"):
        load_network(tmp_path / "none.safetensors", SPAN)
    text, foreign, empty, cut = (tmp_path / name for name in ("text", "foreign", "empty", "cut"))
    text.write_text("not a network")
    save_tensors(foreign, "prior", {}, {"a": torch.zeros(1)}, overwrite=False)
    save_tensors(empty, KEY, {}, {"a": torch.zeros(1)}, overwrite=False)
    save_training(cut, state, trained, ABOUT)
    cut.write_bytes(cut.read_bytes()[:-100])
    for path in (text, foreign, empty, cut):
        for load in (lambda p: load_network(p, SPAN), lambda p: load_training(p, ABOUT, initial())):
            with pytest.raises(FormatError) as error:
                load(path)
            assert "\n" not in str(error.value)
            assert str(path) in str(error.value)


def test_a_training_on_another_grid_is_refused(state, trained, tmp_path):
    path = tmp_path / "a.safetensors"
    save_training(path, replace(state, filled=torch.zeros(4, 5, 7)), trained, ABOUT)
    with pytest.raises(FormatError, match=r"filled.* has the shape"):
        load_training(path, ABOUT, initial())


def test_it_cannot_be_written(state, trained, tmp_path):
    with pytest.raises(FormatError, match="no such folder"):
        save_training(tmp_path / "none" / "a.safetensors", state, trained, json.loads(json.dumps(ABOUT)))
