"""Borders are blended row by row, and the record's residual is a root mean square: both with numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tomoprior import Geometry
from tomoprior.formats import Header, open_stack
from tomoprior.running.slabs.finishing import overall_residual
from tomoprior.running.slabs.outputs import Outputs
from tomoprior.running.slabs.plan import split_rows


@pytest.mark.parametrize("extension", ["npy", "zarr"])
def test_a_border_goes_from_the_lower_slab_to_the_higher_one_in_equal_steps(tmp_path, extension):
    shape = (3, 20, 4)
    plan = split_rows(Geometry(np.zeros(2), shape), 10, 4)
    assert (plan.blend, plan.borders) == (2, [10])
    outputs = Outputs(tmp_path, f"v.{extension}", Header(shape, np.float32, slab=10))
    for slab, value in zip(plan.slabs, (0.0, 1.0), strict=True):
        outputs.write("volume", slab, np.full((3, 10, 4), value, np.float32))
    outputs.keep("volume", 10, "low", np.zeros((3, 4, 4), np.float32))
    outputs.keep("volume", 10, "high", np.ones((3, 4, 4), np.float32))
    for _ in range(2):  # a second time changes nothing
        outputs.blend(plan, 10)
        rows = open_stack(tmp_path / f"v.{extension}").data[...]
        # rows 8 to 11 have their middles at 1/8, 3/8, 5/8 and 7/8 of the four rows
        expected = np.array([0.0] * 8 + [0.125, 0.375, 0.625, 0.875] + [1.0] * 8, np.float32)
        np.testing.assert_array_equal(rows, np.broadcast_to(expected[:, None], shape))


def test_values_of_both_slabs_are_weighed(tmp_path):
    shape = (1, 8, 1)
    plan = split_rows(Geometry(np.zeros(2), shape), 4, 2)
    outputs = Outputs(tmp_path, "v.npy", Header(shape, np.float32))
    for slab in plan.slabs:
        outputs.write("volume", slab, np.zeros((1, 4, 1), np.float32))
    outputs.keep("volume", 4, "low", np.array([8.0, 16.0], np.float32).reshape(1, 2, 1))
    outputs.keep("volume", 4, "high", np.array([0.0, 4.0], np.float32).reshape(1, 2, 1))
    outputs.blend(plan, 4)
    # 3/4 of 8 and 1/4 of 0; 1/4 of 16 and 3/4 of 4
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy").ravel(), [0, 0, 0, 6, 7, 0, 0, 0])


def test_the_residual_of_a_run_is_the_root_mean_square_of_its_slabs():
    assert overall_residual([{"residual": 3.0}, {"residual": 4.0}]) == pytest.approx(12.5**0.5)
    assert overall_residual([{"residual": 0.5}, {"residual": 0.5}, {}]) == 0.5
    assert overall_residual([{}, {"residual": None}]) is None
