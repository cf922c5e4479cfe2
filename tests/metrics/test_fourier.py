from __future__ import annotations

import numpy as np
import pytest
import torch

import tomoprior
from tomoprior import Geometry, TiltSeries
from tomoprior.errors import InputError
from tomoprior.metrics import directional_fsc, fsc, fsc_of_halves, measured_region, soft_mask, split_measured
from tomoprior.metrics.fourier import fade_out
from tomoprior.simulate import Spheres

SHAPES = [(8, 8, 8), (5, 8, 12), (9, 4, 7), (1, 6, 6)]


def by_hand(a: np.ndarray, b: np.ndarray, region: np.ndarray | None = None) -> list[float]:
    """The sums one Fourier voxel at a time over the whole transform, with no symmetry used."""
    size = max(a.shape)
    f1, f2 = np.fft.fftn(a), np.fft.fftn(b)
    k = np.meshgrid(*(np.fft.fftfreq(n) for n in a.shape), indexing="ij")
    shell = np.rint(np.sqrt(sum(v**2 for v in k)) * size)
    out = []
    for s in range(1, size // 2 + 1):
        chosen = (shell == s) if region is None else (shell == s) & region
        x, y = f1[chosen], f2[chosen]
        power = np.sqrt((np.abs(x) ** 2).sum() * (np.abs(y) ** 2).sum())
        out.append((x * y.conj()).sum().real / power if power > 0 else np.nan)
    return out


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_formula(shape):
    rng = np.random.default_rng(1)
    a = rng.normal(size=shape)
    b = a + rng.normal(size=shape)
    found = fsc(a, b, mask=None)
    np.testing.assert_allclose(found.correlation, by_hand(a, b), atol=1e-10)
    np.testing.assert_allclose(found.frequency, np.arange(1, max(shape) // 2 + 1) / max(shape))


def test_the_same_volume_agrees_and_noise_does_not():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 24, 16, 20))
    np.testing.assert_allclose(fsc(a, 3 * a + 5).correlation, 1)  # scale and offset do not matter
    assert fsc(a, a).crossing() == 0.5
    assert np.abs(fsc(a, b, mask=None).correlation[3:]).max() < 0.2
    np.testing.assert_allclose(fsc(torch.from_numpy(a), torch.from_numpy(b)).correlation, fsc(a, b).correlation)


@pytest.mark.parametrize("shape", [(32, 32, 32), (16, 48, 32)])
def test_it_falls_where_a_filter_cuts_whatever_the_shape(shape):
    rng = np.random.default_rng(2)
    a = rng.normal(size=shape)
    k = np.sqrt(sum(np.meshgrid(*(np.fft.fftfreq(n) ** 2 for n in shape), indexing="ij")))
    smooth = np.fft.ifftn(np.fft.fftn(a) * (k < 0.25)).real + 1e-3 * rng.normal(size=shape)
    assert fsc(smooth, a).crossing() == pytest.approx(0.25, abs=1.5 / max(shape))


# odd along x and z: at an even axis' Nyquist frequency +k and -k are one voxel, which a plane may meet on one side only
@pytest.mark.parametrize("shape", [(7, 8, 9), (9, 4, 7), (5, 6, 13)])
@pytest.mark.parametrize("mode", ["planes", "wedge"])
def test_regions_are_symmetric_and_complete(shape, mode):
    angles = np.deg2rad([-50, -20, 0, 35])
    present = measured_region(shape, angles, mode=mode)
    # the same rule on the whole transform, point by point
    whole = np.zeros(shape, bool)
    kz, kx = np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[2])
    for i, z in enumerate(kz):
        for j, x in enumerate(kx):
            if mode == "planes":
                whole[i, :, j] = any(abs(x * np.sin(t) + z * np.cos(t)) * max(shape) <= 0.5 for t in angles)
            else:
                direction = np.rad2deg(np.arctan2(-z, x))
                turns = [direction + 180 * n for n in (-1, 0, 1)]
                whole[i, :, j] = (x == 0 and z == 0) or any(-50 - 1e-6 <= d <= 35 + 1e-6 for d in turns)
    np.testing.assert_array_equal(present, whole[..., : shape[2] // 2 + 1])
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, *shape))
    found = directional_fsc(a, b, angles, mode=mode, mask=None)
    np.testing.assert_allclose(found["present"].correlation, by_hand(a, b, whole), atol=1e-10)
    np.testing.assert_allclose(found["missing"].correlation, by_hand(a, b, ~whole), atol=1e-10)
    np.testing.assert_allclose(found["present"].count + found["missing"].count, fsc(a, b).count)


def test_a_back_projection_is_right_where_it_was_measured_and_the_hand_matters():
    shape = (32, 24, 32)
    spheres = Spheres.random(shape, radius=(4, 8), seed=2)
    truth = spheres.volume(shape)
    angles = np.deg2rad(np.arange(5, 66, 1.0))  # all on one side: mirrored, the measured planes are elsewhere
    geometry = Geometry(angles, shape)
    volume = tomoprior.reconstruct(TiltSeries(spheres.project(geometry), geometry), "wbp").volume
    right = directional_fsc(volume, truth, angles, mode="wedge")
    wrong = directional_fsc(volume, truth, -angles, mode="wedge")
    assert right["present"].mean(0.25) > 0.9
    assert right["present"].mean(0.25) > right["missing"].mean(0.25) + 0.4
    assert right["present"].mean(0.25) > wrong["present"].mean(0.25) + 0.3


def test_mistakes_get_a_clear_line():
    a = np.zeros((4, 4, 4))
    with pytest.raises(InputError, match="shape"):
        fsc(a, a[:2])
    with pytest.raises(InputError, match="three axes"):
        fsc(a[0], a[0])
    with pytest.raises(InputError, match="NaN"):
        fsc(a * np.nan, a)
    with pytest.raises(InputError, match="region"):
        fsc(a, a, region=np.ones((2, 2), bool))
    with pytest.raises(InputError, match="mode"):
        measured_region((4, 4, 4), [0.1], mode="cone")
    with pytest.raises(InputError, match="angles"):
        measured_region((4, 4, 4), [])
    assert np.isnan(fsc(a, a).correlation).all()  # no power, no correlation


@pytest.mark.parametrize("mode", ["planes", "wedge"])
def test_a_volume_is_split_into_what_was_measured_and_the_rest(mode):
    shape, angles = (7, 8, 9), np.deg2rad([-50, -20, 0, 35])
    volume = np.random.default_rng(4).normal(2, 1, shape)
    present, missing = split_measured(torch.from_numpy(volume), angles, mode=mode)
    np.testing.assert_allclose(present + missing, volume, atol=1e-12)
    region = measured_region(shape, angles, mode=mode)
    assert np.abs(np.fft.rfftn(present)[~region]).max() < 1e-10
    assert np.abs(np.fft.rfftn(missing)[region]).max() < 1e-10
    # both hold something, and the mean was measured
    assert min(present.std(), missing.std()) > 0.1
    assert abs(missing.mean()) < 1e-12


def test_a_wave_across_the_beam_was_measured_and_one_along_it_was_not():
    x, z = np.arange(16), np.arange(16)[:, None, None]
    across, along = np.cos(2 * np.pi * x / 4) + 0 * z, np.cos(2 * np.pi * z / 4) + 0 * x
    across, along = (np.broadcast_to(wave, (16, 4, 16)) for wave in (across, along))
    present, missing = split_measured(across + along, np.deg2rad([-60, 60]))
    np.testing.assert_allclose(present, across, atol=1e-12)
    np.testing.assert_allclose(missing, along, atol=1e-12)


def test_splitting_refuses_what_is_no_volume():
    with pytest.raises(InputError, match="three axes"):
        split_measured(np.zeros((4, 4)), [0.1])
    with pytest.raises(InputError, match="NaN"):
        split_measured(np.full((2, 2, 2), np.nan), [0.1])
    with pytest.raises(InputError, match="degrees"):
        split_measured(np.zeros((2, 2, 2)), [60])


def test_a_shell_counts_its_fourier_voxels():
    """Squared distances 1 and 2 round to shell 1: 6 + 12 voxels; 3, 4, 5 and 6 to shell 2: 8 + 6 + 24 + 24."""
    volume = np.random.default_rng(0).normal(size=(16, 16, 16))
    assert fsc(volume, volume).count[:2].tolist() == [18, 62]
    # of the plane ky = 0 alone: 4 + 4, and 4 + 8
    region = np.zeros((16, 16, 9), bool)
    region[:, 0] = True
    assert fsc(volume, volume, region=region).count[:2].tolist() == [8, 12]


def test_the_soft_box_fades_out_over_a_quarter_of_an_axis_at_either_end():
    window = fade_out(np.ones((32, 1, 1)))[:, 0, 0]
    assert window[0] == pytest.approx(0.5 - 0.5 * np.cos(np.pi / 8.25))
    assert window[7] < 1
    assert np.all(window[8:24] > 0.99)
    # an axis of four voxels has no room for a middle
    np.testing.assert_array_equal(fade_out(np.ones((4, 3, 32)))[0, 0], fade_out(np.ones((32, 1, 1)))[:, 0, 0])


def test_random_phases_of_halves_are_those_of_the_seed():
    a, b = np.random.default_rng(0).normal(size=(2, 16, 16, 16))
    first, again, other = (fsc_of_halves(a + b, a - 0.3 * b, seed=seed).correlation for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other)[3:].max() > 1e-3
    assert first[0] == other[0]  # low frequencies keep their phases


def test_a_soft_mask_of_everything_is_one():
    np.testing.assert_array_equal(soft_mask(np.ones((6, 7, 8))), np.ones((6, 7, 8)))
    half = np.zeros((4, 4, 20))
    half[..., 10:] = 1
    rise = 0.5 - 0.5 * np.cos(np.pi * np.array([0.5, 1.5, 2.5, 3.5]) / 4)
    assert soft_mask(half)[0, 0, 9:15] == pytest.approx([0, *rise, 1])


def test_the_mean_and_the_lowest_tilt_are_measured():
    # tilts from 10 degrees on: the direction of the frequency 0 is none, and its rounded value lies outside
    region = measured_region((16, 4, 16), np.deg2rad([10, 40]), mode="wedge")
    assert region[0, :, 0].all()
    assert not region[1, 0, 0]  # along z
    # -45 degrees holds kx = kz; rounded up by the last bit it must hold them too
    for lowest in (-np.pi / 4, np.nextafter(-np.pi / 4, 0)):
        region = measured_region((16, 4, 16), [lowest, 0.0], mode="wedge")
        assert region[range(8), 0, range(8)].all()
        assert not region[2, 0, 1]
    # and 45 degrees the direction kx = -kz
    for highest in (np.pi / 4, np.nextafter(np.pi / 4, 0)):
        region = measured_region((16, 4, 16), [0.0, highest], mode="wedge")
        assert region[range(0, -8, -1), 0, range(8)].all()
        assert not region[-2, 0, 1]
