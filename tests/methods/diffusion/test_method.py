"""The method as users call it, with an untrained prior."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import tomoprior
from tomoprior.alignment.matching import remove_gauge
from tomoprior.errors import InputError, Interrupted, SettingsError
from tomoprior.formats import read
from tomoprior.formats.writing import write
from tomoprior.methods.diffusion import method as module
from tomoprior.methods.diffusion import posterior_slabs
from tomoprior.methods.diffusion.denoiser import BLIND_SIGMA, Denoiser
from tomoprior.methods.diffusion.measurement_model import prepare_model
from tomoprior.methods.diffusion.method import Diffusion, DiffusionSlice
from tomoprior.methods.diffusion.section import section_from_faces
from tomoprior.methods.diffusion.statements import write_statements
from tomoprior.projector import Projector
from tomoprior.simulate import Spheres
from tomoprior.testing import _contract as contract
from tomoprior.testing import _meaning as meaning
from tomoprior.testing._case import Case, project_phantom

NO_STD = "fewer than two samples give no standard deviation; take samples=8 to see what is uncertain"


@pytest.fixture(scope="module")
def file(lively, tmp_path_factory):
    """A prior of small random weights."""
    path = tmp_path_factory.mktemp("priors") / "tiny.safetensors"
    network = copy.deepcopy(lively.denoiser)
    with torch.no_grad():
        for value in network.parameters():
            value *= 0.3
    replace(lively, denoiser=network, card={"data": "random numbers", "licence": "CC0"}).save(path)
    return path


@pytest.fixture(scope="module")
def flat(prior, network, tmp_path_factory):
    path = tmp_path_factory.mktemp("priors") / "flat.safetensors"
    replace(prior, denoiser=network(flat=True, weights=0.01)).save(path)
    return path


@pytest.fixture(scope="module")
def small(simulated):
    return simulated((12, 16, 40), tilts=13, noise=0.5)


@pytest.fixture(scope="module")
def run(file, small):
    """Run with few samples and levels; the section fills the grid by default."""

    def call(case=small, method=None, **values):
        defaults = {"prior": str(file), "samples": 2, "num_iter": 4}
        if not {"faces", "thickness", "mask", "filled"} & set(values):
            defaults["filled"] = True
        return tomoprior.reconstruct(case.series, method or Diffusion(), device="cpu", **{**defaults, **values})

    return call


@pytest.fixture(scope="module")
def plain(run):
    """The result of a run with default arguments."""
    return run()


def correlation(a, b):
    return float(np.corrcoef(np.asarray(a).ravel(), np.asarray(b).ravel())[0, 1])


def test_the_volume_is_similar_to_the_truth(plain, small):
    result = plain
    assert result.volume.shape == result.std.shape == (12, 16, 40)
    assert np.isfinite(result.volume).all()
    assert float(result.std.min()) >= 0
    assert float(result.std.max()) > 0
    assert result.determined.shape == (12, 16, result.determined.shape[2])
    assert result.geometry == small.geometry
    assert correlation(result.volume[:, :, 6:-6], small.truth[:, :, 6:-6]) > 0.6
    assert float(result.volume.mean()) == pytest.approx(1.5, rel=0.05)


def test_the_record_describes_the_run(plain):
    record = plain.provenance
    json.dumps(dict(record))
    assert record["samples"] == 2
    assert record["prior"]["licence"] == "CC0"
    assert record["scale"]["mean"] == pytest.approx(1.5, rel=0.05)
    assert record["section"]["source"] == "given"
    assert record["section"]["faces"] == [0.0, 12.0]
    assert len(record["tilt_weights"]) == 13
    assert 0 < record["determined"]["power"] < 1
    assert 0.005 < record["residual"] < 0.05  # noise of 0.5 on 18, and each tilt's brightness
    assert record["statement"][0].startswith("13 tilts over 100 degrees determine ")
    assert "nanometer" in record["statement"][0]
    assert record["statement"][1:] == ["the section's faces are set by the user, at 0 and 240 nanometer along z"]
    assert "inferred" in record["inferred"]


def test_the_same_seed_gives_the_same_bits(run, plain):
    again, other = run(seed=0), run(seed=1)
    assert np.array_equal(again.volume, plain.volume)
    assert np.array_equal(again.std, plain.std)
    assert not np.array_equal(other.std, plain.std)


def test_the_callers_random_state_does_not_change(run):
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    run(samples=1, num_iter=1)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_one_sample_has_no_standard_deviation(run):
    result = run(samples=1)
    assert result.std is None
    assert NO_STD in result.provenance["statement"]


def test_a_mask_defines_the_section(run, small):
    mask = np.ones((12, 40), np.float32)
    mask[:3], mask[:, :5] = 0, 0
    result = run(mask=mask)
    assert not result.volume[:3].any()
    assert not result.std[:, :, :5].any()
    assert result.volume[5, :, 20].all()
    assert result.std[5, :, 20].all()
    section = result.provenance["section"]
    assert (section["source"], section["thickness"]) == ("given", 9.0)
    assert section["faces"] == [3.0, 12.0]
    # all that the tilts show lies in three quarters of the grid
    assert result.provenance["scale"]["mean"] == pytest.approx(1.5 * 12 / 9, rel=0.05)


def test_an_initial_volume_is_refused(run, small):
    with pytest.raises(InputError, match="starts from its own linear estimate") as error:
        run(initial=np.zeros(small.geometry.shape))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("factor", [1000.0, 1e-3])
def test_values_in_another_unit_give_a_volume_in_that_unit(run, plain, small, factor):
    other = run(replace(small, projections=small.projections * factor))
    for own, scaled in ((plain.volume, other.volume), (plain.std, other.std)):
        assert np.linalg.norm(scaled / factor - own) < 1e-3 * np.linalg.norm(own)


def test_a_thickness_that_is_odd_or_the_tiles_own(run, simulated):
    for nz in (9, 16):
        case = simulated((nz, 8, 40), tilts=9)
        result = run(case, samples=1)
        assert result.volume.shape == (nz, 8, 40)
        assert correlation(result.volume[:, :, 6:-6], case.truth[:, :, 6:-6]) > 0.5


def test_slabs_of_rows_leave_no_seam(file, simulated, monkeypatch):
    """Slabs have the scale and the noise of the whole volume, and no step appears where they meet."""
    monkeypatch.setattr(posterior_slabs, "HALO", 8)
    case = simulated((12, 36, 40), tilts=9)
    values = {"prior": str(file), "samples": 2, "num_iter": 2, "filled": True}
    whole, parts = (tomoprior.reconstruct(case.series, Diffusion(), device="cpu", rows=rows, **values) for rows in (36, 12))
    contrast = whole.volume.std()
    difference = np.abs(parts.volume - whole.volume).mean((0, 2)) / contrast
    assert float(difference.max()) < 0.35
    assert parts.provenance["scale"]["gain"] == pytest.approx(whole.provenance["scale"]["gain"], rel=0.25)

    def steps(volume):
        return np.abs(np.diff(volume, axis=1)).mean((0, 2))

    ratio = steps(parts.volume) / steps(whole.volume)
    at_border = ratio[[11, 23]].mean()
    elsewhere = np.delete(ratio, [10, 11, 12, 22, 23, 24]).mean()
    assert float(at_border) == pytest.approx(float(elsewhere), rel=0.1)
    assert parts.std.shape == whole.std.shape
    assert float(parts.std.mean()) == pytest.approx(float(whole.std.mean()), rel=0.25)


def test_slabs_are_blended_within_their_halos():
    """Both slabs have weight one half at the border; beyond the halo a neighbour has no weight."""
    parts = [
        SimpleNamespace(rows=range(a, b), rows_with_halo=range(max(0, a - 16), min(120, b + 16)))
        for a, b in ((0, 40), (40, 120))
    ]
    run = SimpleNamespace(parts=parts, projector=SimpleNamespace(geometry=SimpleNamespace(shape=(3, 120, 4))))
    volumes = [torch.full((3, len(part.rows_with_halo), 4), float(i)) for i, part in enumerate(parts)]
    found = posterior_slabs.PosteriorSlabs._blend(run, volumes)
    assert found.shape == (3, 120, 4)
    line = found[1, :, 2]
    assert not bool(line[:24].any())
    assert bool((line[56:] == 1).all())
    at = torch.arange(25, 55) + 0.5
    torch.testing.assert_close(line[25:55], (at - 24) / 32, rtol=0, atol=1e-4)


def test_a_tilt_that_does_not_agree_is_named(run, simulated):
    case = simulated((12, 16, 40), tilts=13, noise=0.2)
    p = case.projections.clone()
    p[6] = p[6].roll(8, 1)
    result = run(replace(case, projections=p), samples=1, num_iter=1)
    assert result.provenance["tilt_weights"][6] < 0.2
    assert "tilt(s) 6 (0.5 deg) do not agree with the others and have little weight" in result.provenance["statement"]


KNOWN = {"power": 0.256, "finest_x": 2.5, "finest_z": 0.0}


def test_statements_in_words(small):
    section = section_from_faces(12, (2.0, 9.5), 0.5, torch.device("cpu"))
    found = write_statements(small.geometry, KNOWN, [1.0, 0.1, 1.0, 0.0], False, section)
    assert found == [
        "13 tilts over 100 degrees determine 26 % of the structure's power: along x structure coarser than 50 nanometer, along "
        "z (the beam) no structure; the rest is inferred from the prior's tissue, not measured",
        "the section's faces are set by the user, at 40 and 190 nanometer along z",
        "tilt(s) 1 (-41.2 deg), 3 (-24.5 deg) do not agree with the others and have little weight",
    ]


def test_statements_name_the_source_of_the_section(small):
    section = section_from_faces(12, (2.0, 9.5), 0.5, torch.device("cpu"))
    found, assumed = (
        write_statements(small.geometry, KNOWN, [1.0], False, replace(section, source=source))[1]
        for source in ("found", "assumed")
    )
    assert found == (
        "the tilts place the section's faces at 40 and 190 nanometer along z, +-10 nanometer; where they do not "
        "determine its height, the middle of the grid is assumed by convention"
    )
    assert assumed == (
        "the tilts are too few to find the section's faces: they are assumed at 40 and 190 nanometer along z, +-10 nanometer"
    )


@pytest.fixture(scope="module")
def thin(simulated):
    """A section of half the grid's height, above its middle."""
    return simulated((16, 40, 64), span=90.0, tilts=19, noise=0.3, faces=(6.0, 14.0))


def profile_of(result):
    """Mean density of every plane, over that inside the section."""
    return result.volume.mean((1, 2)) / result.provenance["scale"]["mean"]


def test_given_faces_bound_the_volume(run, thin):
    result = run(thin, faces=(6.0, 14.0), face_std=0.4)
    record = result.provenance["section"]
    assert (record["source"], record["faces"], record["face_std"]) == ("given", [6.0, 14.0], 0.4)
    assert record["thickness"] == 8
    assert result.provenance["statement"][1] == "the section's faces are set by the user, at 120 and 280 nanometer along z"
    assert result.provenance["scale"]["mean"] == pytest.approx(1.5, rel=0.1)
    profile = profile_of(result)
    assert float(profile[7:13].mean()) == pytest.approx(1, abs=0.2)
    assert float(profile[:4].max()) < 0.3


def test_faces_are_found_in_the_tilts(run, thin, prior, tmp_path):
    prior.save(tmp_path / "a.safetensors")
    result = tomoprior.reconstruct(
        thin.series, Diffusion(), device="cpu", prior=str(tmp_path / "a.safetensors"), samples=1, num_iter=1
    )
    record = result.provenance["section"]
    assert record["source"] == "found"
    assert record["thickness"] == pytest.approx(8, abs=2)
    assert abs(record["faces"][0] - 6) < max(3 * record["face_std"], 1)
    assert result.provenance["statement"][1].startswith("the tilts place the section's faces at ")
    known = run(thin, thickness=8.0, thickness_std=0.1, samples=1, num_iter=1).provenance["section"]
    assert known["source"] == "found"
    assert known["thickness"] == pytest.approx(8, abs=0.4)


def test_a_statement_names_too_few_tilts_for_faces(file, small):
    few = replace(small, geometry=small.geometry.select([5, 7]), projections=small.projections[[5, 7]])
    result = tomoprior.reconstruct(few.series, Diffusion(), device="cpu", prior=str(file), samples=1, num_iter=1)
    assert result.provenance["section"]["source"] == "assumed"
    assert result.provenance["statement"][1].startswith("the tilts are too few to find the section's faces")


class Doubtful(Denoiser):
    """A network that knows tissue and vacuum exactly, and nothing where either may lie."""

    def forward(self, noisy, sigma, linear, inside, depth, coverage, numbers, conditioned):
        spread = 4 * inside * (1 - inside) * torch.ones_like(sigma)[:, None, None, None]
        seen = torch.where(sigma[:, None, None, None] < BLIND_SIGMA, noisy - linear, 0.0)
        return linear + seen * spread**2 / (spread**2 + sigma[:, None, None, None] ** 2), sigma


def test_the_samples_differ_about_uncertain_faces_and_not_in_vacuum(prior, thin, monkeypatch):
    network = Doubtful(prior.denoiser.unet.shape, prior.spectrum).eval().requires_grad_(False)
    monkeypatch.setattr(Diffusion, "prior", lambda self, settings: replace(prior, denoiser=network))
    values = {"samples": 3, "num_iter": 8, "faces": (6.0, 14.0), "face_std": 1.0}
    result = tomoprior.reconstruct(thin.series, Diffusion(), device="cpu", **values)
    std = result.std.mean((1, 2)) / result.provenance["scale"]["gain"]
    assert std[0] == pytest.approx(module.MIN_STD, rel=0.2)  # less than that no voxel has
    assert float(std[[5, 6, 13, 14]].min()) > 10 * std[0]
    assert float(std[[5, 6, 13, 14]].min()) > 2 * std[9:11].max()


def test_the_deviation_is_calibrated_by_place(prior, thin, tmp_path):
    calibration = ((10.0, 1.0, 1.0, 1.0), (150.0, 1.0, 1.0, 1.0))
    replace(prior, calibration=calibration).save(tmp_path / "one.safetensors")
    replace(prior, calibration=((10.0, 2.0, 3.0, 0.5), (150.0, 2.0, 3.0, 0.5))).save(tmp_path / "own.safetensors")
    values = {"samples": 2, "num_iter": 2, "faces": (6.0, 14.0), "device": "cpu"}
    one, own = (
        tomoprior.reconstruct(thin.series, Diffusion(), prior=str(tmp_path / f"{name}.safetensors"), **values).std.mean((1, 2))
        for name in ("one", "own")
    )
    ratio = own / one
    assert ratio[10] == pytest.approx(2, rel=0.05)
    assert ratio[0] == pytest.approx(0.5, rel=0.05)
    assert ratio[[5, 6]].max() > 2.2


def test_a_section_whose_dense_half_lies_above_is_not_mirrored(run, simulated, spectrum):
    """It is not mirrored along x either: projector and volume have the same conventions."""
    case = simulated((16, 24, 64), span=110.0, tilts=31, noise=0.3)
    denser = torch.zeros_like(case.truth)
    denser[8:, :, :24] = 3.0
    wide = case.geometry
    p = case.projections + 0.4 * Projector(wide, "cpu")(denser)
    result = run(replace(case, projections=p), samples=1, num_iter=2, robust=False)
    want = denser[:, :, 8:-8].numpy()
    found = result.volume[:, :, 8:-8]
    plain = correlation(found, want)
    for axes in ((0,), (2,)):
        assert plain > correlation(np.flip(found, axes), want) + 0.3
    assert plain > 0.4


def stop_at(when):
    def progress(iteration, num_iter, values):
        if iteration == when:
            raise KeyboardInterrupt

    return progress


def test_an_interruption_after_a_sample_returns_the_samples_so_far(run, plain):
    with pytest.raises(Interrupted) as stop:
        run(samples=3, progress=stop_at(6))
    result = stop.value.result
    assert result.provenance["interrupted"] is True
    assert result.provenance["samples"] == 1
    assert result.std is None
    assert np.array_equal(result.volume, run(samples=1).volume)
    with pytest.raises(Interrupted) as stop:
        run(samples=3, progress=stop_at(9))
    assert stop.value.result.provenance["samples"] == 2
    assert np.array_equal(stop.value.result.std, plain.std)


def test_an_interruption_before_the_first_sample_returns_nothing(run):
    with pytest.raises(KeyboardInterrupt) as stop:
        run(progress=stop_at(2))
    assert not isinstance(stop.value, Interrupted)


def test_progress_counts_all_levels_of_all_samples(run):
    calls = []
    run(progress=lambda *arguments: calls.append(arguments))
    assert [c[0] for c in calls] == list(range(1, 9))
    assert {c[1] for c in calls} == {8}
    assert [c[2]["sigma"] for c in calls[:4]] == sorted((c[2]["sigma"] for c in calls[:4]), reverse=True)


def test_the_determined_share_is_written_next_to_the_volume(run, tmp_path):
    result = run(num_iter=2)
    write(result, tmp_path / "a.mrc")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mrc", "a.mrc.json", "a_determined.mrc", "a_std.mrc"]
    for name, want in (("a", result.volume), ("a_std", result.std), ("a_determined", result.determined)):
        found = read(tmp_path / f"{name}.mrc", angles=np.linspace(-1, 1, len(want)))
        np.testing.assert_array_equal(np.asarray(found.projections), want)
    middle = tuple(n // 2 for n in result.determined.shape)
    assert result.determined[middle] > 0.9  # zero frequency in the middle
    assert result.determined[0, 0, 0] < 0.5


def test_settings_reach_the_sampler(run):
    volumes = [
        run(**{"samples": 1, "num_iter": 2, "mean": "samples", **values}).volume
        for values in (
            {},
            {"mean": "network"},
            {"conditional": False},
            {"conditional": False, "num_cg": 1},
            {"conditional": False, "data_weight": 0.5},
            {"data_weight": 1.0},
            {"data_weight": 1.0, "num_cg": 1},
            {"sigma_max": 10.0},
            {"sigma_min": 0.1},
            {"robust": False},
            {"shift_std": 0.0},
            {"offset_std": 0.5},
            {"scale": (1.4, 0.5)},
        )
    ]
    for i, volume in enumerate(volumes):
        for other in volumes[:i]:
            assert not np.array_equal(volume, other)


@pytest.mark.parametrize("values", [{"samples": -1}, {"num_iter": 0}, {"data_weight": 1.5}, {"sigma_min": 0}, {"rows": "all"}])
def test_invalid_settings_are_refused(values):
    with pytest.raises(SettingsError) as error:
        Diffusion.Settings.parse(values)
    assert "\n" not in str(error.value)


def test_the_default_data_weight_depends_on_the_condition(run):
    """The weight of the data is 0 for a conditioned network, and 1 for an unconditional one."""
    for given, same in (({}, {"data_weight": 0.0}), ({"conditional": False}, {"conditional": False, "data_weight": 1.0})):
        a, b = (run(samples=1, num_iter=2, mean="samples", **values).volume for values in (given, same))
        assert np.array_equal(a, b)


def test_a_series_outside_the_training_is_refused_before_any_work(run, simulated):
    case = simulated((12, 8, 40), tilts=5, voxel_size=5.0)
    with pytest.raises(InputError, match="bin by 4"):
        run(case)
    assert run(case, check_prior=False, samples=1, num_iter=1).volume.shape == (12, 8, 40)


def test_the_flat_prior_reconstructs_slice_by_slice(run, small, flat):
    result = run(method=DiffusionSlice(), prior=str(flat))
    assert correlation(result.volume[:, :, 6:-6], small.truth[:, :, 6:-6]) > 0.3
    assert result.provenance["method"] == "diffusion.slice"


def test_descriptions_name_the_prior(file, monkeypatch):
    monkeypatch.setattr(module, "list_shipped_priors", list)
    assert "tissue does not come with this installation" in Diffusion().describe()
    monkeypatch.setattr(module, "list_shipped_priors", lambda: ["tissue"])
    known = module.load_prior(str(file))
    monkeypatch.setattr(module, "load_prior", lambda name: known)
    found = Diffusion().describe()
    assert "random numbers" in found
    assert "16 to 25 nanometer" in found
    assert "6 to 140 degrees" in found


@pytest.fixture(scope="module")
def conformance(file):
    """A case for the conformance checks, wide enough to measure its contrast."""
    settings = Diffusion.Settings.parse({"prior": str(file), "samples": 1, "num_iter": 2, "check_prior": False})
    shape = (12, 16, 48)
    angles = np.deg2rad(np.linspace(-64, 64, 17) + np.tile([0.0, 0.7], 9)[:17])
    geometry = tomoprior.Geometry(angles, shape, center=24.4)
    phantom = Spheres.random(shape, radius=(2.5, 4.0), fill=0.2, seed=3)
    return Case(Diffusion(), settings, phantom, tomoprior.Projector(geometry, "cpu"), project_phantom(phantom, geometry, "cpu"))


@pytest.mark.parametrize("check", [contract.check_estimates, contract.check_result, contract.check_repeats,
                                   contract.check_progress, contract.check_refusals, contract.check_small,
                                   meaning.check_weights, meaning.check_mask, meaning.check_initial])  # fmt: skip
def test_it_passes_the_conformance_checks(conformance, check):
    check(conformance)


def test_the_order_of_the_tilts_has_no_influence(conformance):
    meaning.check_order(conformance, 5 * meaning.ORDER_TOLERANCE)  # fifty conjugate gradients add sums in that order


def test_its_description_and_settings():
    for method in (Diffusion(), DiffusionSlice()):
        contract.check_description(method)
        contract.check_settings(method)


@pytest.mark.slow
def test_planted_shifts_are_found_with_the_networks_mean(prior, simulated, tmp_path):
    path = tmp_path / "linear.safetensors"
    prior.save(path)
    shifts = np.random.default_rng(2).normal(size=(13, 2))
    moved = simulated((12, 24, 40), tilts=13, noise=0.2, shifts=shifts)
    nominal = moved.series.with_geometry(replace(moved.geometry, shifts=None))
    values = {"prior": str(path), "samples": 0, "filled": True, "shift_std": 1.0, "device": "cpu"}
    result = tomoprior.reconstruct(nominal, "diffusion", refine_shifts=6, **values)
    error, before = (remove_gauge(s - shifts, moved.geometry.angles, np.ones(13)) for s in (result.geometry.shifts, 0 * shifts))
    assert np.sqrt(np.mean(error**2)) < 0.3 * np.sqrt(np.mean(before**2))
    stds = result.provenance["settings"]["shift_std"]
    assert len(stds) == 13
    assert min(stds) >= 1.0  # the uncertainty of the shifts comes on top
    assert max(stds) < 1.2


def test_the_uncertainty_of_a_tilts_shift_lowers_its_weight(case, spectrum):
    stds = [0.5] * 21
    alike = prepare_model(case.projections, case.projector, spectrum, shift_std=stds)
    single = prepare_model(case.projections, case.projector, spectrum, shift_std=0.5)
    assert torch.equal(alike.w, single.w)
    stds[4] = 2.0
    uncertain = prepare_model(case.projections, case.projector, spectrum, shift_std=stds)
    assert float(uncertain.w[4].mean()) < 0.7 * float(single.w[4].mean())
    assert torch.equal(uncertain.w[5], single.w[5])
