"""The volumes inside the page: scale, precision, binning."""

import base64
import dataclasses
import zlib

import numpy as np
import pytest

from tomoprior import Geometry
from tomoprior.comparison.evidence.planted import make_spheres
from tomoprior.comparison.report.planes import choose_planes
from tomoprior.comparison.report.volumes import bin_volume, pack, responses
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


def several(*ranges, truth=None):
    """Volumes with evenly spread values from low to high each."""
    shape = (10, 10, 11)
    made = [np.linspace(low, high, 1100, dtype=np.float32).reshape(shape) for low, high in ranges]
    entries = tuple(Entry(str(i), "a", {}, volume=v) for i, v in enumerate(made))
    true = None if truth is None else np.linspace(*truth, 1100, dtype=np.float32).reshape(shape)
    return Comparison("", Geometry([-1.0, 1.0], shape), entries, truth=true)


def test_the_window_is_the_truths_and_grows_to_hold_most_of_each_volume():
    # of 0 to 1 the truth's 0.1 % at either end are cut; wbp, which loses the mean, has 5 % below -0.35
    grey = window(several((0, 1), (-0.4, 0.6), truth=(0, 1)))
    assert (grey.low, grey.high) == pytest.approx((-0.35, 0.999), abs=1e-3)
    # a volume inside changes nothing
    assert window(several((0.2, 0.7), truth=(0, 1))).low == pytest.approx(0.001, abs=1e-3)
    # and one on another scale moves each end by half the truth's width at most
    grey = window(several((0, 1), (-1000, 1000), truth=(0, 1)))
    assert (grey.low, grey.high) == pytest.approx((-0.5, 1.5), abs=5e-3)
    # half of the window at either end can be shown, as far as there are values
    assert (grey.least, grey.most) == pytest.approx((-1.5, 2.5), abs=1e-2)


def test_without_a_truth_the_window_is_the_methods_median():
    grey = window(several((0, 1), (0, 1), (-0.4, 0.6)))
    assert (grey.low, grey.high) == pytest.approx((-0.35, 0.999), abs=1e-3)


def test_planted_objects_are_packed_as_the_change_of_each_volume(full):
    packed = pack(full, window(full), 10**7)
    objects = make_spheres(full.planted, full.geometry.shape).volume(full.geometry.shape)
    assert "response" not in packed.parts["wbp"]  # its check failed
    for name, share in (("truth", 1.0), ("cn", 0.95)):
        shown = (unpacked(packed, name, "response").astype(float) - 128) * packed.reach
        assert np.abs(shown - share * objects).max() < 0.02
    assert list(responses(dataclasses.replace(full, planted=None))) == []


@pytest.mark.parametrize(
    ("shape", "planes"),
    [
        ((64, 64, 64), ("xy", "zy", "xz")),
        ((320, 1, 320), ("xz",)),
        ((640, 2, 640), ("xz",)),
        ((1, 200, 300), ("xy",)),
        ((20, 1000, 1000), ("xy",)),
        ((24, 32, 64), ("xy", "zy", "xz")),
        ((3, 2, 3), ("xz",)),
    ],
)
def test_planes_too_thin_to_read_are_not_chosen(shape, planes):
    assert choose_planes(shape) == planes


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_a_constant_volume_has_a_window(value):
    volume = np.full((4, 4, 4), value, np.float32)
    comparison = Comparison("", Geometry([0.0, 0.5], (4, 4, 4)), (Entry("a", "a", {}, volume=volume),))
    grey = window(comparison)
    assert grey == Window(value, value + 1, value, value + 1)
    assert not unpacked(pack(comparison, grey, 1000), "a", "values").any()


def test_without_a_volume_there_is_no_window():
    assert window(Comparison("", Geometry([0.0], (4, 4, 4)), (Entry("a", "a", {}, "failed", "no"),))) is None
