"""Checks of a reconstruction method on a small phantom: its result, its settings, its arguments, and what it promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tomoprior import methods
from tomoprior.errors import InputError, SettingsError
from tomoprior.geometry import Geometry
from tomoprior.methods import Method, Settings
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction
from tomoprior.simulate import Spheres
from tomoprior.testing.operators import close, refused, require

#: Two orders of the same tilts add the same numbers in another order; iterations amplify the rounding.
ORDER_TOLERANCE = 1e-3
#: A slice alone against the same slice in a slab: the same arithmetic, blocked otherwise.
SLAB_TOLERANCE = 1e-6
#: A tilt that counts for nothing may leave nothing but rounding.
WEIGHT_TOLERANCE = 1e-4


def check_method(
    method: Method | str,
    settings: Mapping[str, Any] | None = None,
    *,
    device: str = "cpu",
    center: float = 12.4,
    order_tolerance: float = ORDER_TOLERANCE,
) -> None:
    """Check everything that the rest of tomoprior relies on in a method, on hollow spheres with exact projections.

    The result has the grid's shape, is finite, float32 and like the truth; inputs are left as they are; the same call gives the
    same bits; the order of the tilts does not matter; arguments that do not fit raise
    InputError; weights, mask and initial volume are honoured or refused; progress is reported and what it raises gets out;
    slices are independent where ``couples_slices`` is false; settings are strict and described.

    Parameters
    ----------
    method
        The method or its name.
    settings
        Settings other than the defaults: few iterations, small networks. The method runs some twenty times on 12 x 6 x 24
        voxels and 17 tilts.
    device
        Where to run. Equal bits are asked for on the CPU only.
    center
        Rotation axis; off the middle, which is 12, unless the method takes no other.
    order_tolerance
        Relative difference allowed between the volumes from two orders of the tilts: more for a method that goes through
        them one after the other.

    Raises
    ------
    AssertionError
        With what is wrong, in one line.
    """
    found = methods.get(method) if isinstance(method, str) else method
    _check_description(found)
    _check_settings(found)
    values = found.Settings.parse(dict(settings or {}))
    case = _Case.make(found, values, device, center)
    _check_estimates(case)
    _check_result(case)
    _check_repeats(case)
    _check_progress(case)
    _check_refusals(case)
    _check_order(case, order_tolerance)
    _check_weights(case)
    _check_mask(case)
    _check_initial(case)
    _check_slab(case)
    _check_small(case)


@dataclass(frozen=True)
class _Case:
    """A method with its settings and a phantom to try it on."""

    method: Method
    settings: Settings
    phantom: Spheres
    projector: Projector
    projections: torch.Tensor

    @classmethod
    def make(cls, method: Method, settings: Settings, device: str, center: float) -> _Case:
        shape = (12, 6, 24)
        # an axis off the middle and tilts that are not even: what a method might take for granted
        angles = np.deg2rad(np.linspace(-64, 64, 17) + np.tile([0.0, 0.7], 9)[:17])
        geometry = Geometry(angles, shape, center=np.array(center))
        phantom = Spheres.random(shape, radius=(2.5, 4.0), fill=0.2, seed=3)
        return cls(method, settings, phantom, Projector(geometry, device), _data(phantom, geometry, device))

    def run(
        self, projections: torch.Tensor | None = None, projector: Projector | None = None, **arguments: Any
    ) -> Reconstruction:
        """Run the method on these data or others."""
        p = self.projections if projections is None else projections
        torch.manual_seed(0)  # as tomoprior.reconstruct does, for methods that draw random numbers
        return self.method.reconstruct(p, self.projector if projector is None else projector, self.settings, **arguments)

    def volume(
        self, projections: torch.Tensor | None = None, projector: Projector | None = None, **arguments: Any
    ) -> torch.Tensor:
        """Run the method and keep the volume only."""
        volume: torch.Tensor = self.run(projections, projector, **arguments).volume
        return volume


def _data(phantom: Spheres, geometry: Geometry, device: str) -> torch.Tensor:
    return torch.from_numpy(phantom.project(geometry)).to(device)


def _check_description(method: Method) -> None:
    members = ("name", "summary", "citation", "Settings", "couples_slices", "uses_projector", "memory", "work", "reconstruct")
    lacking = [name for name in members if not hasattr(method, name)]
    require(not lacking, f"{type(method).__name__} lacks {', '.join(lacking)}")
    for name in ("name", "summary", "citation"):
        value = getattr(method, name)
        require(isinstance(value, str) and bool(value.strip()), f"{name} is empty")
        require("\n" not in value, f"{name} takes more than one line")
    for name in ("couples_slices", "uses_projector"):
        require(isinstance(getattr(method, name), bool), f"{name} is neither True nor False")


def _check_settings(method: Method) -> None:
    kind = method.Settings
    require(isinstance(kind, type) and issubclass(kind, Settings), "Settings does not derive from tomoprior.methods.Settings")
    for name, field in kind.model_fields.items():
        require(bool(field.description), f"setting {name} has no description")
        require(not field.is_required(), f"setting {name} has no default")
    defaults = kind.parse({})
    again = kind.parse(defaults.model_dump())
    require(again == defaults, "the default settings do not survive model_dump and parse")
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
        raise AssertionError(f"setting {name} can be changed after the settings are made")


def _check_estimates(case: _Case) -> None:
    geometry = case.projector.geometry
    size = case.method.memory(geometry, case.settings)
    require(isinstance(size, int) and size > 0, f"memory() gives {size!r}, not a number of bytes")
    work = case.method.work(geometry, case.settings)
    require(isinstance(work, (int, float)) and 0 < work < float("inf"), f"work() gives {work!r}, not a cost")
    # per-slice methods share tables between slices, so only the direction is certain
    nz, ny, nx = geometry.shape
    taller = Geometry(geometry.angles, (nz, 100 * ny, nx))
    require(case.method.memory(taller, case.settings) > size, "memory() does not grow with the number of slices")


def _check_result(case: _Case) -> None:
    p, geometry = case.projections.clone(), case.projector.geometry
    projector = case.projector.with_geometry(geometry)
    result = case.run(p, projector)
    require(torch.equal(p, case.projections), "the method changes the projections")
    require(case.method.uses_projector or projector._built is None, "the projector is prepared, but uses_projector is False")
    require(isinstance(result, Reconstruction), f"reconstruct gives a {type(result).__name__}, not a Reconstruction")
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


def _check_repeats(case: _Case) -> None:
    volumes = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        volumes.append(case.volume())
    if case.projector.device.type == "cpu":
        require(
            torch.equal(*volumes), "the same call gives other bits the second time; a method takes its seed from its settings"
        )
    strided = case.projections.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    close(case.volume(strided), volumes[0], SLAB_TOLERANCE, "the result depends on the strides of the projections")


def _check_progress(case: _Case) -> None:
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
    require(torch.equal(result, case.volume()) or case.projector.device.type != "cpu", "reporting progress changes the result")

    def interrupt(iteration: int, num_iter: int, values: dict[str, float]) -> None:
        raise KeyboardInterrupt

    try:
        case.volume(progress=interrupt)
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("a KeyboardInterrupt from progress does not get out")


def _check_refusals(case: _Case) -> None:
    p, geometry = case.projections, case.projector.geometry
    n, (nz, ny, nx) = geometry.n_angles, geometry.shape
    for bad in (float("nan"), float("inf"), -float("inf")):
        spoilt = p.clone()
        spoilt[1, 2, 3] = bad
        refused(lambda data=spoilt: case.run(data), f"a pixel that is {bad}")  # type: ignore[misc]
    refused(lambda: case.run(p[:-1]), "a tilt too few")
    refused(lambda: case.run(p[..., :-1]), "a column too few")
    refused(lambda: case.run(p[None]), "an axis too many")
    refused(lambda: case.run(p.double()), "float64 projections")
    ones = torch.ones_like(p)
    refused(lambda: case.run(weights=ones[:-1]), "weights for a tilt too few")
    refused(lambda: case.run(weights=torch.ones(n + 1, device=p.device)), "weights for a tilt too many")
    refused(lambda: case.run(weights=-torch.ones(n, device=p.device)), "negative weights")
    refused(lambda: case.run(weights=torch.zeros(n, device=p.device)), "weights that are all zero")
    refused(lambda: case.run(weights=torch.full((n,), torch.nan, device=p.device)), "weights that are NaN")
    refused(lambda: case.run(mask=torch.ones(nz, nx + 1, device=p.device)), "a mask of another width")
    refused(lambda: case.run(mask=torch.zeros(nz, nx, device=p.device)), "a mask that is empty")
    refused(lambda: case.run(initial=torch.zeros(nz, ny, nx + 1, device=p.device)), "an initial volume of another width")
    refused(lambda: case.run(initial=torch.full((nz, ny, nx), torch.nan, device=p.device)), "an initial volume of NaN")


def _check_order(case: _Case, tol: float) -> None:
    order = np.random.default_rng(0).permutation(case.projector.geometry.n_angles)
    other = case.volume(case.projections[torch.from_numpy(order).to(case.projections.device)], case.projector.subset(order))
    close(other, case.volume(), tol, "another order of the tilts gives another volume")


def _check_weights(case: _Case) -> None:
    """Check that a weight of zero switches a tilt, or a pixel, off: whatever it holds, the result is the same."""
    n, _, nu = case.projector.range_shape
    per_tilt = torch.ones(n, device=case.projections.device)
    per_tilt[[2, n // 2]] = 0
    per_pixel = torch.ones_like(case.projections)
    per_pixel[n // 2, 1:3, nu // 3 : nu // 2] = 0
    for name, weights in (("tilt", per_tilt), ("pixel", per_pixel)):
        kept = weights.clone()
        volume = _unless_refused(case, weights=weights)
        require(torch.equal(weights, kept), f"the method changes the weights per {name}")
        if volume is None:
            continue
        spoilt = torch.where(weights.reshape(n, *weights.shape[1:] or (1, 1)) > 0, case.projections, case.projections + 5)
        _finite(volume, case, f"with weights per {name}")
        close(case.volume(spoilt, weights=weights), volume, WEIGHT_TOLERANCE, f"a {name} of weight zero has an influence")
        difference = (volume - case.volume()).abs().max()
        require(bool(difference > 0), f"weights per {name} have no influence")


def _check_mask(case: _Case) -> None:
    nz, ny, nx = case.projector.domain_shape
    flat = torch.ones(nz, nx, device=case.projections.device)
    flat[:3], flat[:, :4] = 0, 0
    full = flat[:, None, :].repeat(1, ny, 1)
    for mask in (flat, full):
        kept = mask.clone()
        volume = _unless_refused(case, mask=mask)
        require(torch.equal(mask, kept), "the method changes the mask")
        if volume is not None:
            _finite(volume, case, "with a mask")
            require(not bool(volume[full == 0].any()), "the volume is not zero outside the mask")
            require(bool(volume[full == 1].any()), "the volume is zero inside the mask")


def _check_initial(case: _Case) -> None:
    shape = case.projector.domain_shape
    initial = torch.from_numpy(case.phantom.volume(shape)).to(case.projections.device)
    kept = initial.clone()
    volume = _unless_refused(case, initial=initial)
    require(torch.equal(initial, kept), "the method changes the initial volume")
    if volume is not None:
        _finite(volume, case, "from an initial volume")
        require(not torch.equal(volume, case.volume()), "the initial volume has no influence")
        require(volume.data_ptr() != initial.data_ptr(), "the result is the initial volume's own memory")


def _check_slab(case: _Case) -> None:
    if case.method.couples_slices:
        return
    whole = case.volume()
    projector = case.projector.with_geometry(case.projector.geometry.rows(2, 4))
    alone = case.volume(case.projections[:, 2:4].contiguous(), projector)
    close(
        alone,
        whole[:, 2:4],
        SLAB_TOLERANCE,
        "slices reconstructed alone differ from those in the slab, but couples_slices is False",
    )


def _check_small(case: _Case) -> None:
    """Check sizes of one, odd and even, a centre per slice and shifts: a finite result, or a refusal in one line."""
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
            volume = case.volume(_data(phantom, geometry, str(projector.device)), projector)
        except InputError as error:
            require("\n" not in str(error), f"the error for {name} takes more than one line")
            continue
        require(tuple(volume.shape) == geometry.shape, f"the result for {name} has shape {tuple(volume.shape)}")
        require(bool(torch.isfinite(volume).all()), f"the result for {name} holds values that are not finite")
        require(bool(volume.any()), f"the result for {name} is zero everywhere")


def _unless_refused(case: _Case, **arguments: Any) -> torch.Tensor | None:
    """Give the volume, or None if the method says in one line that it has no use for an argument."""
    try:
        return case.volume(**arguments)
    except InputError as error:
        require("\n" not in str(error), f"a refusal takes more than one line: {error}")
        return None


def _finite(volume: torch.Tensor, case: _Case, when: str) -> None:
    require(tuple(volume.shape) == case.projector.domain_shape, f"the result {when} has shape {tuple(volume.shape)}")
    require(bool(torch.isfinite(volume).all()), f"the result {when} holds values that are not finite")
