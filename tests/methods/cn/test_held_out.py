"""What tilts held out decide: strength, smoothness, background, when to stop."""

import numpy as np
import pytest
import torch

from tomoprior.errors import InputError
from tomoprior.methods.cn import held_out
from tomoprior.methods.solving.holding_out import is_clearly_worse


def curve(best, *, noise=0.0, tilts=8):
    """Squared errors per tilt, smallest at ``best`` in the mean; with ``noise`` each tilt has its own opinion."""
    opinions = np.linspace(-noise, noise, tilts)

    def trial(value):
        calls.append(value)
        return 1 + (np.log(value / best) + opinions) ** 2

    calls = []
    return trial, calls


@pytest.mark.parametrize("best", [300.0, 10.0, 0.3, 0.02])
def test_finds_the_best_wherever_it_lies(best):
    trial, calls = curve(best)
    found, error = held_out.search_number(trial, 8.0, 1e-3)
    assert 0.5 <= found / best <= 2
    assert error == pytest.approx(np.sqrt(trial(found).sum()))
    assert len(calls) < 16


def test_does_not_go_below_the_least():
    trial, calls = curve(1e-6)
    held_out.search_number(trial, 8.0, 0.1)
    assert min(calls) > 0.1 / 2.01  # half the best is looked at


def test_of_strengths_without_a_clear_difference_the_strongest_is_chosen():
    sure, _ = curve(1.0)
    unsure, _ = curve(1.0, noise=3.0)
    assert held_out.search_number(unsure, 64.0, 1e-3)[0] > held_out.search_number(sure, 64.0, 1e-3)[0]


def test_paired_differences():
    base = np.array([1.0, 5, 2, 8])
    assert is_clearly_worse(base + 0.01, base)  # small but the same for every tilt
    assert not is_clearly_worse(base + np.array([1, -1, 1, -0.9]), base)


def test_noise_chooses_a_stronger_penalty(limited):
    clean = limited.run("cn", num_iter=40, pad=0)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(limited.projections.shape, generator=generator) * limited.projections.std()
    noisy = limited.run("cn", projections=limited.projections + noise, num_iter=40, pad=0)
    assert noisy.provenance["settled"]["reg_par"] > 20 * clean.provenance["settled"]["reg_par"]


def test_a_sharp_object_asks_for_a_lower_degree_than_a_smooth_one(limited):
    from scipy.ndimage import gaussian_filter

    found = {}
    for sigma in (0.0, 1.5):
        volume = torch.from_numpy(gaussian_filter(limited.truth.numpy(), sigma) if sigma else limited.truth.numpy())
        result = limited.run("cn", projections=limited.projector(volume), degree="held-out", reg_par="auto", num_iter=20, pad=0)
        found[sigma] = result.provenance["settled"]["degree"]
    assert found[0.0] < found[1.5]


def test_the_background_is_found(limited):
    level = 0.8
    ice = torch.full_like(limited.truth, level)
    result = limited.run(
        "cn",
        projections=limited.projections * 0.3 + limited.projector(ice),
        background="held-out",
        reg_par="auto",
        num_iter=60,
        pad=0,
    )
    assert result.provenance["settled"]["background"] == pytest.approx(level, rel=0.05)
    assert float(result.volume.min()) >= result.provenance["settled"]["background"] - 1e-5


def test_stops_before_it_fits_what_is_wrong_with_the_data(limited):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(limited.projections.shape, generator=generator) * limited.projections.std()
    p = limited.projections + noise
    stopped = limited.run("cn", projections=p, reg_par=1.0, num_iter=200, pad=0)
    on = limited.run("cn", projections=p, reg_par=1.0, num_iter=200, stop=None, pad=0)
    assert stopped.provenance["settled"]["num_iter"] < 200
    assert limited.psnr(stopped.volume) > limited.psnr(on.volume) + 0.1


def test_too_few_tilts(limited):
    few = limited.projector.subset([0, 8, 16, 24])
    with pytest.raises(InputError, match="too few to hold some out"):
        limited.run("cn", projections=limited.projections[[0, 8, 16, 24]], projector=few)
