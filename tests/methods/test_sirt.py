"""SIRT: ASTRA's own is the reference; bounds, mask, weights, stopping, warm start."""

import itertools

import astra
import numpy as np
import pytest
import torch

from tomoprior import Geometry, Projector, methods, testing
from tomoprior.adapters.astra.geometry import slice_geometries
from tomoprior.simulate import Spheres


@pytest.mark.parametrize(
    "settings",
    [{}, {"min_constraint": 0.0, "max_constraint": 1.0}, {"relaxation": 1.9}, {"pad": 0}, {"pad": 5}],
    ids=str,
)
def test_conformance(settings):
    testing.check_method("sirt", {"num_iter": 15, **settings})


def astra_sirt(projections, geometry, num_iter, **option):
    """ASTRA's algorithm SIRT with the linear kernel and ``parallel_vec``, slice by slice."""
    ny = geometry.shape[1]
    volume = np.zeros(geometry.shape, np.float32)
    for y in range(ny):
        rays, grid = slice_geometries(geometry, y)
        projector = astra.create_projector("linear", rays, grid)
        sinogram = astra.data2d.create("-sino", rays, np.ascontiguousarray(projections[:, y]))
        image = astra.data2d.create("-vol", grid, 0)
        config = astra.astra_dict("SIRT")
        config.update(ProjectorId=projector, ProjectionDataId=sinogram, ReconstructionDataId=image, option=option)
        algorithm = astra.algorithm.create(config)
        astra.algorithm.run(algorithm, num_iter)
        volume[:, y] = astra.data2d.get(image)
        astra.algorithm.delete(algorithm)
        astra.data2d.delete([sinogram, image])
        astra.projector.delete(projector)
    return torch.from_numpy(volume)


@pytest.mark.parametrize("bounds", [(None, None), (0.0, 0.8)], ids=str)
@pytest.mark.parametrize(("nz", "nx", "nu"), [(16, 24, 28), (25, 25, 25), (24, 16, 20)])
def test_it_is_astras_sirt(nz, nx, nu, bounds, difference):
    shape = (nz, 3, nx)
    shifts = np.random.default_rng(0).uniform(-1, 1, (19, 2)) * [0, 1]
    geometry = Geometry(np.deg2rad(np.linspace(-70, 65, 19)), shape, (3, nu), nu / 2 + np.array([0.4, -0.3, 0.4]), shifts)
    at = np.array([[1.0, 0, 2], [-3, 0.5, -4]])
    p = Spheres(at, np.array([4.0, 3]), np.array([2.0, 0]), np.array([1.0, 1])).project(geometry)
    low, high = bounds
    method = methods.get("sirt")
    settings = method.Settings(num_iter=20, pad=0, min_constraint=low, max_constraint=high)
    found = method.reconstruct(torch.from_numpy(p), Projector(geometry, "cpu"), settings).volume
    option = {k: v for k, v in (("MinConstraint", low), ("MaxConstraint", high)) if v is not None}
    assert difference(found, astra_sirt(p, geometry, 20, **option)) < 1e-4


def test_bounds_are_kept_and_help(limited):
    free = limited.run("sirt", num_iter=60).volume
    bounded = limited.run("sirt", num_iter=60, min_constraint=0.0, max_constraint=1.0).volume
    assert free.min() < -0.02
    assert bounded.min() == 0
    assert bounded.max() <= 1
    assert limited.psnr(bounded) > limited.psnr(free) + 0.5


def test_more_iterations_fit_better_and_the_history_says_so(limited):
    result = limited.run("sirt", num_iter=50)
    residual = result.history["residual"]
    assert len(residual) == 50
    assert residual[0] == pytest.approx(1)
    assert all(b <= a for a, b in itertools.pairwise(residual))
    p, A = limited.projections, limited.projector
    free = limited.run("sirt", num_iter=50, pad=0)
    expected = limited.run("sirt", num_iter=49, pad=0).volume
    assert free.history["residual"][-1] == pytest.approx(float((A(expected) - p).norm() / p.norm()), rel=1e-4)


@pytest.mark.parametrize("name", ["sirt", "sart", "cgls", "tikhonov", "tv"])
def test_a_residual_small_enough_ends_it(limited, name):
    long = limited.run(name, num_iter=60)
    tolerance = 0.5 * (long.history["residual"][10] + long.history["residual"][11])
    short = limited.run(name, num_iter=60, residual_tolerance=tolerance)
    residual = short.history["residual"]
    assert residual[-1] <= tolerance < residual[-2]
    assert len(residual) < 60
    assert short.provenance["iterations"] == len(residual)


@pytest.mark.parametrize(("name", "tol"), [("sirt", 1e-5), ("sart", 1e-5)])
def test_a_warm_start_goes_on_where_it_stopped(limited, name, tol, difference):
    whole = limited.run(name, num_iter=30, pad=0).volume
    half = limited.run(name, num_iter=15, pad=0).volume
    assert difference(limited.run(name, num_iter=15, pad=0, initial=half).volume, whole) < tol


@pytest.mark.parametrize("name", ["cgls", "tikhonov", "tv"])
def test_a_warm_start_from_the_solution_is_closer_to_it_than_a_cold_one(limited, name, difference):
    """They start their search directions, and tv its dual, anew; what is gained already stays gained."""
    settings = {"pad": 0, **({} if name == "cgls" else {"reg_par": 1.0})}
    solution = limited.run(name, num_iter=200, **settings).volume
    warm = limited.run(name, num_iter=10, initial=solution, **settings)
    cold = limited.run(name, num_iter=10, **settings)
    assert warm.history["residual"][0] < 0.1 < cold.history["residual"][0]
    assert difference(warm.volume, solution) < 0.5 * difference(cold.volume, solution)


@pytest.mark.parametrize("name", ["sirt", "cgls", "tv", "tikhonov"])
@pytest.mark.parametrize("full_size", [False, True])
def test_a_tilt_of_weight_zero_is_a_tilt_left_out(limited, name, full_size, difference):
    """In methods that update from all tilts at once; few iterations, since conjugate gradients amplify rounding with each."""
    settings = {"num_iter": 5, "pad": 4}
    if name in ("tv", "tikhonov"):  # given, since the rule for it looks at the weights
        settings["reg_par"] = 0.5
    if name == "tv":  # its steps are bounded by all tilts: the iterates differ, the solution does not
        settings["num_iter"] = 300
    keep = np.setdiff1d(np.arange(25), [0, 11])
    weights = torch.zeros(25)
    weights[keep] = 1
    spoilt = limited.projections.clone()
    spoilt[[0, 11]] = 100
    if full_size:
        weights = weights[:, None, None].expand(spoilt.shape).contiguous()
    found = limited.run(name, projections=spoilt, weights=weights, **settings).volume
    fewer = limited.projector.subset(keep)
    subset = limited.run(name, projections=limited.projections[keep], projector=fewer, **settings).volume
    assert difference(found, subset) < (0.01 if name == "tv" else 1e-5)


@pytest.mark.parametrize("name", ["sirt", "sart", "cgls"])
def test_a_weight_of_three_is_a_tilt_taken_three_times(limited, name, difference):
    """Three times, to be exact; for SART in one subset, since it would take the copies one after the other."""
    settings = {"num_iter": 5, "pad": 0, **({"subset_size": 100, "relaxation": 1.0} if name == "sart" else {})}
    thrice = np.concatenate([np.arange(25), [7, 7]])
    weights = torch.ones(25)
    weights[7] = 3
    found = limited.run(name, weights=weights, **settings).volume
    more = limited.projector.subset(thrice)
    copied = limited.run(name, projections=limited.projections[thrice], projector=more, **settings).volume
    assert difference(found, copied) < 1e-5


@pytest.mark.parametrize("name", ["sirt", "cgls", "tikhonov", "tv"])
def test_a_mask_that_holds_the_object_helps(limited, name):
    settings = {"reg_par": 0.2} if name in ("tikhonov", "tv") else {}
    mask = (limited.truth > 0).float()
    masked = limited.run(name, mask=mask, num_iter=40, pad=0, **settings).volume
    assert not bool(masked[mask == 0].any())
    assert limited.psnr(masked) > limited.psnr(limited.run(name, num_iter=40, pad=0, **settings).volume) + 1


@pytest.mark.parametrize("relaxation", [0.3, 1.0, 1.99])
def test_it_converges_for_any_weights_and_relaxation(limited, relaxation):
    weights = torch.rand(limited.projections.shape, generator=torch.Generator().manual_seed(0)).pow(4)
    weights[3, :, 5:20] = 0
    residual = limited.run("sirt", weights=weights, relaxation=relaxation, num_iter=40).history["residual"]
    assert all(b <= a * (1 + 1e-6) for a, b in itertools.pairwise(residual))
    assert residual[-1] < 0.6
