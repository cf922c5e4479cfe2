"""Networks and the fields that they make."""

import json

import numpy as np
import pytest
import torch

from tomoprior.errors import FormatError, SettingsError
from tomoprior.methods.cn.encoders import REGISTRY
from tomoprior.methods.cn.loading import load_field
from tomoprior.methods.cn.network import CoordinateNetwork, NetworkField, NetworkPart
from tomoprior.methods.cn.settings import CLASSES, CNSettings
from tomoprior.storage.tensors import save_tensors

SHAPE = (5, 7, 6)
PAD = 2
SLABS = [(0, 3, 0, 3), (3, 6, 3, 6), (4, 7, 6, 7)]


def small(encoder="grid", **values):
    kind = CLASSES[encoder]
    values = {"width": 8, "depth": 1, "features": 2, "levels": 2, "table_size": 6, "seed": 0, **values}
    return kind(**{k: v for k, v in values.items() if k in kind.model_fields})


def make_field(settings, slabs=SLABS, mask=None, **values):
    """Each part has weights of its own."""
    parts = []
    for i, (start, stop, first, last) in enumerate(slabs):
        chosen = settings.model_copy(update={"seed": i})
        network = CoordinateNetwork(chosen, (SHAPE[0], stop - start, SHAPE[2] + 2 * PAD))
        with torch.no_grad():
            for p in network.parameters():
                p.mul_(3)
        parts.append(NetworkPart(network, start, stop, first, last))
    return NetworkField(parts, SHAPE, settings, **{"scale": 2.0, "background": 0.3, "pad": PAD, "mask": mask, **values})


def volume_of(field, mask=None):
    """The padded volume, slab by slab, as training puts it together."""
    nz, ny, nx = SHAPE
    out = torch.full((nz, ny, nx + 2 * PAD), field.background)
    for part in field.parts:
        axes = [torch.arange(n, dtype=torch.float64) for n in (nz, part.stop - part.start, nx + 2 * PAD)]
        values = part.network.on_grid(*axes).detach()
        out[:, part.first : part.last] += field.scale * values[:, part.first - part.start : part.last - part.start]
    return out if mask is None else out * mask


def voxels():
    return torch.stack(torch.meshgrid(*(torch.arange(n) for n in SHAPE), indexing="ij"), -1)


def test_the_papers_network_has_as_many_weights_as_it_says():
    network = CoordinateNetwork(CNSettings(preset="paper"), (256, 2, 1024))
    assert network.n_parameters == 264_449
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == 264_449


def test_the_papers_network_starts_as_siren():
    """Bounds of the weights, and arguments of all sines but the first standard normal (Sitzmann et al., theorem 1.8)."""
    network = CoordinateNetwork(CNSettings(preset="paper"), (64, 64, 64))
    first, hidden = network.encoder.layer.weight.detach(), network.hidden[2].weight.detach()
    assert 0.95 / 3 < float(first.abs().max()) <= 1 / 3
    assert 0.95 * (6 / 256) ** 0.5 / 30 < float(hidden.abs().max()) <= (6 / 256) ** 0.5 / 30
    at = torch.rand(2000, 3)
    features = network.encoder(at)
    for layer in network.hidden:
        argument = 30 * torch.nn.functional.linear(features, layer.weight).detach()
        assert 0.8 < float(argument.std()) < 1.2
        features = torch.sin(30 * layer(features))


@pytest.mark.parametrize("least", [None, 0.0])
@pytest.mark.parametrize("value", [0.01, 0.3, 4.0])
def test_networks_start_near_a_given_value(value, least):
    network = CoordinateNetwork(small("grid", min_constraint=least), (8, 8, 8))
    network.set_initial_output(value)
    found = network(torch.rand(500, 3)).detach()
    assert float(found.mean()) == pytest.approx(value, abs=0.02 + 0.02 * value)


def test_softplus_keeps_a_network_positive_even_where_the_level_is_not():
    network = CoordinateNetwork(small("fourier"), (8, 8, 8))
    network.set_initial_output(-1.0)
    found = network(torch.rand(500, 3)).detach()
    assert float(found.min()) > 0
    assert float(found.mean()) < 0.01


@pytest.mark.parametrize(
    ("encoder", "coordinates"), [*((name, "isotropic") for name in sorted(REGISTRY)), ("siren", "per-axis")]
)
def test_the_field_at_voxels_is_the_volume(encoder, coordinates):
    mask = (torch.rand(SHAPE[0], 1, SHAPE[2] + 2 * PAD, generator=torch.Generator().manual_seed(0)) > 0.3).float()
    field = make_field(small(encoder, coordinates=coordinates), mask=mask)
    expected = volume_of(field, mask)[..., PAD:-PAD]
    torch.testing.assert_close(field(voxels()), expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 0.01


def test_slices_without_a_network_hold_the_background():
    field = make_field(small(), slabs=SLABS[1:2])
    found = field(voxels())
    assert bool((found[:, [0, 1, 2, 6]] == np.float32(0.3)).all())
    assert float((found[:, 3:6] - 0.3).abs().max()) > 0.01
    empty = make_field(small(), slabs=[])
    assert bool((empty(voxels()) == np.float32(0.3)).all())


@pytest.mark.parametrize("encoder", sorted(REGISTRY))
def test_the_field_is_continuous_across_the_borders_of_networks(encoder):
    field = make_field(small(encoder))
    y = torch.linspace(-0.5, SHAPE[1] - 0.5, 4001, dtype=torch.float64)
    points = torch.stack([torch.full_like(y, 2.2), y, torch.full_like(y, 3.7)], 1)
    values = field(points)
    steps = values.diff().abs()
    assert float(values.max() - values.min()) > 0.01
    assert float(steps.max()) < 0.02 * float(values.max() - values.min())


def test_between_two_networks_the_field_is_linear():
    field = make_field(small())
    at = torch.tensor([[2.0, 2.0 + t, 3.0] for t in (0, 0.25, 0.5, 0.75, 1)])
    values = field(at)
    torch.testing.assert_close(values, values[0] + torch.arange(5) / 4 * (values[4] - values[0]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("encoder", sorted(REGISTRY))
def test_saved_and_loaded(encoder, tmp_path):
    mask = (torch.rand(SHAPE[0], 1, SHAPE[2] + 2 * PAD, generator=torch.Generator().manual_seed(0)) > 0.3).float()
    field = make_field(small(encoder, min_constraint=None), mask=mask)
    field.save(tmp_path / "field.safetensors")
    loaded = load_field(tmp_path / "field.safetensors")
    at = torch.rand(200, 3, dtype=torch.float64) * torch.tensor(SHAPE) - 0.5
    assert torch.equal(loaded(at), field(at))
    assert loaded.shape == SHAPE
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "field.safetensors").read_bytes()


def test_a_field_without_networks_is_saved_and_loaded(tmp_path):
    make_field(small(), slabs=[]).save(tmp_path / "field.safetensors")
    assert load_field(tmp_path / "field.safetensors")([[2, 2, 2]])[0] == np.float32(0.3)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.update(slices=[[0, 30, 0, 30]]),
        lambda v: v.update(slices=[[0, 3, 2, 1]]),
        lambda v: v.update(slices=[["a", 3, 0, 3]]),
        lambda v: v.update(slices=3),
        lambda v: v.update(shape=[5, 7]),
        lambda v: v.update(shape=[10**6, 7, 10**6]),
        lambda v: v.update(shape=[-5, 7, 6]),
        lambda v: v.update(pad=1.5),
        lambda v: v.update(scale="large"),
        lambda v: v.update(network={}),
        lambda v: v.update(network=None),
        lambda v: v["network"].update(width=99),
        lambda v: v["network"].update(encoder="spline"),
        lambda v: v["network"].update(width=-1),
        lambda v: v.pop("background"),
    ],
)
def test_headers_that_make_no_sense(change, tmp_path):
    from safetensors.torch import save_file

    field = make_field(small("grid"))
    arrays, values = field.state()
    values = {"kind": "network", "shape": list(SHAPE), **values}
    change(values)
    path = tmp_path / "field.safetensors"
    save_file({k: v.contiguous() for k, v in arrays.items()}, path, metadata={"tomoprior": json.dumps(values)})
    with pytest.raises(FormatError) as caught:
        load_field(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("activation", ["none", "bound", "softplus"])
@pytest.mark.parametrize("encoder", ["siren", "hash"])
def test_a_field_saved_when_every_encoder_had_all_settings_is_loaded(encoder, activation, tmp_path):
    current = {"none": {"min_constraint": None}, "bound": {"activation": "clip"}, "softplus": {}}[activation]
    field = make_field(small(encoder, **current))
    arrays, values = field.state()
    old = {"width": 8, "depth": 1, "omega": 30.0, "bandwidth": 0.25, "features": 2, "levels": 2, "table_size": 6}
    network = {**old, "encoder": encoder, "coordinates": "isotropic", "activation": activation, "precision": "float32"}
    header = {"kind": "network", "shape": list(SHAPE), **values, "network": network}
    save_tensors(tmp_path / "old.safetensors", "tomoprior", header, arrays, overwrite=False)
    at = torch.rand(200, 3, dtype=torch.float64) * torch.tensor(SHAPE) - 0.5
    assert torch.equal(load_field(tmp_path / "old.safetensors")(at), field(at))


def test_a_field_whose_coordinates_its_encoder_no_longer_has_is_refused(tmp_path):
    arrays, values = make_field(small("fourier")).state()
    values["network"]["coordinates"] = "per-axis"
    save_tensors(
        tmp_path / "old.safetensors", "tomoprior", {"kind": "network", "shape": list(SHAPE), **values}, arrays, overwrite=False
    )
    with pytest.raises(FormatError, match="per-axis is no longer supported for encoder fourier"):
        load_field(tmp_path / "old.safetensors")


def test_weights_that_are_not_finite_are_refused(tmp_path):
    field = make_field(small("grid"))
    with torch.no_grad():
        field.parts[0].network.output.bias.fill_(float("nan"))
    field.save(tmp_path / "field.safetensors")
    with pytest.raises(FormatError, match="finite"):
        load_field(tmp_path / "field.safetensors")


def test_bfloat16_computes_layers_only():
    exact, rough = (CoordinateNetwork(small("fourier", precision=p, depth=2), (8, 8, 8)) for p in ("float32", "bfloat16"))
    at = torch.rand(300, 3)
    a, b = exact(at), rough(at)
    assert b.dtype == torch.float32
    error = float((a - b).detach().norm() / a.detach().norm())
    assert 0 < error < 0.02
    assert torch.equal(exact.encoder(at), rough.encoder(at))
    b.sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in rough.parameters())


def test_sines_are_not_computed_in_bfloat16():
    with pytest.raises(SettingsError, match="precision is a setting of encoder=fourier, grid, hash; the encoder here is siren"):
        CNSettings(encoder="siren", precision="bfloat16")
