"""The user's grid within the prior's: the same volume has the same projections on both."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tomoprior.geometry import Geometry
from tomoprior.methods.diffusion.grid import onto_prior_grid
from tomoprior.projector import Projector


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize(("nz", "height"), [(7, 16), (8, 16), (15, 16), (16, 16), (1, 16), (7, 15), (8, 15), (14, 15)])
def test_an_embedded_volume_projects_as_it_did(nz, height, shifted):
    angles = np.deg2rad([-67.0, -30.0, -3.0, 0.0, 12.0, 45.0, 71.0])
    shifts = np.array([[0.0, 0.3]] * 6 + [[0.4, -1.7]]) if shifted else None
    geometry = Geometry(angles, (nz, 4, 30), center=14.3, shifts=shifts, voxel_size=2.0, unit="micrometer")
    x = torch.rand((nz, 4, 30), generator=torch.Generator().manual_seed(0))
    grid = onto_prior_grid(geometry, height, 20.0, "nanometer")
    assert (grid.geometry.voxel_size, grid.geometry.unit) == (20.0, "nanometer")
    assert grid.geometry.shape == (height, 4, 30)
    embedded = torch.zeros(height, 4, 30)
    embedded[grid.first : grid.first + nz] = x
    assert torch.equal(grid.crop(embedded), x)
    own = Projector(geometry, "cpu")(x)
    torch.testing.assert_close(Projector(grid.geometry, "cpu")(embedded), own, rtol=1e-4, atol=1e-4)
    # half a voxel the other way is another picture
    if (height - nz) % 2:
        assert float((Projector(geometry.with_thickness(height), "cpu")(embedded) - own).abs().max()) > 0.05
    else:
        assert (grid.geometry.shifts is None) == (not shifted)


def test_the_users_shifts_are_left_as_they_are():
    shifts = np.array([[0.0, 0.3], [0.4, -1.7]])
    geometry = Geometry(np.deg2rad([-30.0, 30.0]), (7, 4, 30), shifts=shifts)
    onto_prior_grid(geometry, 16, 1.0, "pixel")
    np.testing.assert_array_equal(geometry.shifts, shifts)
