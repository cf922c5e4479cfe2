"""Solids and where they are put: volumes in closed form, nothing overlaps, all tilts see everything."""

import math

import numpy as np
import pytest

from tomoprior.simulate import get_phantom, solids
from tomoprior.simulate.bodies import Bodies, Body, random_rotation
from tomoprior.simulate.packing import draw_center

SOLIDS = {
    "ball": solids.Ball(9),
    "hollow ball": solids.Ball(9, 5),
    "ellipsoid": solids.Ellipsoid((11, 7, 5)),
    "cube": solids.box(12, 12, 12),
    "box": solids.box(6, 10, 18),
    "pyramid": solids.pyramid(15, 14),
    "triangle": solids.prism(3, 9, 12),
    "hexagon": solids.prism(6, 9, 12),
    "disc": solids.Disc(10, 6),
    "cross4": solids.cross(2, 20, 6),
    "cross6": solids.cross(3, 20, 6),
}
VOLUMES = {
    "ball": 4 / 3 * math.pi * 9**3,
    "hollow ball": 4 / 3 * math.pi * (9**3 - 5**3),
    "ellipsoid": 4 / 3 * math.pi * 11 * 7 * 5,
    "cube": 12**3,
    "box": 6 * 10 * 18,
    "pyramid": 15**2 * 14 / 3,
    "triangle": 3 * math.sqrt(3) / 4 * 81 * 12,
    "hexagon": 3 * math.sqrt(3) / 2 * 81 * 12,
    "disc": math.pi * 100 * 6,
    "cross4": 2 * 20 * 36 - 6**3,
    "cross6": 3 * 20 * 36 - 2 * 6**3,
}
SHAPE = (32, 32, 32)


def turn(seed):
    return random_rotation(np.random.default_rng(seed))


@pytest.mark.parametrize("name", SOLIDS)
@pytest.mark.parametrize("turned", [False, True])
def test_rendered_volumes_are_those_of_geometry(name, turned):
    solid = SOLIDS[name]
    assert solid.volume == pytest.approx(VOLUMES[name])
    body = Body(solid, np.array([0.3, -0.2, 0.1]), rotation=turn(0) if turned else None)
    scene = Bodies([body], SHAPE, 0.0, 1.0, "pixel")
    assert scene.volume(4).sum() == pytest.approx(VOLUMES[name], rel=0.015)
    # a low-pass moves mass and makes none
    assert Bodies([body], SHAPE, 1.0, 1.0, "pixel").volume(4).sum() == pytest.approx(VOLUMES[name], rel=0.015)


@pytest.mark.parametrize("name", SOLIDS)
def test_reach_is_the_sphere_that_just_holds_the_solid(name):
    points = np.stack(np.meshgrid(*[np.linspace(-16, 16, 129, dtype=np.float32)] * 3, indexing="ij"))
    inside = SOLIDS[name].level(tuple(points)) <= 0
    farthest = np.linalg.norm(points[:, inside], axis=0).max()
    assert farthest <= SOLIDS[name].reach + 1e-4
    assert farthest >= SOLIDS[name].reach - 0.8


@pytest.mark.parametrize("name", [n for n in SOLIDS if n != "hollow ball"])
def test_levels_do_not_rise_faster_than_the_distance_by_much(name):
    """A body widened by its level holds what lies within that distance: gaps rest on it."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-14, 14, (4000, 3)).astype(np.float32)
    levels = SOLIDS[name].level(tuple(points.T))
    surface = points[levels <= 0]
    near = points[(levels > 1.9)]
    distance = np.sqrt(((near[:, None] - surface[None]) ** 2).sum(2)).min(1)
    assert distance.min() > 0.8  # an ellipsoid's level is up to 11/5 of the distance


def test_random_turns_are_rotations_and_spread_evenly():
    turns = np.array([turn(seed) for seed in range(2000)])
    np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1), np.broadcast_to(np.eye(3), turns.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(turns), 1)
    np.testing.assert_allclose(turns.mean(0), 0, atol=0.05)
    np.testing.assert_allclose((turns**2).mean(0), 1 / 3, atol=0.03)


@pytest.mark.parametrize("name", ["spheres", "shapes"])
@pytest.mark.parametrize("seed", range(3))
def test_bodies_lie_apart_in_the_slab_and_in_sight(name, seed):
    shape = (40, 56, 96)
    phantom = get_phantom(name, lowpass=0)
    scene = phantom.scene(shape, seed=seed)
    assert len(scene.bodies) >= 6
    painted = scene.paint(0, shape[1], 2)
    assert set(np.unique(painted)) == {0, 1}  # 2 where two overlap
    total = sum(body.solid.volume for body in scene.bodies)
    assert painted.sum() / 8 == pytest.approx(total, rel=0.02)
    outside = sum(4 / 3 * math.pi * b.solid.reach**3 if name == "spheres" else b.solid.volume for b in scene.bodies)
    assert 0.5 * phantom.fill < outside / np.prod(shape) < phantom.fill + 0.1
    for body in scene.bodies:
        z, y, x = np.abs(body.center)
        assert z + body.solid.reach <= shape[0] / 2
        assert y + body.solid.reach <= shape[1] / 2
        assert math.hypot(z, x) + body.solid.reach <= shape[2] / 2 + 1e-9
        assert 2 * body.solid.reach <= 0.8 * shape[0] + 1e-9


def test_shapes_come_in_all_kinds_and_with_the_densities_asked():
    scene = get_phantom("shapes", density=(0.6, 0.8)).scene((64, 96, 128), seed=2)
    assert set(scene.facts["bodies"]) == {
        "sphere", "ellipsoid", "pyramid", "cube", "triangle", "hexagon", "disc", "cross4", "cross6",
    }  # fmt: skip
    densities = [body.density for body in scene.bodies]
    assert min(densities) >= 0.6
    assert max(densities) <= 0.8
    assert np.std(densities) > 0.03
    assert {body.kind for body in get_phantom("shapes", kinds="cube,disc").scene((48, 48, 64)).bodies} == {"cube", "disc"}


def test_places_are_in_sight_of_every_tilt():
    rng = np.random.default_rng(0)
    centers = np.array([draw_center(rng, (60, 30, 60), 5, 2) for _ in range(2000)])
    assert np.hypot(centers[:, 0], centers[:, 2]).max() <= 23
    assert np.hypot(centers[:, 0], centers[:, 2]).max() > 22
    assert np.abs(centers[:, 1]).max() <= 8


def test_walls_of_spheres():
    scene = get_phantom("spheres", wall=0.25).scene((32, 40, 64), seed=1)
    assert all(body.solid.inner == pytest.approx(0.75 * body.solid.radius) for body in scene.bodies)
    assert all(body.solid.inner == 0 for body in get_phantom("spheres", wall=1).scene((32, 40, 64), seed=1).bodies)


@pytest.mark.parametrize("form", ["cylinder", "slab"])
def test_foam_is_as_porous_as_it_says_and_its_bubbles_lie_apart(form):
    shape = (48, 32, 64)
    scene = get_phantom("foam", form=form, lowpass=0).scene(shape, seed=1)
    painted = scene.paint(0, shape[1], 2)
    assert set(np.unique(painted)) == {0, 1}  # -1 where bubbles overlap or leave the material
    material = scene.material.area * shape[1]
    assert painted.sum() / 8 == pytest.approx(material * (1 - scene.facts["porosity"]), rel=0.06)
    assert 0.2 < scene.facts["porosity"] < 0.35
    radii = [body.solid.radius for body in scene.bodies]
    assert max(radii) > 3 * min(radii)
    # it extends beyond the grid, where shifted tilts look
    outside = scene.paint(-5, 0, 2)
    assert outside.mean() == pytest.approx(painted.mean(), rel=0.3)
