"""A prior gets an error network from the command line, and the file says how."""

from __future__ import annotations

import pytest
import torch

from tomoprior import training
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.simulate.tissue import Tissue

from .test_train_on_gpu import TINY, written


@pytest.mark.slow
def test_a_prior_gets_an_error_network(example, tmp_path):
    volumes = [written(tmp_path / f"{name}.tif", seed) for seed, name in enumerate(("train", "other"))]
    before = training.train(Tissue.of(volumes[0], 10.0), tmp_path / "prior.safetensors", device="cpu", **TINY)
    options = ("--tissue", "train.tif", "--calibration", "other.tif", "--voxel-size", 10, "--work", "work")
    small = [part for value in ("groups=1", "steps=3", "widths=16,16", "blocks=1,1") for part in ("--set", value)]
    said = example("train_error_network.py", "prior.safetensors", *options, *small, "-o", "new.safetensors")
    after = Prior.load(tmp_path / "new.safetensors")
    assert before.error_network is None
    assert after.error_network is not None
    assert [row[0] for row in after.error_calibration] == [10, 20, 40, 60, 120]
    assert str(after.error_calibration[0]) in said
    assert after.card["error_network"]["settings"]["steps"] == 3
    for name, value in before.denoiser.state_dict().items():
        assert torch.equal(after.denoiser.state_dict()[name], value.half().float())
    assert [p.name for p in (tmp_path / "work").iterdir()] == ["examples-00000.safetensors"]
