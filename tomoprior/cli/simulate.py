"""``tomoprior simulate``: a tilt series of a phantom or of tissue, with its true volume."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tomoprior.simulate import CryoSettings, MicroscopeSettings

#: Largest number of tilts; a larger one is a typing error.
MAX_TILTS = 10_000

EXAMPLES = """\b
Phantoms:
  spheres     hollow spheres in a slab; settings: diameter, wall, fill
  shapes      spheres, ellipsoids, pyramids, cubes, prisms, discs and crosses in a slab; settings: kinds,
              diameter, density, fill
  capsid      an icosahedral virus: --file 1f2n.cif, or another PDB or mmCIF file; settings: assembly,
              resolution, turned
  protein     a protein: --file 1ubq.pdb; settings: assembly, resolution, turned
  particles   density maps in a slab: --file ribosome.mrc --file proteasome.mrc; settings: fill
  foam        solid material with bubbles; settings: form (cylinder or slab), diameter, porosity
\b
A section of stained tissue, cut from a volume (FIB-SEM, say): VOLUME.tif, or any format that can be read. Its
settings are a value, or a range LOW,HIGH from which every series draws:
  section     thickness, roughness, roughness_length, stain_gradient, gamma, beads, bead_radius, bead_density
  alignment   angle_error, axis_error, shift_error, drift, magnification_error, outliers
  microscope  attenuation, saturation, blur, defocus, voltage, amplitude_contrast, dose, read_noise, gain_error,
              offset_error
\b
Examples:
  tomoprior simulate shapes -o shapes --size 128x128x48 --angles=-60:60:2 --snr 1
  tomoprior simulate spheres -o spheres --size 256x256x64 --dose 50 --shift-std 1 --seed 3
  tomoprior simulate capsid -o capsid --file 1f2n.cif --size 128x128x128 --set resolution=12
  tomoprior simulate particles -o cryo --file ribosome.mrc --size 128x128x64 --voxel-size 10 --ctf --snr 0.1 --halves
  tomoprior simulate foam -o foam --size 192x64x192 --angles 0:179:1 --set porosity=0.4
  tomoprior simulate fibsem.tif -o tissue --tissue-voxel-size 10 --size 96x96x32 --voxel-size 20 --set dose=500,2000
"""

#: Options that only phantoms have, and the similar setting of tissue.
PHANTOMS_ONLY = {
    "snr": "dose", "attenuation": "attenuation", "lowpass": "blur", "file": None, "shift_std": "shift_error", "drift": "drift",
    "angle_std": "angle_error",
    "ctf": "defocus", "defocus": "defocus", "halves": None, "axis_offset": None, "aligned": None, "supersample": None,
}  # fmt: skip
TISSUE_ONLY = ("tissue_voxel_size", "unit", "bright_is_dense")


def simulate(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Phantom: spheres, shapes, capsid, protein, particles, foam. Or a volume of tissue."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to; it is created if it does not exist.")],
    size: Annotated[
        str,
        typer.Option(
            metavar="XxYxZ", help="Voxels along x, y (the tilt axis) and z (the beam at zero tilt), in the order x, y, z."
        ),
    ] = "128x128x48",
    angles: Annotated[
        str, typer.Option(help="Degrees: FROM:TO:STEP with TO included, a list -60,-57,..., or a .tlt file.")
    ] = "-60:60:2",
    snr: Annotated[
        float | None, typer.Option(help="Ratio of signal variance to noise variance in every tilt (Gaussian noise).")
    ] = None,
    dose: Annotated[
        float | None,
        typer.Option(
            help="Instead of --snr: electrons or photons per pixel and tilt (Poisson noise). With --ctf: the series' dose "
            "in electrons per square angstrom."
        ),
    ] = None,
    ctf: Annotated[
        bool, typer.Option("--ctf", help="A frozen specimen: contrast transfer, and noise of ice at --snr; writes optics.star.")
    ] = False,
    defocus: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="With --ctf: underfocus in micrometers. Default: 2 4."),
    ] = None,
    halves: Annotated[
        bool,
        typer.Option(
            "--halves", help="Record the frames in two halves with independent noise: even.mrc, odd.mrc, their mean series.mrc."
        ),
    ] = False,
    attenuation: Annotated[
        float | None,
        typer.Option(help="With --dose: attenuation per voxel of density 1. Default: 1/e passes along the longest ray."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of phantom, misalignment and noise.")] = 0,
    lowpass: Annotated[
        float | None, typer.Option(help="Gaussian low-pass, standard deviation in voxels. Default: that of the phantom.")
    ] = None,
    voxel_size: Annotated[
        float | None,
        typer.Option(
            help="In angstrom (foam: micrometer; tissue: --unit). Default: that of the phantom, or twice the tissue's voxels."
        ),
    ] = None,
    tissue_voxel_size: Annotated[
        float | None, typer.Option(help="Edge of the tissue's voxels. Default: from the file.")
    ] = None,
    unit: Annotated[
        str, typer.Option(help="Unit of both voxel sizes of tissue: angstrom, nanometer, micrometer, ...")
    ] = "nanometer",
    bright_is_dense: Annotated[
        bool, typer.Option("--bright-is-dense", help="Bright voxels of tissue hold the most stain. Default: dark voxels.")
    ] = False,
    file: Annotated[list[Path] | None, typer.Option(help="Input of the phantom; repeat it for particles.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of phantom or tissue; may be repeated.")
    ] = None,
    shift_std: Annotated[float, typer.Option(help="Misalignment: standard deviation of shifts, pixels.")] = 0.0,
    drift: Annotated[
        tuple[float, float], typer.Option(metavar="DY DX", help="Misalignment: drift from the first tilt to the last, pixels.")
    ] = (0.0, 0.0),
    angle_std: Annotated[float, typer.Option(help="Misalignment: standard deviation of the angles, degrees.")] = 0.0,
    axis_offset: Annotated[float, typer.Option(help="Distance of the tilt axis from the detector's middle, pixels.")] = 0.0,
    aligned: Annotated[bool, typer.Option("--aligned", help="Write the true angles instead of the nominal ones.")] = False,
    supersample: Annotated[int, typer.Option(help="Fine voxels per voxel along each axis: 2 or 3.")] = 2,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the files of an earlier simulation.")] = False,
) -> None:
    """Simulate a tilt series: OUT/series.mrc with its angles, truth.mrc, simulation.json and a picture."""
    import shlex
    import sys

    import numpy as np

    from tomoprior.cli import parse, simulated
    from tomoprior.cli.errors import before_output
    from tomoprior.cli.tissue import open_tissue
    from tomoprior.progress import progress_bar
    from tomoprior.simulate import phantoms, recording
    from tomoprior.simulate import simulate as simulate_phantom
    from tomoprior.simulate.saving import check_folder, save_simulation

    shape, degrees = _size(size), _degrees(angles)
    if _is_file(name):
        _refuse(context, list(PHANTOMS_ONLY), "phantoms only, not with a volume of tissue")
        settings = _microscope(setting or [], dose)
        check_folder(out, overwrite=overwrite)
        tissue = open_tissue(Path(name), tissue_voxel_size, parse.unit(unit), bright_is_dense=bright_is_dense)
        _check_memory(recording.recording_bytes(tissue, shape, np.deg2rad(degrees), voxel_size, settings))
        with before_output(), progress_bar(Path(name).name) as step:
            simulation = recording.tilt_series(
                tissue, shape, np.deg2rad(degrees), seed=seed, voxel_size=voxel_size, settings=settings, progress=step
            )
        extra = {"tissue": str(Path(name).resolve()), "bright_is_dense": bright_is_dense}
    else:
        phantom = phantoms.get_phantom(name, **_settings(setting or [], lowpass, file or []))
        _refuse(context, list(TISSUE_ONLY), "a volume of tissue only, not with a phantom")
        cryo = _cryo(ctf, defocus, dose)
        check_folder(out, overwrite=overwrite)
        nz, ny, nx = shape
        # the volume, and projections with fine rows and without
        _check_memory(4 * ny * nx * (nz + len(degrees) * (2 + 2 * halves + max(1, supersample))))
        with before_output(), progress_bar(name) as step:
            simulation = simulate_phantom(
                phantom, shape, np.deg2rad(degrees), seed=seed, voxel_size=voxel_size, supersample=supersample, snr=snr,
                dose=None if ctf else dose, cryo=cryo,
                attenuation=attenuation, shift_std=shift_std, drift=drift, angle_std=float(np.deg2rad(angle_std)),
                axis_offset=axis_offset, aligned=aligned, halves=halves, progress=step,
            )  # fmt: skip
        extra = {}
    written = save_simulation(simulation, out, overwrite=overwrite, extra={"command": shlex.join(sys.argv), **extra})
    simulated.print_simulation(name, simulation, out, written)


def _is_file(name: str) -> bool:
    """Return whether ``name`` is a file of tissue; a phantom's name is none, even if a folder of that name exists."""
    from tomoprior.simulate import list_phantoms

    return name not in list_phantoms() and (os.path.exists(name) or bool(Path(name).suffix))


def _refuse(context: typer.Context, options: list[str], reason: str) -> None:
    """Raise InputError if one of the options was given."""
    from tomoprior.errors import InputError

    for option in options:
        source = context.get_parameter_source(option)
        if source is not None and source.name != "DEFAULT":
            setting = PHANTOMS_ONLY.get(option)
            hint = f"; use --set {setting}=... instead" if setting else ""
            raise InputError(f"--{option.replace('_', '-')} goes with {reason}{hint}")


def _microscope(pairs: list[str], dose: float | None) -> MicroscopeSettings:
    from tomoprior.cli import parse
    from tomoprior.simulate import MicroscopeSettings

    return MicroscopeSettings.parse(parse.merged(parse.settings(pairs), dose=dose))


def _cryo(ctf: bool, defocus: tuple[float, float] | None, dose: float | None) -> CryoSettings | None:
    from tomoprior.errors import InputError
    from tomoprior.simulate import CryoSettings

    if not ctf:
        if defocus is not None:
            raise InputError("--defocus needs --ctf; with a volume of tissue, use --set defocus=...")
        return None
    return CryoSettings.parse({k: v for k, v in (("defocus", defocus), ("dose", dose)) if v is not None})


def _settings(pairs: list[str], lowpass: float | None, files: list[Path]) -> dict[str, Any]:
    from tomoprior.cli import parse

    file = files[0] if len(files) == 1 else tuple(files) or None
    return parse.merged(parse.settings(pairs), lowpass=lowpass, file=file)


def _size(text: str) -> tuple[int, int, int]:
    """Return ``128x64x48`` (x, y, z) as ``(48, 64, 128)`` (z, y, x); raises InputError."""
    from tomoprior.errors import InputError

    match = re.fullmatch(r"(\d{1,6})[xX](\d{1,6})[xX](\d{1,6})", text.replace(" ", ""))
    if match is None or min(map(int, match.groups())) < 1:
        raise InputError(f"--size takes voxels along x, y and z such as 128x64x48, got {text!r}")
    x, y, z = map(int, match.groups())
    return z, y, x


def _degrees(text: str) -> NDArray[np.float64]:
    """Return ``-60:60:2``, ``-60,0,60`` or the angles of a file as degrees; raises InputError."""
    import numpy as np

    from tomoprior.errors import InputError
    from tomoprior.formats import sidefiles

    if Path(text).suffix and Path(text).is_file():
        return np.asarray(np.rad2deg(sidefiles.read_angles(text)), dtype=np.float64)
    try:
        values = [float(v) for v in re.split(r"[:,]", text)]
    except ValueError:
        values = []
    if not values or not all(abs(v) <= 360 for v in values) or (":" in text and ("," in text or len(values) != 3)):
        raise InputError(f"--angles takes degrees as FROM:TO:STEP (-60:60:2), a list or a file of angles, got {text!r}")
    if ":" not in text:
        return np.array(values)
    low, high, step = values
    if step == 0 or (high - low) * step < 0:
        raise InputError(f"--angles: steps of {step:g} do not lead from {low:g} to {high:g}")
    count = int((high - low) / step + 1e-6) + 1
    if count > MAX_TILTS:
        raise InputError(f"--angles: {count} tilts are more than {MAX_TILTS}")
    return np.asarray(low + step * np.arange(count), dtype=np.float64)


def _check_memory(need: int) -> None:
    """Raise InputError if ``need`` bytes are not free."""
    from tomoprior import memory
    from tomoprior.errors import InputError

    if need > memory.available():
        raise InputError(
            f"this takes about {memory.format_bytes(need)}, and {memory.format_bytes(memory.available())} are free: "
            "a smaller --size?"
        )
