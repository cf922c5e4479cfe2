"""The measurement model: used rays, line integrals in the prior's units, and inverse variances."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tomoprior.geometry import Geometry
from tomoprior.methods.diffusion.data_statistics import compute_gradient_power, estimate_noise_variance
from tomoprior.methods.diffusion.measurement_model import MODEL_ERROR_SHARE, prepare_model
from tomoprior.methods.diffusion.ray_geometry import MAX_PADDING, compute_padding, mark_used_rays
from tomoprior.methods.diffusion.scale import Scale
from tomoprior.projector import Projector

SCALE = Scale(1.5, 0.4)


def seeded(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def geometry(shape=(12, 3, 40), degrees=None, **values):
    return Geometry(np.deg2rad(np.linspace(-70, 65, 10) if degrees is None else degrees), shape, **values)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"center": 17.3},
        {"center": np.array([19.0, 20.0, 21.7])},
        {"shifts": np.tile([[0.0, 2.3], [0.0, -1.1]], (5, 1))},
        {"detector": (3, 64)},
        {"shape": (31, 3, 40)},
        {"degrees": [-90.0, -89.0, 0.0, 88.0]},
    ],
)
def test_used_rays_stay_in_the_grid(values):
    """Material outside the padded grid changes no used ray, and most of the unused ones."""
    g = geometry(**values)
    pad = compute_padding(g)
    used = mark_used_rays(g, pad)
    assert used.shape == g.range_shape
    more = 40
    beside = seeded(*g.padded(pad + more).shape).abs()
    beside[..., more:-more] = 0
    changed = Projector(g.padded(pad + more), "cpu")(beside)
    leaks = (changed * used).amax((1, 2))
    steep = np.abs(np.tan(g.angles)) > 2
    assert not bool(leaks[~steep].any())
    # rays that are steeper meet a corner of the last voxel but one at most
    assert float(leaks.max()) < 0.1 * float(beside.max())
    assert float(used.mean()) > 0.2
    # the rule is not so careful that it leaves out much: all the others do leave the grid, or nearly
    inner = beside.roll(4, 2) + beside.roll(-4, 2)
    left = Projector(g.padded(pad + more), "cpu")(inner) > 0
    meeting = np.abs(np.tan(g.angles)) < 5  # along the slab rays may pass above it
    assert bool((left | (used > 0))[meeting].all())


def test_rays_within_the_field_of_view_are_used_up_to_steep_tilts():
    g = geometry((12, 1, 40), degrees=[0.0, 30.0, -60.0])
    assert compute_padding(g) == math.ceil(6 * math.tan(math.radians(60)))
    used = mark_used_rays(g, compute_padding(g))[:, 0]
    assert float(used[0].mean()) == 1
    assert float(used[1].mean()) == 1
    assert compute_padding(geometry((12, 1, 40), degrees=[85.0])) == MAX_PADDING * 12


@pytest.mark.parametrize("sigma", [0.02, 1.0, 300.0])
def test_the_noise_is_estimated(sigma):
    levels = sigma * torch.tensor([1.0, 0.5, 2.0])
    p = levels[:, None, None] * seeded(3, 150, 150)
    found = estimate_noise_variance(p)
    torch.testing.assert_close(found, levels**2, rtol=0.05, atol=0)


def test_a_smooth_picture_has_no_noise():
    y, x = torch.meshgrid(torch.arange(60.0), torch.arange(80.0), indexing="ij")
    picture = 100 + 3 * x - 2 * y + 20 * torch.sin(x / 9) * torch.cos(y / 11)
    p = picture + 0.5 * seeded(1, 60, 80)
    assert float(estimate_noise_variance(p)[0]) == pytest.approx(0.25, rel=0.1)


def test_a_shift_changes_a_picture_by_its_gradient():
    """``shift_std^2 |grad p|^2`` is the variance that random shifts along both axes cause."""
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")

    def picture(dy, dx):
        return 10 * torch.sin((x - dx) / 7) * torch.cos((y - dy) / 6) + 0.3 * (x - dx)

    steps = 0.5 * seeded(400, 2)
    moved = torch.stack([picture(dy, dx) for dy, dx in steps.tolist()])
    want = (moved - picture(0, 0)).square().mean(0)
    found = 0.25 * compute_gradient_power(picture(0, 0)[None])[0]
    inner = slice(4, -4)
    assert float(found[inner, inner].mean() / want[inner, inner].mean()) == pytest.approx(1, abs=0.15)


def test_weights_contain_noise_misalignment_and_the_models_own_error(case, spectrum):
    p = case.projections
    data = prepare_model(p, case.projector, spectrum, shift_std=0.0, scale=SCALE)
    used = mark_used_rays(case.geometry, data.pad) > 0
    assert torch.equal(data.w > 0, used)
    spread = torch.quantile(p.flatten(1), torch.tensor([0.02, 0.98]), dim=1).diff(dim=0)[0]
    flat = 0.4**2 / (estimate_noise_variance(p) + (MODEL_ERROR_SHARE * spread) ** 2)
    torch.testing.assert_close(data.w.amax((1, 2)), flat, rtol=2e-3, atol=0)
    torch.testing.assert_close(data.w[used], flat[:, None, None].expand(p.shape)[used], rtol=2e-3, atol=0)
    shifted = prepare_model(p, case.projector, spectrum, shift_std=0.7, scale=SCALE)
    more = 1 / shifted.w[used] - 1 / data.w[used]
    torch.testing.assert_close(more, (0.49 / 0.16 * compute_gradient_power(p))[used], rtol=1e-2, atol=1e-3)


def test_projections_are_those_of_a_volume_in_the_priors_units(simulated, spectrum):
    case = simulated(noise=0.0, gain=0.4, mean=1.5)
    data = prepare_model(case.projections, case.projector, spectrum, scale=SCALE)
    used = data.w > 0
    cos = torch.tensor(np.cos(case.geometry.angles), dtype=torch.float32)[:, None, None]
    torch.testing.assert_close(data.y[used], ((case.projections - 1.5 * 16 / cos) / 0.4)[used], rtol=1e-4, atol=1e-3)
    assert not bool(data.y[~used].any())
    middle = case.geometry.n_angles // 2 - 1  # nearly along the beam: the field of view is all that it sees
    inner = slice(4, -4)
    seen = Projector(case.geometry, "cpu")(case.truth)
    torch.testing.assert_close(data.y[middle, :, inner], seen[middle, :, inner], rtol=1e-3, atol=0.3)


def test_the_scale_of_the_users_weights_has_no_influence(case, spectrum):
    p, n = case.projections, case.geometry.n_angles
    tilts = torch.linspace(0.5, 2, n)
    tilts[3] = 0
    arguments = {"shift_std": 0.0, "scale": SCALE}
    found, tenfold = (prepare_model(p, case.projector, spectrum, weights=w, **arguments) for w in (tilts, 10 * tilts))
    torch.testing.assert_close(found.w, tenfold.w, rtol=1e-4, atol=0)
    assert not bool(found.w[3].any())
    assert not bool(found.y[3].any())
    spread = torch.quantile(p.flatten(1), torch.tensor([0.02, 0.98]), dim=1).diff(dim=0)[0]
    variance = 0.16 / found.w.amax((1, 2)) - (MODEL_ERROR_SHARE * spread) ** 2
    product = (variance * tilts)[tilts > 0]
    torch.testing.assert_close(product, product.mean().expand_as(product), rtol=1e-2, atol=0)
    # the noise in the tilts settles the factor
    assert float(product.mean()) == pytest.approx(0.25 * float(tilts[tilts > 0].median()), rel=0.3)


def test_pixels_of_weight_zero_have_no_influence(case, spectrum):
    weights = torch.ones_like(case.projections)
    weights[5, 4:9, 20:30] = 0
    weights[8] = 0
    data = prepare_model(case.projections, case.projector, spectrum, weights=weights)
    assert not bool(data.w[weights == 0].any())
    assert not bool(data.y[weights == 0].any())
    plain = prepare_model(case.projections, case.projector, spectrum)
    elsewhere = (weights > 0) & (plain.w > 0)
    assert bool((data.w[elsewhere] > 0).all())
    spoilt = torch.where(weights > 0, case.projections, case.projections + 1000)
    other = prepare_model(spoilt, case.projector, spectrum, weights=weights)
    assert other.scale.gain == pytest.approx(data.scale.gain, rel=1e-5)
    assert other.scale.mean == pytest.approx(data.scale.mean, rel=1e-5)
    torch.testing.assert_close(other.w, data.w, rtol=1e-4, atol=0)
    torch.testing.assert_close(other.y, data.y, rtol=1e-4, atol=1e-4)


def test_a_tilts_brightness_does_not_count_as_density(case, spectrum):
    """Each tilt's brightness is unknown, so that an added constant hardly counts; a pattern counts."""
    data = prepare_model(case.projections, case.projector, spectrum)
    constant = (data.w > 0).float()
    pattern = constant * seeded(*data.w.shape)
    weight = [float((r * data.weighted(r)).sum() / (r * r * data.w).sum()) for r in (constant, pattern)]
    assert weight[0] < 0.01
    assert weight[1] > 0.9
    # what is left of the constant: tilts times the inverse of the brightness's variance
    left = float((constant * data.weighted(constant)).sum())
    assert left == pytest.approx(len(data.y) / data.offset, rel=0.1)


def test_a_tilt_of_weight_zero_has_no_influence(case, spectrum):
    data = prepare_model(case.projections, case.projector, spectrum)
    data.tilt_weights[2] = 0
    out = data.weighted(torch.ones_like(data.y))
    assert not bool(out[2].any())
    assert bool(out[3].any())


def test_coverage_is_the_share_of_the_tilts_that_see_a_voxel(case, spectrum):
    data = prepare_model(case.projections, case.projector, spectrum)
    assert data.coverage.shape == (16, 64 + 2 * data.pad)
    assert float(data.coverage.min()) >= 0
    assert float(data.coverage.max()) <= 1
    middle = data.coverage[:, data.pad + 28 : data.pad + 36]
    assert float(middle.min()) > 0.95
    assert float(data.coverage[0, 0]) < 0.5


def test_coverage_of_one_tilt_is_its_shadow(spectrum):
    g = geometry((12, 3, 40), degrees=[45.0])
    p = seeded(*g.range_shape)
    data = prepare_model(p, Projector(g, "cpu"), spectrum, scale=SCALE)
    z, x = torch.meshgrid(torch.arange(12) - 5.5, torch.arange(40 + 2 * data.pad) - 19.5 - data.pad, indexing="ij")
    u = (x - z) * math.sqrt(0.5)
    seen = mark_used_rays(g, data.pad)[0, 0]
    reach = float((torch.nonzero(seen) - 19.5).abs().max())
    inside = data.coverage[u.abs() < reach - 1]
    assert float(inside.min()) > 0.8  # rays a pixel apart do not meet all voxels alike
    assert float(inside.mean()) > 0.9
    assert float(data.coverage[u.abs() > reach + 1.5].max()) == 0
    assert data.crop(data.coverage).shape == (12, 40)
