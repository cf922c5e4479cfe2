"""The learned part of the Helsinki benchmark: made-up discs, bounded least squares, the passes of the network, its training."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.io import savemat

from tomoprior import FanGeometry, Projector
from tomoprior.errors import FormatError

FOLDER = Path(__file__).parents[2] / "examples" / "benchmarks"


@pytest.fixture
def module(monkeypatch):
    """Return a module of the benchmark by its name."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


def disc_of(phantoms, size, place):
    x, z, radius = place
    at = (np.arange(size) + 0.5) / size - 0.5
    return np.hypot(at[:, None] - z, at[None, :] - x) <= radius


def test_made_up_discs_are_in_one_piece_and_repeat(module):
    phantoms = module("htc2022_phantoms")
    shares = []
    for seed in range(30):
        holes, place = phantoms.draw_phantom(np.random.default_rng(seed))
        again, _ = phantoms.draw_phantom(np.random.default_rng(seed))
        np.testing.assert_array_equal(holes, again)
        assert holes.min() >= 0
        assert holes.max() <= 1
        disc = disc_of(phantoms, phantoms.SIZE, place)
        assert not (holes[~disc] > 0.5).any()
        labels, n = ndimage.label(disc & (holes < 0.5))
        assert np.bincount(labels.ravel())[1:].max() > 0.99 * (labels > 0).sum(), f"seed {seed}: {n} pieces"
        shares.append(holes.sum() / disc.sum())
    assert min(shares) < 0.1
    assert max(shares) > 0.4


def fan(slices, size, degrees=40):
    voxel = 76 / size
    return FanGeometry(
        np.deg2rad(np.arange(degrees + 1) - degrees / 2), (size, slices, size), (slices, size + 12),
        source_distance=410.66 / voxel, detector_distance=143 / voxel,
    )  # fmt: skip


def hole(size, slices):
    z, x = np.mgrid[:size, :size] - (size - 1) / 2
    density = ((z + size / 8) ** 2 + (x - size / 10) ** 2 < (size / 9) ** 2).astype(np.float32)
    distances = (np.hypot(z, x) - 0.45 * size).astype(np.float32)
    return (torch.from_numpy(np.repeat(a[:, None], slices, 1)) for a in (density, distances))


def test_bounded_least_squares_keep_a_volume_that_fits_and_stay_within_bounds(module):
    learned = module("htc2022_learned")
    truth, distances = hole(32, 2)
    geometry = fan(2, 32)
    fit = learned.BoundedFit(Projector(geometry, "cpu")(truth), geometry, distances)
    torch.testing.assert_close(fit.fit(truth.clone(), 5), truth, atol=1e-4, rtol=0)
    x = fit.fit(torch.zeros_like(truth), 60)
    assert float(x.min()) >= 0
    assert float(x.max()) <= 1
    assert not x[distances > -1].any()
    assert float((fit.A(x) - fit.data).norm()) < 0.05 * float(fit.data.norm())


def test_a_disc_and_its_mirror_image_get_mirror_images(module):
    learned, holes_module = module("htc2022_learned"), module("htc2022_holes")
    size = learned.SIZE
    truth, _ = hole(size, 1)
    geometry = fan(1, size, degrees=30)
    torch.manual_seed(0)
    network = learned.HoleNetwork()
    torch.nn.init.normal_(network.unet.leave.weight, std=0.1)  # it starts at zero
    data = Projector(geometry, "cpu")(truth)[:, 0].numpy()
    disc = holes_module.Disc(0.0, 0.0, 0.45 * size)
    one = learned.estimate_holes(holes_module.Holes(data, geometry, disc, 0.0), network)
    other = learned.estimate_holes(holes_module.Holes(np.ascontiguousarray(data[::-1, ::-1]), geometry, disc, 0.0), network)
    assert one.std() > 0.01
    np.testing.assert_allclose(other, one[:, ::-1], atol=0.02)  # the network computes with 8 bits


def test_the_weights_are_small_and_belong_to_the_network(module, tmp_path):
    learned = module("htc2022_learned")
    assert learned.WEIGHTS.stat().st_size < 3_000_000
    assert sum(p.numel() for p in learned.load_network().parameters()) > 1_000_000
    broken = tmp_path / "weights.safetensors"
    broken.write_bytes(b"no weights")
    with pytest.raises(FormatError, match=r"not a network of htc2022_train\.py"):
        learned.load_network(broken)


def test_shares_of_the_ranges_sum_to_one(module):
    parse = module("htc2022_train").parse_shares
    assert parse("0.44,0.28,0.12,0.09,0.07") == [0.44, 0.28, 0.12, 0.09, 0.07]
    for wrong in ("0.5,0.5", "0.5,0.5,0.5,0,0", "0.5,0.5,0.5,-0.5,0"):
        with pytest.raises(argparse.ArgumentTypeError, match="5 numbers"):
            parse(wrong)


def write_scan(path, mask, degrees, variable):
    """A scan of the challenge's own size without noise: value = path / 25 mm."""
    voxel = 0.1483223173330444
    geometry = FanGeometry(
        np.deg2rad((degrees + 180) % 360 - 180), (512, 1, 512), (1, 560),
        source_distance=410.66 / voxel, detector_distance=143.08 / voxel, pixel_size=0.2 / voxel,
    )  # fmt: skip
    values = Projector(geometry, "cpu")(mask[:, None].astype(np.float32))[:, 0] * voxel / 25
    parameters = {
        "distanceSourceOrigin": 410.66, "distanceSourceDetector": 553.74, "angles": degrees, "pixelSizePost": 0.2,
        "effectivePixelSizePost": voxel,
    }  # fmt: skip
    savemat(path, {variable: {"sinogram": values, "parameters": parameters}})


@pytest.fixture(scope="module")
def challenge(tmp_path_factory):
    folder = tmp_path_factory.mktemp("htc2022")
    training, test = folder / "training", folder / "test"
    training.mkdir()
    test.mkdir()
    z, x = np.mgrid[:512, :512] - 255.5
    for name, holes in (("ta", [(40, 60, 50)]), ("07a", [(-70, 30, 40), (70, -50, 45), (90, 90, 30)])):
        mask = (z - 4) ** 2 + (x + 6) ** 2 <= 235**2
        for at_z, at_x, radius in holes:
            mask &= (z - at_z) ** 2 + (x - at_x) ** 2 > radius**2
        if name == "ta":
            write_scan(training / "htc2022_ta_full.mat", mask, np.arange(0, 360, 10.0), "CtDataFull")
            savemat(training / "htc2022_ta_full_recon_fbp_seg.mat", {"seg": mask.astype(np.uint8)})
        else:
            write_scan(test / "htc2022_07a_limited.mat", mask, 77 + np.arange(0, 30.5, 0.5), "CtDataLimited")
            savemat(test / "htc2022_07a_recon_fbp_seg.mat", {"seg": mask.astype(np.uint8)})
    return training, test


def run(script, *arguments):
    command = [sys.executable, str(FOLDER / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.slow
def test_the_network_solves_a_disc_from_30_degrees(challenge, tmp_path):
    training, test = challenge
    done = run(
        "htc2022.py", "--data", test, "--training", training, "--levels", "7", "--output", tmp_path, "--method", "learned"
    )
    assert done.returncode == 0, done.stderr
    level, score, total = done.stdout.splitlines()[-1].split()
    assert (level, score) == ("7", total)
    assert float(score) > 0.95


@pytest.mark.slow
def test_a_training_that_stops_goes_on_to_the_same_bits(challenge, tmp_path):
    training, _ = challenge
    for name, counts in (("whole", (2,)), ("parts", (1, 2))):
        for count in counts:
            # the rates of the first batches do not depend on the number of all
            output = tmp_path / f"{name}.safetensors"
            done = run("htc2022_train.py", "--training", training, "--output", output, "--batches", count)
            assert done.returncode == 0, done.stderr
    assert (tmp_path / "whole.safetensors").read_bytes() == (tmp_path / "parts.safetensors").read_bytes()
