"""Particles from density maps: mass, places and handedness, and files that are none."""

from __future__ import annotations

import numpy as np
import pytest

from tomoprior import Geometry
from tomoprior.errors import FormatError, InputError
from tomoprior.formats import write
from tomoprior.reconstruction import Reconstruction
from tomoprior.simulate import get_phantom
from tomoprior.simulate.phantoms.particles import read_map


def save(values, path, size=5.0, unit="angstrom"):
    write(Reconstruction(np.asarray(values, np.float32), Geometry([0.0], values.shape, voxel_size=size, unit=unit)), path)
    return path


@pytest.fixture
def blobs(tmp_path):
    """Four blobs of different weights, on a background of 3 with some noise: no mirror image fits."""
    z, y, x = np.meshgrid(*[np.arange(32) - 15.5] * 3, indexing="ij")
    values = np.random.default_rng(0).normal(3, 0.05, (32, 32, 32))
    for (a, b, c), weight in (((0, 0, 0), 4), ((9, 0, 0), 5), ((0, 7, 0), 6), ((0, 0, 11), 7)):
        values += weight * np.exp(-((z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2) / (2 * 1.5**2))
    return save(values, tmp_path / "blobs.mrc")


def test_the_background_goes_and_the_inside_is_about_one(blobs):
    one = read_map(blobs)
    assert one.voxel_size == 5
    assert one.density[one.density > 0.5].mean() == pytest.approx(1, abs=0.25)
    assert one.density[0].max() == 0
    assert 10 < one.radius < 14


@pytest.mark.parametrize("voxel_size", [4.0, 5.0, 10.0])
def test_particles_weigh_what_their_map_does_at_any_voxel_size(blobs, voxel_size):
    one = read_map(blobs)
    shape = tuple(int(400 / voxel_size) for _ in range(3))
    scene = get_phantom("particles", file=blobs, fill=0.2).scene(shape, seed=1, voxel_size=voxel_size)
    count = len(scene.particles)
    assert count >= 4
    assert scene.facts["particles"] == {"blobs.mrc": count}
    mass = float(scene.volume(2).sum()) * voxel_size**3
    assert mass == pytest.approx(count * float(one.density.sum()) * 5**3, rel=0.02)
    centers = np.array([p.center for p in scene.particles])
    for i in range(count):
        for j in range(i):
            assert np.linalg.norm(centers[i] - centers[j]) * voxel_size > 2 * one.radius * 5


def test_a_turned_particle_keeps_its_hand(blobs):
    volume = get_phantom("particles", file=blobs, fill=0.01, lowpass=0).scene((40, 40, 40), seed=2, voxel_size=5.0).volume(2)
    places, rest = [], volume.copy()
    for _ in range(4):  # by weight 7, 6, 5, 4
        at = np.unravel_index(np.argmax(rest), rest.shape)
        places.append(np.array(at, float))
        rest[tuple(slice(max(0, i - 3), i + 4) for i in at)] = 0
    x, y, z, origin = places
    assert np.linalg.det([z - origin, y - origin, x - origin]) == pytest.approx(9 * 7 * 11, rel=0.25)


def test_kinds_take_turns(files):
    scene = get_phantom("particles", fill=0.2).scene((64, 96, 96), seed=1)
    counts = list(scene.facts["particles"].values())
    assert len(counts) == 2
    assert max(counts) - min(counts) <= 1
    assert len(scene.facts["sha256"]) == 2
    assert 0.7 < scene.volume(2).max() < 2


def test_files_that_are_no_maps_are_refused(tmp_path, blobs):
    with pytest.raises(InputError, match="no voxel size"):
        get_phantom("particles", file=save(np.ones((8, 8, 8)), tmp_path / "a.mrc", 1.0, "pixel")).scene((32, 32, 32))
    with pytest.raises(InputError, match="nothing in it stands out"):
        get_phantom("particles", file=save(np.ones((8, 8, 8)), tmp_path / "b.mrc")).scene((32, 32, 32))
    (tmp_path / "c.mrc").write_bytes(b"nothing of the kind")
    with pytest.raises(FormatError, match=r"c\.mrc"):
        get_phantom("particles", file=tmp_path / "c.mrc").scene((32, 32, 32))
    with pytest.raises(InputError, match=r"does not fit into 16 x 16 x 16 voxels \(z, y, x\) of 5 angstrom"):
        get_phantom("particles", file=blobs).scene((16, 16, 16), voxel_size=5.0)
