"""Direct Fourier inversion."""

import numpy as np
import pytest
import torch

from tomoprior import Geometry, Projector, methods, testing
from tomoprior.errors import InputError


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
