"""The lines that ``tomoprior simulate`` prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import typer

from tomoprior.simulate import Simulation

#: Names of the kinds of spoilt tilts.
SPOILT = ("", "jumped", "blurred", "partly hidden")


def print_simulation(name: str, simulation: Simulation, out: Path, written: list[str]) -> None:
    """Print the simulated object and series, the written files, and the next command."""
    geometry, record = simulation.series.geometry, simulation.record
    low, high = np.rad2deg([geometry.angles.min(), geometry.angles.max()])
    typer.echo(_describe_tissue(name, record) if "drawn" in record else _describe_phantom(record))
    typer.echo(
        f"volume       {' x '.join(map(str, geometry.shape))} (z, y, x) voxels of {geometry.voxel_size:.4g} {geometry.unit}"
    )
    rows, columns = geometry.detector
    typer.echo(f"series       {geometry.n_angles} tilts from {low:.4g} to {high:.4g} degrees, {rows} x {columns} (y, x) pixels")
    if "drawn" in record:
        _print_drawn(record)
    elif record["noise"] != "none":
        values = {k: record[k] for k in ("snr", "dose", "attenuation") if k in record}
        of_each = " in each half of the frames" if simulation.halves else ""
        typer.echo(f"noise        {record['noise']}: " + ", ".join(f"{k} {v:.4g}" for k, v in values.items()) + of_each)
    if "true.tlt" in written:
        typer.echo("misaligned   true angles and shifts are in true.tlt and true.xf (recon: --angles, --shifts)")
    if record["axis_offset"]:
        typer.echo(f"axis         at {simulation.geometry.center[0]:.6g} pixels from the left edge (recon: --center)")
    typer.echo(f"wrote        {out}: {', '.join(written)}")
    optics = (
        f" --ctf-file {out / 'optics.star'} --dose-file {out / 'optics.star'} --dose-weight" if "optics.star" in written else ""
    )
    source = f"{out / 'even.mrc'} --halves {out / 'odd.mrc'}" if simulation.halves else out / "series.mrc"
    typer.echo(f"next         tomoprior recon {source} -o volume.mrc --method tv --thickness {geometry.shape[0]}{optics}")


def _describe_phantom(record: dict[str, Any]) -> str:
    facts = [
        f"{v} {k}" for part in record["made"].values() if isinstance(part, dict) for k, v in part.items() if isinstance(v, int)
    ]
    return f"phantom      {record['phantom']}: {', '.join(facts) or record['made'].get('file', 'seed')}, seed {record['seed']}"


def _describe_tissue(name: str, record: dict[str, Any]) -> str:
    tissue = record["made"]
    return (
        f"tissue       {name}: {' x '.join(map(str, tissue['tissue_shape']))} (z, y, x) voxels of "
        f"{tissue['tissue_voxel_size']:.4g} "
        f"{record['nominal_geometry']['unit']}, grey value {tissue['least_stained']:.4g} without stain and "
        f"{tissue['most_stained']:.4g} "
        f"with most, seed {record['seed']}"
    )


def _print_drawn(record: dict[str, Any]) -> None:
    """Print the values that a series of tissue has drawn from the ranges of its settings."""
    drawn, errors = record["drawn"], {k: np.array(v) for k, v in record["errors"].items()}
    good = errors["kind"] == 0
    shift = np.sqrt(np.mean(errors["shift"][good] ** 2)) if good.any() else 0.0
    beads = f", {round(drawn['beads'])} beads" if round(drawn["beads"]) else ""
    typer.echo(
        f"section      {100 * drawn['thickness']:.3g} % of the grid's height, faces rough by {drawn['roughness']:.2g} voxels, "
        f"gamma {drawn['gamma']:.3g}{beads}"
    )
    defocus = f", defocus {drawn['defocus']:.3g} micrometer" if drawn["defocus"] else ""
    typer.echo(
        f"beam         dose {drawn['dose']:.4g} electrons per pixel and tilt, attenuation {drawn['attenuation']:.3g} at the "
        f"least tilt, saturation {drawn['saturation']:.2g}, blur {drawn['blur']:.2g} pixels{defocus}, read noise "
        f"{drawn['read_noise']:.2g}"
    )
    typer.echo(
        f"errors       shifts {shift:.2g} pixels, angles {np.rad2deg(errors['angle'].std()):.2g} degrees, axis "
        f"{drawn['axis_error']:.2g} degrees, magnification {100 * (errors['magnification'] - 1).std():.2g} %, brightness "
        f"{100 * errors['gain'].std():.2g} %, dark level {100 * errors['offset'].std():.2g} %"
    )
    spoilt = [f"{i} ({SPOILT[int(errors['kind'][i])]})" for i in record["spoilt_tilts"]]
    typer.echo(f"spoilt       {'tilts ' + ', '.join(spoilt) if spoilt else 'none'}")
