from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from tomoprior.errors import InputError
from tomoprior.metrics import paper, psnr, ssim, vif


@pytest.fixture(scope="module")
def pair():
    """Boxes in the dark, and the same smeared along z with noise that grows along y: each axis is another."""
    rng = np.random.default_rng(0)
    truth = np.zeros((20, 24, 28))
    truth[4:15, 6:20, 3:22] = 1.0
    truth[7:11, 9:14, 8:26] = 0.3
    noise = 0.2 * np.linspace(0, 1, 24)[:, None] * rng.normal(size=truth.shape)
    return ndimage.gaussian_filter1d(truth, 2, axis=0) + noise, truth


@pytest.fixture(scope="module")
def scaled(pair):
    """The two steps before every measure, spelled out."""
    volume, truth = pair
    reference = 0.1 * (truth - truth.min()) / (truth.max() - truth.min())
    return (volume - volume.mean()) / volume.std() * reference.std() + reference.mean(), reference


def blur(n: int, sigma: float) -> np.ndarray:
    """Matrix of a Gaussian window cut at four standard deviations, on ``n`` voxels that are mirrored at their ends."""
    reach = int(4 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    out = np.zeros((n, n))
    for i in range(n):
        for offset, weight in zip(range(-reach, reach + 1), weights / weights.sum(), strict=True):
            at = (i + offset) % (2 * n)
            out[i, at if at < n else 2 * n - 1 - at] += weight
    return out


def test_psnr_by_hand():
    # Reference: mean 1, variance 3. Volume: deviations -1 and 1, so 1 - sqrt 3 and 1 + sqrt 3 once it is matched.
    # y = 0: errors (1 - sqrt 3)^2 and (sqrt 3 - 3)^2, mean 8 - 4 sqrt 3; 16 / that is 4 (2 + sqrt 3). y = 1 is empty: left out.
    reference = np.array([[0.0, 0.0], [4.0, 0.0]])[:, :, None]
    volume = np.array([[0.0, 1.0], [1.0, 0.0]])[:, :, None]
    assert psnr(volume, reference, mode="paper") == pytest.approx(10 * np.log10(4 * (2 + np.sqrt(3))))
    assert np.isnan(psnr(-reference, reference, mode="paper"))  # 2 and -2 for 0 and 4: below 0 dB; and the empty one
    assert psnr(reference, reference, mode="paper") > 250  # but for rounding


def test_psnr_is_the_mean_over_x_z_slices(pair, scaled):
    with np.errstate(divide="ignore"):
        slices = zip(*(s.swapaxes(0, 1) for s in scaled), strict=True)
        each = [peak_signal_noise_ratio(r, v, data_range=r.max()) for v, r in slices]
    assert np.isinf(each).sum() == 10  # empty slices
    assert psnr(*pair, mode="paper") == pytest.approx(np.mean([p for p in each if 0 < p < np.inf]))


def test_ssim_is_the_mean_over_x_y_slices_with_the_volumes_maximum(pair, scaled):
    volume, reference = scaled
    expected = structural_similarity(reference, volume, channel_axis=0, data_range=volume.max())
    assert ssim(*pair, mode="paper") == pytest.approx(expected)
    along_y = structural_similarity(reference, volume, channel_axis=1, data_range=volume.max())
    assert abs(expected - along_y) > 1e-3
    assert ssim(pair[1], pair[1], mode="paper") == pytest.approx(1)


def test_vif_of_one_scale_is_the_formula_in_plain_loops():
    rng = np.random.default_rng(3)
    shape, sigma, noise = (4, 3, 5), 0.6, 0.01
    r = 0.1 * rng.random(shape)
    v = 0.7 * r + 0.02 * rng.random(shape)
    windows = [blur(n, sigma) for n in shape]
    kept = total = 0.0
    for at in np.ndindex(shape):
        mean_r = mean_v = square_r = square_v = product = 0.0
        for other in np.ndindex(shape):
            weight = np.prod([w[i, j] for w, i, j in zip(windows, at, other, strict=True)])
            mean_r += weight * r[other]
            mean_v += weight * v[other]
            square_r += weight * r[other] ** 2
            square_v += weight * v[other] ** 2
            product += weight * r[other] * v[other]
        var_r, var_v, covariance = square_r - mean_r**2, square_v - mean_v**2, product - mean_r * mean_v
        gain = max(covariance / var_r, 0)
        kept += np.log10(1 + gain**2 * var_r / (var_v - gain * covariance + noise))
        total += np.log10(1 + var_r / noise)
    assert paper._information(r, v, sigma, noise) == (pytest.approx(kept, rel=1e-5), pytest.approx(total))


def test_vif_is_four_scales_in_three_dimensions_halved_along_z_and_y(pair, scaled):
    v, r = scaled
    noise, kept, total = v.mean(), 0.0, 0.0
    for i, width in enumerate((17, 9, 5, 3)):

        def local(a, width=width):
            return np.einsum("ai,bj,ck,ijk", *(blur(n, width / 5) for n in a.shape), a, optimize=True)

        if i:
            r, v = local(r)[::2, ::2], local(v)[::2, ::2]
        var_r, var_v = (local(a * a) - local(a) ** 2 for a in (r, v))
        covariance = local(r * v) - local(r) * local(v)
        seen = (var_r > 1e-10) & (var_v > 1e-10) & (covariance > 0)
        gain = covariance[seen] / var_r[seen]
        kept += np.log10(1 + gain**2 * var_r[seen] / (var_v[seen] - gain * covariance[seen] + noise)).sum()
        total += np.log10(1 + var_r[seen] / noise).sum() + np.log10(1 + var_r[~seen & (var_r > 1e-10)] / noise).sum()
    assert vif(*pair, mode="paper") == pytest.approx(kept / total, rel=1e-4)
    assert vif(pair[1], pair[1], mode="paper") == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("measure", [psnr, ssim, vif])
def test_scale_and_offset_of_either_do_not_matter_and_the_axes_do(measure, pair):
    volume, truth = pair
    expected = measure(volume, truth, mode="paper")
    assert measure(5 * volume - 3, truth, mode="paper") == pytest.approx(expected)
    assert measure(volume, 100 * truth + 7, mode="paper") == pytest.approx(expected)
    assert measure(-volume, truth, mode="paper") != pytest.approx(expected, rel=0.1)
    assert measure(torch.from_numpy(volume), torch.from_numpy(truth), mode="paper") == expected
    assert measure(*(torch.from_numpy(v).float() for v in pair), mode="paper") == pytest.approx(expected, rel=1e-5)
    others = [measure(volume.transpose(t), truth.transpose(t), mode="paper") for t in ((1, 2, 0), (2, 0, 1))]
    assert all(abs(o / expected - 1) > 1e-3 for o in others)
    # left and right, near and far do not matter, but for which voxels of an even axis are kept between VIF's scales
    mirrored = measure(volume[:, :, ::-1], truth[:, :, ::-1], mode="paper")
    assert mirrored == pytest.approx(expected)


@pytest.mark.parametrize("measure", [psnr, ssim, vif])
def test_mistakes_get_a_clear_line(measure, pair):
    volume, truth = pair
    with pytest.raises(InputError, match="the reference is constant"):
        measure(volume, np.ones_like(truth), mode="paper")
    with pytest.raises(InputError, match="the volume is constant"):
        measure(np.ones_like(truth), truth, mode="paper")
    with pytest.raises(InputError, match="three axes"):
        measure(volume[0], truth[0], mode="paper")
    with pytest.raises(InputError, match="shape"):
        measure(volume[1:], truth, mode="paper")
    with pytest.raises(InputError, match="NaN"):
        measure(np.where(volume > 1, np.nan, volume), truth, mode="paper")
    with pytest.raises(InputError, match="fixes data_range itself"):
        measure(volume, truth, mode="paper", data_range=1.0)
    with pytest.raises(InputError, match="standard or paper"):
        measure(volume, truth, mode="article")


def test_ssim_needs_its_window(pair):
    with pytest.raises(InputError, match="7 voxels along each axis"):
        ssim(*(v[:, 6:12] for v in pair), mode="paper")
