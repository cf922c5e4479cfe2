"""The estimate of a run before it starts."""

from __future__ import annotations

import numpy as np
import pytest

from tomoprior import Geometry, TiltSeries, methods
from tomoprior.errors import SettingsError, UnknownNameError
from tomoprior.projector import Projector
from tomoprior.running.estimate import estimate, estimate_memory


class Unread:
    """Projections that must not be read."""

    def __init__(self, shape):
        self.shape, self.dtype = shape, np.dtype(np.float32)

    def __getitem__(self, key):
        raise AssertionError("it was read")


def test_memory_has_its_parts_and_nothing_is_read_for_a_given_padding():
    geometry = Geometry(np.deg2rad(np.arange(-60, 61, 6)), (16, 5, 32))
    series = TiltSeries(Unread(geometry.range_shape), geometry)
    cost = estimate(series, "sirt", num_iter=30, pad=8, device="cpu")
    assert cost.data == 4 * (21 * 5 * 32 + 16 * 5 * 32)
    sirt = methods.get("sirt")
    settings = sirt.Settings(num_iter=30, pad=8)
    assert cost.method == sirt.memory(geometry, settings) - 4 * 16 * 5 * 32  # the result is data
    assert cost.memory == cost.data + cost.projector + cost.method
    assert (cost.backend, cost.device) == ("astra-matrix", "cpu")
    assert 0 < cost.seconds < 60
    as_object = estimate(series, sirt, settings=settings, device="cpu")
    assert as_object.memory == cost.memory


def test_the_padding_of_an_object_beyond_the_detector_is_in_the_estimate():
    geometry = Geometry(np.deg2rad(np.arange(0, 180, 6)), (32, 2, 32))
    inside = np.zeros(geometry.range_shape, np.float32)
    inside[:, :, 8:24] = 1
    beyond = np.ones(geometry.range_shape, np.float32)
    sirt = methods.get("sirt")
    # a quarter of the detector on either side
    for projections, pad in ((inside, 0), (beyond, 8)):
        cost = estimate(TiltSeries(projections, geometry), sirt, num_iter=5, device="cpu")
        assert cost.method == sirt.memory(geometry, sirt.Settings(num_iter=5, pad=pad)) - 4 * 32 * 2 * 32
    assert sirt.memory(geometry, sirt.Settings(pad=8)) > sirt.memory(geometry, sirt.Settings(pad=0))


def test_time_grows_with_the_iterations():
    geometry = Geometry(np.deg2rad(np.arange(-60, 61, 6)), (16, 5, 32))
    series = TiltSeries(Unread(geometry.range_shape), geometry)
    few, many = (estimate(series, "sirt", num_iter=n, pad=8, device="cpu").seconds for n in (10, 100_000))
    assert many > 100 * few


def test_a_method_without_projector_prepares_none(random_method):
    geometry = Geometry(np.deg2rad(np.arange(-60, 61, 6)), (16, 5, 32))
    assert estimate_memory(random_method, Projector(geometry, "cpu"), None).projector == 0


def test_mistakes_are_those_of_reconstruct():
    geometry = Geometry(np.zeros(3), (4, 4, 4))
    series = TiltSeries(Unread(geometry.range_shape), geometry)
    with pytest.raises(UnknownNameError, match="svirt"):
        estimate(series, "svirt")
    with pytest.raises(SettingsError, match="num_itr"):
        estimate(series, "sirt", num_itr=3)
    with pytest.raises(SettingsError, match="must be SIRTSettings"):
        estimate(series, "sirt", settings=methods.get("tv").Settings())
