"""The method as users meet it: quality, defaults of presets, refusals, interruption, the field of the result."""

import pickle

import numpy as np
import pytest
import torch

import tomoprior
from tomoprior.errors import Interrupted, SettingsError
from tomoprior.methods.cn import CNSettings, load_field
from tomoprior.methods.cn.settings import CLASSES
from tomoprior.series import TiltSeries


def test_fills_the_missing_wedge_better_than_sirt_with_bounds(limited):
    ours = limited.run("cn", pad=0)
    sirt = [limited.run("sirt", num_iter=n, min_constraint=0, pad=0).volume for n in (100, 1000)]
    assert limited.psnr(ours.volume) > max(map(limited.psnr, sirt)) + 0.5
    assert limited.slope(ours.volume) == pytest.approx(1, abs=0.03)


def test_presets_give_defaults_and_settings_override_them():
    paper = CNSettings.parse({"preset": "paper", "num_iter": "7"})
    assert (paper.encoder, paper.width, paper.depth, paper.loss, paper.num_iter) == ("siren", 256, 4, "l1", 7)
    assert (paper.activation, paper.refit) == ("clip", True)
    assert CNSettings().encoder == "spline"
    assert CNSettings.parse({"encoder": "grid"}).activation == "softplus"


@pytest.mark.parametrize(
    "values",
    [
        {"activation": "softplus"},
        {"min_constraint": 1},
        {"encoder": "perceptron"},
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


@pytest.mark.parametrize(
    ("values", "owners", "encoder"),
    [
        ({"table_size": 12}, "hash", "spline"),
        ({"encoder": "hash", "omega": 3.0}, "siren", "hash"),
        ({"encoder": "grid", "degree": 3}, "spline", "grid"),
        ({"preset": "paper", "levels": 3}, "grid, hash", "siren"),
    ],
)
def test_a_setting_of_another_encoder_is_refused(values, owners, encoder):
    name = next(name for name in values if name not in ("encoder", "preset"))
    message = f"{name} is a setting of encoder={owners}; the encoder here is {encoder}"
    for make in (CNSettings.parse, lambda v: CNSettings(**v), CNSettings.model_validate):
        with pytest.raises(SettingsError) as error:
            make(values)
        assert str(error.value) == message


@pytest.mark.parametrize("encoder", sorted(CLASSES))
def test_settings_survive_a_record_a_pickle_and_a_copy(encoder):
    settings = CNSettings.parse({"encoder": encoder, "num_iter": 7})
    assert type(settings) is CLASSES[encoder]
    assert CNSettings.parse(settings.model_dump(mode="json")) == settings
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert settings.model_copy(update={"num_iter": 8}) == CNSettings(encoder=encoder, num_iter=8)


def test_every_setting_is_listed_with_the_encoders_that_have_it():
    groups = CNSettings.fields_by_group()
    assert list(groups) == [
        "", "encoder=spline", "encoder=siren, fourier, grid, hash", "encoder=fourier, grid, hash", "encoder=siren",
        "encoder=fourier", "encoder=grid", "encoder=hash",
    ]  # fmt: skip
    assert list(groups["encoder=spline"]) == ["degree"]
    assert list(groups["encoder=fourier"]) == ["bandwidth", "features"]
    assert groups["encoder=grid"]["depth"].default == 0
    assert groups["encoder=siren, fourier, grid, hash"]["num_iter"].default == 500
    listed = {name for fields in groups.values() for name in fields}
    assert listed == {name for kind in CLASSES.values() for name in kind.model_fields}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"recipe": "paper"}, {"preset": "paper"}),
        ({"loss": "huber", "loss_delta": 0.3}, {"loss": "huber", "loss_huber_delta": 0.3}),
        ({"regulariser_delta": 0.2}, {"huber_delta": 0.2}),
        ({"encoder": "hash", "start": "a.safetensors"}, {"encoder": "hash", "initial_field": "a.safetensors"}),
        ({"activation": "bound"}, {}),
        ({"activation": "none"}, {"min_constraint": None}),
        ({"encoder": "grid", "activation": "none"}, {"encoder": "grid", "min_constraint": None, "activation": "clip"}),
        ({"encoder": "grid", "activation": "bound"}, {"encoder": "grid", "activation": "clip"}),
        ({"recipe": "paper", "activation": "none"}, {"preset": "paper", "min_constraint": None}),
    ],
)
def test_old_names_and_values_work_with_a_warning(old, new):
    for make in (CNSettings.parse, lambda v: CNSettings(**v)):
        with pytest.warns(DeprecationWarning, match="works for one release"):
            assert make(old) == make(new)


def test_an_old_name_with_the_new_one_is_refused():
    with pytest.raises(SettingsError, match="recipe is the old name of preset, and both are given; give preset"):
        CNSettings.parse({"recipe": "paper", "preset": "fast"})


@pytest.mark.parametrize("name", ["regulariser", "stop", "min_constraint"])
def test_none_as_a_word_is_none(name):
    assert getattr(CNSettings.parse({name: "none"}), name) is None


def test_the_seed_of_the_run_is_that_of_the_networks(limited):
    series = TiltSeries(limited.projections.numpy(), limited.geometry)
    values = {"encoder": "siren", "width": 8, "depth": 1, "num_iter": 2, "slices": 6, "num_iter_next": 1}
    run = {seed: tomoprior.reconstruct(series, "cn", seed=seed, **values).volume for seed in (0, 1)}
    own = tomoprior.reconstruct(series, "cn", seed=0, settings=CNSettings(seed=1, **values)).volume
    assert not np.array_equal(run[0], run[1])
    np.testing.assert_array_equal(own, run[1])


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
    series = TiltSeries(limited.projections.numpy(), limited.geometry)
    with pytest.raises(Interrupted) as stop:
        tomoprior.reconstruct(series, "cn", progress=interrupt(lambda iteration, values: iteration >= at))
    result = stop.value.result
    assert result.provenance["interrupted"] is True
    assert result.volume.shape == limited.geometry.shape
    assert np.isfinite(result.volume).all()


def interrupt(when):
    """A progress that raises KeyboardInterrupt once ``when(iteration, values)``."""

    def progress(iteration, num_iter, values):
        if when(iteration, values):
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize(
    ("when", "settings"),
    [
        # in the search for the background, the degree, the strength (the first trial, a later one), the end; all tilts
        (lambda at, values: at == 20, {"background": "held-out"}),
        (lambda at, values: at == 300, {"background": "held-out"}),
        (lambda at, values: at == 150, {"degree": "held-out"}),
        (lambda at, values: at == 20, {"degree": 3}),
        (lambda at, values: at == 351, {"degree": 3}),
        (lambda at, values: "stop" in values, {}),
        (lambda at, values: at == 60, {"degree": 3, "reg_par": 1.0}),
        (lambda at, values: "residual" in values, {"degree": 3, "reg_par": 1.0, "num_iter": 60}),
    ],
)
def test_interrupted_while_it_searches_it_keeps_the_best_so_far(limited, when, settings):
    with pytest.raises(Interrupted) as stop:
        limited.run("cn", pad=0, progress=interrupt(when), **settings)
    result = stop.value.result
    assert result.provenance["residual"] < 0.35
    assert limited.correlation(result.volume) > 0.7
    assert float(result.volume.min()) >= 0
    assert result.provenance["settled"]["degree"] == result.field.degree
    assert result.provenance["settled"]["background"] == result.field.background
    middles = torch.stack(torch.meshgrid(*(torch.arange(n) for n in result.volume.shape), indexing="ij"), -1)
    torch.testing.assert_close(result.field(middles), result.volume, rtol=1e-4, atol=1e-4)


def test_a_later_trial_that_an_interrupt_ends_does_not_replace_the_best(limited):
    """Once the first strength has been tried, what is kept is its volume, however far the second one has got."""
    volumes = []
    for at in (51, 60, 95):
        with pytest.raises(Interrupted) as stop:
            limited.run("cn", pad=0, degree=3, progress=interrupt(lambda iteration, values, at=at: iteration == at))
        volumes.append(stop.value.result.volume)
    assert torch.equal(volumes[0], volumes[1])
    assert torch.equal(volumes[0], volumes[2])


def test_a_mask_and_a_background(limited):
    mask = torch.ones(limited.geometry.shape)
    mask[:4] = 0
    result = limited.run("cn", mask=mask, background=0.1, num_iter=30, reg_par="auto")
    assert not bool(result.volume[:4].any())
    assert float(result.volume[4:].min()) >= 0.1 - 1e-6


def test_projections_too_large_for_float32_are_refused(limited):
    with pytest.raises(tomoprior.errors.InputError, match="not finite"):
        limited.run("cn", projections=limited.projections * 1e25, reg_par="auto", stop=None, num_iter=5)
