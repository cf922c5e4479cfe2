from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from tomoprior.errors import InputError
from tomoprior.metrics import match_scale, psnr, rmse, ssim


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    truth = rng.random((9, 10, 11))
    return truth + rng.normal(0, 0.1, truth.shape), truth


def test_cases_by_hand():
    assert rmse([1.0, 2, 3], [1.0, 2, 5]) == pytest.approx(np.sqrt(4 / 3))
    assert psnr([0.0, 1.1], [0.0, 1.0]) == pytest.approx(20 * np.log10(1 / np.sqrt(0.01 / 2)))
    assert psnr([0.0, 1.0], [0.0, 1.0]) == np.inf
    assert psnr([0.0, 0.1], [0.0, 0.0], data_range=1) == pytest.approx(10 * np.log10(2 / 0.01))


def test_the_library_agrees(pair):
    volume, truth = pair
    span = truth.max() - truth.min()
    assert psnr(volume, truth) == pytest.approx(peak_signal_noise_ratio(truth, volume, data_range=span))
    assert ssim(volume, truth) == pytest.approx(structural_similarity(truth, volume, data_range=span))
    assert ssim(truth, truth) == pytest.approx(1)
    assert psnr(torch.from_numpy(volume), torch.from_numpy(truth)) == pytest.approx(psnr(volume, truth))


def test_every_measure_follows_the_wanted_match(pair):
    volume, truth = pair
    for match in ("affine", "moments"):
        fitted = match_scale(3 * volume + 2, truth, match)
        for measure in (rmse, psnr, ssim):
            assert measure(3 * volume + 2, truth, match=match) == pytest.approx(measure(fitted, truth))
            assert measure(3 * volume + 2, truth) != pytest.approx(measure(fitted, truth), rel=0.1)


def test_thin_volumes_are_compared_plane_by_plane(pair):
    volume, truth = (v[:2] for v in pair)
    span = truth.max() - truth.min()
    expected = np.mean([structural_similarity(t, v, data_range=span) for v, t in zip(volume, truth, strict=True)])
    assert ssim(volume, truth) == pytest.approx(expected)
    assert 0 < ssim(pair[0][:, :5, :4], pair[1][:, :5, :4]) < 1


def test_mistakes_get_a_clear_line(pair):
    volume, truth = pair
    with pytest.raises(InputError, match="shape"):
        rmse(volume, truth[1:])
    with pytest.raises(InputError, match="constant"):
        psnr(volume, np.ones_like(truth))
    with pytest.raises(InputError, match="too small"):
        ssim(np.zeros((2, 2, 2)), np.arange(8.0).reshape(2, 2, 2))
    with pytest.raises(InputError, match="empty"):
        rmse([], [])
