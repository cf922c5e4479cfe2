"""Sparse matrices in torch's compressed row format."""

from __future__ import annotations

import warnings

import torch


def csr_tensor(start: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """A CSR matrix from int32 row starts ``(rows + 1,)``, int32 columns and float32 values; nothing is copied or checked."""
    with warnings.catch_warnings():
        # torch says once in a process that the format is young; what is used of it here is tested
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        warnings.filterwarnings("ignore", message="Sparse invariant checks are implicitly disabled")
        return torch.sparse_csr_tensor(start, columns, values, shape, check_invariants=False)


#: Below so many columns, and for multiples of ``STEP`` alone, MKL takes another kernel, which rounds differently.
FEW, STEP = 32, 4

#: Columns at a time on the CPU: a row's values are four cache lines then. Measured with 192 columns, of 384 x 384 voxels and 61
#: tilts: a pair of products takes 13.9 ms a column in place of 22.8 on one core, and 8.0 in place of 11.3 on two.
BLOCK = 64


def csr_product(matrix: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
    """``matrix @ dense`` for CSR and dense ``(columns, n)``, without the temporary of the result's size that ``@`` takes.

    On the CPU a column's result is the same to the last bit whatever stands beside it, so that a volume in slabs is the whole.
    """
    n = dense.shape[1]
    if dense.device.type == "cpu" and n < FEW and n % STEP == 0:
        wider = dense.new_zeros(dense.shape[0], n + 1)
        wider[:, :n] = dense
        return csr_product(matrix, wider)[:, :n].contiguous()
    out = torch.empty(matrix.shape[0], n, device=dense.device)
    # with beta = 0 what stood in `out` is not read
    if dense.device.type != "cpu" or n < 2 * BLOCK:
        return torch.addmm(out, matrix, dense, beta=0, out=out)
    starts = range(0, n - BLOCK + 1, BLOCK)
    for start in starts:
        part = slice(start, n if start == starts[-1] else start + BLOCK)  # the last takes what is left over
        torch.addmm(out[:, part], matrix, dense[:, part], beta=0, out=out[:, part])
    return out
