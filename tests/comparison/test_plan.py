"""The cost of a comparison before it starts."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tomoprior import Geometry, TiltSeries
from tomoprior.comparison import estimate_comparison, plan
from tomoprior.errors import SettingsError, UnknownNameError

from .conftest import named


def costs(series, methods=("sirt",), **options):
    return {cost.label: cost for cost in estimate_comparison(series, methods, **options)}


def test_reconstructions_are_counted(series):
    assert costs(series)["sirt"].reconstructions == 5
    assert costs(series, checks=["planted"])["sirt"].reconstructions == 2
    assert costs(series, checks="")["sirt"].reconstructions == 1
    # five tilts are enough for all checks, four for halves but not for held-out tilts
    assert costs(series.select(np.arange(5)))["sirt"].reconstructions == 5
    assert costs(series.select(np.arange(4)))["sirt"].reconstructions == 4
    # three tilts are too few for held-out tilts and for halves
    assert costs(series.select(np.arange(3)))["sirt"].reconstructions == 2


def test_trials_of_the_tuning_are_counted(series):
    method = named("tuned")
    type(method).tunable = {"num_iter": (1, 3, 40)}  # its own is 3
    assert costs(series, [method], checks="", tune=True)["tuned"].reconstructions == 1 + 3
    fixed = costs(series, [method], checks="", tune=True, settings={"tuned": {"num_iter": 3}})
    assert fixed["tuned"].reconstructions == 1


def test_a_budget_limits_the_time(series):
    free, limited = costs(series), costs(series, budget=1e-6)
    assert free["sirt"].seconds > 1e-4
    assert limited["sirt"].seconds == 1e-6
    assert costs(series, budget=1e6)["sirt"].seconds < 1e5
    assert limited["sirt"].memory == free["sirt"].memory > 0


def test_each_entry_has_its_own_cost(series):
    found = costs(series, ["few=sirt", "many=sirt"], settings={"few": {"num_iter": 2}, "many": {"num_iter": 2000}})
    assert found["many"].seconds > 10 * found["few"].seconds


def test_mistakes_are_found_here_too(series):
    with pytest.raises(UnknownNameError, match="did you mean sirt"):
        costs(series, ["sirtt"])
    with pytest.raises(SettingsError, match="no setting is called"):
        costs(series, settings={"sirt": {"iterations": 3}})


def test_material_at_the_borders_counts():
    """The estimate knows the padding of the run: what the rays reach, instead of a quarter of the width."""
    geometry = Geometry(np.deg2rad(np.arange(-60, 61, 20)), (8, 4, 32))
    empty = np.zeros(geometry.range_shape, np.float32)
    empty[..., 12:20] = 1
    isolated, section = (costs(TiltSeries(p, geometry))["sirt"].memory for p in (empty, np.ones_like(empty)))
    assert section > isolated


def test_the_time_of_checks_and_trials_follows_their_tilts(series, monkeypatch):
    """Four of five tilts are in the reconstruction without held-out ones, and four of five of these in each trial."""
    monkeypatch.setattr(plan, "estimate_method", lambda *_: SimpleNamespace(seconds=10.0, memory=5))
    method = named("tuned")
    type(method).tunable = {"num_iter": (1, 3, 40)}
    times = [
        costs(series, [method], checks=checks, tune=tune)["tuned"].seconds
        for checks, tune in (("", False), ("held-out", False), ("planted", False), ("halves", False), ("", True))
    ]
    assert times == pytest.approx([10, 18, 20, 20, 10 + 3 * 6.4])
