"""The section's position, given by the user or found from the tilts."""

from __future__ import annotations

import math

import pytest
import torch

from tomoprior.errors import InputError, SettingsError
from tomoprior.methods.diffusion import section as module
from tomoprior.methods.diffusion.section import (
    compute_expected_profile,
    determine_section,
    locate_section,
    section_from_faces,
    section_from_mask,
)
from tomoprior.methods.diffusion.settings import DiffusionSettings
from tomoprior.methods.diffusion.slab_likelihood import ROUGHNESS
from tomoprior.methods.diffusion.wiener_method import WienerSettings

CPU = torch.device("cpu")


def refused(call, *arguments, match):
    with pytest.raises(InputError, match=match) as error:
        call(*arguments)
    assert "\n" not in str(error.value)


def test_a_mask_defines_the_section():
    mask = torch.zeros(10, 3, 8)
    mask[2:7] = 1
    mask[2, :, :4] = 0
    found = section_from_mask(mask)
    assert torch.equal(found.inside, mask)
    assert found.source == "given"
    assert found.thickness == pytest.approx(4.5)
    assert found.face_std == 0
    assert found.faces == pytest.approx((2.5 - 4 / 72, 7 - 4 / 72), abs=0.3)
    assert found.faces[1] - found.faces[0] == pytest.approx(4.5)


def test_columns_of_a_mask_without_section_do_not_make_it_thinner():
    mask = torch.zeros(10, 3, 8)
    mask[2:7, :, 3:] = 1
    assert section_from_mask(mask).thickness == pytest.approx(5)
    assert section_from_mask(mask).faces == pytest.approx((2, 7))


def test_a_mask_may_contain_shares():
    mask = torch.tensor([0.0, 0.5, 1.0, 0.25])[:, None, None].expand(4, 2, 2)
    found = section_from_mask(mask)
    assert torch.equal(found.inside, mask)
    assert found.thickness == pytest.approx(1.75)


def test_an_empty_mask_is_refused():
    refused(section_from_mask, torch.zeros(4, 3, 2), match="the mask is empty")


def test_given_faces():
    found = section_from_faces(20, (4.0, 13.0), 0.0, CPU)
    assert (found.source, found.faces, found.thickness, found.face_std) == ("given", (4.0, 13.0), 9.0, 0.0)
    assert found.inside.shape == (20, 1, 1)
    profile = found.inside[:, 0, 0]
    assert float(profile.sum()) == pytest.approx(9, abs=0.01)
    assert bool((profile.diff()[:8] >= 0).all())
    assert float(profile[8]) > 0.99
    # sections are rough: at a face the probability is one half, and it takes some voxels to go over
    assert float(profile[3:5].mean()) == pytest.approx(0.5, abs=0.01)
    assert 0.05 < float(profile[2]) < 0.3


def test_uncertain_faces_are_wider():
    sharp, soft = (section_from_faces(24, (6.0, 18.0), std, CPU) for std in (0.0, 2.0))
    assert soft.face_std == 2.0
    assert float(soft.inside[2]) > 5 * float(sharp.inside[2])
    assert float(soft.inside.sum()) == pytest.approx(12, abs=0.1)


@pytest.mark.parametrize("faces", [(0.0, 20.0), (-5.0, 20.0), (-3.0, 26.0)])
def test_heights_at_the_grids_ends_or_beyond_are_no_faces(faces):
    found = section_from_faces(20, faces, 0.0, CPU)
    assert bool((found.inside == 1).all())
    assert found.faces == (0.0, 20.0)
    assert found.thickness == 20


def test_a_face_beyond_the_grid_does_not_move_the_other():
    found = section_from_faces(20, (-6.0, 11.0), 0.0, CPU)
    assert found.faces == (0.0, 11.0)
    assert found.thickness == 11
    assert float(found.inside[0]) > 0.999
    assert float(found.inside[15]) < 1e-3


@pytest.mark.parametrize("faces", [(20.0, 25.0), (-4.0, 0.0), (30.0, 31.0)])
def test_faces_outside_the_grid_are_refused(faces):
    refused(section_from_faces, 20, faces, 0.0, CPU, match=r"lie outside a grid of 20 voxels along z")


def test_the_profile_is_the_probability_to_lie_between():
    g = torch.Generator().manual_seed(0)
    low, high = 5 + 1.5 * torch.randn(200_000, generator=g), 11 + 0.5 * torch.randn(200_000, generator=g)
    at = torch.arange(16)[:, None] + torch.rand((16, 1000), generator=g)
    want = ((at[..., None] > low[:2000]) & (at[..., None] < high[:2000])).float().mean((1, 2))
    torch.testing.assert_close(compute_expected_profile(16, 5, 11, 1.5, 0.5), want, rtol=0, atol=0.03)


def test_padding_repeats_the_edge():
    mask = torch.zeros(6, 2, 4)
    mask[2:5] = 1
    mask[2, :, 0] = 0
    wide = section_from_mask(mask).padded(3)
    assert wide.shape == (6, 2, 10)
    assert torch.equal(wide[..., 3:-3], mask)
    assert torch.equal(wide[..., :3], mask[..., [0]].expand(6, 2, 3))
    assert torch.equal(wide[..., -3:], mask[..., [-1]].expand(6, 2, 3))
    even = section_from_faces(6, (1.0, 4.0), 0.0, CPU)
    assert even.padded(3) is even.inside
    assert section_from_mask(mask).padded(0).shape == mask.shape


def test_a_selection_of_rows():
    mask = torch.rand((6, 5, 4), generator=torch.Generator().manual_seed(0))
    found = section_from_mask(mask)
    part = found.select_rows(range(1, 4))
    assert torch.equal(part.inside, mask[:, 1:4])
    # what is known of the whole
    assert (part.thickness, part.faces, part.source) == (found.thickness, found.faces, found.source)
    even = section_from_faces(6, (1.0, 4.0), 0.0, CPU)
    assert even.select_rows(range(1, 4)) is even


def test_the_record_holds_plain_numbers():
    found = section_from_faces(6, (1.0, 4.0), 0.5, CPU).to_dict()
    assert found["source"] == "given"
    assert found["faces"] == [1.0, 4.0]
    assert (found["thickness"], found["face_std"]) == (3.0, 0.5)
    assert len(found["profile"]) == 6
    assert all(type(v) is float for v in found["profile"])


@pytest.fixture
def asked(monkeypatch):
    """Records the calls of locate_section, and returns nothing."""
    calls = []
    monkeypatch.setattr(module, "locate_section", lambda *_, **values: calls.append(values))
    return calls


def test_a_mask_precedes_settings_and_settings_precede_the_tilts(case, spectrum, asked):
    nz, ny, nx = case.geometry.shape
    mask = torch.zeros(nz, 1, nx)
    mask[4:9] = 1

    def found(mask=None, **values):
        return determine_section(case.projections, case.projector, spectrum, DiffusionSettings(**values), mask=mask)

    for values in ({}, {"filled": True}, {"faces": (2.0, 15.0)}):
        one = found(mask, **values)
        assert one.inside.shape == (nz, ny, nx)
        assert one.faces == (4.0, 9.0)
    assert bool((found(filled=True).inside == 1).all())
    given = found(faces=(2.0, 15.0), face_std=0.7)
    assert (given.faces, given.face_std) == ((2.0, 15.0), 0.7)
    assert not asked
    found(thickness=11.0, thickness_std=0.5, robust=False)
    assert (asked[0]["thickness"], asked[0]["thickness_std"], asked[0]["robust"]) == (11.0, 0.5, False)


@pytest.mark.parametrize("settings", [DiffusionSettings, WienerSettings])
@pytest.mark.parametrize(
    "values",
    [
        {"faces": (3.0, 9.0), "thickness": 6.0},
        {"faces": (3.0, 9.0), "filled": True},
        {"thickness": 6.0, "filled": True},
        {"faces": (9.0, 3.0)},
        {"faces": (3.0, 3.0)},
        {"thickness_std": 1.0},
        {"faces": (3.0, 9.0), "thickness_std": 1.0},
        {"thickness": 0.0},
        {"thickness": 6.0, "thickness_std": 0.0},
        {"face_std": -1.0},
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, values):
    with pytest.raises(SettingsError) as error:
        settings.parse(values)
    assert "\n" not in str(error.value)


def test_a_slab_outside_the_mask_has_a_filled_grid(case, spectrum, asked):
    """This holds for a slab with another slab's scale; for a whole volume an empty mask is an error."""
    mask = torch.zeros(case.geometry.shape)
    found = determine_section(
        case.projections, case.projector, spectrum, DiffusionSettings(scale=(1.5, 0.4), thickness=9.0), mask=mask
    )
    assert bool((found.inside == 1).all())
    assert not asked
    with pytest.raises(InputError, match="the mask is empty"):
        determine_section(case.projections, case.projector, spectrum, DiffusionSettings(), mask=mask)


@pytest.mark.parametrize("settings", [DiffusionSettings, WienerSettings])
def test_slabs_use_the_scale_and_section_of_one_of_them(settings):
    record = {
        "scale": {"mean": 1.5, "gain": 0.4},
        "section": {"source": "found", "faces": [3.0, 9.0], "face_std": 0.7, "profile": [0.0, 1.0, 0.0]},
    }
    own = settings.parse({"thickness": 6.0, "thickness_std": 0.5})
    taken = settings.model_validate({**own.model_dump(), **own.scale_and_section_from(record)})
    assert (taken.scale, taken.faces, taken.face_std) == ((1.5, 0.4), (3.0, 9.0), 0.7)
    assert (taken.thickness, taken.thickness_std) == (None, None)
    # what is given stays
    given = settings.parse({"faces": (2.0, 8.0), "scale": (1.0, 1.0)})
    assert given.scale_and_section_from({**record, "section": {"source": "given", "faces": [2.0, 8.0], "face_std": 0.0}}) == {}


@pytest.mark.parametrize("settings", [DiffusionSettings, WienerSettings])
def test_settings_may_come_from_a_command_line(settings):
    assert settings.parse({"faces": [3, 9]}).faces == (3.0, 9.0)
    assert settings.parse({"thickness": 6, "thickness_std": 1}).thickness == 6.0


@pytest.fixture(scope="module")
def thin(simulated, spectrum):
    """A section of 12 voxels on a grid of 24, cut from a field; vacuum around it."""
    return simulated((24, 48, 64), span=80.0, tilts=21, noise=0.3, faces=(8.0, 20.0))


def test_the_section_is_found_from_the_tilts(thin, spectrum):
    found = locate_section(thin.projections, thin.projector, spectrum)
    assert found.source == "found"
    assert found.thickness == pytest.approx(12, abs=2)
    for face, want in zip(found.faces, (8.0, 20.0), strict=True):
        assert abs(face - want) < max(3 * found.face_std, 1.0)
    assert 0 < found.face_std < 3
    assert found.inside.shape == (24, 1, 1)
    assert float(found.inside[14]) > 0.95
    assert float(found.inside[2]) < 0.2


def test_with_too_few_tilts_the_section_is_assumed(thin, spectrum):
    g = thin.geometry.select([10, 11])
    found = locate_section(thin.projections[10:12], thin.projector.with_geometry(g), spectrum)
    assert found.source == "assumed"
    assert math.isclose(sum(found.faces) / 2, 12)
    assert found.face_std > 2


def test_rays_of_weight_zero_have_no_influence(thin, spectrum):
    weights = torch.ones_like(thin.projections)
    weights[:, :, 50:] = 0
    weights[5] = 0
    clean = locate_section(thin.projections, thin.projector, spectrum, weights=weights)
    noise = 500 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(1))
    spoilt = torch.where(weights > 0, thin.projections, noise)
    found = locate_section(spoilt, thin.projector, spectrum, weights=weights)
    assert found.faces == pytest.approx(clean.faces, abs=0.2)
    assert found.face_std == pytest.approx(clean.face_std, rel=0.1)
    tilts = torch.ones(len(weights))
    tilts[5] = 0
    spoilt = torch.where(tilts[:, None, None] > 0, thin.projections, noise)
    found = locate_section(spoilt, thin.projector, spectrum, weights=tilts)
    assert found.thickness == pytest.approx(12, abs=2)


def test_roughness_is_that_of_the_likelihood():
    """Given faces are as rough as found ones."""
    want = compute_expected_profile(20, 5.0, 15.0, ROUGHNESS, ROUGHNESS)
    assert torch.equal(section_from_faces(20, (5.0, 15.0), 0.0, CPU).inside[:, 0, 0], want)
