"""Spline fields: sums to one, the adjoint, values between voxels, saving and loading."""

import numpy as np
import pytest
import torch

from tomoprior.errors import FormatError, InputError, OutputExistsError
from tomoprior.methods.cn import load_field
from tomoprior.methods.cn.field import KEY
from tomoprior.methods.cn.spline import DEGREES, SplineBasis, SplineField
from tomoprior.storage.tensors import save_tensors

SHAPE = (5, 6, 7)


def field_of(degree, *, pad=0, seed=0, **more):
    nz, ny, nx = SHAPE
    nodes = SplineBasis(degree).nodes((nz, ny, nx + 2 * pad))
    weights = torch.rand(nodes, generator=torch.Generator().manual_seed(seed))
    return SplineField(weights, SHAPE, degree, pad=pad, **more)


def middles():
    return np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"), -1)


@pytest.mark.parametrize("degree", DEGREES)
def test_splines_sum_to_one(degree):
    basis = SplineBasis(degree)
    torch.testing.assert_close(basis.values(torch.ones(basis.nodes(SHAPE))), torch.ones(SHAPE))


@pytest.mark.parametrize("degree", DEGREES)
def test_the_spread_is_what_the_setting_says(degree):
    basis = SplineBasis(degree)
    nodes = torch.zeros(basis.nodes((15, 1, 1)))
    nodes[basis.reach + 7, basis.reach, basis.reach] = 1
    line = basis.values(nodes)[:, 0, 0].double().numpy()
    line /= line.sum()
    expected = np.sqrt((degree + 1) / 12) if degree > 1 else 0.0
    assert np.sqrt((line * (np.arange(15) - 7) ** 2).sum()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("degree", DEGREES)
def test_adjoint(degree):
    basis, generator = SplineBasis(degree), torch.Generator().manual_seed(1)
    c = torch.randn(basis.nodes(SHAPE), generator=generator, dtype=torch.float64)
    x = torch.randn(SHAPE, generator=generator, dtype=torch.float64)
    torch.testing.assert_close((basis.values(c) * x).sum(), (c * basis.adjoint(x)).sum())


@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize("pad", [0, 2])
def test_at_the_middles_of_voxels_the_field_is_the_volume(degree, pad):
    field = field_of(degree, pad=pad, background=0.25)
    volume = SplineBasis(degree).values(field.weights)[..., pad : pad + SHAPE[2]] + 0.25
    np.testing.assert_allclose(field(middles()), volume.numpy(), atol=2e-6)
    np.testing.assert_allclose(field.sample(), volume.numpy(), atol=2e-6)


def test_between_voxels_degree_one_interpolates_linearly():
    field = field_of(1)
    a, b = field.weights[2, 3, 4].item(), field.weights[2, 3, 5].item()
    assert field(np.array([2, 3, 4.25])).item() == pytest.approx(0.75 * a + 0.25 * b, abs=1e-6)


def test_a_field_of_weights_above_zero_is_above_zero_between_voxels():
    field = field_of(5)
    points = np.random.default_rng(0).uniform(-0.5, np.array(SHAPE) - 0.5, (500, 3))
    assert field(points).min() > 0


def test_half_the_spacing_keeps_the_mean_of_a_smooth_field():
    field = field_of(7)
    fine = field.sample(0.5)
    assert fine.shape == tuple(2 * n for n in SHAPE)
    assert fine.mean() == pytest.approx(field.sample().mean(), rel=0.02)


def test_zero_outside_the_grid_and_outside_the_mask():
    mask = torch.ones(SHAPE)
    mask[:, :, 3:] = 0
    field = field_of(3, mask=mask, background=1.0)
    assert field(np.array([2.0, 2.0, 4.0])).item() == 0
    assert field(np.array([[-0.6, 2, 2], [2, 6.0, 2], [2, 2, 99]])).tolist() == [0, 0, 0]


def test_numpy_gives_numpy_and_torch_gives_torch():
    field = field_of(3)
    points = np.random.default_rng(1).uniform(0, 4, (2, 3, 3))
    found = field(torch.from_numpy(points))
    assert isinstance(found, torch.Tensor)
    assert found.shape == (2, 3)
    np.testing.assert_array_equal(found.numpy(), field(points))


@pytest.mark.parametrize("points", [np.zeros((4, 2)), np.array([[0, np.nan, 0]]), np.array(1.0)])
def test_points_that_are_none(points):
    with pytest.raises(InputError, match="points"):
        field_of(1)(points)


@pytest.mark.parametrize("masked", [False, True])
def test_saved_and_loaded_it_is_the_same(tmp_path, masked):
    mask = (torch.rand(SHAPE[0], 1, SHAPE[2] + 4) > 0.3).float() if masked else None
    field = field_of(5, pad=2, background=-0.5, mask=mask)
    field.save(tmp_path / "f.safetensors")
    again = load_field(tmp_path / "f.safetensors")
    points = np.random.default_rng(2).uniform(-1, 7, (200, 3))
    np.testing.assert_array_equal(again(points), field(points))
    with pytest.raises(OutputExistsError):
        field.save(tmp_path / "f.safetensors")


def test_files_that_are_no_fields(tmp_path):
    from safetensors.torch import save_file

    (tmp_path / "a").write_bytes(b"not a field")
    save_file({"x": torch.zeros(2)}, tmp_path / "b")
    header = '{"kind": "spline", "shape": [9, 9, 9], "degree": 3, "pad": 0, "background": 0}'
    save_file({"weights": torch.zeros(2, 2, 2)}, tmp_path / "c", metadata={"tomoprior": header})
    for name in ("a", "b", "c", "missing"):
        with pytest.raises(FormatError, match=name):
            load_field(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("degree", 2**31), ("degree", 10**30), ("degree", "1"), ("degree", [1]), ("pad", -1), ("pad", 2**62), ("pad", 0.5),
        ("shape", [5, 2**40, 7]), ("shape", [5.0, 6, 7]), ("shape", [5, 6]), ("shape", 3), ("background", 10**400),
        ("background", "\x1b[31m" * 1000), ("kind", [1]),
    ],
)  # fmt: skip
def test_a_field_with_a_value_that_is_none_of_a_field_is_refused_in_one_line(tmp_path, name, value):
    arrays, values = field_of(1).state()
    header = {"kind": "spline", "shape": list(SHAPE), **values} | {name: value}
    save_tensors(tmp_path / "a.safetensors", KEY, header, arrays, overwrite=False)
    with pytest.raises(FormatError, match="not a field saved by tomoprior") as refusal:
        load_field(tmp_path / "a.safetensors")
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 500


def test_a_mask_of_another_shape_than_the_field_is_refused(tmp_path):
    arrays, values = field_of(1).state()
    header = {"kind": "spline", "shape": list(SHAPE), **values}
    save_tensors(tmp_path / "a.safetensors", KEY, header, arrays | {"mask": torch.ones(2, 2, 2)}, overwrite=False)
    with pytest.raises(FormatError, match="mask of shape"):
        load_field(tmp_path / "a.safetensors")
