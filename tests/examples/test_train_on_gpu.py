"""A volume is packed where it is and trained on elsewhere: here on the CPU, for a few steps."""

from __future__ import annotations

import importlib
import json
from argparse import Namespace

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from tomoprior.methods.diffusion.prior import Prior

from .conftest import EXAMPLES

TINY = {
    "height": "16", "tile_size": "16", "field": "16,32", "widths": "16,16", "blocks": "1,1", "keep": "2", "batch_size": "1",
    "group": "1", "tilts": "5,9", "ranges": "20,60", "tilt_step": "5,10", "num_cg": "10", "voxel_size": "10,12", "steps": "4",
}  # fmt: skip
SET = [part for name, value in TINY.items() for part in ("--set", f"{name}={value}")]


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("train_on_gpu")


def written(path, seed):
    """A volume of grey values in a file."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal((48, 48, 48)), 1.2, mode="wrap")
    volume = np.clip(128 + 60 * noise / noise.std(), 0, 255).astype(np.uint8)
    tifffile.imwrite(path, volume)
    return volume


def test_packing_hardly_changes_a_volume(module, example, tmp_path):
    volume = written(tmp_path / "train.tif", 0)
    example("train_on_gpu.py", "pack", "train.tif", "--voxel-size", 10, "-o", "train.zip")
    tissue = module.unpack(tmp_path / "train.zip")
    assert (tissue.grey.shape, tissue.voxel_size, tissue.unit) == ((48, 48, 48), 10.0, "nanometer")
    error = tissue.grey.astype(float) - volume
    binned = error.reshape(24, 2, 24, 2, 24, 2).mean((1, 3, 5))
    assert error.std() < 0.1 * volume.std()
    assert binned.std() < 0.05 * volume.std()


@pytest.mark.slow
def test_a_packed_volume_is_trained_on(module, example, tmp_path):
    for seed, name in enumerate(("train", "other")):
        written(tmp_path / f"{name}.tif", seed)
        module.pack(Namespace(volume=tmp_path / f"{name}.tif", out=tmp_path / f"{name}.zip", voxel_size=10.0, quality=85))
    options = ("--validation", "other.zip", "--device", "cpu", "--work", "work", *SET)
    said = example("train_on_gpu.py", "train", "train.zip", *options, "-o", "result")
    found = {p.name for p in (tmp_path / "result").iterdir()}
    assert found == {"prior.safetensors", "prior.csv", "card.json", "samples.png"}
    prior = Prior.load(tmp_path / "result/prior.safetensors")
    assert prior.card["steps"] == 4
    assert prior.card["data"] == ["train.zip"]
    assert len(prior.card["validation"]) == 4
    assert json.loads((tmp_path / "result/card.json").read_text()) == prior.card
    assert "GFLOP per tile, forward and back" in said
    assert (tmp_path / "result/samples.png").read_bytes()[:4] == b"\x89PNG"


def test_it_is_short():
    assert len((EXAMPLES / "train_on_gpu.py").read_text().splitlines()) < 120
