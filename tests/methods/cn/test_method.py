"""The method as users meet it: quality, defaults of recipes, refusals, interruption, the field of the result."""

import numpy as np
import pytest
import torch

import tomoprior
from tomoprior.errors import Interrupted, SettingsError
from tomoprior.methods.cn import CNSettings, load_field
from tomoprior.series import TiltSeries


def test_fills_the_missing_wedge_better_than_sirt_with_bounds(limited):
    ours = limited.run("cn", pad=0)
    sirt = [limited.run("sirt", num_iter=n, min_constraint=0, pad=0).volume for n in (100, 1000)]
    assert limited.psnr(ours.volume) > max(map(limited.psnr, sirt)) + 0.5
    assert limited.slope(ours.volume) == pytest.approx(1, abs=0.03)


def test_recipes_give_defaults_and_settings_override_them():
    paper = CNSettings.parse({"recipe": "paper", "num_iter": "7"})
    assert (paper.encoder, paper.width, paper.depth, paper.loss, paper.num_iter) == ("siren", 256, 4, "l1", 7)
    assert paper.activation == "none"
    assert CNSettings().encoder == "spline"
    assert CNSettings.parse({"encoder": "grid"}).activation == "softplus"


@pytest.mark.parametrize(
    "values",
    [
        {"activation": "softplus"},
        {"encoder": "grid", "activation": "bound"},
        {"encoder": "siren", "reg_par": "held-out"},
        {"encoder": "hash", "background": "held-out"},
        {"degree": 4},
        {"loss": "l3"},
        {"num_iter": 0},
    ],
)
def test_settings_that_make_no_sense(values):
    with pytest.raises(SettingsError) as error:
        CNSettings.parse(values)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("values", [{}, {"encoder": "grid", "num_iter": 30, "reg_par": 0.0}])
def test_the_field_is_the_volume_and_more(limited, values, tmp_path):
    series = TiltSeries(limited.projections.numpy(), limited.geometry)
    result = tomoprior.reconstruct(series, "cn", **values)
    nz, ny, nx = limited.geometry.shape
    points = np.stack(np.meshgrid(np.arange(nz), np.arange(ny), np.arange(nx), indexing="ij"), -1)
    np.testing.assert_allclose(result.field(points), result.volume, atol=1e-5 * result.volume.max())
    result.field.save(tmp_path / "field.safetensors")
    oblique = np.random.default_rng(0).uniform(0, 10, (50, 3))
    np.testing.assert_array_equal(load_field(tmp_path / "field.safetensors")(oblique), result.field(oblique))


@pytest.mark.parametrize("at", [5, 700])
def test_interrupted_it_keeps_what_it_has(limited, at):
    def progress(iteration, num_iter, values):
        if iteration >= at:
            raise KeyboardInterrupt

    series = TiltSeries(limited.projections.numpy(), limited.geometry)
    with pytest.raises(Interrupted) as stop:
        tomoprior.reconstruct(series, "cn", progress=progress)
    result = stop.value.result
    assert result.provenance["interrupted"] is True
    assert result.volume.shape == limited.geometry.shape
    assert np.isfinite(result.volume).all()


def test_a_mask_and_a_background(limited):
    mask = torch.ones(limited.geometry.shape)
    mask[:4] = 0
    result = limited.run("cn", mask=mask, background=0.1, num_iter=30, reg_par="auto")
    assert not bool(result.volume[:4].any())
    assert float(result.volume[4:].min()) >= 0.1 - 1e-6


def test_projections_too_large_for_float32_are_told(limited):
    with pytest.raises(tomoprior.errors.InputError, match="not finite"):
        limited.run("cn", projections=limited.projections * 1e25, reg_par="auto", stop="none", num_iter=5)
