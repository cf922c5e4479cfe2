"""A prior's file is read as it was written, and other files are refused in one line."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tomoprior.errors import FormatError, OutputExistsError
from tomoprior.methods.diffusion import prior as module
from tomoprior.methods.diffusion.prior import (
    SHIPPED_FOLDER,
    Prior,
    choose_network_dtype,
    find_prior,
    list_shipped_priors,
    load_prior,
)
from tomoprior.methods.diffusion.scale import UNIT_STD


@pytest.fixture
def saved(lively, tmp_path):
    calibration = ((20.0, 1.5, 2.0, 3.0), (100.0, 1.1, 1.4, 3.0))
    full = replace(lively, errors=((0.1, 0.01), (1.0, 0.1)), calibration=calibration, data_weight=0.7, card={"data": "x"})
    full.save(tmp_path / "a.safetensors")
    return full, tmp_path / "a.safetensors"


def altered(path, target, header=None, arrays=None):
    """Another file with other metadata or arrays."""
    with safe_open(str(path), "pt") as file:
        found = json.loads(file.metadata()["tomoprior_prior"])
    save_file(load_file(path) if arrays is None else arrays, target, {"tomoprior_prior": json.dumps(found | (header or {}))})
    return target


def test_a_saved_prior_is_read_unchanged(saved):
    before, path = saved
    after = Prior.load(path)
    assert after.to_header() == before.to_header()
    json.dumps(after.to_header())
    assert isinstance(after.tile, tuple)
    assert isinstance(after.denoiser.unet.shape.widths, tuple)
    assert not after.denoiser.training
    assert not any(p.requires_grad for p in after.denoiser.parameters())
    arrays = after.denoiser.state_dict()
    for name, value in before.denoiser.state_dict().items():
        assert arrays[name].dtype == torch.float32
        assert torch.equal(arrays[name], value.half().float())  # half precision, and nothing lost but that


def test_loading_does_not_change_the_callers_random_state(saved):
    """Otherwise the first run of a seed, which loads the prior, would differ from the next."""
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    Prior.load(saved[1])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_weights_are_stored_in_half_precision(saved):
    assert {v.dtype for v in load_file(saved[1]).values()} == {torch.float16}


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_prior_has_the_permissions_of_any_new_file(prior, tmp_path, umask):
    before = os.umask(umask)
    try:
        prior.save(tmp_path / "a.safetensors")
    finally:
        os.umask(before)
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_file_is_replaced_only_on_request_and_no_temporary_file_remains(saved, prior):
    _, path = saved
    kept = path.read_bytes()
    with pytest.raises(OutputExistsError):
        prior.save(path)
    assert path.read_bytes() == kept
    prior.save(path, overwrite=True)
    assert path.read_bytes() != kept
    assert [p.name for p in path.parent.iterdir()] == ["a.safetensors"]


def test_the_error_is_interpolated_in_logarithms(saved):
    full, _ = saved
    assert full.squared_error(0.1) == pytest.approx(0.01)
    assert full.squared_error(0.1**0.5) == pytest.approx(0.001**0.5)
    assert full.squared_error(1e-3) == pytest.approx(0.01)  # as at the end
    assert full.squared_error(50) == pytest.approx(0.1)


def test_the_default_error_is_that_for_white_noise(prior):
    assert prior.squared_error(1e-3) == pytest.approx(1e-6, rel=1e-3)
    assert prior.squared_error(80) == pytest.approx(0.16, rel=1e-3)
    assert prior.squared_error(80) < UNIT_STD**2


def test_the_calibration_depends_on_range_and_region(saved, prior):
    full, _ = saved
    inside = torch.tensor([1.0, 0.5, 0.0])
    torch.testing.assert_close(full.std_factors(20, inside), torch.tensor([1.5, 2.0, 3.0]))
    torch.testing.assert_close(full.std_factors(2000**0.5, inside), torch.tensor([1.3, 1.7, 3.0]))
    torch.testing.assert_close(full.std_factors(140, inside), torch.tensor([1.1, 1.4, 3.0]))
    assert torch.equal(prior.std_factors(60, inside), torch.ones(3))


def test_the_calibration_changes_smoothly_between_regions(saved):
    full, _ = saved
    share = torch.linspace(0, 1, 101)[None, :, None]
    found = full.std_factors(20, share)
    assert found.shape == share.shape
    assert float(found.min()) >= 1.5
    assert float(found.max()) <= 3.0
    assert float(found[0, :, 0].diff().abs().max()) < 0.05


def refused(path, match):
    with pytest.raises(FormatError, match=match) as error:
        Prior.load(path)
    assert "\n" not in str(error.value)


def test_a_later_version_is_refused(saved):
    refused(altered(saved[1], saved[1].with_name("b.safetensors"), {"version": 4}), r"later version \(4\); update tomoprior")


@pytest.mark.parametrize("version", [1, 2])
def test_an_earlier_version_is_refused(saved, version):
    other = altered(saved[1], saved[1].with_name("b.safetensors"), {"version": version})
    refused(other, rf"earlier version \({version}\); train it again")


def test_other_files_are_refused(saved, tmp_path):
    _, path = saved
    whole = path.read_bytes()
    other = tmp_path / "b.safetensors"
    for content in (b"", b"no prior at all", whole[: len(whole) // 2], b"\xff" * 100):
        other.write_bytes(content)
        refused(other, "not a prior saved by tomoprior")
    save_file({"a": torch.zeros(3)}, other)
    refused(other, "not a prior saved by tomoprior")
    save_file({"a": torch.zeros(3)}, other, {"tomoprior_prior": "{no json"})
    refused(other, "not a prior saved by tomoprior")
    save_file({"a": torch.zeros(3)}, other, {"tomoprior_prior": "[]"})
    refused(other, "not a prior saved by tomoprior")
    refused(tmp_path, "tmp|prior")  # a folder


def test_missing_extra_and_misshapen_weights_are_refused(saved):
    _, path = saved
    other = path.with_name("b.safetensors")
    arrays = load_file(path)
    name = next(iter(arrays))
    for spoilt in (
        {k: v for k, v in arrays.items() if k != name},
        arrays | {"more": torch.zeros(2).half()},
        arrays | {name: torch.zeros(3).half()},
    ):
        refused(altered(path, other, arrays=spoilt), "not a prior saved by tomoprior")
    refused(altered(path, other, {"shape": {"widths": [16, 16], "depth": 3}}), "not a prior saved by tomoprior")


class Trap:
    """An object that makes a folder when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, (os.environ["TRAP"],)


@pytest.mark.parametrize("write", ["pickle", "torch"])
def test_no_pickle_is_ever_loaded(tmp_path, monkeypatch, write):
    monkeypatch.setenv("TRAP", str(tmp_path / "sprung"))
    path = tmp_path / "a.safetensors"
    if write == "pickle":
        path.write_bytes(pickle.dumps(Trap()))
    else:
        torch.save({"a": Trap()}, path)
    refused(path, "not a prior saved by tomoprior")
    assert not (tmp_path / "sprung").exists()


def test_the_error_for_a_missing_file_says_how_to_train_a_prior(tmp_path):
    refused(tmp_path / "none.safetensors", "no such file; train a prior with: tomoprior train")


def test_names_stand_for_the_priors_of_this_package(prior, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHIPPED_FOLDER", tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    refused("bone", r"no prior called 'bone' comes with tomoprior \(none\)")
    (tmp_path / "weights").mkdir()
    for name in ("tissue", "bark"):
        prior.save(tmp_path / "weights" / f"{name}.safetensors")
    assert list_shipped_priors() == ["bark", "tissue"]
    refused("bone", r"\(bark, tissue\); give a \.safetensors file")
    assert Prior.load("tissue").to_header() == prior.to_header()


def test_bfloat16_is_used_with_hardware_for_it(monkeypatch):
    assert choose_network_dtype(torch.device("cuda")) == torch.bfloat16
    for amx, avx in ((True, True), (True, False), (False, True), (False, False)):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda avx=avx: avx)
        assert choose_network_dtype(torch.device("cpu")) == (torch.bfloat16 if amx or avx else torch.float32)


@pytest.mark.parametrize("as_folder", [True, False])
def test_a_bare_name_is_the_shipped_prior_whatever_lies_in_the_folder(tmp_path, monkeypatch, as_folder):
    monkeypatch.chdir(tmp_path)
    for name in ("tissue", "mine"):
        (tmp_path / name).mkdir() if as_folder else (tmp_path / name).write_text("not a prior")
    assert find_prior("tissue") == find_prior(Path("tissue")) == SHIPPED_FOLDER / "tissue.safetensors"
    assert load_prior("tissue").voxel_sizes[0] > 0
    with pytest.raises(FormatError, match=r"no prior called 'mine'.*\./mine is the file of that name here"):
        find_prior("mine")


def test_a_path_has_a_suffix_or_a_slash():
    for path in ("tissue.safetensors", "./tissue", "models/tissue", "/models/tissue"):
        assert find_prior(path) == Path(path)
