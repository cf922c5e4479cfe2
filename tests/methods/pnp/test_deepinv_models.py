"""Denoisers of deepinv as priors."""

import numpy as np
import pytest

import tomoprior
from tomoprior import FanGeometry, Projector, TiltSeries

models = pytest.importorskip("deepinv.models")


@pytest.mark.parametrize("planes", ["slices", "volume"])
@pytest.mark.filterwarnings("ignore")
def test_total_variation_of_deepinv_improves_a_noisy_fan(planes):
    geometry = FanGeometry(np.deg2rad(np.arange(-60, 61, 6)), (24, 2, 24), (2, 40), source_distance=60, detector_distance=30)
    z, x = np.mgrid[:24, :24] - 11.5
    truth = np.repeat(((z**2 + x**2 < 81) & ((z - 3) ** 2 + (x + 4) ** 2 > 9)).astype(np.float32)[:, None], 2, 1)
    clean = Projector(geometry, "cpu")(truth)
    noisy = (clean + np.random.default_rng(0).normal(0, 0.5, clean.shape)).astype(np.float32)
    series = TiltSeries(noisy, geometry)
    options = {"device": "cpu", "num_iter": 20}
    denoiser = models.TVDenoiser(n_it_max=50)
    found = tomoprior.reconstruct(series, "pnp", denoiser=denoiser, sigma=0.1, planes=planes, **options)
    plain = tomoprior.reconstruct(series, "pnp", denoiser=lambda x, sigma: x, **options)
    errors = [float(np.linalg.norm(np.asarray(r.volume) - truth)) for r in (found, plain)]
    assert errors[0] < 0.7 * errors[1]
    assert found.provenance["settings"]["denoiser"].endswith(":TVDenoiser")
