"""The work on one slab: its rows, its borders and its record."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

import tomoprior
from tomoprior import methods
from tomoprior.formats import Header
from tomoprior.projector import ProjectorOptions
from tomoprior.running.slabs.job import Job
from tomoprior.running.slabs.journal import Journal, digest
from tomoprior.running.slabs.outputs import Outputs
from tomoprior.running.slabs.plan import split_rows


@pytest.fixture
def make_job(series, tmp_path):
    def make(method, halo, **settings):
        found = methods.get(method)
        plan = split_rows(series.geometry, 40, halo)
        journal = Journal(tmp_path / "v.npy")
        journal.folder.mkdir()
        journal.begin({})
        outputs = Outputs(journal.folder, "v.npy", Header(series.geometry.shape, np.float32))
        return Job(
            journal.out,
            outputs,
            plan,
            series.geometry,
            found,
            found.Settings(**settings),
            ProjectorOptions("cpu"),
            series.projections,
        )

    return make


def test_a_slab_writes_its_own_rows_and_its_record(make_job, series):
    job = make_job("wbp", 0)
    record = pickle.loads(pickle.dumps(job))(job.plan.slabs[1])  # as in another process
    written = np.load(job.outputs.path("volume"))
    whole = tomoprior.reconstruct(series, "wbp", device="cpu")
    np.testing.assert_array_equal(written[:, 40:], whole.volume[:, 40:])
    assert not written[:, :40].any()
    assert record["rows"] == [40, 80]
    assert record["input"] == digest(np.ascontiguousarray(series.projections[:, 40:80]))
    assert Journal(job.out).done() == {1: json.loads(json.dumps(record))}


def test_a_slab_keeps_what_is_blended_on_its_inner_borders_only(make_job):
    job = make_job("tv", 16, num_iter=3, reg_par=1.0)
    job(job.plan.slabs[0])
    borders = job.outputs.folder / "borders"
    assert [p.name for p in borders.iterdir()] == ["volume-000040-low.npy"]
    job(job.plan.slabs[1])
    assert sorted(p.name for p in borders.iterdir()) == ["volume-000040-high.npy", "volume-000040-low.npy"]
    volume = np.load(job.outputs.path("volume"))
    for side, rows, kept in (("low", slice(32, 40), slice(0, 8)), ("high", slice(40, 48), slice(8, 16))):
        values = np.load(borders / f"volume-000040-{side}.npy")
        assert values.shape == (12, 16, 24)
        np.testing.assert_array_equal(values[:, kept], volume[:, rows])  # a slab's own rows are the same values


def test_only_the_pilot_records_provenance_and_settings_for_others(make_job):
    job = make_job("tv", 16, num_iter=3)
    pilot = job.plan.pilot
    other = next(slab for slab in job.plan.slabs if slab != pilot)
    first, second = job(pilot), job(other)
    assert first["settings_from_pilot"] == {name: first["settled"][name] for name in ("min_constraint", "reg_par")}
    assert second["settings_from_pilot"] is None
    assert "provenance" in first
    assert "provenance" not in second
