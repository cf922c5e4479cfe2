"""No step across a border between slabs is larger than those between other neighbouring slices."""

from __future__ import annotations

import numpy as np
import pytest

import tomoprior
from tomoprior import Geometry, TiltSeries
from tomoprior.running.slabs import plan

#: A step at a border over the same step in the volume made as a whole; elsewhere it is 1 up to what the slabs differ by.
MOST = 1.05

CASES = {
    "tv": {"num_iter": 60, "reg_par": 20.0},
    "tikhonov": {"num_iter": 20, "reg_par": 3.0},
    "cn": {"num_iter": 40, "degree": 3, "stop": "none", "reg_par": "auto"},
}


def steps(volume):
    return np.abs(np.diff(volume, axis=1)).mean((0, 2))


def excess(slabbed, whole, borders, width):
    """Largest step near a border, and largest elsewhere, each over what the whole volume has there."""
    ratio = steps(slabbed) / steps(whole)
    near = np.zeros(len(ratio), bool)
    for border in borders:
        near[border - width : border + width] = True
    return float(ratio[near].max()), float(ratio[~near].max())


@pytest.fixture(scope="module")
def tall(make_series):
    return make_series((12, 96, 24), noise=1.0, seed=2)


@pytest.mark.parametrize("method", list(CASES))
def test_a_border_leaves_no_seam(tall, tmp_path, method):
    given = {**CASES[method], "device": "cpu"}
    whole = tomoprior.reconstruct(tall, method, **given).volume
    found = tomoprior.reconstruct(tall, method, out=tmp_path / "v.npy", slab=32, **given).volume[...]
    at_border, elsewhere = excess(found, whole, (32, 64), 8)
    assert at_border < max(MOST, elsewhere), (at_border, elsewhere)
    assert np.abs(found - whole).max() < 0.1 * np.abs(whole).max()


@pytest.mark.slow
def test_diffusion_leaves_no_seam(make_series, tmp_path):
    given = {"samples": 2, "std": "samples", "num_iter": 3, "check_prior": False, "device": "cpu"}
    series = make_series((12, 64, 24), noise=1.0, seed=2)
    whole = tomoprior.reconstruct(series, "diffusion", rows=64, **given)
    found = tomoprior.reconstruct(series, "diffusion", out=tmp_path / "v.npy", slab=32, **given)
    at_border, elsewhere = excess(found.volume[...], whole.volume, (32,), 8)
    assert at_border < max(1.25, elsewhere), (at_border, elsewhere)
    assert found.std.shape == whole.std.shape
    at_border, elsewhere = excess(found.std[...], whole.std, (32,), 8)
    assert at_border < max(1.5, elsewhere), (at_border, elsewhere)
    assert found.determined.shape[0] == whole.determined.shape[0]
    # rows away from the border draw what the whole volume draws there
    far = np.corrcoef(found.volume[:, :16].ravel(), whole.volume[:, :16].ravel())[0, 1]
    assert far > 0.9, far


def test_wiener_leaves_no_seam(tall, tmp_path):
    """Scale and section are those of the slab in the middle for all of them."""
    given = {"check_prior": False, "device": "cpu"}
    found = tomoprior.reconstruct(tall, "wiener", out=tmp_path / "v.npy", slab=32, **given)
    scale, section = found.provenance["scale"], found.provenance["section"]
    taken = {"scale": (scale["mean"], scale["gain"]), "faces": section["faces"], "face_std": section["face_std"]}
    whole = tomoprior.reconstruct(tall, "wiener", **taken, **given).volume
    volume = found.volume[...]
    at_border, elsewhere = excess(volume, whole, (32, 64), 8)
    assert at_border < max(MOST, elsewhere), (at_border, elsewhere)
    assert np.abs(volume - whole).max() < 0.1 * np.abs(whole).max()


def test_without_halo_the_same_measure_shows_the_seam(tall, tmp_path, monkeypatch):
    given = {**CASES["tv"], "device": "cpu"}
    whole = tomoprior.reconstruct(tall, "tv", **given).volume
    monkeypatch.setattr(plan, "halo_rows", lambda *_: 0)
    found = tomoprior.reconstruct(tall, "tv", out=tmp_path / "v.npy", slab=32, **given).volume[...]
    assert excess(found, whole, (32, 64), 8)[0] > 1.2


def test_networks_start_from_the_slab_in_the_middle(make_series, tmp_path):
    few = make_series((12, 8, 24), noise=0.1)
    # every eight slices the same, so that what fits one network fits all
    geometry = Geometry(few.geometry.angles, (12, 48, 24))
    series = TiltSeries(np.tile(few.projections, (1, 6, 1)), geometry)
    given = {"encoder": "grid", "levels": 2, "slices": 8, "reg_par": 0.0, "pad": 0, "num_iter_next": 5, "device": "cpu"}
    found = tomoprior.reconstruct(series, "cn", out=tmp_path / "v.npy", slab=16, num_iter=80, **given)
    each = [slab["residual"] for slab in found.provenance["slabs"]["each"]]
    assert len(each) == 3
    # eighty iterations of the pilot's first network, five of all others; a first slab by itself does not get as far with five
    alone = tomoprior.reconstruct(series.rows(0, 32), "cn", num_iter=5, **given).provenance["residual"]
    assert all(residual < 0.7 * alone for residual in each), (each, alone)


def test_a_network_starts_from_a_field_that_fits(make_series, tmp_path):
    series = make_series((12, 8, 24), noise=0.1)
    given = {"encoder": "grid", "levels": 2, "reg_par": 0.0, "pad": 0, "device": "cpu"}
    first = tomoprior.reconstruct(series, "cn", num_iter=60, **given)
    path = tmp_path / "field.safetensors"
    first.field.save(path)
    on = tomoprior.reconstruct(series, "cn", initial_field=str(path), num_iter=1, num_iter_next=5, **given)
    cold = tomoprior.reconstruct(series, "cn", num_iter=5, **given)
    assert len(on.history["residual"]) == 5
    assert on.history["residual"][0] < 0.7 * cold.history["residual"][0]
    # another height: it starts from nothing, with all its iterations
    other = tomoprior.reconstruct(series.rows(0, 5), "cn", initial_field=str(path), num_iter=7, num_iter_next=5, **given)
    assert len(other.history["residual"]) == 7
    with pytest.raises(
        tomoprior.errors.SettingsError,
        match="initial_field is a setting of encoder=siren, fourier, grid, hash; the encoder here is spline",
    ):
        tomoprior.reconstruct(series, "cn", initial_field=str(path))
    spline = tomoprior.reconstruct(series, "cn", num_iter=3, degree=1, stop="none", reg_par="auto", device="cpu")
    spline.field.save(tmp_path / "spline.safetensors")
    with pytest.raises(tomoprior.errors.InputError, match="has no network to start from"):
        tomoprior.reconstruct(series, "cn", initial_field=str(tmp_path / "spline.safetensors"), num_iter=2, **given)
