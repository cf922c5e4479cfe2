from __future__ import annotations

import numpy as np
import pytest
import torch

from tomoprior.errors import InputError
from tomoprior.metrics import match_scale, psnr, rmse, ssim


def test_cases_by_hand():
    # mean 1 and 4; deviations -1, 0, 1 and -3, 0, 3, or -3, 3, 0
    np.testing.assert_allclose(match_scale([0, 1, 2], [1, 4, 7], "affine"), [1, 4, 7])
    np.testing.assert_allclose(match_scale([0, 1, 2], [1, 4, 7], "moments"), [1, 4, 7])
    np.testing.assert_allclose(match_scale([0, 1, 2], [1, 7, 4], "affine"), [2.5, 4, 5.5])  # slope (3 + 0) / 2
    np.testing.assert_allclose(match_scale([0, 1, 2], [1, 7, 4], "moments"), [1, 4, 7])
    np.testing.assert_array_equal(match_scale([0, 1, 2], [1, 7, 4]), [0, 1, 2])
    np.testing.assert_allclose(match_scale([2, 1, 0], [1, 4, 7], "affine"), [1, 4, 7])  # least squares knows no sign
    np.testing.assert_allclose(match_scale([2, 1, 0], [1, 4, 7], "moments"), [7, 4, 1])
    np.testing.assert_allclose(match_scale([0, 1], [3, 3], "affine"), [3, 3])


def test_affine_is_least_squares_and_moments_are_the_references():
    rng = np.random.default_rng(0)
    volume, reference = rng.normal(size=(2, 5, 6, 7))
    (a, b), *_ = np.linalg.lstsq(np.stack([volume.ravel(), np.ones(volume.size)], 1), reference.ravel())
    np.testing.assert_allclose(match_scale(volume, reference, "affine"), a * volume + b)
    found = match_scale(torch.from_numpy(volume).float(), torch.from_numpy(reference), "moments")
    assert found.dtype == np.float64
    assert (found.mean(), found.std()) == (pytest.approx(reference.mean()), pytest.approx(reference.std()))


@pytest.mark.parametrize("match", ["affine", "moments"])
def test_a_measure_forgets_scale_and_offset_only_when_asked(match):
    rng = np.random.default_rng(1)
    truth = rng.random((8, 9, 10))
    volume = truth + 0.1 * rng.normal(size=truth.shape)
    for measure in (rmse, psnr, ssim):
        assert measure(3 * volume - 7, truth, match=match) == pytest.approx(measure(volume, truth, match=match))
        assert measure(3 * volume - 7, truth) != pytest.approx(measure(volume, truth), rel=0.1)
        assert measure(volume, truth, match=match) == pytest.approx(measure(match_scale(volume, truth, match), truth))
    assert rmse(3 * truth - 7, truth, match=match) == pytest.approx(0, abs=1e-12)
    assert rmse(volume, truth, match="affine") <= rmse(volume, truth, match="moments")


def test_mistakes_get_a_clear_line():
    with pytest.raises(InputError, match="the volume is constant"):
        match_scale([1, 1], [0, 1], "affine")
    with pytest.raises(InputError, match="none, affine or moments, got 'mean'"):
        match_scale([0, 1], [0, 1], "mean")
    with pytest.raises(InputError, match="shape"):
        match_scale([0, 1], [0, 1, 2], "affine")
