"""Forward differences: the exact adjoint, the layouts, the projection onto a ball."""

import pytest
import torch

from tomoprior.methods.solving import gradient


def layouts(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return [x, x.permute(0, 2, 1).contiguous().permute(0, 2, 1), x.permute(2, 1, 0).contiguous().permute(2, 1, 0)]


@pytest.mark.parametrize("shape", [(4, 5, 6), (1, 5, 6), (4, 1, 6), (4, 5, 1), (1, 1, 1), (2, 2, 2)], ids=str)
def test_the_adjoint_is_exact(shape):
    for x in layouts(shape):
        x = x.double()
        g = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        dx = gradient.add_forward_(gradient.zero_gradient(x), x, 1.0)
        dtg = gradient.add_adjoint_(torch.zeros_like(x), g, 1.0)
        assert float((dx * g).sum() - (x * dtg).sum()) == pytest.approx(0, abs=1e-12 * float(x.norm() * g.norm()))


def test_differences_are_forward_and_end_before_the_border():
    x = torch.arange(24.0).reshape(2, 3, 4)
    g = gradient.add_forward_(torch.zeros(3, 2, 3, 4), x, 2.0)
    assert (g[0, 0] == 24).all()
    assert (g[1, :, :2] == 8).all()
    assert (g[2, :, :, :3] == 2).all()
    assert not g[0, 1].any()
    assert not g[1, :, 2].any()
    assert not g[2, :, :, 3].any()


def test_what_is_there_is_added_to():
    x = torch.rand(3, 4, 5)
    g = torch.rand(3, 3, 4, 5)
    once = gradient.add_forward_(torch.zeros_like(g), x, 0.5)
    torch.testing.assert_close(gradient.add_forward_(g.clone(), x, 0.5), g + once)
    back = gradient.add_adjoint_(torch.zeros_like(x), g, -0.5)
    torch.testing.assert_close(gradient.add_adjoint_(x.clone(), g, -0.5), x + back)


def test_zeros_take_the_volumes_layout():
    for x in layouts((4, 5, 6)):
        g = gradient.zero_gradient(x)
        assert g.shape == (3, 4, 5, 6)
        assert not g.any()
        assert all(component.stride() == x.stride() for component in g)


def test_the_sums_of_rows_and_columns_bound_the_operator():
    x = torch.zeros(5, 5, 5)
    x[2, 2, 2] = 1
    g = gradient.add_forward_(torch.zeros(3, 5, 5, 5), x, 1.0)
    assert float(g.abs().sum()) == gradient.COLUMN_SUM
    h = torch.zeros(3, 5, 5, 5)
    h[1, 2, 2, 2] = 1
    assert float(gradient.add_adjoint_(torch.zeros(5, 5, 5), h, 1.0).abs().sum()) == gradient.ROW_SUM


@pytest.mark.parametrize("radius", [0.3, 1.0, 100.0])
def test_vectors_are_shortened_to_the_ball_and_keep_their_direction(radius):
    g = torch.randn(3, 4, 5, 6, generator=torch.Generator().manual_seed(0)) * 3
    g[:, 0, 0, 0] = 0
    found = gradient.shrink_to_ball_(g.clone(), radius)
    norm = torch.linalg.vector_norm(g, dim=0)
    expected = g * torch.where(norm > radius, radius / norm, torch.ones_like(norm))
    torch.testing.assert_close(found, expected)
    assert float(torch.linalg.vector_norm(found, dim=0).max()) <= radius * (1 + 1e-6)
    torch.testing.assert_close(gradient.shrink_to_ball_(found.clone(), radius), found)
