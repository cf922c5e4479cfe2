"""A prior is trained, written and used; and on files of one's own."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import tifffile
from safetensors import safe_open

from tomoprior.methods.diffusion.prior import Prior


@pytest.mark.slow
def test_a_prior_of_a_few_steps(example, tmp_path):
    said = example("train_prior.py", "--small")
    prior = Prior.load(tmp_path / "prior.safetensors")
    assert prior.card["steps"] == 20
    assert prior.card["name"] == "example"
    assert prior.voxel_sizes == pytest.approx((10.8, 13.2))
    assert (tmp_path / "prior.csv").read_text().splitlines()[-1].startswith("20,")
    found = {name: float(value) for name, value in re.findall(r"^(\w+) +PSNR (-?[\d.]+) dB", said, re.M)}
    assert set(found) == {"sirt", "diffusion"}
    assert found["diffusion"] > 10  # of affine matches nothing at all is about 9
    assert (tmp_path / "prior.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_on_volumes_in_files(example, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("train", "other"):
        coarse = np.kron(rng.integers(0, 200, (8, 8, 8), np.uint8), np.ones((8, 8, 8), np.uint8))
        tifffile.imwrite(tmp_path / f"{name}.tif", coarse)
    options = ("--voxel-size", 10, "--unit", "nanometer", "--small", "-o", "own.safetensors")
    said = example("train_prior.py", "train.tif", "other.tif", *options)
    assert "wrote own.safetensors after 20 steps" in said
    with safe_open(tmp_path / "own.safetensors", "np") as file:
        assert json.loads(next(iter(file.metadata().values())))
