"""The projector with a transfer function: adjoint, gradient, spectra, grids, and the bounds of its step sizes."""

import pickle

import numpy as np
import pytest
import torch

from tomoprior import FilteredProjector, Geometry, Projector
from tomoprior.errors import InputError
from tomoprior.methods.solving.problem import ray_and_voxel_sums, reciprocal_, set_up_problem
from tomoprior.microscopy import CTF, Transfer, filter_images
from tomoprior.projector import SpectrumProjector
from tomoprior.testing import check_operator

ANGLES = np.deg2rad([-60.0, -20.0, 10.0, 45.0])


@pytest.fixture(params=[16, 15], ids=["even", "odd"])
def geometry(request):
    return Geometry(ANGLES, (6, 10, request.param), voxel_size=5.0, unit="angstrom")


@pytest.fixture
def transfer(geometry):
    ctf = [CTF(2e4 + 1e3 * i, 1.9e4, 0.4) for i in range(4)]
    return Transfer(geometry.detector, 5.0, ctf=ctf, dose=[1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize("kind", [FilteredProjector, SpectrumProjector])
def test_adjoint_and_gradient_are_exact(geometry, transfer, kind):
    A = kind(Projector(geometry, "cpu"), transfer)
    check_operator(A)
    assert A.adjoint_error() < 1e-6
    assert A.describe()["adjoint_error"] < 1e-6


def test_images_are_the_filtered_projections(geometry, transfer):
    A = Projector(geometry, "cpu")
    x = torch.rand(geometry.shape, generator=torch.Generator().manual_seed(0))
    expected = filter_images(A(x), torch.from_numpy(transfer.array()))
    torch.testing.assert_close(FilteredProjector(A, transfer)(x), expected, atol=1e-5, rtol=1e-5)


def test_spectra_have_the_lengths_of_the_images(geometry, transfer):
    A = Projector(geometry, "cpu")
    x = torch.rand(geometry.shape, generator=torch.Generator().manual_seed(0))
    images, spectra = FilteredProjector(A, transfer)(x), SpectrumProjector(A, transfer)
    assert float(spectra(x).norm()) == pytest.approx(float(images.norm()), rel=1e-4)
    torch.testing.assert_close(spectra.spectrum(images), spectra(x), atol=2e-3, rtol=0)


def test_subsets_and_wider_grids_keep_the_transfer(geometry, transfer):
    A = FilteredProjector(Projector(geometry, "cpu"), transfer)
    x = torch.rand(geometry.shape)
    torch.testing.assert_close(A.subset([2, 0])(x), A(x)[[2, 0]])
    torch.testing.assert_close(A.subset(np.array([False, True, False, True]))(x), A(x)[[1, 3]])
    wide = A.with_geometry(geometry.padded(2))
    torch.testing.assert_close(wide(torch.nn.functional.pad(x, (2, 2))), A(x))
    torch.testing.assert_close(pickle.loads(pickle.dumps(A))(x), A(x))


def test_single_slices_are_refused(geometry, transfer):
    A = FilteredProjector(Projector(geometry, "cpu"), transfer)
    assert A.couples_slices
    with pytest.raises(InputError, match="couples the rows"):
        A.with_geometry(geometry.rows(0, 1))


@pytest.mark.parametrize("wrong", [np.ones((4, 10, 5)), np.ones((4, 10, 9), complex), torch.ones(2, 10, 9)])
def test_a_transfer_that_does_not_fit_is_refused(wrong):
    with pytest.raises(InputError, match="transfer function"):
        FilteredProjector(Projector(Geometry(ANGLES, (6, 10, 16)), "cpu"), wrong)


@pytest.mark.parametrize("kind", [FilteredProjector, SpectrumProjector])
@pytest.mark.parametrize("weighted", [False, True])
def test_scaled_steps_have_a_norm_of_at_most_one(geometry, transfer, kind, weighted):
    A = kind(Projector(geometry, "cpu"), 3 * transfer.array())
    weights = torch.tensor([1.0, 0.2, 3.0, 0.5]) if weighted else None
    problem = set_up_problem(torch.zeros(A.range_shape), A, 0, weights=weights, initial=None, mask=None)
    rows, columns = (reciprocal_(sums) for sums in ray_and_voxel_sums(problem))
    rows = rows if problem.weights is None else rows * problem.weights
    x, value = torch.rand(A.domain_shape, generator=torch.Generator().manual_seed(1)), 0.0
    for _ in range(60):
        x = columns * A.T(rows * A(x))
        value = float(x.norm())
        x /= value
    assert 0.05 < value <= 1 + 1e-5
