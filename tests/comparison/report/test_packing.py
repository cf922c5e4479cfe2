"""The volumes inside the page: scale, precision, binning."""

import base64
import zlib

import numpy as np
import pytest

from tomoprior import Geometry
from tomoprior.comparison.report.volumes import bin_volume, pack
from tomoprior.comparison.report.window import Window, window
from tomoprior.comparison.result import Comparison, Entry
from tomoprior.metrics import split_measured


def unpacked(packed, name, part):
    """The bytes as the page's script makes them."""
    kind, text = packed.parts[name][part]
    raw = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(packed.shape)
    return np.cumsum(raw, axis=2, dtype=np.uint8) if kind == "x" else raw


@pytest.fixture(params=["none", "x"])
def either(request):
    """One volume for each way of packing: noise, for which differences are longer, and a smooth one."""
    shape = (9, 10, 24)
    rng = np.random.default_rng(0)
    values = rng.normal(size=shape) if request.param == "none" else np.broadcast_to(np.arange(24.0) ** 2, shape)
    entry = Entry("a", "a", {}, volume=np.ascontiguousarray(values, np.float32), std=np.abs(values).astype(np.float32))
    return request.param, Comparison("", Geometry(np.deg2rad([-50.0, 50]), shape), (entry,))


def test_values_come_back_to_half_a_step(either):
    kind, comparison = either
    grey = window(comparison)
    packed = pack(comparison, grey, 10**6)
    assert packed.parts["a"]["values"][0] == kind
    assert packed.step == (1, 1, 1)
    volume, std = comparison["a"].volume, comparison["a"].std
    step = (grey.most - grey.least) / 255
    shown = grey.least + unpacked(packed, "a", "values") * step
    assert np.abs(shown - np.clip(volume, grey.least, grey.most)).max() <= step / 2 * 1.001
    missing = split_measured(volume, comparison.geometry.angles)[1]
    signed = (unpacked(packed, "a", "inferred").astype(float) - 128) * packed.shift
    inside = np.abs(missing) < 126 * packed.shift
    assert inside.mean() > 0.99
    assert np.abs(signed - missing)[inside].max() <= packed.shift / 2 * 1.001
    spread = unpacked(packed, "a", "std") * packed.spread
    inside = std < 254 * packed.spread
    assert inside.mean() > 0.9
    assert np.abs(spread - std)[inside].max() <= packed.spread / 2 * 1.001


def test_it_fits_into_any_budget():
    shape = (20, 30, 40)
    volume = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    comparison = Comparison("", Geometry([-1.0, 1.0], shape), (Entry("a", "a", {}, volume=volume),))
    grey = window(comparison)
    sizes = []
    for budget in (100_000, 30_000, 2_000, 300, 1):
        packed = pack(comparison, grey, budget)
        assert packed.size <= budget or packed.shape == (1, 1, 1)
        assert packed.size == sum(len(t) for t in (packed.parts["a"]["values"][1], packed.parts["a"]["inferred"][1]))
        sizes.append(packed.shape)
    assert sizes[0] == shape
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == (1, 1, 1)


def test_binning_takes_means_and_leaves_the_rest_out():
    volume = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    small = bin_volume(volume, (1, 2, 2))
    assert small.shape == (3, 2, 2)
    assert small[1, 0, 1] == np.mean([volume[1, y, x] for y in (0, 1) for x in (2, 3)])
    assert bin_volume(volume, (1, 1, 1)) is volume


def test_the_window_is_the_truths_and_holds_what_lies_beyond(full):
    grey = window(full)
    low, high = np.percentile(full.truth, (0.1, 99.9))
    assert (grey.low, grey.high) == pytest.approx((low, high))
    # the noisy volumes reach further, and half of the window at either end can be shown
    assert grey.least == pytest.approx(low - grey.width / 2)
    assert grey.most == pytest.approx(high + grey.width / 2)


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_a_constant_volume_has_a_window(value):
    volume = np.full((4, 4, 4), value, np.float32)
    comparison = Comparison("", Geometry([0.0, 0.5], (4, 4, 4)), (Entry("a", "a", {}, volume=volume),))
    grey = window(comparison)
    assert grey == Window(value, value + 1, value, value + 1)
    assert not unpacked(pack(comparison, grey, 1000), "a", "values").any()


def test_without_a_volume_there_is_no_window():
    assert window(Comparison("", Geometry([0.0], (4, 4, 4)), (Entry("a", "a", {}, "failed", "no"),))) is None
