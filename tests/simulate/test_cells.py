from __future__ import annotations

import numpy as np
import pytest

from tomoprior.errors import InputError
from tomoprior.simulate import Tissue, cells


@pytest.fixture(scope="module")
def grey():
    return cells((48, 64, 72), 16.0, seed=3)


def test_the_same_seed_gives_the_same_tissue(grey):
    np.testing.assert_array_equal(grey, cells((48, 64, 72), 16.0, seed=3))
    assert np.mean(grey != cells((48, 64, 72), 16.0, seed=4)) > 0.5


def test_membranes_are_thin_dark_and_in_all_directions(grey):
    assert grey.shape == (48, 64, 72)
    assert grey.dtype == np.uint8
    dark = grey < 90
    assert 0.05 < dark.mean() < 0.6
    gradients = [np.abs(np.diff(grey.astype(float), axis=axis)).mean() for axis in range(3)]
    assert max(gradients) < 1.3 * min(gradients)
    # most of what is dark ends within a few voxels: there is no large dark body
    assert dark[:-8].astype(int)[dark[8:]].mean() < 0.75


def test_cells_serve_as_tissue_of_the_simulator(grey):
    tissue = Tissue.of(grey, 16.0)
    density = tissue.density(grey)
    assert 0.1 < density.mean() < 0.7
    assert density.std() > 0.15


@pytest.mark.parametrize(("shape", "size"), [((8, 64, 64), 10.0), ((64, 64), 10.0), ((64, 64, 64), 30.0), ((64, 64, 64), 0.0)])
def test_grids_that_show_no_cell_are_refused(shape, size):
    with pytest.raises(InputError, match="simulated tissue"):
        cells(shape, size)
