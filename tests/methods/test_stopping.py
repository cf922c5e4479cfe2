"""Iterations that end where held-out tilts are predicted best."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import tomoprior
from tomoprior import methods
from tomoprior.errors import InputError
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
    looks = iter(errors)
    test = SimpleNamespace(A=lambda x: torch.zeros(1), data=torch.zeros(1), norm=lambda r: next(looks), scale=1.0)
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
        ("sart", {"min_constraint": 0, "num_iter": 20}, (1, 2, 3, 5, 8, 20)),
        ("cgls", {}, (1, 2, 3, 5, 8, 20)),
    ],
)
def test_with_noise_it_stops_near_the_best_number_of_iterations(name, settings, counts, limited, noisy):
    result = limited.run(name, projections=noisy, stop="held-out", **settings)
    chosen = round(result.provenance["settled"]["num_iter"])
    same = limited.run(name, projections=noisy, **{**settings, "num_iter": chosen})
    assert torch.equal(result.volume, same.volume)
    assert result.provenance["iterations"] == chosen
    best = max(limited.psnr(limited.run(name, projections=noisy, **{**settings, "num_iter": n}).volume) for n in counts)
    assert limited.psnr(result.volume) > best - 0.5
    assert limited.psnr(result.volume) > limited.psnr(limited.run(name, projections=noisy, **settings).volume) + 1


def test_progress_counts_the_search_and_skips_ahead_when_it_ends(limited, noisy):
    calls = []
    result = limited.run("cgls", projections=noisy, stop="held-out", progress=lambda *call: calls.append(call))
    chosen = round(result.provenance["settled"]["num_iter"])
    iterations = [c[0] for c in calls]
    assert {c[1] for c in calls} == {40}
    assert iterations[-chosen:] == list(range(21, 21 + chosen))
    assert iterations[:-chosen] == list(range(1, len(calls) - chosen + 1))
    assert "held_out" in calls[0][2]


def test_too_few_tilts_are_refused(limited):
    few = limited.projector.subset([0, 8, 16, 24])
    with pytest.raises(InputError, match="4 tilts are too few to hold some out; use stop=none"):
        limited.run("sirt", projections=limited.projections[[0, 8, 16, 24]], projector=few, stop="held-out")


def test_all_slabs_have_the_number_of_iterations_of_the_pilot(limited, noisy, tmp_path):
    series = TiltSeries(noisy.numpy(), limited.geometry)
    tomoprior.reconstruct(series, "sirt", stop="held-out", out=tmp_path / "v.npy", slab=4, device="cpu")
    pilot = tomoprior.reconstruct(series.rows(4, 8), "sirt", stop="held-out", device="cpu").provenance["settled"]["num_iter"]
    whole = tomoprior.reconstruct(series, "sirt", num_iter=round(pilot), device="cpu").volume
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), whole)


@pytest.mark.parametrize("name", ["sirt", "sart", "cgls"])
def test_conformance(name):
    check_method(name, {"stop": "held-out"})


def test_estimates_include_the_search(limited):
    method = methods.get("sirt")
    plain, stopped = method.Settings(pad=0), method.Settings(pad=0, stop="held-out")
    more = 4 * (limited.truth.numel() + limited.projections.numel())
    assert method.memory(limited.geometry, stopped) - method.memory(limited.geometry, plain) == more
    assert method.cost_in_pairs(limited.geometry, stopped) == 2 * method.cost_in_pairs(limited.geometry, plain)
