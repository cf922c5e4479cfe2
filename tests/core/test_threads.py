"""More threads than the one that the other tests run with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from tomoprior import Geometry, Projector, methods


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("backend", ["astra-matrix", "numba", "astra-2d"])
def test_products_do_not_depend_on_the_number_of_threads(backend):
    geometry = Geometry(np.deg2rad(np.arange(-60, 61, 6)), (40, 7, 48), center=23.3)
    x = torch.rand(geometry.domain_shape, generator=torch.Generator().manual_seed(0))
    A = Projector(geometry, "cpu", backend=backend)
    two = A(x), A.T(A(x))
    torch.set_num_threads(1)
    one = A(x), A.T(A(x))
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-4)
    assert A.adjoint_error() < 1e-6


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("name", ["wbp", "tv"])
def test_the_same_bits_twice(name):
    geometry = Geometry(np.deg2rad(np.arange(-60, 61, 6)), (24, 8, 32))
    p = torch.rand(geometry.range_shape, generator=torch.Generator().manual_seed(0))
    method = methods.get(name)
    settings = method.Settings.parse({"num_iter": 10} if name == "tv" else {})
    first, second = (method.reconstruct(p, Projector(geometry, "cpu"), settings).volume for _ in range(2))
    assert torch.equal(first, second)
