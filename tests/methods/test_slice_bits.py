"""A slice's values have the same bits whatever number of slices stands beside it, on every kind of processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from tomoprior.methods.solving.slice_sums import inner_products

#: What torch may compute with, each including those before it; ``ATEN_CPU_CAPABILITY`` takes less than the processor has.
CAPABILITIES = ["default", "avx2", "avx512"]
WIDTHS = [1, 2, 3, 5, 16, 31, 64]
SLICES = 67

#: Runs every case on some slices and on all, with one thread and with two; prints what differs and the capability.
SCRIPT = """
import json, sys
import numpy as np, torch
from tomoprior import Geometry, Projector, methods

widths, slices = json.loads(sys.argv[1]), int(sys.argv[2])
nz, nx = 24, 33  # with all slices, more values than one thread takes; rows that fill no vector
angles = np.deg2rad(np.linspace(-60, 60, 17))
generator = torch.Generator().manual_seed(0)
centers = {"one": np.full(slices, 16.4), "two": 16.4 + 0.3 * (np.arange(slices) % 2)}
geometries = {name: Geometry(angles, (nz, slices, nx), center=center) for name, center in centers.items()}
projectors = {name: Projector(geometry, "cpu") for name, geometry in geometries.items()}
projections, weights = (torch.rand(17, slices, nx, generator=generator) for _ in range(2))
initial = torch.randn(nz, slices, nx, generator=generator)
weights *= torch.linspace(0.1, 10, slices)[:, None]  # the mean of some is not that of all
extras = {
    "plain": lambda rows: {},
    "weights": lambda rows: {"weights": weights[:, rows]},
    "mask": lambda rows: {"mask": (initial[:, rows] > -1).float(), "initial": initial[:, rows].contiguous()},
}
iterative = [
    ("cgls", {"num_iter": 4}),
    ("sirt", {"num_iter": 2, "min_constraint": 0}),
    ("sart", {"num_iter": 1, "subset_size": 3}),
]
cases = [(name, values, "one", extra) for name, values in iterative for extra in extras]
cases += [(name, values, "two", "plain") for name, values in iterative]
for center in geometries:
    cases += [("fourier", {}, center, "plain"), ("wbp", {}, center, "plain"), ("wbp", {"filter_name": "sirt"}, center, "plain")]

def volume(name, values, center, extra, start, stop):
    method, rows = methods.get(name), slice(start, stop)
    projector = projectors[center].with_geometry(geometries[center].rows(start, stop))
    settings = method.Settings.parse(values)
    return method.reconstruct(projections[:, rows].contiguous(), projector, settings, **extras[extra](rows)).volume

different = []
for threads in (1, 2):
    torch.set_num_threads(threads)
    for case in cases:
        whole = volume(*case, 0, slices)
        for width in widths:
            start = (slices - width) // 2
            if not torch.equal(volume(*case, start, start + width), whole[:, start : start + width]):
                different.append(f"{width} slices of {case} with {threads} thread(s)")
print(json.dumps({"capability": torch.backends.cpu.get_cpu_capability(), "different": different}))
"""


@pytest.mark.parametrize("capability", ["default", *(pytest.param(name, marks=pytest.mark.slow) for name in CAPABILITIES[1:])])
def test_a_method_that_goes_slice_by_slice_gives_the_same_bits_for_any_number_of_slices(capability):
    own = torch.backends.cpu.get_cpu_capability().lower()
    if capability not in CAPABILITIES[: CAPABILITIES.index(own) + 1 if own in CAPABILITIES else 1]:
        pytest.skip(f"torch computes with {own} here")
    command = [sys.executable, "-c", SCRIPT, json.dumps(WIDTHS), str(SLICES)]
    # threads that wait for each other by spinning make the small products of two of them slow where a core is taken
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": capability, "OMP_WAIT_POLICY": "passive"}
    ran = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, env=environment)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert own not in CAPABILITIES or found["capability"].lower() == capability
    assert not found["different"]


@pytest.fixture(scope="module")
def pair():
    """Two arrays of several blocks, slices innermost, as the projector lays them out."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(101, 77, SLICES, generator=generator).permute(0, 2, 1) for _ in range(2))
    return a, b


def test_inner_products_are_those_of_every_slice(pair):
    a, b = pair
    expected = (a.double() * b.double()).sum((0, 2), keepdim=True)
    found = inner_products(a, b)
    assert found.shape == (1, SLICES, 1)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-4)
    one = torch.ones(1, 3, 1)
    torch.testing.assert_close(inner_products(one, 2 * one), 2 * one)


@pytest.mark.parametrize("width", WIDTHS)
def test_inner_products_do_not_depend_on_the_slices_beside_nor_on_the_layout(pair, width):
    a, b = pair
    whole = inner_products(a, b)
    for some in (a[:, :width], a[:, :width].contiguous()):
        for other in (b[:, :width], b[:, :width].contiguous()):
            assert torch.equal(inner_products(some, other), whole[:, :width])
