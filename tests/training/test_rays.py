"""The matrix of a training's estimates is that of the package's projector."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tomoprior import Geometry, Projector
from tomoprior.training.rays import MatrixProjector

GEOMETRIES = {
    "usual": Geometry(np.deg2rad(np.linspace(-60, 60, 9)), (10, 3, 20)),
    "steep": Geometry(np.deg2rad([-89.0, -70.0, -45.0, 45.0, 46.0, 80.0, 90.0, 135.0, 200.0]), (12, 2, 17)),
    "off-centre": Geometry(np.deg2rad([-50.0, -3.0, 0.0, 20.0, 75.0]), (9, 2, 16), center=9.3),
    "shifted": Geometry(np.deg2rad([-30.0, 0.0, 40.0]), (8, 2, 15), shifts=np.array([[0.0, 0.7], [0.0, -1.4], [0.0, 3.0]])),
    "wide detector": Geometry(np.deg2rad([-40.0, 10.0, 70.0]), (8, 2, 12), (2, 30)),
    "narrow detector": Geometry(np.deg2rad([-40.0, 10.0, 70.0]), (8, 2, 24), (2, 7)),
}


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_it_is_the_projector_with_linear_rays(geometry):
    x = torch.randn(geometry.domain_shape, generator=torch.Generator().manual_seed(0))
    found, wanted = MatrixProjector(geometry, "cpu")(x), Projector(geometry, "cpu", kind="linear")(x)
    assert found.shape == geometry.range_shape
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=2e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_its_adjoint_is_exact(geometry):
    rng = torch.Generator().manual_seed(1)
    A = MatrixProjector(geometry, "cpu")
    x, y = torch.randn(geometry.domain_shape, generator=rng), torch.randn(geometry.range_shape, generator=rng)
    one, two = (A(x).double() * y).sum(), (x.double() * A.T(y)).sum()
    torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-3)
    assert A.T.domain_shape == A.range_shape
    assert A.T.T is A


def test_a_batch_is_projected_as_each_for_itself():
    geometry = GEOMETRIES["usual"]
    A = MatrixProjector(geometry, "cpu")
    x = torch.randn((3, *geometry.domain_shape), generator=torch.Generator().manual_seed(2))
    y = A(x)
    assert y.shape == (3, *geometry.range_shape)
    for one, many in zip(x, y, strict=True):
        torch.testing.assert_close(A(one), many)
    torch.testing.assert_close(A.T(y)[1], A.T(y[1].contiguous()))


def test_slices_that_have_rays_of_their_own_are_refused():
    centres = np.array([8.0, 8.0, 9.0])
    with pytest.raises(ValueError, match="the same rays"):
        MatrixProjector(replace(GEOMETRIES["usual"], center=centres), "cpu")
