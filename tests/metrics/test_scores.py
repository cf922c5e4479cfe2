from __future__ import annotations

import numpy as np
import pytest
import torch

import tomoprior
from tomoprior import Geometry, TiltSeries, metrics
from tomoprior.errors import InputError
from tomoprior.metrics import evaluate, match_scale
from tomoprior.simulate import Spheres

ANGLES = np.deg2rad(np.arange(-60, 61, 4.0))


@pytest.fixture(scope="module")
def pair():
    """Hollow spheres and their filtered back-projection, on a grid of three different sides."""
    shape = (44, 10, 52)
    spheres = Spheres.random(shape, radius=(3, 5), seed=2)
    geometry = Geometry(ANGLES, shape)
    result = tomoprior.reconstruct(TiltSeries(spheres.project(geometry), geometry), "wbp")
    return np.asarray(result.volume, np.float64), np.asarray(spheres.volume(shape), np.float64)


def test_it_is_the_measures_by_their_names(pair):
    curve, parts = metrics.fsc(*pair), metrics.directional_fsc(*pair, ANGLES)
    expected = {name: getattr(metrics, name)(*pair) for name in ("rmse", "psnr", "ssim", "vif")}
    expected |= {"fsc_mean": curve.mean(0.25), "fsc_crossing": curve.crossing(0.5)}
    assert evaluate(*pair) == pytest.approx(expected)
    for name, part in parts.items():
        expected |= {f"fsc_{name}_mean": part.mean(0.25), f"fsc_{name}_crossing": part.crossing(0.5)}
    assert evaluate(*pair, angles=ANGLES) == pytest.approx(expected)
    assert expected["fsc_present_mean"] > expected["fsc_missing_mean"] + 0.3
    assert all(type(value) is float for value in evaluate(*pair, angles=ANGLES).values())
    wedge = evaluate(*pair, angles=ANGLES, region="wedge", below=0.1)
    part = metrics.directional_fsc(*pair, ANGLES, mode="wedge")["missing"]
    assert (wedge["fsc_missing_mean"], wedge["fsc_missing_crossing"]) == (part.mean(0.1), part.crossing(0.5))


def test_paper_mode_and_matches_are_passed_on(pair):
    volume, truth = pair
    found = evaluate(volume, truth, mode="paper")
    for name in ("psnr", "ssim", "vif"):
        assert found[name] == pytest.approx(getattr(metrics, name)(volume, truth, mode="paper"))
    assert found["rmse"] == pytest.approx(metrics.rmse(volume, truth, match="moments"))
    assert evaluate(9 * volume - 4, truth, mode="paper") == pytest.approx(found)
    for match in ("none", "affine", "moments"):
        assert evaluate(volume, truth, match=match) == pytest.approx(evaluate(match_scale(volume, truth, match), truth))
    assert evaluate(volume, truth, match="affine")["psnr"] > evaluate(volume, truth)["psnr"]  # no zero frequency in it


def test_torch_and_numpy_agree(pair):
    tensors = [torch.from_numpy(v).requires_grad_() for v in pair]
    assert evaluate(*tensors, angles=torch.from_numpy(ANGLES)) == evaluate(*pair, angles=ANGLES)
    half = [t.bfloat16() for t in tensors]
    assert evaluate(*half)["psnr"] == evaluate(*(t.detach().double().numpy() for t in half))["psnr"]


def test_what_has_no_value_is_nan():
    rng = np.random.default_rng(0)
    truth = rng.random((6, 8, 8))
    found = evaluate(truth + 0.1, truth, angles=np.deg2rad(np.arange(0, 180, 1.0)))
    assert found["rmse"] == pytest.approx(0.1)
    assert found["fsc_mean"] == pytest.approx(1)
    assert found["fsc_crossing"] == 0.5
    missing = {name for name, value in found.items() if np.isnan(value)}
    assert missing == {"vif", "fsc_missing_mean", "fsc_missing_crossing"}  # too small; everything was measured
    assert np.isnan(evaluate(truth, truth, mode="paper")["ssim"])


def test_mistakes_get_a_clear_line(pair):
    volume, truth = pair
    with pytest.raises(InputError, match="shape"):
        evaluate(volume[1:], truth)
    with pytest.raises(InputError, match="three axes"):
        evaluate(volume[0], truth[0])
    with pytest.raises(InputError, match="volume holds NaN"):
        evaluate(volume + np.inf, truth)
    with pytest.raises(InputError, match="reference holds NaN"):
        evaluate(volume, truth * np.nan)
    with pytest.raises(InputError, match="empty"):
        evaluate(volume[:0], truth[:0])
    with pytest.raises(InputError, match="complex"):
        evaluate(volume * 1j, truth)
    with pytest.raises(InputError, match="array of numbers, got object"):
        evaluate(object(), truth)
    with pytest.raises(InputError, match="constant"):
        evaluate(volume, np.ones_like(truth))
    with pytest.raises(InputError, match="standard or paper"):
        evaluate(volume, truth, mode="wang")
    with pytest.raises(InputError, match="fixes match itself"):
        evaluate(volume, truth, mode="paper", match="none")
    with pytest.raises(InputError, match="degrees"):
        evaluate(volume, truth, angles=np.rad2deg(ANGLES))
