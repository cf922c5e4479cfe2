"""Halves of frames choose the settings that a method leaves open."""

import numpy as np
import pytest

from tomoprior import TiltSeries, reconstruct
from tomoprior.running.half_choice import predict_each_other
from tomoprior.running.halves import reconstruct_halves
from tomoprior.simulate import simulate

ANGLES = np.deg2rad(np.arange(-60, 61, 6))


@pytest.fixture(scope="module")
def clean():
    return simulate("spheres", (12, 16, 24), ANGLES, seed=2)


@pytest.fixture(scope="module")
def halves(clean):
    """Halves of frames with twenty times as much noise as signal."""
    images, rng = clean.series.projections, np.random.default_rng(1)
    std = np.sqrt(20 * images.var())
    return [
        TiltSeries((images + std * rng.standard_normal(images.shape)).astype(np.float32), clean.series.geometry) for _ in "ab"
    ]


@pytest.mark.filterwarnings("ignore::tomoprior.errors.ResultWarning")
def test_an_open_strength_is_the_one_that_predicts_the_other_half_best(halves, clean):
    found = reconstruct_halves(*halves, method="tikhonov", num_iter=20)
    chosen = found.mean.provenance["halves"]["chosen"]
    strength = chosen["reg_par"]
    errors = [predict_each_other(*halves, "tikhonov", reg_par=f * strength, num_iter=20) for f in (0.25, 1.0, 4.0)]
    assert errors[1] == min(errors) == pytest.approx(chosen["error"])
    np.testing.assert_array_equal(found.first.volume, reconstruct(halves[0], "tikhonov", reg_par=strength, num_iter=20).volume)
    truth = clean.truth.volume
    volumes = [found.mean.volume, reconstruct_halves(*halves, method="tikhonov", reg_par=1.0, num_iter=20).mean.volume]
    by_choice, fixed = (np.corrcoef(v.ravel(), truth.ravel())[0, 1] for v in volumes)
    assert by_choice > fixed + 0.05


@pytest.mark.filterwarnings("ignore::tomoprior.errors.ResultWarning")
def test_an_open_end_is_the_one_that_predicts_the_other_half_best(halves):
    found = reconstruct_halves(*halves, method="cgls")
    chosen = found.mean.provenance["halves"]["chosen"]
    assert chosen["num_iter"] == found.first.provenance["iterations"]
    errors = [predict_each_other(*halves, "cgls", num_iter=n) for n in (chosen["num_iter"], 3 * chosen["num_iter"])]
    assert errors[0] < errors[1]


@pytest.mark.filterwarnings("ignore::tomoprior.errors.ResultWarning")
def test_the_degree_of_a_spline_field_is_chosen_too(halves):
    chosen = reconstruct_halves(*halves, method="cn", num_iter=5).mean.provenance["halves"]["chosen"]
    assert chosen["degree"] in (1, 3, 5)
    assert chosen["stop"] is None
    assert chosen["reg_par"] > 0


@pytest.mark.filterwarnings("ignore::tomoprior.errors.ResultWarning")
def test_given_settings_and_halves_of_tilts_leave_nothing_to_choose(halves):
    given = reconstruct_halves(*halves, method="cgls", num_iter=3)
    tilts = reconstruct_halves(halves[0], method="cgls")
    assert given.mean.provenance["halves"]["chosen"] == tilts.mean.provenance["halves"]["chosen"] == {}
