"""However a method is called, its seed and threads are those of the call, and the caller's own stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tomoprior
from tomoprior import Geometry
from tomoprior.errors import Interrupted, SettingsError
from tomoprior.simulate import Spheres

OPTIONS = {"encoder": "siren", "width": 8, "depth": 1, "num_iter": 3, "reg_par": 0.0, "pad": 0}


def as_tomopy(series):
    return np.ascontiguousarray(series.projections), series.geometry.angles


def test_a_run_neither_reads_nor_changes_the_callers_random_state(small, random_method):
    volumes = []
    for state in (1, 2):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        volumes.append(tomoprior.reconstruct(small, random_method, seed=5, device="cpu").volume)
        assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(*volumes)
    torch.manual_seed(5)
    np.testing.assert_array_equal(volumes[0], torch.rand(small.geometry.shape))


def test_the_tomopy_call_does_not_either(small, random_method, monkeypatch):
    monkeypatch.setattr("tomoprior.methods.get", lambda name: random_method)
    data, theta = as_tomopy(small)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    found = tomoprior.recon(data, theta, algorithm="random", seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)
    expected = torch.rand((24, 6, 24))
    np.testing.assert_array_equal(found, expected.permute(1, 0, 2))
    chunk = np.full((6, 24, 24), 1e-6, np.float32)
    tomoprior.algorithm(data.transpose(1, 0, 2), np.full(6, 12.0), chunk, theta, options={"method": "random", "seed": 5})
    np.testing.assert_array_equal(chunk, found)


def test_an_interrupted_run_restores_the_random_state_too(small, random_method, monkeypatch):
    result = random_method.reconstruct

    def interrupted(*arguments, **more):
        raise Interrupted(result(*arguments, **more))

    monkeypatch.setattr(random_method, "reconstruct", interrupted)
    before = torch.get_rng_state()
    with pytest.raises(Interrupted) as stop:
        tomoprior.reconstruct(small, random_method, seed=5, threads=2, device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == 1
    assert stop.value.result.provenance["interrupted"] is True
    assert stop.value.result.provenance["seed"] == 5


def test_threads_are_set_for_the_run_and_restored(small, random_method, monkeypatch, tmp_path):
    monkeypatch.setattr("tomoprior.methods.get", lambda name: random_method)
    data, theta = as_tomopy(small)
    tomoprior.reconstruct(small, random_method, threads=2, device="cpu")
    tomoprior.recon(data, theta, algorithm="random", ncore=3)
    tomoprior.reconstruct(small, random_method, device="cpu")
    tomoprior.reconstruct(small, random_method, threads=2, out=tmp_path / "v.npy", device="cpu")
    assert random_method.threads == [2, 3, 1, 2]
    assert torch.get_num_threads() == 1
    for wrong in (0, 1.5):
        with pytest.raises(SettingsError, match="positive whole number"):
            tomoprior.reconstruct(small, random_method, threads=wrong, device="cpu")


def test_the_seed_of_the_call_reaches_a_methods_own_seed(small):
    zero, one, setting = (
        tomoprior.reconstruct(small, "cn", device="cpu", **more)
        for more in (OPTIONS, {**OPTIONS, "seed": 1}, {"settings": tomoprior.methods.get("cn").Settings(**OPTIONS, seed=1)})
    )
    assert np.abs(zero.volume - one.volume).max() > 1e-4
    np.testing.assert_array_equal(one.volume, setting.volume)
    for result, seed in ((zero, 0), (one, 1), (setting, 1)):
        assert result.provenance["seed"] == seed
    data, theta = as_tomopy(small)
    volumes = [tomoprior.recon(data, theta, algorithm="cn", seed=seed, num_gridx=12, **OPTIONS) for seed in (0, 1)]
    assert np.abs(volumes[0] - volumes[1]).max() > 1e-4


def test_two_seeds_that_differ_are_refused(small):
    settings = tomoprior.methods.get("cn").Settings(encoder="hash", seed=2)
    with pytest.raises(SettingsError, match="given twice: 1, and 2 as a setting"):
        tomoprior.reconstruct(small, "cn", settings=settings, seed=1)
    with pytest.raises(SettingsError, match=r"whole number, got 0\.5"):
        tomoprior.reconstruct(small, "sirt", seed=0.5)
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        tomoprior.methods.get("cn").Settings(encoder="hash", seed=-1)


def test_wedge_by_recon_depends_on_the_seed_alone():
    geometry = Geometry(np.deg2rad(np.arange(-60, 61, 6)), (24, 32, 32))
    data, theta = Spheres.random(geometry.shape, radius=(3, 5), seed=4).project(geometry), geometry.angles
    options = {"cube_size": 16, "width": 8, "depth": 2, "batch_size": 1, "num_iter": 1, "steps_per_round": 1, "tile_size": 32}
    volumes = []
    for state, seed in ((1, 0), (2, 0), (1, 1)):
        torch.manual_seed(state)
        volumes.append(tomoprior.recon(data, theta, algorithm="wedge", num_gridx=24, seed=seed, options=options))
    np.testing.assert_array_equal(volumes[0], volumes[1])
    assert np.abs(volumes[0] - volumes[2]).max() > 0
