"""The error network: its file, its variance on whole volumes, and the standard deviation of the method."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import tomoprior
from tomoprior.errors import FormatError, SettingsError
from tomoprior.methods.diffusion.denoiser import Condition
from tomoprior.methods.diffusion.error_network import LOG_VARIANCE_BOUNDS, ErrorNetwork
from tomoprior.methods.diffusion.method import MIN_STD, Diffusion
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.methods.diffusion.prior_header import PriorHeader
from tomoprior.methods.diffusion.settings import DiffusionSettings
from tomoprior.methods.diffusion.tiling import TiledDenoiser
from tomoprior.methods.learning.unet import Shape

SHAPE = Shape((16, 16), (1, 1), embedding=16)


def untrained() -> ErrorNetwork:
    """Its last layer is zero, so that it returns a variance of 0.1 everywhere."""
    return ErrorNetwork(SHAPE).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def with_errors(lively):
    factors = ((10.0, 2.0, 3.0, 4.0), (120.0, 2.0, 3.0, 4.0))
    return replace(lively, error_network=untrained(), error_calibration=factors, card={"data": "random"})


@pytest.fixture(scope="module")
def file(with_errors, tmp_path_factory):
    path = tmp_path_factory.mktemp("priors") / "errors.safetensors"
    with_errors.save(path)
    return path


@pytest.fixture(scope="module")
def small(simulated):
    return simulated((12, 16, 40), tilts=13)


@pytest.fixture(scope="module")
def run(file, small):
    def call(**values):
        defaults = {"prior": str(file), "num_iter": 2, "filled": True}
        return tomoprior.reconstruct(small.series, Diffusion(), device="cpu", **{**defaults, **values})

    return call


def test_the_log_of_the_variance_is_bounded():
    network = untrained()
    inputs = [torch.zeros(1, 16, 16, 16)] * 3 + [torch.zeros(1, 16), torch.zeros(1, 16, 16), torch.zeros(1, 7)]
    for offset, bound in ((-1e4, LOG_VARIANCE_BOUNDS[0]), (1e4, LOG_VARIANCE_BOUNDS[1])):
        network.unet.leave.bias.fill_(offset)
        assert torch.equal(network(*inputs), torch.full((1, 16, 16, 16), bound))


@pytest.mark.parametrize("shape", [(12, 20, 200), (24, 16, 16)])
def test_tiles_of_one_variance_give_a_volume_of_that_variance(lively, shape):
    nz, _, nx = shape
    condition = Condition(torch.randn(shape), torch.ones(shape), torch.ones(nz, nx), torch.zeros(7))
    run = TiledDenoiser(lively.denoiser, lively.tile, condition)
    variance = run.estimate_error_variance(untrained(), torch.randn(shape))
    assert variance.shape == shape
    torch.testing.assert_close(variance, torch.full(shape, 0.1), rtol=1e-2, atol=0)  # bfloat16 where the processor has it


def test_the_network_comes_back_from_its_file(with_errors, file):
    again = Prior.load(file)
    assert again.to_header() == with_errors.to_header()
    assert again.error_network is not None
    assert not again.error_network.training
    for name, value in with_errors.error_network.state_dict().items():
        assert torch.equal(again.error_network.state_dict()[name], value.half().float())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"error_shape": None}, "error_calibration needs an error network"),
        ({"error_shape": None, "error_calibration": []}, "is not part of the network"),
        ({"error_shape": {"widths": [32, 16], "blocks": [1, 1], "embedding": 16, "flat": False, "separable": False}}, "shape"),
        ({"error_calibration": [[20.0, 1.0, 1.0, 1.0], [10.0, 1.0, 1.0, 1.0]]}, "do not rise"),
    ],
)
def test_a_header_that_does_not_fit_the_error_network_is_refused(with_errors, change, reason):
    import json

    tensors = {f"unet.{k}": (tuple(v.shape), "F16") for k, v in with_errors.denoiser.unet.state_dict().items()}
    tensors |= {f"error_network.{k}": (tuple(v.shape), "F16") for k, v in with_errors.error_network.state_dict().items()}
    PriorHeader.parse(json.dumps(with_errors.to_header())).check_tensors(tensors)
    with pytest.raises(ValueError, match=reason):
        PriorHeader.parse(json.dumps(with_errors.to_header() | change)).check_tensors(tensors)


def test_a_missing_tensor_of_the_error_network_is_one_line(file, tmp_path):
    import json

    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(str(file), "pt") as opened:
        header = opened.metadata()
    arrays = load_file(file)
    del arrays["error_network.unet.leave.bias"]
    save_file(arrays, tmp_path / "a.safetensors", header)
    assert json.loads(header["tomoprior_prior"])["error_shape"] is not None
    with pytest.raises(FormatError, match=r"error_network\.unet\.leave\.bias' is missing"):
        Prior.load(tmp_path / "a.safetensors")


def test_the_standard_deviation_is_the_networks_times_the_factor(run):
    """An untrained network says 0.1 everywhere, and the factor inside a filled grid is 2."""
    result = run()
    expected = 2.0 * math.sqrt(0.1 + MIN_STD**2) * result.provenance["scale"]["gain"]
    assert np.allclose(result.std, expected, rtol=1e-2)
    assert result.provenance["samples"] == 0
    assert result.provenance["std"] == "network"


def test_the_mean_is_the_same_with_and_without_samples(run):
    assert np.array_equal(run().volume, run(samples=2).volume)


def test_samples_give_the_standard_deviation_on_request(run):
    result = run(samples=2, std="samples")
    assert result.provenance["std"] == "samples"
    assert float(np.ptp(result.std)) > 0.01 * float(result.std.mean())


def test_the_progress_of_a_run_without_samples_reaches_its_end(file, small):
    seen = []

    def report(n, total, _):
        seen.append((n, total))

    tomoprior.reconstruct(small.series, Diffusion(), device="cpu", prior=str(file), filled=True, rows=8, progress=report)
    assert seen == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("values", "has_network", "samples", "source"),
    [
        ({}, True, 0, "network"),
        ({}, False, 8, "samples"),
        ({"samples": 3}, True, 3, "network"),
        ({"std": "samples"}, True, 8, "samples"),
        ({"mean": "samples"}, True, 8, "samples"),
        ({"conditional": False}, True, 8, "samples"),
        ({"adapt": 5}, True, 8, "samples"),
        ({"adapt": 5, "std": "network"}, True, 0, "network"),
    ],
)
def test_the_source_of_the_standard_deviation(values, has_network, samples, source):
    settings = DiffusionSettings.parse(values).resolve_samples(has_network)
    assert (settings.samples, settings.std) == (samples, source)


@pytest.mark.parametrize(
    "values",
    [
        {"samples": 0, "mean": "samples"},
        {"samples": 0, "std": "samples"},
        {"samples": 0, "conditional": False},
        {"std": "network", "mean": "samples"},
        {"std": "network", "conditional": False},
        {"samples": -1},
    ],
)
def test_settings_without_a_standard_deviation_are_refused(values):
    with pytest.raises(SettingsError):
        DiffusionSettings.parse(values)


def test_no_samples_and_no_error_network_give_the_mean_alone(lively, small, tmp_path):
    replace(lively, card={}).save(tmp_path / "plain.safetensors")
    plain = {"prior": str(tmp_path / "plain.safetensors"), "num_iter": 2, "filled": True}
    alone, sampled = (tomoprior.reconstruct(small.series, Diffusion(), device="cpu", samples=n, **plain) for n in (0, 2))
    assert alone.std is None
    assert np.array_equal(alone.volume, sampled.volume)
    assert "fewer than two samples give no standard deviation" in alone.provenance["statement"][-1]


def test_a_prior_without_an_error_network_says_so():
    with pytest.raises(SettingsError, match="needs a prior with an error network"):
        DiffusionSettings.parse({"std": "network"}).resolve_samples(False)
