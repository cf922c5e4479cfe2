from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import torch

from tomoprior.projector.sparse import BLOCK, FEW, csr_product, csr_tensor


@pytest.fixture(scope="module")
def matrix():
    return scipy.sparse.random(500, 700, 0.05, format="csr", random_state=0, dtype=np.float32)


@pytest.fixture(scope="module")
def dense():
    return torch.rand(700, 5 * BLOCK, generator=torch.Generator().manual_seed(0))


widths = [1, 2, 4, 8, FEW - 4, FEW, FEW + 1, BLOCK, 2 * BLOCK - 1, 2 * BLOCK, 2 * BLOCK + 4, 3 * BLOCK - 1, 5 * BLOCK]


@pytest.mark.parametrize("width", widths)
def test_a_column_is_the_same_to_the_last_bit_whatever_the_others_hold(matrix, dense, width):
    ours = csr_tensor(
        torch.from_numpy(matrix.indptr), torch.from_numpy(matrix.indices), torch.from_numpy(matrix.data), matrix.shape
    )
    result = csr_product(ours, dense[:, :width].contiguous())
    np.testing.assert_allclose(result.numpy(), matrix @ dense[:, :width].numpy(), rtol=1e-4, atol=1e-5)
    assert torch.equal(result[:, :1], csr_product(ours, dense[:, : BLOCK + 3].contiguous())[:, :1])
    assert torch.equal(result, csr_product(ours, dense)[:, :width])
