"""Direct Fourier inversion."""

from itertools import product

import numpy as np
import pytest
import torch

from tomoprior import Geometry, Projector, methods, testing
from tomoprior.errors import InputError
from tomoprior.methods.classical.fourier_grid import FourierGrid


@pytest.mark.parametrize("settings", [{}, {"oversampling": 1.0}, {"kernel_width": 1.0}], ids=str)
def test_conformance(settings):
    testing.check_method("fourier", settings)


def test_a_full_range_recovers_the_values(full):
    volume = full.run("fourier").volume
    assert 0.9 < full.slope(volume) < 1.1
    assert full.correlation(volume) > 0.9
    assert float(volume[10:13, 1:3, 15:18].mean()) == pytest.approx(0.7, abs=0.07)


def test_it_agrees_with_filtered_back_projection(full):
    a, b = full.run("fourier").volume, full.run("wbp", edge="zero").volume
    assert np.corrcoef(a.flatten().double(), b.flatten().double())[0, 1] > 0.9


def test_unmeasured_directions_stay_empty(limited):
    """At +-60 degrees the wedge about kz holds hardly anything, and far less than in the truth."""

    def in_wedge(volume):
        spectrum = (
            torch.fft.fft2(volume.double() * torch.hann_window(16).double()[:, None, None], dim=(0, 2)).abs().square().sum(1)
        )
        kz, kx = torch.meshgrid(torch.fft.fftfreq(16).abs(), torch.fft.fftfreq(40).abs(), indexing="ij")
        wedge = (kz > 0.15) & (kx < 0.2 * kz)
        return float(spectrum[wedge].sum() / spectrum.sum())

    assert in_wedge(limited.run("fourier").volume) < 0.2 * in_wedge(limited.truth)


def test_weights_per_pixel_and_a_start_are_refused_in_words(limited):
    with pytest.raises(InputError, match="fourier takes no weights per pixel"):
        limited.run("fourier", weights=torch.ones(limited.geometry.range_shape))
    with pytest.raises(InputError, match="fourier takes no initial volume"):
        limited.run("fourier", initial=torch.zeros(limited.geometry.shape))


@pytest.mark.parametrize(("nz", "nx", "nu"), [(20, 20, 20), (21, 21, 21), (20, 21, 24), (9, 20, 27)])
def test_a_point_stays_where_it_is_at_odd_and_even_sizes(nz, nx, nu):
    geometry = Geometry(np.linspace(0, np.pi, 60, endpoint=False), (nz, 1, nx), (1, nu), nu / 2 + 0.37)
    z, x = np.meshgrid(np.arange(nz) - (nz - 1) / 2, np.arange(nx) - (nx - 1) / 2, indexing="ij")
    truth = np.exp(-((z - 1.3) ** 2 + (x + 2.6) ** 2) / 4.5).astype(np.float32)[:, None, :]
    A = Projector(geometry, "cpu")
    method = methods.get("fourier")
    found = method.reconstruct(torch.from_numpy(A(truth)), A, method.Settings()).volume[:, 0].numpy().astype(float)
    found = found * (found > 0.3 * found.max())
    assert (found * z).sum() / found.sum() == pytest.approx(1.3, abs=0.1)
    assert (found * x).sum() / found.sum() == pytest.approx(-2.6, abs=0.1)


def invert_on_the_whole_plane(lines, angles, size, width, shape):
    """Both halves of each tilt's transform, sample by sample; the cells' values are divided by their weights."""
    plane, total = np.zeros((size, size), complex), np.zeros((size, size))
    for line, angle in zip(lines, angles, strict=True):
        for k in range(-(size // 2), size // 2 + 1):
            value = line[k] if k >= 0 else np.conj(line[-k])
            half = 1.0 if k else 0.5  # the middle counts for both directions of its line
            for sign in (1, -1) if k == 0 else (1 if k * np.cos(angle) >= 0 else -1,):
                x, z = sign * k * np.cos(angle), -sign * k * np.sin(angle)
                for i, j in product((0, 1), (0, 1)):
                    cz, cx = np.floor(z) + i, np.floor(x) + j
                    if cx > size // 2:
                        continue
                    weight = half * np.exp(-((cz - z) ** 2 + (cx - x) ** 2) / (2 * width**2))
                    at = int(sign * cz) % size, int(sign * cx) % size
                    plane[at] += weight * value
                    total[at] += weight
    known = total > 1e-3 * np.exp(0)
    plane = np.where(known, plane / np.where(known, total, 1), 0)
    k = np.fft.fftfreq(size)
    centre = np.exp(-1j * np.pi * (k[:, None] * (shape[0] - 1) + k * (shape[1] - 1)))
    return np.fft.ifft2(plane * centre).real[: shape[0], : shape[1]]


@pytest.mark.parametrize("degrees", [(-60, -31, 0, 45), (10, 80, 100, 170), (-175, 140, 95)], ids=str)
def test_the_half_plane_holds_what_the_whole_plane_does(degrees):
    size, nz, nx = 15, 6, 7
    angles = np.deg2rad(degrees)
    lines = np.random.default_rng(0).normal(size=(len(angles), size // 2 + 1, 2)) @ [1, 1j]
    lines[:, 0] = lines[:, 0].real
    expected = invert_on_the_whole_plane(lines, angles, size, 0.5, (nz, nx))
    grid = FourierGrid(Geometry(angles, (nz, 1, nx)), size, 0.5)
    np.testing.assert_allclose(grid.invert(lines.astype(np.complex64)), expected, atol=1e-5 * np.abs(expected).max())
