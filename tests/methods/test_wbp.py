"""Weighted back-projection: values, filters, weights."""

import numpy as np
import pytest
import torch

from tomoprior import Geometry, Projector, methods, testing
from tomoprior.errors import InputError, SettingsError
from tomoprior.methods.classical import filters

FILTERS = ("ramp", "shepp-logan", "cosine", "hamming", "hann", "sirt", None)


@pytest.mark.parametrize("name", FILTERS)
def test_conformance(name):
    testing.check_method("wbp", {"filter_name": name})


@pytest.mark.parametrize(
    ("name", "least"), [("ramp", 0.9), ("shepp-logan", 0.9), ("cosine", 0.85), ("hamming", 0.8), ("hann", 0.8)]
)
def test_a_full_range_recovers_the_values(full, name, least):
    """Smooth windows lower the thin walls of the phantom and leave the rest."""
    volume = full.run("wbp", filter_name=name).volume
    assert least < full.slope(volume) < 1.1
    assert full.correlation(volume) > 0.93


def test_the_middle_of_a_big_ball_has_its_value(full):
    volume = full.run("wbp").volume
    # the full ball of density 0.7 at (Z, X) = (-8, -3), radius 5
    assert float(volume[10:13, 1:3, 15:18].mean()) == pytest.approx(0.7, abs=0.03)


@pytest.mark.parametrize("turn", [-np.pi, np.pi, 2 * np.pi])
def test_a_half_turn_mirrors_the_detector_and_changes_nothing_else(full, turn, difference):
    geometry = full.geometry
    center = geometry.detector[1] - geometry.center if abs(turn) == np.pi else geometry.center
    flip = (lambda p: p.flip(2)) if abs(turn) == np.pi else (lambda p: p)
    other = Geometry(geometry.angles + turn, geometry.shape, center=center)
    found = full.run(
        "wbp", projections=flip(full.projections).contiguous(), projector=Projector(other, "cpu"), edge="zero"
    ).volume
    assert difference(found, full.run("wbp", edge="zero").volume) < 1e-4


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("ramlak", "ramp"),
        ("ram-lak", "ramp"),
        ("Ram-Lak", "ramp"),
        ("shepp", "shepp-logan"),
        ("hanning", "hann"),
        ("HAMMING", "hamming"),
    ],
)
def test_other_packages_names_of_the_filters(alias, name):
    assert methods.get("wbp").Settings.parse({"filter_name": alias}).filter_name == name


def test_unknown_filters_are_refused():
    with pytest.raises(SettingsError, match="filter_name"):
        methods.get("wbp").Settings.parse({"filter_name": "parzen"})


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("nu", [1, 7, 64])
def test_responses_are_ramps_that_a_window_lowers(name, nu):
    ramp, found = filters.compute_response("ramp", nu), filters.compute_response(name, nu, thickness=32)
    assert found.shape == ramp.shape
    assert np.isfinite(found).all()
    if name is not None:
        assert np.all(found <= ramp + 1e-6)
        k = np.linspace(0, 0.5, len(ramp))
        if nu == 64:
            np.testing.assert_allclose(ramp[1:], k[1:], atol=0.005)
    assert not filters.compute_response(name, 64, cutoff=0.5)[filters.compute_response(None, 64, cutoff=0.5) == 0].any()


def test_the_ramp_keeps_the_mean():
    """Sampling ``|k|`` would not: the response at zero is small and positive, not zero."""
    ramp = filters.compute_response("ramp", 32)
    assert 0 < ramp[0] < 0.01


def test_smoother_windows_smooth_more(full):
    noisy = full.projections + 0.5 * torch.randn(full.projections.shape, generator=torch.Generator().manual_seed(0))
    spread = [float((full.run("wbp", projections=noisy, filter_name=f).volume - full.run("wbp", filter_name=f).volume).std())
              for f in ("ramp", "shepp-logan", "cosine", "hamming", "hann")]  # fmt: skip
    assert spread == sorted(spread, reverse=True)
    assert spread[-1] < 0.6 * spread[0]


@pytest.mark.parametrize("iterations", [5, 20])
def test_the_sirt_filter_resembles_sirt_better_than_the_ramp_does(case_of, iterations):
    """The centre of the field only: what SIRT makes of the slab's ends is another matter."""
    thick = case_of((40, 8, 64), np.linspace(-60, 60, 41), radius=(3, 6))
    sirt = thick.run("sirt", num_iter=iterations, pad=0).volume[..., 8:-8]

    def likeness(**settings):
        volume = thick.run("wbp", **settings).volume[..., 8:-8]
        return np.corrcoef(volume.flatten().double(), sirt.flatten().double())[0, 1]

    assert likeness(filter_name="sirt", sirt_iterations=iterations) > likeness() + 0.01


def test_material_beyond_the_field_of_view_leaves_no_bright_edge():
    """A uniform slab that goes on for ever: ``edge=extend`` knows, ``zero`` sees a step."""
    angles = np.deg2rad(np.linspace(-60, 60, 31))
    geometry = Geometry(angles, (10, 2, 60))
    p = torch.from_numpy((10 / np.cos(angles)).astype(np.float32))[:, None, None].expand(geometry.range_shape).contiguous()
    method, A = methods.get("wbp"), Projector(geometry, "cpu")
    extend, zero = (method.reconstruct(p, A, method.Settings(edge=e)).volume[5, 0] for e in ("extend", "zero"))
    assert float(extend[2:-2].std()) < 0.02 * float(extend.mean())
    assert float(zero[2:-2].std()) > 5 * float(extend[2:-2].std())


def test_weights_are_relative(limited, difference):
    weights = torch.linspace(1, 2, 25)
    assert difference(limited.run("wbp", weights=3 * weights).volume, limited.run("wbp", weights=weights).volume) < 1e-6
    assert difference(limited.run("wbp", weights=torch.full((25,), 5.0)).volume, limited.run("wbp").volume) < 1e-6


def test_weights_per_pixel_and_a_start_are_refused_in_words(limited):
    with pytest.raises(InputError, match="one weight per tilt"):
        limited.run("wbp", weights=torch.ones(limited.geometry.range_shape))
    with pytest.raises(InputError, match="wbp takes no initial volume"):
        limited.run("wbp", initial=torch.zeros(limited.geometry.shape))
