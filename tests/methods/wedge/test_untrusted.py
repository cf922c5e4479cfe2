"""Files from others: each change is refused in one line, and nothing is allocated for a claim of the header."""

from __future__ import annotations

import contextlib
import copy
import math

import pytest
import torch

from tomoprior.errors import FormatError, TomopriorError
from tomoprior.methods.wedge import training
from tomoprior.methods.wedge.network import new_network
from tomoprior.methods.wedge.state import KEY, Trained, load_network, load_training, save_training
from tomoprior.storage.tensors import load_tensors, save_tensors

CPU, SPAN, ABOUT = torch.device("cpu"), (-1.0, 1.0), {"seed": 3}


def initial():
    return training.initial_state(new_network(8, 2, 1, CPU), torch.zeros(4, 5, 6))


@pytest.fixture
def path(tmp_path):
    state = initial()
    state.step, state.losses = 2, [0.5, 0.25]
    state.rounds = [{"loss": 0.3, "inferred_power": 0.1, "change": 0.5}]
    save_training(tmp_path / "a.safetensors", state, Trained(state.average, 8, 2, 1.5, 0.25, SPAN), ABOUT)
    return tmp_path / "a.safetensors"


def changed(path, change):
    """Write the file again with a change to its header or arrays."""
    facts, arrays = load_tensors(path, KEY)
    facts = copy.deepcopy(facts)
    answer = change(facts, arrays)
    save_tensors(path, KEY, facts if answer is None else answer, arrays, overwrite=True)


def put(**values):
    return lambda facts, arrays: facts.update(values)


def without(name):
    return lambda facts, arrays: facts.pop(name) and None


def array(name, value):
    return lambda facts, arrays: arrays.update({name: value})


def poison(name, value):
    return lambda facts, arrays: arrays[name].view(-1)[:1].fill_(value) and None


def dropped(name):
    return lambda facts, arrays: arrays.pop(name) is None or None


WEIGHT = "average/unet.enter.weight"

#: Changes that are refused in networks and in trainings.
BOTH = {
    "a header that is a list": lambda facts, arrays: [1, 2],
    "a header that is a number": lambda facts, arrays: 3,
    "no header": lambda facts, arrays: {},
    "no width": without("width"),
    "width of nothing": put(width=None),
    "width of text": put(width="8"),
    "width of zero": put(width=0),
    "negative width": put(width=-8),
    "width of half a channel": put(width=8.5),
    "width beyond memory": put(width=10**9),
    "width beyond all numbers": put(width=10**40),
    "yes as a width": put(width=True),
    "no depth": without("levels"),
    "one level": put(levels=1),
    "many levels": put(levels=60),
    "offset that is no number": put(offset=math.nan),
    "offset of text": put(offset="a"),
    "unit of zero": put(unit=0.0),
    "infinite unit": put(unit=math.inf),
    "negative unit": put(unit=-1.0),
    "no span": without("span"),
    "span of one": put(span=[0.5]),
    "span of three": put(span=[0.5, 0.6, 0.7]),
    "span of a thousand turns": put(span=[-6300.0, 1.0]),
    "span that is no number": put(span=[math.nan, 1.0]),
    "about that is a list": put(about=[1]),
}  # fmt: skip

#: Changes to a network that is of another size than its header says, or broken.
NETWORKS = {
    "another width": put(width=16),
    "the widest network": put(width=1024, levels=3),
    "another depth": put(levels=3),
    "a weight that is not there": dropped(WEIGHT),
    "a weight that no network has": array("average/unet.more", torch.zeros(1)),
    "a weight of another shape": array(WEIGHT, torch.zeros(8, 8, 3, 3, 2)),
    "a weight of whole numbers": array(WEIGHT, torch.zeros(8, 8, 3, 3, 3, dtype=torch.int32)),
    "a weight that is no number": poison(WEIGHT, math.nan),
    "an infinite weight": poison(WEIGHT, math.inf),
}  # fmt: skip

#: Changes to a training alone.
TRAININGS = {
    "negative step": put(step=-1),
    "step of text": put(step="2"),
    "more steps than losses": put(step=3),
    "steps beyond all numbers": put(step=10**30),
    "no step": without("step"),
    "rounds that are a number": put(rounds=4),
    "a round that is a number": put(rounds=[4]),
    "a round without its loss": put(rounds=[{"inferred_power": 0.1, "change": 0.5}]),
    "a round whose loss is no number": put(rounds=[{"loss": math.nan, "inferred_power": 0.1, "change": 0.5}]),
    "a million rounds": put(rounds=[{"loss": 0.3, "inferred_power": 0.1, "change": 0.5}] * 10**5),
    "no losses": dropped("losses"),
    "losses of single precision": array("losses", torch.zeros(2)),
    "a loss that is no number": poison("losses", math.nan),
    "no volume": dropped("filled"),
    "another volume": array("filled", torch.zeros(4, 5, 7)),
    "a volume that is no number": poison("filled", math.nan),
    "no moments": dropped("moments/unet.enter.weight.m"),
    "a moment of another shape": array("moments/unet.enter.weight.v", torch.zeros(3)),
    "weights of another shape": array("weights/unet.leave.bias", torch.zeros(9)),
}  # fmt: skip


def refused(call, path):
    with pytest.raises(FormatError, match=r"not (a trained network|the state of a training)") as error:
        call()
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert len(text) < len(str(path)) + 300


@pytest.mark.parametrize("name", [*BOTH, *NETWORKS])
def test_a_changed_network_is_refused(path, name):
    changed(path, {**BOTH, **NETWORKS}[name])
    refused(lambda: load_network(path, SPAN), path)


@pytest.mark.parametrize("name", [n for n in (*BOTH, *TRAININGS) if n != "no header"])
def test_a_changed_training_is_refused(path, name):
    changed(path, {**BOTH, **TRAININGS}[name])
    refused(lambda: load_training(path, ABOUT, initial()), path)


def test_a_file_without_a_change_is_read(path):
    changed(path, lambda facts, arrays: None)
    assert load_network(path, SPAN).width == 8
    assert load_training(path, ABOUT, initial()).step == 2


def test_a_header_that_nests_without_end_is_refused(path):
    changed(path, put(about={"a": 1}))
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, deep = data[8 : 8 + length], b"[" * 5000
    header = header.replace(b'{\\"a\\": 1}', b'{\\"a\\": ' + deep + b"}")
    path.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])
    refused(lambda: load_network(path, SPAN), path)


@pytest.mark.parametrize("seed", range(40))
def test_bytes_that_were_changed_raise_nothing_else(path, seed):
    generator = torch.Generator().manual_seed(seed)
    data = bytearray(path.read_bytes())
    length = 8 + int.from_bytes(data[:8], "little")
    for at in torch.randint(0, length, (4,), generator=generator).tolist():
        data[at] = int(torch.randint(0, 256, (), generator=generator))
    path.write_bytes(data)
    for call in (lambda: load_network(path, SPAN), lambda: load_training(path, ABOUT, initial())):
        with contextlib.suppress(TomopriorError):
            call()
