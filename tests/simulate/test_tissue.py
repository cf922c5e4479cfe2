"""Tissue from grey values: the rule of density, blocks of it in place and orientation, sections and beads."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tomoprior.errors import InputError
from tomoprior.formats import open_stack
from tomoprior.simulate import Tissue, tilt_series
from tomoprior.simulate import tissue as module
from tomoprior.simulate.tissue import add_beads, cut_section


@pytest.fixture(scope="module")
def grey():
    """Smooth grey values in eight bits, of another length along each axis."""
    smooth = gaussian_filter(np.random.default_rng(0).standard_normal((30, 37, 44)), 2)
    return np.uint8(255 * (smooth - smooth.min()) / np.ptp(smooth))


@pytest.fixture(scope="module")
def tissue(grey):
    return Tissue.of(grey, 10.0)


def test_the_rule_of_density(grey, tissue):
    low, high = np.percentile(grey[::4, ::4, ::4], [module.TAILS, 100 - module.TAILS])
    assert (tissue.least, tissue.most) == (high, low)  # dark is dense
    values = np.array([0, low, (low + high) / 2, high, 255])
    np.testing.assert_allclose(tissue.density(values), [1, 1, 0.5, 0, 0], atol=1e-6)
    inverted = Tissue.of(grey, 10.0, bright_is_dense=True)
    np.testing.assert_allclose(inverted.density(values), [0, 0, 0.5, 1, 1], atol=1e-6)
    turned = Tissue.of(255 - grey, 10.0, bright_is_dense=True)
    np.testing.assert_allclose(turned.density(255 - grey), tissue.density(grey), atol=1e-6)
    assert tissue.density(grey).dtype == np.float32
    assert tissue.density(values).base is None
    np.testing.assert_array_equal(values, [0, low, (low + high) / 2, high, 255])


@pytest.mark.parametrize(
    ("values", "size", "options", "message"),
    [
        (np.zeros((4, 20, 20)), 1.0, {}, r"at least 8 voxels along each axis, got shape \(4, 20, 20\)"),
        (np.zeros((20, 20)), 1.0, {}, "needs a volume"),
        (np.zeros((20, 20, 20, 3)), 1.0, {}, "needs a volume"),
        ([[[1.0]]], 1.0, {}, "needs a volume"),
        (np.full((20, 20, 20), 7), 1.0, {}, r"one grey value \(7\)"),
        (np.where(np.arange(8000).reshape(20, 20, 20) % 7, 1.0, np.nan), 1.0, {}, "not finite"),
        (np.full((20, 20, 20), np.inf), 1.0, {}, "not finite"),
        (np.zeros((20, 20, 20), complex), 1.0, {}, "real numbers"),
        (np.zeros((20, 20, 20), bool), 1.0, {}, "real numbers"),
        (np.arange(8000).reshape(20, 20, 20), 0.0, {}, "voxel size"),
        (np.arange(8000).reshape(20, 20, 20), np.nan, {}, "voxel size"),
        (np.arange(8000).reshape(20, 20, 20), 1.0, {"unit": "parsec"}, "unit must be one of"),
    ],
)
def test_volumes_that_are_no_tissue_are_refused(values, size, options, message):
    with pytest.raises(InputError, match=message) as raised:
        Tissue.of(values, size, **options)
    assert "\n" not in str(raised.value)


def test_a_hole_that_the_sample_missed_is_found_when_it_is_cut():
    values = np.random.default_rng(0).random((20, 20, 20))
    values[9, 9, 9] = np.nan  # every fourth voxel is looked at first
    tissue = Tissue.of(values, 1.0)
    with pytest.raises(InputError, match="not numbers"):
        tissue.block((16, 16, 16), 1.0)
    with pytest.raises(InputError, match="not numbers"):
        tilt_series(tissue, (8, 8, 8), [0.0])


def test_without_random_numbers_a_block_is_the_middle(grey, tissue):
    np.testing.assert_array_equal(tissue.block((10, 17, 20), 1.0), tissue.density(grey[10:20, 10:27, 12:32]))
    np.testing.assert_array_equal(tissue.block((30, 37, 44), 1.0), tissue.density(grey))


def test_voxels_twice_and_thrice_as_large_are_means(grey, tissue):
    for factor, shape in ((2, (10, 12, 14)), (3, (8, 9, 10))):
        box = tissue.density(grey[tuple(slice((n - factor * m) // 2, (n + factor * m) // 2)
                                        for n, m in zip(grey.shape, shape, strict=True))])  # fmt: skip
        means = box.reshape([v for m in shape for v in (m, factor)]).mean(axis=(1, 3, 5))
        np.testing.assert_allclose(tissue.block(shape, factor), means, atol=1e-6)


@pytest.mark.parametrize("spacing", [0.5, 0.83, 1.13, 1.9, 2.4, 3.7])
def test_voxels_are_as_large_as_asked(spacing):
    # a ramp along every axis: its slope is the spacing, and the middle of the block that of the volume, to half a voxel
    ramps = np.stack(np.meshgrid(*[np.arange(n, dtype=float) for n in (60, 70, 80)], indexing="ij"))
    shape = tuple(int(n / spacing) - 3 for n in (60, 70, 80))
    for axis, ramp in enumerate(ramps):
        tissue = Tissue(ramp, 1.0, "nanometer", 0.0, 100.0)
        along = 100 * tissue.block(shape, spacing).astype(float).mean(axis=tuple({0, 1, 2} - {axis}))
        inner = along[3:-3]  # at the very ends there is nothing to interpolate with
        np.testing.assert_allclose(np.diff(inner), spacing, atol=1e-3)
        length = (60, 70, 80)[axis]
        assert abs(inner.mean() - (length - 1) / 2) < 0.51 * max(2, int(spacing) + 1)


def test_all_orientations_are_reached_and_no_other():
    cube = np.random.default_rng(0).permutation(512).reshape(8, 8, 8)
    tissue = Tissue(cube, 1.0, "nanometer", 0.0, 511.0)
    rng = np.random.default_rng(1)
    found = {np.round(511 * tissue.block((8, 8, 8), 1.0, rng)).astype(np.int64).tobytes() for _ in range(600)}
    expected = {
        np.ascontiguousarray(np.flip(cube.transpose(order), [a for a in range(3) if flips[a]])).tobytes()
        for order in itertools.permutations(range(3))
        for flips in itertools.product((0, 1), repeat=3)
    }
    assert len(expected) == 48
    assert found == expected


@pytest.mark.parametrize("spacing", [1.0, 0.8, 2.0, 2.6])
def test_places_are_random_and_in_the_volume(grey, tissue, spacing):
    shape = (8, 9, 10)
    same = tissue.block(shape, spacing, np.random.default_rng(3))
    np.testing.assert_array_equal(same, tissue.block(shape, spacing, np.random.default_rng(3)))
    others = [tissue.block(shape, spacing, np.random.default_rng(seed)) for seed in range(4, 10)]
    assert all(not np.array_equal(same, other) for other in others)
    assert all(block.shape == shape and block.dtype == np.float32 and block.flags.c_contiguous for block in others)
    assert all(0 <= block.min() < block.max() <= 1 for block in others)


@pytest.mark.parametrize("spacing", [1.0, 2.0, 1.3])
def test_slabs_leave_no_trace(tissue, spacing, monkeypatch):
    blocks = []
    for slab in (module.SLAB, 500):
        monkeypatch.setattr(module, "SLAB", slab)
        blocks.append([tissue.block((9, 11, 13), spacing, np.random.default_rng(seed)) for seed in range(6)])
    for whole, parts in zip(*blocks, strict=True):
        np.testing.assert_allclose(whole, parts, atol=1e-6)


def test_a_large_block_continues_as_its_mirror_image(grey, tissue):
    density = tissue.density(grey)
    block = tissue.block((50, 37, 44), 1.0)
    np.testing.assert_array_equal(block[10:40], density)
    np.testing.assert_array_equal(block[:10], density[9::-1])
    np.testing.assert_array_equal(block[40:], density[:-11:-1])
    np.testing.assert_array_equal(tissue.block((90, 37, 44), 1.0)[:30], density[::-1])
    assert tissue.block((90, 88, 86), 1.0, np.random.default_rng(0)).shape == (90, 88, 86)
    for shape, spacing in (((91, 37, 44), 1.0), ((46, 10, 10), 2.0)):
        with pytest.raises(InputError, match="more than a volume of 30 can fill by mirroring"):
            tissue.block(shape, spacing)
    for spacing in (0.0, -1.0, np.nan):
        with pytest.raises(InputError, match="spacing must be positive"):
            tissue.block((8, 8, 8), spacing)


def test_a_file_is_as_good_as_an_array(grey, tissue, tmp_path):
    np.save(tmp_path / "grey.npy", grey)
    for source in (np.load(tmp_path / "grey.npy", mmap_mode="r"), open_stack(tmp_path / "grey.npy").data):
        other = Tissue.of(source, 10.0)
        assert (other.least, other.most) == (tissue.least, tissue.most)
        for seed in range(6):
            blocks = [t.block((40, 12, 20), 1.2, np.random.default_rng(seed)) for t in (other, tissue)]
            np.testing.assert_array_equal(*blocks)


def faces(cut):
    """Where the lower and upper face of a section of density 1 lie, in voxels, shape ``(ny, nx)`` each."""
    nz = len(cut)
    middle = int(np.average(np.arange(nz), weights=cut.sum((1, 2))))
    return middle - cut[:middle].sum(0), middle + cut[middle:].sum(0)


def test_a_section_without_roughness_is_flat_and_as_thick_as_asked():
    block = np.ones((20, 12, 14), np.float32)
    np.testing.assert_array_equal(cut_section(block, 1.0, 0.0, 5.0, 0.0, np.random.default_rng(0)), block)
    lows = []
    for seed in range(8):
        cut = cut_section(block, 0.43, 0.0, 5.0, 0.0, np.random.default_rng(seed))
        low, high = faces(cut)
        assert np.ptp(low) == np.ptp(high) == 0
        np.testing.assert_allclose(high - low, 8.6, atol=1e-4)
        assert low.min() >= -1e-4
        assert high.max() <= 20 + 1e-4
        assert np.all((cut > 0).sum(0) <= 10)  # partial voxels at the faces alone
        lows.append(low.mean())
    assert np.ptp(lows) > 4  # anywhere in the grid
    assert block.min() == 1  # what was given is as it was


@pytest.mark.parametrize(("size", "length"), [((80, 100), 4.0), ((24, 30), 4.0), ((24, 30), 40.0)])
def test_rough_faces_stay_where_they_are_on_average(size, length):
    block = np.ones((40, *size), np.float32)
    for seed in range(3):
        low, high = faces(cut_section(block, 0.5, 1.5, length, 0.0, np.random.default_rng(seed)))
        assert (high - low).mean() == pytest.approx(20, abs=0.01)
        for face in (low, high):
            assert face.std() == pytest.approx(1.5, rel=0.03)
        # neighbours are alike, and the two faces each other's strangers
        assert np.corrcoef(low[:, 1:].ravel(), low[:, :-1].ravel())[0, 1] > 0.9
        assert not np.allclose(low - low.mean(), high - high.mean())


def test_stain_comes_from_a_face():
    block = np.ones((20, 6, 6), np.float32)
    cut = cut_section(block, 1.0, 0.0, 5.0, 0.2, np.random.default_rng(0)).mean((1, 2))
    np.testing.assert_allclose(cut, 1 + 0.2 * (np.arange(20) - 9.5) / 10, atol=1e-5)


def test_beads_are_balls_anywhere():
    block = np.zeros((40, 40, 40), np.float32)
    add_beads(block, 0, 3.0, 5.0, np.random.default_rng(0))
    assert not block.any()
    add_beads(block, 1, 3.0, 5.0, np.random.default_rng(0))
    assert set(np.unique(block)) == {0, 5}
    inside = np.argwhere(block)
    assert len(inside) == 123  # lattice points within a radius of three
    assert np.ptp(inside, axis=0).tolist() == [6, 6, 6]
    for seed in range(20):  # some at the borders
        add_beads(block, 3, 3.0, 5.0, np.random.default_rng(seed))
    assert 20 * 123 < (block > 0).sum() <= 61 * 123


def test_real_tissue(data_dir):
    stack = open_stack(data_dir / "fibsem_medulla" / "validation_250.tif")
    tissue = Tissue.of(stack.data, 10.0)
    assert 0 < tissue.most < tissue.least < 255
    made = tilt_series(tissue, (16, 32, 32), np.deg2rad([-40, 0, 40]), seed=1, voxel_size=20.0)
    truth = made.truth.volume
    assert 0.1 < truth[truth > 0].mean() < 0.7
    assert truth.std() > 0.05
