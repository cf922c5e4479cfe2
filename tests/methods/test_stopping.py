"""Iterations that end where held-out tilts are predicted best."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import tomoprior
from tomoprior import Geometry, Projector, methods
from tomoprior.errors import SettingsError
from tomoprior.methods.solving.stopping import HeldOutMonitor
from tomoprior.series import TiltSeries
from tomoprior.testing import check_method


@pytest.fixture(scope="module")
def noisy(limited):
    """Projections with as much noise as signal."""
    noise = torch.randn(limited.projections.shape, generator=torch.Generator().manual_seed(0))
    return limited.projections + noise * limited.projections.std()


def watch(errors, first):
    """Calls of a monitor whose iterates have these held-out errors, until it stops; the best iterate."""
    looks = iter(float(e) for e in errors)
    test = SimpleNamespace(
        A=lambda x: torch.full((1, 1, 1), next(looks)),
        data=torch.zeros(1, 1, 1),
        weights=None,
        scale=1.0,
        norm=lambda r: float(r.norm()),
    )
    train = SimpleNamespace(x=None, scale=1.0)
    monitor = HeldOutMonitor(train, test, methods.get("sirt").Settings(), None, first)
    calls = 0
    for calls in range(1, len(errors) + 1):  # noqa: B007
        if monitor.stop(1.0):
            break
    return monitor.best, calls


@pytest.mark.parametrize(
    ("errors", "first", "best", "calls"),
    [
        ([5, 4, 3, 4, 5, 6, 7, 8], 0, 2, 7),  # iterates 0 to 6, where 1.5 * 2 + 3 is reached
        ([5, 4, 3, 4, 5, 6, 7, 8], 1, 3, 7),
        ([5, 4, 4.5, 4.4, 3, 2, 1], 0, 6, 7),
        ([1, 2, 3, 4, 5], 0, 0, 4),
    ],
)
def test_the_search_notes_the_best_iterate_and_ends_when_it_is_long_past(errors, first, best, calls):
    assert watch(errors, first) == (best, calls)


@pytest.mark.parametrize(
    ("name", "settings", "counts"),
    [
        ("sirt", {"min_constraint": 0}, (1, 2, 3, 5, 8, 12, 20, 40, 100)),
        ("sart", {"min_constraint": 0, "relaxation": 0.5}, (1, 2, 3, 5, 8, 20)),
        ("cgls", {}, (1, 2, 3, 5, 8, 20)),
    ],
)
def test_with_noise_the_default_stops_near_the_best_number_of_iterations(name, settings, counts, limited, noisy):
    result = limited.run(name, projections=noisy, **settings)
    settled = result.provenance["settled"]
    assert settled["num_iter_by"] == "held-out tilts"
    same = limited.run(name, projections=noisy, num_iter=settled["num_iter"], **settings)
    assert torch.equal(result.volume, same.volume)
    assert result.provenance["iterations"] == settled["num_iter"]
    scores = [limited.psnr(limited.run(name, projections=noisy, num_iter=n, **settings).volume) for n in counts]
    assert limited.psnr(result.volume) > max(scores) - 0.5
    assert limited.psnr(result.volume) > scores[-1] + 1


def test_a_number_of_iterations_alone_is_exact_and_leaves_nothing_to_the_tilts(limited, noisy):
    for name, plain in (
        ("sirt", {"stop": None, "min_constraint": None}),
        ("sart", {"stop": None, "min_constraint": None, "relaxation": 0.5}),
        ("cgls", {"stop": None}),
    ):
        result = limited.run(name, projections=noisy, num_iter=7)
        assert result.provenance["iterations"] == 7
        assert result.provenance["settled"] == {}
        assert torch.equal(result.volume, limited.run(name, projections=noisy, num_iter=7, **plain).volume)
    bounded = limited.run("sirt", projections=noisy, num_iter=7, min_constraint=0)
    assert bounded.provenance["iterations"] == 7
    assert float(bounded.volume.min()) == 0


def test_with_stop_given_the_number_is_a_bound(limited):
    result = limited.run("cgls", num_iter=4, stop="held-out")
    assert result.provenance["settled"]["num_iter"] <= 4
    copied = methods.get("cgls").Settings.parse({**methods.get("cgls").Settings().model_dump(), "num_iter": 4})
    assert copied.stop == "held-out"


def test_sart_takes_small_steps_where_they_predict_held_out_tilts_better(limited, noisy):
    assert limited.run("sart", projections=noisy).provenance["settled"]["relaxation"] == 0.1
    clean = limited.run("sart", num_iter=5, stop="held-out").provenance["settled"]
    assert (clean["num_iter"], clean["relaxation"]) == (5, 0.5)


def test_fast_takes_a_fixed_number_of_iterations(limited):
    series = TiltSeries(limited.projections.numpy(), limited.geometry)
    result = tomoprior.reconstruct(series, "sart", fast=True, device="cpu")
    assert result.provenance["iterations"] == 10
    assert result.provenance["settled"] == {}
    assert tomoprior.reconstruct(series, "sart", fast=True, num_iter=2, device="cpu").provenance["iterations"] == 2
    with pytest.raises(SettingsError, match="fast"):
        tomoprior.reconstruct(series, "sart", fast=True, settings=methods.get("sart").Settings())


def test_progress_counts_the_search_and_skips_ahead_when_it_ends(limited, noisy):
    calls = []
    result = limited.run("cgls", projections=noisy, stop="held-out", progress=lambda *call: calls.append(call))
    chosen = round(result.provenance["settled"]["num_iter"])
    iterations = [c[0] for c in calls]
    assert {c[1] for c in calls} == {100}
    assert iterations[-chosen:] == list(range(51, 51 + chosen))
    assert iterations[:-chosen] == list(range(1, len(calls) - chosen + 1))
    assert "held_out" in calls[0][2]


def test_too_few_tilts_get_a_fixed_number_of_iterations(limited):
    few = limited.projector.subset([0, 8, 16, 24])
    result = limited.run("sirt", projections=limited.projections[[0, 8, 16, 24]], projector=few)
    assert result.provenance["settled"] == {
        "min_constraint": 0.0,
        "num_iter": 100,
        "num_iter_by": "4 tilts are too few to hold some out",
    }
    fewer = limited.run("sirt", projections=limited.projections[[0, 8, 16, 24]], projector=few, num_iter=9, stop="held-out")
    assert fewer.provenance["iterations"] == 9


def test_tilts_that_all_show_the_same_image_choose_nothing(limited):
    """16 voxels times the range in radians: 2 voxels of parallax at 7.2 degrees."""
    for degrees, reason in ((6.8, "6.8 degrees is too narrow"), (7.6, "held-out tilts")):
        geometry = Geometry(np.deg2rad(np.linspace(0, degrees, 9)), limited.geometry.shape)
        p = torch.from_numpy(limited.phantom.project(geometry))
        result = limited.run("cgls", projections=p, projector=Projector(geometry, "cpu"))
        assert reason in result.provenance["settled"]["num_iter_by"]


def test_tilts_without_weight_do_not_count(limited):
    weights = torch.zeros(25)
    weights[[0, 8, 16, 24]] = 1
    assert "4 tilts" in limited.run("cgls", weights=weights).provenance["settled"]["num_iter_by"]


def test_slabs_have_no_pilot_where_nothing_is_left_open(limited):
    """The slabs are then all the same to the executor: it gets them at once."""
    for name, values, is_open in (
        ("sirt", {}, True),
        ("sirt", {"num_iter": 5}, False),
        ("sirt", {"num_iter": 5, "min_constraint": "auto"}, True),
        ("sart", {"num_iter": 5}, False),
        ("sart", {"num_iter": 5, "relaxation": "auto"}, True),
        ("tv", {"num_iter": 5}, True),
        ("tv", {"reg_par": 1.0}, True),
        ("tv", {"reg_par": 1.0, "min_constraint": 0}, False),
        ("tikhonov", {}, True),
        ("tikhonov", {"reg_par": 1.0}, False),
    ):
        method = methods.get(name)
        assert method.leaves_open(method.Settings.parse(values)) is is_open


def test_all_slabs_have_the_number_of_iterations_of_the_pilot(limited, noisy, tmp_path):
    # the padding follows from the borders of all rows, not from those of the pilot: here it is given
    series = TiltSeries(noisy.numpy(), limited.geometry)
    tomoprior.reconstruct(series, "sirt", stop="held-out", pad=8, out=tmp_path / "v.npy", slab=4, device="cpu")
    pilot = tomoprior.reconstruct(series.rows(4, 8), "sirt", stop="held-out", pad=8, device="cpu").provenance["settled"]
    chosen = {name: pilot[name] for name in ("num_iter", "min_constraint")}
    whole = tomoprior.reconstruct(series, "sirt", device="cpu", pad=8, **chosen).volume
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), whole)


@pytest.mark.parametrize("name", ["sirt", "sart", "cgls"])
def test_conformance(name):
    check_method(name, {"stop": "held-out", "num_iter": 30})


def test_estimates_include_the_search(limited):
    method = methods.get("sirt")
    plain, stopped = method.Settings(pad=0, stop=None), method.Settings(pad=0)
    more = 4 * (limited.truth.numel() + limited.projections.numel())
    assert method.memory(limited.geometry, stopped) - method.memory(limited.geometry, plain) == more
    assert method.cost_in_pairs(limited.geometry, stopped) == 2 * method.cost_in_pairs(limited.geometry, plain)
