from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from itertools import islice

import numpy as np
import pytest
import torch

from tomoprior.errors import FormatError, InputError, TomopriorError
from tomoprior.formats.raw import RawArray
from tomoprior.simulate.tissue import Tissue
from tomoprior.training import draws as module
from tomoprior.training.draws import Source, angles, check_room, draw, pick, tissue_spectrum


def equal(one, two):
    return all(torch.equal(v, two.to_dict()[k]) for k, v in one.to_dict().items())


def test_a_draw_is_the_same_whenever_it_is_made(tissue, spectrum, settings, draws):
    assert equal(draw([tissue], spectrum, settings, 1), draws[1])
    assert not equal(draws[0], draws[1])
    made = draws[0]
    assert made.truth.dtype == made.condition.linear.dtype == torch.float16
    assert made.truth.shape == made.condition.linear.shape
    assert made.condition.coverage.shape == (made.truth.shape[0], made.truth.shape[2])


def test_tilts_lie_within_what_was_asked_for(settings):
    for seed in range(200):
        found = np.rad2deg(angles(settings, np.random.default_rng(seed)))
        assert 5 <= len(found) <= 9
        assert 20 - 1e-9 <= np.ptp(found) <= 60 + 1e-9
        assert np.abs(found).max() <= 30 + 1e-9


def test_of_one_volume_none_is_drawn(tissue):
    rng = np.random.default_rng(3)
    assert pick([tissue], rng) is tissue
    assert rng.random() == np.random.default_rng(3).random()


def test_of_several_volumes_each_is_drawn_by_its_size(tissue, other):
    coarse = Tissue.of(np.asarray(other.grey)[:24, :, :], 20.0)  # half the voxels, of eight times the size
    rng = np.random.default_rng(0)
    share = np.mean([pick([tissue, coarse], rng) is coarse for _ in range(2000)])
    assert abs(share - 0.8) < 0.03


def test_draws_of_several_volumes_come_from_all(tissue, other, spectrum, settings):
    alone = [draw([tissue], spectrum, settings, i) for i in range(6)]
    mixed = [draw([tissue, other], spectrum, settings, i) for i in range(6)]
    assert all(
        equal(a, b) for a, b in zip(mixed, [draw([tissue, other], spectrum, settings, i) for i in range(6)], strict=True)
    )
    assert not any(equal(a, b) for a, b in zip(alone, mixed, strict=True))
    joint = tissue_spectrum([tissue, other], 11.0, 0.5, 0)
    np.testing.assert_allclose(joint.power[8:], spectrum.power[8:], rtol=0.3)


def test_a_volume_without_stain_is_told(spectrum, settings):
    empty = Tissue(np.full((48, 48, 48), 255, np.uint8), 10.0, "nanometer", 255.0, 0.0)
    with pytest.raises(InputError, match=r"polarity right.* The last: the section is empty") as error:
        draw([empty], spectrum, settings, 0)
    assert "\n" not in str(error.value)


def test_a_volume_too_small_for_the_widest_tilts_is_told(tissue, settings):
    check_room([tissue], settings)
    small = Tissue.of(np.asarray(tissue.grey)[:16, :16, :16], 10.0)
    with pytest.raises(InputError, match="no series at 30 degrees in voxels of 12"):
        check_room([small], settings)
    check_room([small, tissue], settings)


@pytest.fixture
def source():
    made = []

    def start(*arguments):
        made.append(Source(*arguments))
        return made[-1]

    yield start
    for s in made:
        s.close()


def test_a_process_makes_the_draws_from_where_they_are_wanted(source, tissue, spectrum, settings, draws):
    made = source([tissue], spectrum, settings, 1)
    assert equal(next(made), draws[1])
    assert equal(next(made), draws[2])


def test_waiting_for_a_draw_ends_when_the_training_is_to_stop(source, tissue, spectrum, settings):
    stopped = threading.Event()
    stopped.set()
    made = source([tissue], spectrum, settings, 0, stopped)
    began = time.monotonic()
    assert next(made, None) is None  # the process has not even started to simulate
    assert time.monotonic() - began < 2


def test_a_process_that_is_killed_is_told(source, tissue, spectrum, settings):
    made = source([tissue], spectrum, settings, 0)
    next(made)
    os.kill(made._process.pid, signal.SIGKILL)
    with pytest.raises(TomopriorError, match="was killed; is there memory enough") as error:
        list(islice(made, 10))  # some may lie in the link
    assert "\n" not in str(error.value)


def test_a_file_that_goes_away_is_told(source, spectrum, settings, tmp_path):
    np.zeros((48, 48, 48), np.uint8).tofile(tmp_path / "a.raw")
    volume = RawArray(tmp_path / "a.raw", 0, (48, 48, 48), np.uint8)
    (tmp_path / "a.raw").unlink()
    with pytest.raises(FormatError, match=r"a\.raw: cannot be read") as error:
        next(source([Tissue(volume, 10.0, "nanometer", 255.0, 0.0)], spectrum, settings, 0))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (MemoryError("no room"), MemoryError, "no room"),
        (RuntimeError("two\nlines"), TomopriorError, "failed with RuntimeError: two lines"),
    ],
)
def test_whatever_the_process_stops_at_is_sent(spectrum, settings, monkeypatch, error, kind, message):
    def failing(tissues, spectrum, settings, index):
        budgets.append(os.environ["TOMOPRIOR_MATRIX_BUDGET"])
        raise error

    budgets = []
    monkeypatch.setattr(module, "draw", failing)
    monkeypatch.setenv("TOMOPRIOR_MATRIX_BUDGET", "")  # so that it is as before afterwards
    monkeypatch.delenv("TOMOPRIOR_MATRIX_BUDGET")
    here, there = multiprocessing.Pipe()
    with here, there:
        here.send(((), spectrum, settings, 0))
        module._produce(there)
        found = here.recv()
    assert isinstance(found, kind)
    assert str(found).endswith(message)
    assert budgets == [str(module.BUDGET)]  # which projector is taken does not depend on the free memory


def test_what_the_process_cannot_unpickle_is_told(settings, monkeypatch):
    monkeypatch.setenv("TOMOPRIOR_MATRIX_BUDGET", "100")
    here, there = multiprocessing.Pipe()
    with here, there:
        here.send_bytes(b"cno_such_module\nthing\n.")
        module._produce(there)
        assert "no_such_module" in str(here.recv())


def test_a_volume_that_cannot_be_handed_over_is_told(tissue, spectrum, settings):
    with pytest.raises(InputError, match="read it into memory first"):
        Source([Tissue(memoryview(b""), 10.0, "nanometer", 1.0, 0.0)], spectrum, settings, 0)


def test_ctrl_c_is_no_business_of_the_process(source, tissue, spectrum, settings):
    made = source([tissue], spectrum, settings, 0)
    os.kill(made._process.pid, signal.SIGINT)
    next(made)
    os.kill(made._process.pid, signal.SIGINT)
    for _ in range(module.AHEAD + 2):
        next(made)
    assert made._process.is_alive()
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
