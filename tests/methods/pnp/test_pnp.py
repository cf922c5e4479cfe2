"""Plug-and-play: its fixed point for denoisers that are proximal maps, the names of denoisers, and what is refused."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import tomoprior
from tomoprior import FanGeometry, Geometry, Projector, TiltSeries
from tomoprior.errors import InputError, SettingsError, UnknownNameError
from tomoprior.methods.pnp.denoisers import denoise_by_non_local_means, find_denoiser
from tomoprior.methods.pnp.method import PnPSettings

#: Strength of the quadratic prior, and weight of the data step, in the units of reg_par.
STRENGTH, RHO = 3.0, 5.0


def shrink(x, sigma):
    """The proximal map of STRENGTH / 2 ||x||^2 with the step 1 / RHO."""
    return x / (1 + STRENGTH / RHO)


class Shrinkage(nn.Module):
    """The same as a module that needs no arguments, with a layer that behaves differently in training."""

    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x, sigma):
        return self.drop(shrink(x, sigma))


def disc(geometry):
    nz, ny, nx = geometry.shape
    z, x = np.mgrid[:nz, :nx] - np.array([nz - 1, nx - 1])[:, None, None] / 2
    plane = ((z**2 + x**2 < 49) & ((z - 3) ** 2 + (x + 2) ** 2 > 6)).astype(np.float32)
    return np.repeat(plane[:, None], ny, 1)


@pytest.fixture(params=["parallel", "fan"])
def series(request):
    angles, shape = np.deg2rad(np.arange(-60, 61, 6)), (16, 2, 20)
    if request.param == "parallel":
        geometry = Geometry(angles, shape)
    else:
        geometry = FanGeometry(angles, shape, (2, 34), source_distance=60, detector_distance=30)
    return TiltSeries(Projector(geometry, "cpu")(disc(geometry)), geometry)


def run(series, denoiser, **settings):
    values = {"num_iter": 80, "reg_par": RHO, "num_cg": 30, "pad": 0} | settings
    return tomoprior.reconstruct(series, "pnp", device="cpu", denoiser=denoiser, **values)


@pytest.mark.parametrize("planes", ["slices", "volume"])
def test_gaussian_shrinkage_gives_tikhonov(series, planes):
    expected = tomoprior.reconstruct(series, "tikhonov", order=0, reg_par=STRENGTH, num_iter=200, pad=0, device="cpu").volume
    found = run(series, shrink, planes=planes).volume
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_weights_and_a_mask_count_as_in_tikhonov(series):
    weights = np.linspace(0.5, 1.5, series.geometry.n_angles).astype(np.float32)
    series = TiltSeries(series.projections, series.geometry, weights=weights)
    mask = np.zeros((16, 20), bool)
    mask[3:12, 4:15] = True
    options = {"mask": mask, "device": "cpu", "pad": 0, "num_iter": 200}
    expected = tomoprior.reconstruct(series, "tikhonov", order=0, reg_par=STRENGTH, **options).volume
    found = tomoprior.reconstruct(series, "pnp", denoiser=shrink, reg_par=RHO, num_cg=30, **options).volume
    assert not found[~mask.astype(bool)[:, None, :].repeat(2, 1)].any()
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_a_torch_module_is_evaluated_without_its_training_noise(series):
    module = Shrinkage().train()
    np.testing.assert_array_equal(run(series, module, num_iter=3).volume, run(series, shrink, num_iter=3).volume)


def test_a_denoiser_can_be_named_by_its_module(series, tmp_path, monkeypatch):
    code = f"def shrink(x, sigma): return x / {1 + STRENGTH / RHO}\nclass Shrinkage:\n    __call__ = staticmethod(shrink)\n"
    (tmp_path / "shrinkage_for_a_test.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    expected = run(series, shrink, num_iter=3).volume
    for name in ("shrink", "Shrinkage"):
        np.testing.assert_array_equal(run(series, f"shrinkage_for_a_test:{name}", num_iter=3).volume, expected)


def test_the_record_names_the_denoiser_and_the_scale(series):
    result = run(series, shrink, num_iter=3)
    settings = result.provenance["settings"]
    assert settings["denoiser"].endswith(":shrink")
    json.dumps(settings)
    assert 0.5 < result.provenance["settled"]["scale"] < 2
    assert run(series, shrink, num_iter=3, scale=2.5).provenance["settled"]["scale"] == 2.5


def test_the_denoiser_sees_slices_or_the_volume_in_units_of_scale(series):
    seen = []

    def look(x, sigma):
        seen.append((tuple(x.shape), sigma, float(x.max())))
        return x

    run(series, look, num_iter=1, sigma=0.07)
    run(series, look, num_iter=1, planes="volume", scale=10.0)
    assert seen[0][:2] == ((2, 1, 16, 20), 0.07)
    assert seen[0][2] == pytest.approx(1, abs=1e-4)
    assert seen[1][:2] == ((1, 1, 16, 2, 20), 0.1)
    assert seen[1][2] < 0.2


def test_slabs_take_the_scale_of_the_first(tmp_path):
    geometry = Geometry(np.deg2rad(np.arange(-60, 61, 6)), (16, 40, 20))
    truth = disc(geometry) * np.linspace(0.5, 1, 40, dtype=np.float32)[None, :, None]
    series = TiltSeries(Projector(geometry, "cpu")(truth), geometry)
    settings = {"denoiser": "nlm", "num_iter": 3, "num_cg": 40, "pad": 0}
    whole = tomoprior.reconstruct(series, "pnp", device="cpu", **settings)
    slabs = tomoprior.reconstruct(series, "pnp", device="cpu", out=tmp_path / "v.zarr", slab=20, **settings)
    error = np.abs(np.asarray(slabs.volume[...]) - whole.volume)
    assert error.max() < 0.1 * np.abs(whole.volume).max()


def test_non_local_means_remove_noise():
    truth = torch.zeros(1, 1, 40, 40)
    truth[..., 10:30, 10:30] = 1
    noisy = truth + 0.1 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    clean = denoise_by_non_local_means(noisy, 0.1)
    assert clean.shape == truth.shape
    assert (clean - truth).pow(2).mean() < 0.2 * (noisy - truth).pow(2).mean()


@pytest.mark.parametrize(
    ("denoiser", "error", "message"),
    [
        ("nml", UnknownNameError, "no denoiser is called 'nml'; did you mean nlm"),
        ("no_such_module:Net", SettingsError, "cannot be imported: No module named 'no_such_module'"),
        ("math:pi", SettingsError, "is a float, which cannot be called"),
        (3, SettingsError, "a denoiser is a name"),
        (lambda x, sigma: x[..., 1:], InputError, r"returns the shape \(2, 1, 16, 19\)"),
        (lambda x, sigma: x / 0, InputError, "not finite"),
    ],
)
def test_what_is_no_denoiser_is_one_line(series, denoiser, error, message):
    with pytest.raises(error, match=message) as caught:
        run(series, denoiser, num_iter=2)
    assert "\n" not in str(caught.value)


def test_a_trained_prior_refuses_a_fan_of_unknown_voxels_before_any_work():
    geometry = FanGeometry([0.0, 0.5], (8, 1, 8), source_distance=60, detector_distance=30)
    with pytest.raises(InputError, match="the voxel size is not known"):
        tomoprior.methods.get("pnp").check(geometry, PnPSettings(denoiser="prior"))


def test_names_lead_to_denoisers():
    assert find_denoiser("nlm") is denoise_by_non_local_means
    assert find_denoiser(shrink) is shrink


def test_the_method_keeps_the_contract():
    tomoprior.testing.check_method("pnp", {"num_iter": 4, "num_cg": 4})
