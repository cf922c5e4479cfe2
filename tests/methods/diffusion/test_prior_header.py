"""Priors come from untrusted sources: any wrong value is refused in one line before the network is allocated."""

from __future__ import annotations

import json
import math
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

from tomoprior.errors import FormatError
from tomoprior.methods.diffusion import prior as module
from tomoprior.methods.diffusion.prior import Prior, list_shipped_priors, load_prior
from tomoprior.methods.diffusion.prior_header import MAX_CHARACTERS, PriorHeader

KEY = "tomoprior_prior"
HUGE = 10**30


@pytest.fixture(scope="module")
def valid(lively, tmp_path_factory):
    """Header and tensors of a valid file."""
    path = tmp_path_factory.mktemp("valid") / "a.safetensors"
    lively.save(path)
    header = lively.to_header() | {
        "errors": [[0.1, 0.01], [1.0, 0.1]],
        "calibration": [[20.0, 1.5, 2.0, 3.0], [100.0, 1.1, 1.4, 3.0]],
    }
    return json.loads(json.dumps(header)), load_file(path)


def refused(path, match):
    with pytest.raises(FormatError, match=match) as error:
        Prior.load(path)
    message = str(error.value)
    assert "not a prior saved by tomoprior" in message
    assert "\n" not in message
    assert "\x1b" not in message
    assert len(message) < 400


def write(path, header, tensors):
    text = header if isinstance(header, str) else json.dumps(header)
    save_file(tensors, path, {KEY: text})
    return path


def changed(header, place, value):
    """A copy of the header with another value at ``place``, keys and indices with dots between; ``...`` removes it."""
    header = json.loads(json.dumps(header))
    *parents, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    target = header
    for part in parents:
        target = target[part]
    if value is ...:
        del target[last]
    else:
        target[last] = value
    return header


MUTATIONS = [
    ("shape", ..., "shape"),
    ("shape", 3, "shape"),
    ("shape.widths", ..., "widths"),
    ("shape.widths", [], "widths"),
    ("shape.widths", [16] * 9, "widths"),
    ("shape.widths", "1616", "widths"),
    ("shape.widths", [16], "differ in length"),
    ("shape.widths.0", -16, "widths.0"),
    ("shape.widths.0", 0, "widths.0"),
    ("shape.widths.0", HUGE, "widths.0"),
    ("shape.widths.0", 16.5, "widths.0"),
    ("shape.widths.0", True, "widths.0"),
    ("shape.blocks.1", -1, "blocks.1"),
    ("shape.blocks.1", 1000, "blocks.1"),
    ("shape.blocks.1", None, "blocks.1"),
    ("shape.embedding", 0, "embedding"),
    ("shape.embedding", 10**6, "embedding"),
    ("shape.embedding", "16", "embedding"),
    ("shape.flat", 1, "flat"),
    ("shape.flat", "false", "flat"),
    ("shape.depth", 3, "depth"),
    ("shape.flat", True, "tensor"),
    ("shape.separable", True, "tensor"),
    ("shape.widths.1", 32, "tensor"),
    ("shape.blocks.0", 2, "tensor"),
    ("shape.embedding", 32, "tensor"),
    ("tile", ..., "tile"),
    ("tile", [16, 16], "tile"),
    ("tile", [16, 16, 16, 16], "tile"),
    ("tile.0", -16, "tile.0"),
    ("tile.0", 0, "tile.0"),
    ("tile.1", 10**9, "tile.1"),
    ("tile", [4096, 4096, 4096], "more than"),
    ("tile.2", 18, "multiple"),
    ("tile.2", 16.0001, "tile.2"),
    ("spectrum", None, "spectrum"),
    ("spectrum.k", [0.1], "spectrum.k"),
    ("spectrum.k.0", 0.0, "spectrum.k.0"),
    ("spectrum.k.0", -0.01, "spectrum.k.0"),
    ("spectrum.k.3", math.nan, "spectrum.k.3"),
    ("spectrum.k.3", 0.9, "k do not rise"),
    ("spectrum.k.3", "0.1", "spectrum.k.3"),
    ("spectrum.k", [0.001 * i for i in range(1, 2000)], "spectrum.k"),
    ("spectrum.power.5", 0.0, "spectrum.power.5"),
    ("spectrum.power.5", -1.0, "spectrum.power.5"),
    ("spectrum.power.5", math.inf, "spectrum.power.5"),
    ("spectrum.power.5", 1e300, "spectrum.power.5"),
    ("spectrum.power", [1.0, 1.0], "differ in length"),
    ("spectrum.voxel_size", 0.0, "voxel_size"),
    ("spectrum.voxel_size", -20.0, "voxel_size"),
    ("spectrum.voxel_size", math.inf, "voxel_size"),
    ("spectrum.voxel_size", [20.0], "voxel_size"),
    ("voxel_sizes", [16.0], "voxel_sizes"),
    ("voxel_sizes", [25.0, 16.0], "rising order"),
    ("voxel_sizes.0", -1.0, "voxel_sizes.0"),
    ("voxel_sizes.1", math.inf, "voxel_sizes.1"),
    ("voxel_sizes.1", 1e100, "voxel_sizes.1"),
    ("voxel_sizes", {"low": 1.0}, "voxel_sizes"),
    ("unit", "furlong", "unit"),
    ("unit", 3, "unit"),
    ("unit", "\x1b[31mnanometer", "unit"),
    ("ranges", [140.0, 6.0], "rising order"),
    ("ranges.0", 0.0, "ranges.0"),
    ("ranges.0", -6.0, "ranges.0"),
    ("ranges.1", 400.0, "ranges.1"),
    ("ranges.1", math.nan, "ranges.1"),
    ("errors", {}, "errors"),
    ("errors.0", [0.1], "errors.0"),
    ("errors.0.0", 0.0, "errors.0.0"),
    ("errors.0.1", -0.01, "errors.0.1"),
    ("errors.1.0", 0.05, "do not rise"),
    ("errors.1.1", math.inf, "errors.1.1"),
    ("errors", [[0.001 * i, 0.1] for i in range(1, 2000)], "errors"),
    ("calibration", ..., "calibration"),
    ("calibration.0", [20.0, 1.5], "calibration.0"),
    ("calibration.0.0", 0.0, "calibration.0.0"),
    ("calibration.0.1", -1.0, "calibration.0.1"),
    ("calibration.0.2", 1e9, "calibration.0.2"),
    ("calibration.0.3", math.nan, "calibration.0.3"),
    ("calibration.1.0", 20.0, "do not rise"),
    ("data_weight", -0.1, "data_weight"),
    ("data_weight", 1.1, "data_weight"),
    ("data_weight", math.nan, "data_weight"),
    ("data_weight", "0", "data_weight"),
    ("card", ..., "card"),
    ("card", "tissue", "card"),
    ("version", "3", "version"),
    ("version", 3.5, "version"),
    ("version", ..., "version"),
    ("extra", 1, "extra"),
    ("\x1b[2J", 1, "Extra"),
]


@pytest.mark.parametrize(("place", "value", "match"), MUTATIONS)
def test_a_wrong_value_in_the_header_is_refused(valid, tmp_path, monkeypatch, place, value, match):
    monkeypatch.setattr(module, "Denoiser", None)  # it must not come to this
    header, tensors = valid
    path = write(tmp_path / "a.safetensors", changed(header, place, value), tensors)
    refused(path, rf"\(.*{match}")


def test_the_header_without_a_mutation_is_valid(valid, tmp_path):
    """Otherwise the mutations would prove nothing."""
    header, tensors = valid
    loaded = Prior.load(write(tmp_path / "a.safetensors", header, tensors))
    assert json.loads(json.dumps(loaded.to_header())) == header


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "null",
        "[" * 100_000,
        '{"version": ' * 5_000,
        '{"version": 3, "card": ' + "[" * 50_000 + "]" * 50_000 + "}",
        '{"version": 3' + " " * MAX_CHARACTERS + "}",
        '{"version": 3}{"version": 3}',
        '{"version": ' + "9" * 10_000 + "}",
    ],
)
def test_a_header_that_is_no_flat_object_is_refused(valid, tmp_path, text):
    refused(write(tmp_path / "a.safetensors", text, valid[1]), "not a prior")


def first_tensor(tensors):
    return next(iter(tensors))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: {}, "missing"),
        (lambda t: {k: v for k, v in t.items() if k != first_tensor(t)}, "missing"),
        (lambda t: t | {"more": torch.zeros(2)}, "not part of the network"),
        (lambda t: t | {"\x1b[2J" * 200: torch.zeros(2)}, "not part of the network"),
        (lambda t: t | {first_tensor(t): t[first_tensor(t)][..., :1].contiguous()}, "has the shape"),
        (lambda t: t | {first_tensor(t): t[first_tensor(t)].flatten()}, "has the shape|elements"),
        (lambda t: t | {first_tensor(t): torch.zeros(0)}, "has the shape"),
        (lambda t: t | {first_tensor(t): t[first_tensor(t)].to(torch.int8)}, "elements of type I8"),
        (lambda t: t | {first_tensor(t): t[first_tensor(t)].to(torch.float64)}, "elements of type F64"),
        (lambda t: t | {first_tensor(t): torch.full_like(t[first_tensor(t)], math.nan)}, "not finite"),
        (lambda t: t | {first_tensor(t): torch.full_like(t[first_tensor(t)], math.inf)}, "not finite"),
    ],
)
def test_tensors_that_are_not_the_networks_are_refused(valid, tmp_path, monkeypatch, change, match):
    monkeypatch.setattr(module, "Denoiser", None)
    header, tensors = valid
    name = next(k for k, v in tensors.items() if v.ndim == 5)
    ordered = {name: tensors[name], **tensors}
    refused(write(tmp_path / "a.safetensors", header, change(ordered)), match)


def test_a_large_network_is_refused_without_its_memory(valid, tmp_path):
    """Its convolutions would have 4 GB each; they are compared with the file's tensors without being allocated."""
    header, tensors = valid
    large = {"widths": [1024] * 8, "blocks": [16] * 8, "embedding": 1024, "flat": False, "separable": False}
    start = time.perf_counter()
    refused(write(tmp_path / "a.safetensors", header | {"shape": large}, tensors), "tensor")
    assert time.perf_counter() - start < 60


def test_the_priors_of_this_package_are_valid():
    for name in list_shipped_priors():
        assert load_prior(name).tile[0] == 32


def test_a_prior_is_read_once_and_again_when_its_file_changes(lively, prior, tmp_path):
    path = tmp_path / "a.safetensors"
    lively.save(path)
    first = load_prior(path)
    assert load_prior(str(path)) is first
    prior.save(path, overwrite=True)
    second = load_prior(path)
    assert second is not first
    assert float(second.denoiser.unet.enter.weight.abs().sum()) != float(first.denoiser.unet.enter.weight.abs().sum())


def test_the_schema_knows_every_field_of_a_header(prior):
    assert set(prior.to_header()) == set(PriorHeader.model_fields)
