"""Sparse matrices in torch's compressed row format."""

from __future__ import annotations

import warnings

import torch


def csr_tensor(start: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Return a CSR matrix from int32 row starts ``(rows + 1,)``, int32 columns and float32 values, without copy or check."""
    with warnings.catch_warnings():
        # torch warns once in a process that the format is in beta; the tests cover the functions used here
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        warnings.filterwarnings("ignore", message="Sparse invariant checks are implicitly disabled")
        return torch.sparse_csr_tensor(start, columns, values, shape, check_invariants=False)


#: With fewer than ``FEW`` columns, MKL uses a different kernel when the count is a multiple of ``STEP``; its rounding differs.
FEW, STEP = 32, 4

#: Columns per product on the CPU. They are copied first: the rows of a wide array lie far apart.
#: Measured on one core with 61 tilts of 256 x 256 voxels: a product of 96 columns takes 0.073 s instead of 0.2 for all at once,
#: and of 256 columns 0.19 s instead of 0.84 in blocks of 64 that are not copied.
BLOCK = 32


def csr_product(matrix: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
    """Return ``matrix @ dense`` for CSR and dense ``(columns, n)``, without temporary arrays of their whole size.

    On the CPU, the result of a column is the same to the last bit whatever the other columns hold and however many they are.
    Slabs of a volume therefore give the bits of the whole volume.
    """
    n = dense.shape[1]
    if dense.device.type == "cpu" and n < FEW and n % STEP == 0:
        wider = dense.new_zeros(dense.shape[0], n + 1)
        wider[:, :n] = dense
        return csr_product(matrix, wider)[:, :n].contiguous()
    out = dense.new_empty(matrix.shape[0], n)
    # with beta = 0, addmm does not read `out`
    if dense.device.type != "cpu" or n < 2 * BLOCK:
        return torch.addmm(out, matrix, dense, beta=0, out=out)
    starts = range(0, n - BLOCK + 1, BLOCK)
    # one copy for all blocks: memory that is taken and given back for each of them stays with the process
    widest = n - starts[-1]
    columns, products = (dense.new_empty(rows * widest) for rows in (dense.shape[0], matrix.shape[0]))
    for start in starts:
        width = widest if start == starts[-1] else BLOCK  # the last block takes the remaining columns too
        part = slice(start, start + width)
        block = columns[: dense.shape[0] * width].view(-1, width).copy_(dense[:, part])
        product = products[: matrix.shape[0] * width].view(-1, width)
        out[:, part] = torch.addmm(product, matrix, block, beta=0, out=product)
    return out
