from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torchmetrics.functional.image import visual_information_fidelity

from tomoprior.errors import InputError
from tomoprior.metrics import match_scale, vif


@pytest.fixture(scope="module")
def pair():
    """Blobs that are long along x, and the same blurred along z: each axis is another."""
    rng = np.random.default_rng(0)
    truth = ndimage.gaussian_filter(rng.normal(size=(42, 43, 45)), (1, 2, 4))
    return ndimage.gaussian_filter(truth, (2, 0, 0)) + 0.05 * truth.std() * rng.normal(size=truth.shape), truth


def loops(image: np.ndarray, truth: np.ndarray) -> float:
    """Sheikh and Bovik's measure of two images from 0 to 255, one window and one pixel at a time."""

    def window(width: int) -> list[list[float]]:
        middle, sigma = width // 2, width / 5
        weights = [
            [math.exp(-((i - middle) ** 2 + (j - middle) ** 2) / (2 * sigma**2)) for j in range(width)] for i in range(width)
        ]
        total = sum(map(sum, weights))
        return [[w / total for w in row] for row in weights]

    def averages(a: list[list[float]], weights: list[list[float]]) -> list[list[float]]:
        n = len(weights)
        return [
            [sum(weights[i][j] * a[r + i][c + j] for i in range(n) for j in range(n)) for c in range(len(a[0]) - n + 1)]
            for r in range(len(a) - n + 1)
        ]

    def product(a: list[list[float]], b: list[list[float]]) -> list[list[float]]:
        return [[p * q for p, q in zip(x, y, strict=True)] for x, y in zip(a, b, strict=True)]

    ref, dis = truth.tolist(), image.tolist()
    numerator = denominator = 0.0
    for width in (17, 9, 5, 3):
        weights = window(width)
        if width < 17:
            ref, dis = ([row[::2] for row in averages(a, weights)[::2]] for a in (ref, dis))
        means = averages(ref, weights), averages(dis, weights)
        squares = (
            averages(product(ref, ref), weights),
            averages(product(dis, dis), weights),
            averages(product(ref, dis), weights),
        )
        for r in range(len(means[0])):
            for c in range(len(means[0][0])):
                m, n = means[0][r][c], means[1][r][c]
                var_ref, var_dis, covariance = squares[0][r][c] - m * m, squares[1][r][c] - n * n, squares[2][r][c] - m * n
                gain = max(covariance / var_ref, 0)
                rest = var_dis - gain * covariance
                numerator += math.log(1 + gain**2 * var_ref / (rest + 2))
                denominator += math.log(1 + var_ref / 2)
    return numerator / denominator


def test_it_is_the_formula_in_plain_loops(pair):
    volume, truth = (v[:, :2, :41] for v in pair)  # two x-z slices of 42 x 41
    low, scale = truth.min(), 255 / (truth.max() - truth.min())
    expected = [loops((volume[:, y] - low) * scale, (truth[:, y] - low) * scale) for y in range(2)]
    assert vif(volume, truth) == pytest.approx(np.mean(expected), rel=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_it_is_the_librarys_mean_over_slices_along_an_axis(pair, axis):
    low, scale = pair[1].min(), 255 / (pair[1].max() - pair[1].min())
    images = [torch.from_numpy(np.moveaxis((v - low) * scale, axis, 0).copy())[:, None] for v in pair]
    assert vif(*pair, axis=axis) == pytest.approx(float(visual_information_fidelity(*images)), rel=1e-6)


def test_the_axes_differ_and_slices_are_x_z_by_default(pair):
    found = [vif(*pair, axis=axis) for axis in (0, 1, 2)]
    assert np.ptp(found) > 0.03
    assert abs(np.diff(sorted(found))).min() > 1e-3
    assert vif(*pair) == found[1]
    # the same volumes with their axes turned: what was along y is along x
    turned = [v.transpose(1, 2, 0) for v in pair]
    assert vif(*turned, axis=0) == pytest.approx(found[1])


def test_its_properties(pair):
    volume, truth = pair
    assert vif(truth, truth) == pytest.approx(1, abs=1e-9)
    assert vif(truth + 100, truth) == pytest.approx(1, abs=1e-9)  # variances know no offset
    assert vif(1.5 * truth, truth) > 1.02  # more contrast
    assert vif(0.5 * truth, truth) < 0.95
    assert vif(-truth, truth) == 0
    assert 0.05 < vif(volume, truth) < 0.95
    assert vif(7 * volume, 7 * truth) == pytest.approx(vif(volume, truth))
    assert vif(torch.from_numpy(volume), torch.from_numpy(truth)) == vif(volume, truth)
    # where the noise of 2 is far above the variances, log(1 + gain^2 v / 2) / log(1 + v / 2) is gain^2
    wide = 1e4 * np.ptp(truth)
    assert vif(1.5 * truth, truth, data_range=wide) == pytest.approx(2.25, rel=1e-3)
    assert vif(0.5 * truth, truth, data_range=wide) == pytest.approx(0.25, rel=1e-3)


@pytest.mark.parametrize("match", ["affine", "moments"])
def test_contrast_is_matched_when_asked(pair, match):
    volume, truth = pair
    assert vif(1.5 * truth - 3, truth, match=match) == pytest.approx(1, abs=1e-9)
    assert vif(1.5 * volume - 3, truth, match=match) == pytest.approx(vif(volume, truth, match=match))
    assert vif(volume, truth, match=match) == pytest.approx(vif(match_scale(volume, truth, match), truth))


def test_flat_slices_of_the_reference_are_left_out(pair):
    volume, truth = (v[:, :4].copy() for v in pair)
    scale = {"data_range": np.ptp(truth)}
    expected = vif(volume[:, [0, 3]], truth[:, [0, 3]], **scale)
    truth[:, 1:3] = truth.mean()
    assert vif(volume, truth, **scale) == pytest.approx(expected)


def test_mistakes_get_a_clear_line(pair):
    volume, truth = pair
    with pytest.raises(InputError, match="at least 41 x 41 voxels; along axis 1 they are 40 x 45"):
        vif(volume[:40], truth[:40])
    assert vif(volume[:2], truth[:2], axis=0) > 0
    with pytest.raises(InputError, match="shape"):
        vif(volume, truth[1:])
    with pytest.raises(InputError, match="three axes"):
        vif(volume[0], truth[0])
    with pytest.raises(InputError, match="NaN"):
        vif(volume * np.nan, truth)
    with pytest.raises(InputError, match="constant"):
        vif(volume, np.ones_like(truth))
    with pytest.raises(InputError, match="constant on every slice along axis 1"):
        vif(volume, np.broadcast_to(np.arange(43.0)[:, None], truth.shape))
    with pytest.raises(InputError, match="axis must be"):
        vif(volume, truth, axis=3)
    with pytest.raises(InputError, match="data_range"):
        vif(volume, truth, data_range=0)
    with pytest.raises(InputError, match="fixes match and axis"):
        vif(volume, truth, mode="paper", match="affine", axis=0)
