"""Checks of the interface of a method: description, settings, estimates, result, progress and refusals."""

from __future__ import annotations

import numpy as np
import torch

from tomoprior.errors import InputError, SettingsError
from tomoprior.geometry import Geometry
from tomoprior.methods import Method, Settings
from tomoprior.reconstruction import Reconstruction
from tomoprior.simulate import Spheres
from tomoprior.testing._assertions import require, require_close, require_refusal
from tomoprior.testing._case import SLAB_TOLERANCE, Case, project_phantom


def check_description(method: Method) -> None:
    """Check that all members exist and that texts are one line."""
    members = (
        "name",
        "summary",
        "citation",
        "Settings",
        "couples_slices",
        "uses_projector",
        "memory",
        "cost_in_pairs",
        "reconstruct",
    )
    missing = [name for name in members if not hasattr(method, name)]
    require(not missing, f"{type(method).__name__} lacks {', '.join(missing)}")
    for name in ("name", "summary", "citation"):
        value = getattr(method, name)
        require(isinstance(value, str) and bool(value.strip()), f"{name} is empty")
        require("\n" not in value, f"{name} takes more than one line")
    for name in ("couples_slices", "uses_projector"):
        require(isinstance(getattr(method, name), bool), f"{name} is neither True nor False")


def check_settings(method: Method) -> None:
    """Check that settings are strict, frozen and described, and that each has a default."""
    kind = method.Settings
    require(isinstance(kind, type) and issubclass(kind, Settings), "Settings does not derive from tomoprior.methods.Settings")
    for name, field in kind.model_fields.items():
        require(bool(field.description), f"setting {name} has no description")
        require(not field.is_required(), f"setting {name} has no default")
    defaults = kind.parse({})
    parsed = kind.parse(defaults.model_dump())
    require(parsed == defaults, "the default settings do not survive model_dump and parse")
    try:
        kind.parse({"no_such_setting": 1})
    except SettingsError:
        pass
    else:
        raise AssertionError("an unknown setting is accepted")
    for name in kind.model_fields:
        try:
            setattr(defaults, name, getattr(defaults, name))
        except ValueError:  # pydantic's error for a frozen instance
            continue
        raise AssertionError(f"setting {name} of a settings object can be changed")


def check_estimates(case: Case) -> None:
    """Check that the estimates of memory and cost are positive and that memory grows with the slices."""
    geometry = case.projector.geometry
    size = case.method.memory(geometry, case.settings)
    require(isinstance(size, int) and size > 0, f"memory() returns {size!r}, not a number of bytes")
    work = case.method.cost_in_pairs(geometry, case.settings)
    require(isinstance(work, (int, float)) and 0 < work < float("inf"), f"cost_in_pairs() returns {work!r}, not a cost")
    # methods share tables between slices, so that only the direction is certain
    nz, ny, nx = geometry.shape
    taller = Geometry(geometry.angles, (nz, 100 * ny, nx))
    require(case.method.memory(taller, case.settings) > size, "memory() does not grow with the number of slices")


def check_result(case: Case) -> None:
    """Check shape, type and values of the result, and that the inputs are unchanged."""
    p, geometry = case.projections.clone(), case.projector.geometry
    projector = case.projector.with_geometry(geometry)
    result = case.run(p, projector)
    require(torch.equal(p, case.projections), "the method changes the projections")
    require(case.method.uses_projector or not projector.is_prepared, "the projector is prepared, but uses_projector is False")
    require(isinstance(result, Reconstruction), f"reconstruct returns a {type(result).__name__}, not a Reconstruction")
    require(result.geometry == geometry, "the result has another geometry than the projector")
    for name, array in (("volume", result.volume), ("std", result.std)):
        if array is None and name == "std":
            continue
        require(isinstance(array, torch.Tensor), f"the {name} is a {type(array).__name__}, not a tensor")
        require(tuple(array.shape) == geometry.domain_shape, f"the {name} has shape {tuple(array.shape)}")
        require(array.dtype == torch.float32, f"the {name} is {array.dtype}, not float32")
        require(array.device.type == case.projector.device.type, f"the {name} is on {array.device}")
        require(not array.requires_grad, f"the {name} carries a graph")
        require(bool(torch.isfinite(array).all()), f"the {name} holds values that are not finite")
    require(result.std is None or not bool((result.std < 0).any()), "the std is negative somewhere")
    for name, values in result.history.items():
        require(bool(np.isfinite(values).all()), f"the history of {name} holds values that are not finite")
    residual = result.history.get("residual", [])
    require(len(residual) < 2 or residual[-1] < residual[0], f"the residual goes from {residual[:1]} to {residual[-1:]}")
    truth = case.phantom.volume(geometry.shape).ravel().astype(np.float64)
    correlation = float(np.corrcoef(result.volume.cpu().numpy().ravel().astype(np.float64), truth)[0, 1])
    require(correlation > 0.5, f"the result has a correlation of {correlation:.2f} with the truth")


def check_repeats(case: Case) -> None:
    """Check that a second call returns the same bits, and that strides of the projections do not matter."""
    volumes = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        volumes.append(case.volume())
    if case.projector.device.type == "cpu":
        require(torch.equal(*volumes), "a second call returns other bits; a method takes its seed from its settings")
    strided = case.projections.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    require_close(case.volume(strided), volumes[0], SLAB_TOLERANCE, "the result depends on the strides of the projections")


def check_progress(case: Case) -> None:
    """Check that progress is reported and changes nothing, and that an exception from it propagates."""
    calls: list[tuple[int, int]] = []

    def progress(iteration: int, num_iter: int, values: dict[str, float]) -> None:
        require(isinstance(values, dict), f"progress gets a {type(values).__name__} for its values")
        for name, value in values.items():
            require(isinstance(name, str) and isinstance(value, float), f"progress gets {name!r}: {value!r}")
        calls.append((iteration, num_iter))

    result = case.volume(progress=progress)
    require(bool(calls), "progress is never called")
    iterations = [i for i, _ in calls]
    require(iterations[0] >= 1 and iterations == sorted(set(iterations)), f"iterations are reported as {iterations[:5]}")
    require(
        all(i <= n for i, n in calls) and len({n for _, n in calls}) == 1,
        f"the number of iterations is reported as {calls[-1]}",
    )
    require(torch.equal(result, case.plain) or case.projector.device.type != "cpu", "reporting progress changes the result")

    def interrupt(iteration: int, num_iter: int, values: dict[str, float]) -> None:
        raise KeyboardInterrupt

    try:
        case.volume(progress=interrupt)
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("a KeyboardInterrupt from progress does not propagate")


def check_refusals(case: Case) -> None:
    """Check that arguments of wrong shape, type or value raise InputError."""
    p, geometry = case.projections, case.projector.geometry
    n, (nz, ny, nx) = geometry.n_angles, geometry.shape
    for bad in (float("nan"), float("inf"), -float("inf")):
        damaged = p.clone()
        damaged[1, 2, 3] = bad
        require_refusal(lambda data=damaged: case.run(data), f"a pixel that is {bad}")  # type: ignore[misc]
    require_refusal(lambda: case.run(p[:-1]), "a tilt too few")
    require_refusal(lambda: case.run(p[..., :-1]), "a column too few")
    require_refusal(lambda: case.run(p[None]), "an axis too many")
    require_refusal(lambda: case.run(p.double()), "float64 projections")
    ones = torch.ones_like(p)
    require_refusal(lambda: case.run(weights=ones[:-1]), "weights for a tilt too few")
    require_refusal(lambda: case.run(weights=torch.ones(n + 1, device=p.device)), "weights for a tilt too many")
    require_refusal(lambda: case.run(weights=-torch.ones(n, device=p.device)), "negative weights")
    require_refusal(lambda: case.run(weights=torch.zeros(n, device=p.device)), "weights that are all zero")
    require_refusal(lambda: case.run(weights=torch.full((n,), torch.nan, device=p.device)), "weights that are NaN")
    require_refusal(lambda: case.run(mask=torch.ones(nz, nx + 1, device=p.device)), "a mask of another width")
    require_refusal(lambda: case.run(mask=torch.zeros(nz, nx, device=p.device)), "a mask that is empty")
    require_refusal(
        lambda: case.run(initial=torch.zeros(nz, ny, nx + 1, device=p.device)), "an initial volume of another width"
    )
    require_refusal(lambda: case.run(initial=torch.full((nz, ny, nx), torch.nan, device=p.device)), "an initial volume of NaN")


def check_small(case: Case) -> None:
    """Check small and odd sizes, a centre per slice and shifts: a finite result, or a refusal of one line."""
    shifts = np.tile([[0.0, 0.4], [0.25, -0.3]], (4, 1))[:7]
    angles = np.deg2rad(np.linspace(-60, 60, 7))
    cases = {
        "one slice": Geometry(angles, (9, 1, 16)),
        "a slab one voxel thick": Geometry(angles, (1, 3, 16)),
        "one tilt": Geometry(angles[:1], (9, 3, 16)),
        "a detector wider than the grid": Geometry(angles, (8, 3, 13), detector=(3, 17)),
        "a centre per slice and shifts": Geometry(angles, (9, 3, 16), center=np.array([7.6, 8.0, 8.3]), shifts=shifts),
        "tilts of 90 degrees": Geometry(np.deg2rad([-90, -45, 0, 45, 90]), (16, 3, 16)),
    }
    for name, geometry in cases.items():
        phantom = Spheres(np.array([[0.0, 0.0, 1.5]]), np.array([3.0]), np.array([0.0]), np.array([1.0]))
        projector = case.projector.with_geometry(geometry)
        try:
            volume = case.volume(project_phantom(phantom, geometry, str(projector.device)), projector)
        except InputError as error:
            require("\n" not in str(error), f"the error for {name} takes more than one line")
            continue
        require(tuple(volume.shape) == geometry.shape, f"the result for {name} has shape {tuple(volume.shape)}")
        require(bool(torch.isfinite(volume).all()), f"the result for {name} holds values that are not finite")
        require(bool(volume.any()), f"the result for {name} is zero everywhere")
