"""Apply the options of the microscope: give a series its transfer functions, or correct its images for them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tomoprior.errors import InputError

if TYPE_CHECKING:
    from tomoprior.cli.inputs import SeriesOptions
    from tomoprior.series import TiltSeries

MODES = ("model", "phase-flip", "none")


def ctf_mode(options: SeriesOptions) -> str:
    """Return the use of the CTF: ``model``, ``phase-flip`` or ``none``."""
    return options.ctf or ("none" if options.ctf_file is None else "model")


def check(options: SeriesOptions) -> None:
    """Raise InputError for options that do not go together, before any file is read."""
    mode = ctf_mode(options)
    if mode not in MODES:
        raise InputError(f"--ctf takes {', '.join(MODES)}, got {mode!r}")
    if mode != "none" and options.ctf_file is None:
        raise InputError(f"--ctf {mode} needs the defocus of each tilt: --ctf-file")
    if options.dose_weight and options.dose_file is None:
        raise InputError("--dose-weight needs the dose of each tilt: --dose-file")


def with_transfer(series: TiltSeries, options: SeriesOptions) -> TiltSeries:
    """Return the series of all tilts with the transfer functions of the options; without such options, the same series."""
    import numpy as np

    from tomoprior.formats.ctf import read_ctf
    from tomoprior.formats.dose import read_dose, read_voltage
    from tomoprior.microscopy.transfer import Transfer, pixel_size_in_angstrom

    mode = ctf_mode(options)
    if mode == "none" and not options.dose_weight:
        return series
    geometry = series.geometry
    n, degrees = geometry.n_angles, np.rad2deg(geometry.angles).tolist()
    ctf, dose, voltage = None, None, options.voltage
    if options.dose_file is not None and voltage is None and options.dose_file.suffix.lower() == ".mdoc":
        voltage = read_voltage(options.dose_file)
    if options.dose_weight and options.dose_file is not None:
        dose = read_dose(options.dose_file, n, angles=degrees).tolist()
    if mode != "none" and options.ctf_file is not None:
        ctf = read_ctf(
            options.ctf_file, n, angles=degrees, voltage=voltage, spherical_aberration=options.cs,
            amplitude_contrast=options.amplitude_contrast,
        )  # fmt: skip
        voltage = ctf[0].voltage
    transfer = Transfer(
        geometry.detector,
        pixel_size_in_angstrom(geometry),
        ctf=ctf,
        dose=dose,
        voltage=300.0 if voltage is None else voltage,
        hand=options.defocus_hand,
    )
    return replace(series, transfer=transfer)


def with_corrected_images(series: TiltSeries, options: SeriesOptions) -> tuple[TiltSeries, list[str]]:
    """Return the series for a method, and notes. Without ``--ctf model`` it has corrected images and no transfer function."""
    import numpy as np
    from numpy.typing import NDArray

    from tomoprior.microscopy.filtering import dose_weights, filter_image, flip_image
    from tomoprior.microscopy.strips import defocus_strips
    from tomoprior.series.views import FilteredTilts
    from tomoprior.storage.lazy import as_lazy

    transfer = series.transfer
    if transfer is None:
        return series, []
    notes: list[str] = []
    strips = None
    if transfer.ctf is not None:
        strips = defocus_strips(transfer, series.geometry)
        record = transfer.describe(series.geometry)["ctf"]
        error = record["neglected_gradient_radians_at_nyquist"]
        part = "one defocus for a whole image" if strips is None else f"one defocus for each of {record['strips']} strips"
        notes.append(
            f"{part}: the phase of the CTF is off by up to {error['across']:.2g} radians across the slab and "
            f"{error['depth']:.2g} along the beam, at the Nyquist frequency"
        )
    if ctf_mode(options) == "model":
        return series, notes
    weights = None if transfer.dose is None else dose_weights(transfer)

    def correct(image: NDArray[np.float32], i: int) -> NDArray[np.float32]:
        if transfer.ctf is not None:
            image = flip_image(image, transfer, i, strips)
        return image if weights is None else filter_image(image, weights[i])

    if isinstance(series.projections, np.ndarray):
        images = np.stack([correct(image, i) for i, image in enumerate(series.projections)])
        return replace(series, projections=images, transfer=None), notes
    return replace(series, projections=FilteredTilts(as_lazy(series.projections), correct), transfer=None), notes
