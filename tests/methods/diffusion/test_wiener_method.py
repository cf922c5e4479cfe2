"""The method ``wiener`` passes the conformance checks, and is the best linear method on its Gaussian model."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import tomoprior
from tomoprior.errors import InputError
from tomoprior.methods import registry
from tomoprior.methods.diffusion.measurement_model import prepare_model
from tomoprior.methods.diffusion.scale import Scale
from tomoprior.methods.diffusion.wiener import solve_wiener
from tomoprior.methods.diffusion.wiener_method import WienerMethod
from tomoprior.simulate import Spheres
from tomoprior.testing import _contract as contract
from tomoprior.testing import _meaning as meaning
from tomoprior.testing._case import Case, project_phantom

FACES = (6.0, 18.0)


@pytest.fixture(scope="module")
def file(prior, tmp_path_factory):
    """A prior with the spectrum; its other parts are not used."""
    path = tmp_path_factory.mktemp("priors") / "spectrum.safetensors"
    prior.save(path)
    return path


@pytest.fixture(scope="module")
def thin(simulated):
    """A Gaussian section of half the grid's height, in vacuum."""
    return simulated((24, 32, 64), span=100.0, tilts=31, noise=1.0, faces=FACES)


@pytest.fixture(scope="module")
def run(file, thin):
    def call(case=thin, **values):
        return tomoprior.reconstruct(
            case.series, WienerMethod(), device="cpu", **{"prior": str(file), "num_iter": 40, **values}
        )

    return call


@pytest.fixture(scope="module")
def plain(run):
    return run(faces=FACES)


def density(case):
    return (1.5 + 0.4 * case.truth).numpy()


def error(volume, case):
    """Root mean square in the region that all tilts see."""
    return float(np.sqrt(np.mean((volume - density(case))[:, 2:-2, 10:-10] ** 2)))


def test_it_is_registered():
    assert isinstance(registry.get("wiener"), WienerMethod)


def test_the_volume_is_in_the_users_units(plain, thin):
    assert plain.volume.shape == thin.geometry.shape
    assert plain.std is None
    found, want = (v[7:17, :, 10:-10] for v in (plain.volume, density(thin)))
    assert float(found.mean()) == pytest.approx(float(want.mean()), rel=0.1)
    assert float(np.corrcoef(found.ravel(), want.ravel())[0, 1]) > 0.7
    # vacuum is empty
    assert float(np.abs(plain.volume[:3]).max()) < 0.1


def test_it_is_the_linear_estimate_of_the_data(plain, thin, spectrum):
    """The method adds nothing to the equation's solution."""
    filled = tomoprior.methods.diffusion.section.section_from_faces(24, FACES, 0.0, torch.device("cpu"))
    data = prepare_model(thin.projections, thin.projector, spectrum, thickness=12.0)
    u = solve_wiener(data, spectrum, 40, tol=0.0, inside=filled.inside)
    want = data.crop(u) * data.scale.gain + data.scale.mean
    assert isinstance(data.scale, Scale)
    assert float(np.abs(plain.volume - want.numpy()).max()) < 0.2  # the method trusts some tilts less
    assert float(np.sqrt(np.mean((plain.volume - want.numpy()) ** 2))) < 0.02


@pytest.mark.parametrize("method", ["sirt", "tikhonov"])
def test_it_beats_methods_that_know_less(plain, thin, method):
    """Each of them has the best of several strengths."""
    tried = (
        [{"num_iter": n} for n in (10, 30, 100)]
        if method == "sirt"
        else [{"num_iter": 60, "reg_par": s} for s in (0.3, 3.0, 30.0, 300.0)]
    )
    errors = [error(tomoprior.reconstruct(thin.series, method, device="cpu", **values).volume, thin) for values in tried]
    assert error(plain.volume, thin) < 0.9 * min(errors), (error(plain.volume, thin), errors)


def test_knowledge_of_the_section_helps(run, plain, thin):
    found, filled = run(), run(filled=True)
    assert found.provenance["section"]["source"] == "found"
    given, shown, unknown = (error(result.volume, thin) for result in (plain, found, filled))
    assert given < 0.9 * shown
    assert shown < 0.9 * unknown


def test_the_record_describes_the_run(plain, file):
    record = plain.provenance
    json.dumps(dict(record))
    assert record["section"]["faces"] == list(FACES)
    assert record["scale"]["mean"] == pytest.approx(1.5, rel=0.1)
    assert record["scale"]["gain"] == pytest.approx(0.4, rel=0.3)
    assert len(record["tilt_weights"]) == 31
    assert record["prior"] == {"name": str(file), "spectrum_only": True}
    assert 0 < record["residual"] < 0.3


def test_a_mask_defines_the_section(run):
    mask = np.zeros((24, 64), np.float32)
    mask[6:18] = 1
    result = run(mask=mask)
    assert result.provenance["section"]["faces"] == [6.0, 18.0]
    assert not result.volume[:6].any()
    assert result.volume[8:16].all()


def test_an_initial_volume_is_refused(run, thin):
    with pytest.raises(InputError, match="wiener solves a linear equation") as error:
        run(initial=np.zeros(thin.geometry.shape))
    assert "\n" not in str(error.value)


def test_voxel_sizes_outside_the_spectrums_are_refused(run, thin):
    small = replace(thin, geometry=replace(thin.geometry, voxel_size=5.0))
    with pytest.raises(InputError, match="bin by 4"):
        run(small)
    assert run(small, check_prior=False, num_iter=2, filled=True).volume.shape == (24, 32, 64)


def test_a_tilt_that_does_not_agree_gets_little_weight(run, thin):
    p = thin.projections.clone()
    p[15] = p[15].roll(16, 1)
    spoilt = replace(thin, projections=p)
    result = run(spoilt, faces=FACES)
    assert result.provenance["tilt_weights"][15] < 0.2
    assert run(spoilt, faces=FACES, robust=False, num_iter=2).provenance["tilt_weights"][15] == 1


@pytest.fixture(scope="module")
def conformance(file):
    settings = WienerMethod.Settings.parse({"prior": str(file), "num_iter": 30, "check_prior": False})
    shape = (12, 16, 48)
    angles = np.deg2rad(np.linspace(-64, 64, 17) + np.tile([0.0, 0.7], 9)[:17])
    geometry = tomoprior.Geometry(angles, shape, center=24.4)
    phantom = Spheres.random(shape, radius=(2.5, 4.0), fill=0.2, seed=3)
    data = project_phantom(phantom, geometry, "cpu")
    return Case(WienerMethod(), settings, phantom, tomoprior.Projector(geometry, "cpu"), data)


@pytest.mark.parametrize("check", [contract.check_estimates, contract.check_result, contract.check_repeats,
                                   contract.check_progress, contract.check_refusals, contract.check_small,
                                   meaning.check_weights, meaning.check_mask, meaning.check_initial])  # fmt: skip
def test_it_passes_the_conformance_checks(conformance, check):
    check(conformance)


def test_the_order_of_the_tilts_has_no_influence(conformance):
    """This holds for the solved equation: before convergence conjugate gradients amplify rounding errors."""
    settings = conformance.settings.model_copy(update={"num_iter": 200})
    meaning.check_order(replace(conformance, settings=settings), 5 * meaning.ORDER_TOLERANCE)


def test_its_description_and_settings():
    contract.check_description(WienerMethod())
    contract.check_settings(WienerMethod())
