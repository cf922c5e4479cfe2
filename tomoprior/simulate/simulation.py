"""Simulation of a tilt series of a phantom, with its truth."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tomoprior._version import __version__
from tomoprior.errors import InputError, SettingsError
from tomoprior.geometry import Geometry
from tomoprior.progress import Progress
from tomoprior.reconstruction import Reconstruction
from tomoprior.series import TiltSeries
from tomoprior.simulate import phantoms
from tomoprior.simulate.cryo import CryoSettings, expose
from tomoprior.simulate.exposure import project_scene
from tomoprior.simulate.misalignment import misalign_geometry
from tomoprior.simulate.noise import add_counting_noise, add_gaussian_noise
from tomoprior.simulate.phantoms.base import ERRORS, NOISE, OPTICS, Phantom, random_stream

#: Facts of the noise that a record of halves has for each of them.
HALVED = {"snr", "dose", "noise_std", "pixels_without_count"}

#: Packages whose version is part of the record.
RECORDED_PACKAGES = ("numpy", "scipy", "torch", "astra-toolbox", "gemmi")


@dataclass(frozen=True, eq=False)
class Simulation:
    """A simulated tilt series, its truth and its record.

    Attributes
    ----------
    series
        Projections, with the geometry that a microscope would report, or the true one if ``aligned`` was set. It has no
        weights; the noise is described in ``series.metadata["simulation"]``.
    truth
        Voxel means of the phantom, shape ``(nz, ny, nx)``, in the series' geometry. Its provenance is the record.
    geometry
        The true geometry: angles, shifts and axis.
    record
        Everything needed to repeat the simulation, as plain numbers, lists and text.
    variance
        Variance of the noise of every line integral, shape ``range_shape``, where it is known (``tilt_series``).
    halves
        With ``halves``: the series of the even and of the odd frames. ``series`` has their mean.
    """

    series: TiltSeries
    truth: Reconstruction
    geometry: Geometry
    record: dict[str, Any]
    variance: NDArray[np.float32] | None = None
    halves: tuple[TiltSeries, TiltSeries] | None = None


def simulate(
    phantom: str | Phantom,
    shape: Iterable[int],
    angles: ArrayLike,
    *,
    seed: int = 0,
    voxel_size: float | None = None,
    supersample: int = 2,
    snr: float | None = None,
    dose: float | None = None,
    attenuation: float | None = None,
    shift_std: float = 0.0,
    drift: tuple[float, float] = (0.0, 0.0),
    angle_std: float = 0.0,
    axis_offset: float = 0.0,
    aligned: bool = False,
    cryo: CryoSettings | None = None,
    halves: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> Simulation:
    """Simulate the tilt series of a phantom.

    The phantom is rendered on voxels ``supersample`` times finer, projected with rays weighted by area (``strip``) and binned.
    A reconstruction uses interpolation (``linear``) on the coarse grid, so it does not merely invert the simulation. The truth
    is the mean of the same fine voxels.

    Parameters
    ----------
    phantom
        A name that ``tomoprior.simulate.list_phantoms()`` lists, or a phantom object.
    shape
        Grid ``(nz, ny, nx)`` in voxels; the detector is ``(ny, nx)``.
    angles
        Nominal tilt angles in radians, shape ``(n_angles,)``.
    seed
        The same seed gives the same simulation. Phantom, misalignment and noise have random numbers of their own.
    voxel_size
        Edge of a voxel in the phantom's unit (angstrom; micrometer for ``foam``); the default suits the phantom and the grid.
    supersample
        Fine voxels per voxel along each axis, 1 to 8.
    snr
        Variance of the signal over variance of the noise in every projection, over all its pixels. The noise is Gaussian and
        white.
    dose
        Electrons or photons per pixel and tilt, instead of ``snr``. Behind the specimen ``exp(-attenuation * p)`` of them are
        counted (Poisson), and the logarithm gives a line integral again.
    attenuation
        Attenuation per voxel of density 1; by default 1/e of the beam passes along the longest ray.
    shift_std
        Standard deviation of each tilt's shift along y and along u, in pixels.
    drift
        ``(dy, dx)`` in pixels from the first tilt to the last, linear, added to the shifts; zero in the middle of the series.
    angle_std
        Standard deviation of the angles' errors in radians.
    axis_offset
        Distance of the tilt axis from the middle of the detector, in pixels.
    cryo
        Record a frozen specimen: contrast transfer, damage by the dose, noise of ice at ``snr``. The series gets the transfer
        functions. Not with ``dose``, which counts electrons behind an absorbing specimen.
    halves
        Record the frames in two halves with independent noise, each with half the ``snr`` or ``dose``; the series is their
        mean. Methods choose settings and learn from such halves (``reconstruct_halves``).
    aligned
        The series has its true geometry instead of the nominal one.
    progress
        Called once per slab.
    **settings
        Settings of a phantom given by name: ``lowpass=0``, ``file="1f2n.cif"``.

    Returns
    -------
    Simulation
        With ``series``, ``truth``, ``geometry`` (the true one), ``record`` and on request ``halves``.

    Raises
    ------
    UnknownNameError, SettingsError, GeometryError, InputError, NoSuchFileError
        One line that says what is wrong, before any work.

    Examples
    --------
    >>> import numpy as np
    >>> angles = np.deg2rad(np.arange(-60, 61, 2))
    >>> simulation = simulate("shapes", (48, 64, 128), angles, seed=1, snr=1, lowpass=1)
    >>> simulation.series.projections.shape, simulation.truth.volume.shape
    ((61, 64, 128), (48, 64, 128))
    """
    if isinstance(phantom, str):
        phantom = phantoms.get_phantom(phantom, **settings)
    elif settings:
        raise SettingsError(f"settings need the name of a phantom; a phantom object has its own: {', '.join(settings)}")
    _check_arguments(
        seed, supersample, snr=snr, dose=dose, attenuation=attenuation, voxel_size=voxel_size, shift_std=shift_std,
        angle_std=angle_std,
    )  # fmt: skip
    if not all(math.isfinite(v) for v in (*drift, axis_offset)) or len(drift) != 2:
        raise InputError(f"drift must be (dy, dx) and axis_offset a number, all finite, got {drift!r} and {axis_offset!r}")
    if cryo is not None and dose is not None:
        raise InputError("with a frozen specimen, the dose is a setting of cryo; give snr for the noise")
    if halves and snr is None and dose is None:
        raise InputError("halves of the frames differ in their noise: give snr or dose")
    geometry = Geometry(angles, shape)
    scene = phantom.scene(geometry.shape, seed=seed, voxel_size=voxel_size)
    nominal = Geometry(angles, geometry.shape, voxel_size=scene.voxel_size, unit=scene.unit)
    true = misalign_geometry(
        nominal, random_stream(seed, ERRORS), shift_std=shift_std, drift=drift, angle_std=angle_std, axis_offset=axis_offset
    )
    projections, volume = project_scene(scene, true, supersample, progress=progress)
    optics: dict[str, Any] = {}
    transfer = None
    if cryo is not None:
        transfer = cryo.transfer(true, random_stream(seed, OPTICS))
        optics = {"cryo": cryo.model_dump(mode="json"), "transfer": transfer.describe(true)}
    rng = random_stream(seed, NOISE)

    def add_noise(share: float) -> tuple[NDArray[np.float32], dict[str, Any]]:
        if cryo is not None and transfer is not None:
            return expose(projections, transfer, None if snr is None else snr * share, cryo.ice, rng, true)
        if snr is not None:
            return add_gaussian_noise(projections, float(snr * share), rng)
        if dose is not None:
            return add_counting_noise(projections, float(dose * share), attenuation, rng)
        return projections, {"noise": "none"}

    recorded = [add_noise(0.5) for _ in range(2)] if halves else [add_noise(1.0)]
    noise = recorded[0][1]
    record = {
        "phantom": phantom.name,
        "settings": phantom.model_dump(mode="json"),
        "made": scene.facts,
        "seed": int(seed),
        "supersample": int(supersample),
        **noise,
        **optics,
        **({"halves": True, "of_each_half": sorted(noise.keys() & HALVED)} if halves else {}),
        "shift_std": float(shift_std),
        "drift": [float(v) for v in drift],
        "angle_std": float(angle_std),
        "axis_offset": float(axis_offset),
        "nominal_geometry": nominal.to_dict(),
        "true_geometry": true.to_dict(),
        "aligned": bool(aligned),
        "versions": package_versions(),
    }
    known = true if aligned else nominal
    metadata = {"source": f"simulated: {phantom.name}", "simulation": record}
    parts = [TiltSeries(images, known, metadata=metadata, transfer=transfer) for images, _ in recorded]
    series = replace(parts[0], projections=(recorded[0][0] + recorded[1][0]) / 2) if halves else parts[0]
    pair = (parts[0], parts[1]) if halves else None
    return Simulation(series, Reconstruction(volume, known, provenance=record), true, record, halves=pair)


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that take part in a simulation, for its record."""
    return {"tomoprior": __version__, **{name: version(name) for name in RECORDED_PACKAGES}}


def _check_arguments(seed: int, supersample: int, **values: float | None) -> None:
    if not isinstance(seed, numbers.Integral) or seed < 0:
        raise InputError(f"the seed must be a whole number from 0, got {seed!r}")
    if not isinstance(supersample, numbers.Integral) or not 1 <= supersample <= 8:
        raise InputError(f"supersample must be a whole number from 1 to 8, got {supersample!r}")
    if values["snr"] is not None and values["dose"] is not None:
        raise InputError("give snr or dose for the noise, not both")
    if values["attenuation"] is not None and values["dose"] is None:
        raise InputError("attenuation needs dose")
    for name, value in values.items():
        least_is_zero = name.endswith("_std")
        if value is None:
            continue
        good = isinstance(value, numbers.Real) and math.isfinite(value) and (value > 0 or (least_is_zero and value == 0))
        if not good:
            raise InputError(f"{name} must be a {'number from 0' if least_is_zero else 'positive number'}, got {value!r}")
