"""A tilt series of a section of tissue as a microscope records it, with its truth."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.progress import Progress
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction
from tomoprior.series import TiltSeries
from tomoprior.series.binning import block_mean
from tomoprior.simulate.microscope import MicroscopeSettings, expose_tilt, tilt_errors, warp
from tomoprior.simulate.phantoms.base import ERRORS, NOISE, PLACES, random_stream
from tomoprior.simulate.simulation import Simulation, package_versions
from tomoprior.simulate.tissue import SLAB, Tissue, add_beads, cut_section
from tomoprior.units import convert_length

#: Fine voxels per voxel along each axis.
SUPERSAMPLE = 2

#: Rows and columns around the field of view that shifts and rotation may bring in, in pixels; more for larger shifts.
MARGIN = 4

#: Largest tilt in degrees at which a beam still passes through a section.
MAX_TILT_DEGREES = 80.0


def tilt_series(
    tissue: Tissue,
    shape: Iterable[int],
    angles: ArrayLike,
    *,
    seed: int = 0,
    voxel_size: float | None = None,
    random_place: bool = True,
    truth_pad: int = 0,
    settings: MicroscopeSettings | None = None,
    progress: Progress | None = None,
    **values: Any,
) -> Simulation:
    """Simulate the tilt series that an electron microscope takes of a section of stained tissue.

    Grey values become stain density (``Tissue``). A block of it, larger than the field of view, is cut to a section with rough
    faces. Rays weighted by area run through voxels half as large as the grid's, along the true directions, which the series
    does not report. The beam is attenuated (Beer and Lambert), saturates, is blurred and counted.

    Parameters
    ----------
    tissue
        The volume to cut from.
    shape
        Grid ``(nz, ny, nx)`` in voxels; the detector is ``(ny, nx)``.
    angles
        Nominal tilt angles in radians, shape ``(n_angles,)``, within 80 degrees.
    seed
        The same seed gives the same series, bit for bit on one machine. Place, errors and noise have random numbers of their
        own.
    voxel_size
        Edge of a voxel in the tissue's unit; by default twice the tissue's own, which then needs no interpolation.
    random_place
        True: cut at a random place in a random orientation. False: cut from the middle, in the volume's orientation.
    truth_pad
        Number of voxels by which the truth is wider than the grid at either end of x.
    settings, **values
        Ranges of the microscope's errors, as ``MicroscopeSettings`` or one by one (``dose=500``, ``shift_error=(0, 2)``).
    progress
        Called once per tilt.

    Returns
    -------
    Simulation
        ``series`` in the nominal geometry, ``truth`` (density, 0 to 1 before gamma and gradient), the true ``geometry`` in
        its angles and shifts (rotation and magnification are in the ``record``), and the ``variance`` of every line
        integral, shape ``range_shape``, in units of density x voxels squared.

    Raises
    ------
    InputError, SettingsError, GeometryError
        One line that says what is wrong, before any work.
    """
    settings = MicroscopeSettings.resolve(settings, values)
    if not isinstance(seed, numbers.Integral) or seed < 0:
        raise InputError(f"the seed must be a whole number from 0, got {seed!r}")
    size = _voxel_size(tissue, voxel_size)
    nominal = Geometry(angles, shape, voxel_size=size, unit=tissue.unit)
    steepest = float(np.abs(nominal.angles).max())
    if steepest > math.radians(MAX_TILT_DEGREES + 1e-6):
        raise InputError(
            f"no beam passes through a section at {math.degrees(steepest):.4g} degrees: at most {MAX_TILT_DEGREES:g}"
        )
    if not isinstance(truth_pad, numbers.Integral) or truth_pad < 0:
        raise InputError(f"truth_pad must be a whole number from 0, got {truth_pad!r}")
    if tissue.unit == "pixel" and settings.defocus[1] > 0:
        raise InputError("defocus needs the tissue's voxel size as a length, and its unit is pixel")
    nz, ny, nx = nominal.shape
    places, errors, noise = (random_stream(seed, purpose) for purpose in (PLACES, ERRORS, NOISE))
    drawn = settings.draw(places)
    off = tilt_errors(nominal.n_angles, drawn, errors)
    s = SUPERSAMPLE
    rotation = math.radians(drawn["axis_error"])
    true = nominal.angles + off["angle"]
    # from the ranges, not from the values drawn: the same seed gives the same specimen for any errors of its tilts
    margin = margin_pixels(settings)
    beyond = max(width_beyond_grid(nominal.shape, nominal.angles, margin, settings), truth_pad)
    fine = tissue.block(
        (nz * s, (ny + 2 * margin) * s, (nx + 2 * beyond) * s), size / s / tissue.voxel_size, places if random_place else None
    )
    fine **= np.float32(drawn["gamma"])
    fine = cut_section(
        fine, drawn["thickness"], drawn["roughness"] * s, drawn["roughness_length"] * s, drawn["stain_gradient"], places
    )
    add_beads(fine, round(drawn["beads"]), drawn["bead_radius"] * s, drawn["bead_density"], places)
    screen = ((ny + 2 * margin) * s, (nx + 2 * margin) * s)
    lines = Projector(Geometry(true, fine.shape, screen), "cpu", "strip")(fine)
    lines /= s  # a ray is s times longer in fine voxels
    least = int(np.argmin(np.abs(true)))
    mean = float(lines[least].mean())
    if mean <= 0:
        raise InputError("the section is empty: nothing attenuates the beam")
    per_line = drawn["attenuation"] / mean
    measured = np.empty(nominal.range_shape, np.float32)
    variance = np.empty(nominal.range_shape, np.float32)
    pixel = convert_length(size, tissue.unit, "nanometer") / s
    for i in range(nominal.n_angles):
        image = warp(lines[i], off["shift"][i] * s, rotation, float(off["magnification"][i]))
        image = image[margin * s : -margin * s, margin * s : -margin * s]
        measured[i], variance[i] = expose_tilt(
            image, per_line, int(off["kind"][i]), float(off["gain"][i]), float(off["offset"][i]), drawn, s, pixel, noise
        )
        if progress is not None:
            progress(i + 1, nominal.n_angles, {})
    edge = (beyond - truth_pad) * s
    volume = block_mean(fine[:, margin * s : -margin * s, edge : fine.shape[2] - edge], (s, s, s))
    geometry = replace(nominal, angles=true, shifts=off["shift"] if np.any(off["shift"]) else None)
    record = {
        "phantom": "tissue",
        "settings": settings.model_dump(mode="json"),
        "drawn": drawn,
        "errors": {name: value.tolist() for name, value in off.items()},
        "spoilt_tilts": np.flatnonzero(off["kind"]).tolist(),
        "made": {
            "tissue_shape": [int(n) for n in tissue.grey.shape],
            "tissue_voxel_size": tissue.voxel_size,
            "least_stained": tissue.least,
            "most_stained": tissue.most,
            "attenuation_per_voxel": per_line,
        },
        "random_place": bool(random_place),
        "seed": int(seed),
        "supersample": s,
        "noise": "counts",
        "dose": drawn["dose"],
        "axis_offset": 0.0,
        "nominal_geometry": nominal.to_dict(),
        "true_geometry": geometry.to_dict(),
        "aligned": False,
        "versions": package_versions(),
    }
    series = TiltSeries(measured, nominal, metadata={"source": "simulated: tissue", "simulation": record})
    return Simulation(series, Reconstruction(volume, nominal.padded(truth_pad), provenance=record), geometry, record, variance)


def recording_bytes(
    tissue: Tissue,
    shape: tuple[int, int, int],
    angles: NDArray[np.float64],
    voxel_size: float | None = None,
    settings: MicroscopeSettings | None = None,
) -> int:
    """Return about how many bytes ``tilt_series`` takes at its peak; arguments and errors of voxel sizes as there."""
    nz, ny, nx = shape
    settings = settings or MicroscopeSettings()
    margin = margin_pixels(settings)
    beyond = width_beyond_grid(shape, angles, margin, settings)
    rows, columns = ny + 2 * margin, nx + 2 * margin
    fine = nz * rows * (nx + 2 * beyond) * SUPERSAMPLE**3
    spacing = _voxel_size(tissue, voxel_size) / SUPERSAMPLE / tissue.voxel_size
    rest = spacing / max(1, math.floor(spacing + 1e-6))
    copies = max(rest**3 + rest**2, 2.0) + 0.5  # before and after interpolation, or before and after the section is cut
    return int(4 * (copies * fine + 2 * SLAB + len(angles) * (2 * rows * columns * SUPERSAMPLE**2 + 2 * ny * nx)))


def _voxel_size(tissue: Tissue, voxel_size: float | None) -> float:
    """Return the edge of a voxel in the tissue's unit."""
    size = SUPERSAMPLE * tissue.voxel_size if voxel_size is None else float(voxel_size)
    if not (math.isfinite(size) and size >= tissue.voxel_size):
        raise InputError(
            f"voxels of {size:g} {tissue.unit} are finer than the tissue's {tissue.voxel_size:g}, which cannot fill them"
        )
    return size


def margin_pixels(settings: MicroscopeSettings) -> int:
    """Return the pixels around the detector within which nearly all pictures stay; the few others show a mirror image."""
    return max(MARGIN, math.ceil(3 * settings.shift_error[1] + settings.drift[1]))


def width_beyond_grid(
    shape: tuple[int, int, int], angles: NDArray[np.float64], margin: int, settings: MicroscopeSettings
) -> int:
    """Return the voxels outside the grid along x that its rays cross: a tilted detector sees more of the section."""
    nz, _, nx = shape
    steepest = float(np.abs(angles).max())
    erring = steepest + 3 * math.radians(settings.angle_error[1])
    reach = 0.0
    for angle, pixels in ((steepest, margin), (erring, 0)):
        angle = min(angle, math.radians(MAX_TILT_DEGREES + 5))
        reach = max(reach, (nx / 2 + pixels) / math.cos(angle) + nz / 2 * math.tan(angle))
    return math.ceil(reach - nx / 2) + 1
