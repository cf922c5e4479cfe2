"""What a simulation made, in lines for the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import typer

from tomoprior.simulate import Simulation

#: Why a tilt is spoilt, by its kind.
SPOILT = ("", "jumped", "blurred", "partly hidden")


def say(name: str, made: Simulation, out: Path, written: list[str]) -> None:
    """What was simulated, where it lies, and what to do next."""
    geometry, record = made.series.geometry, made.record
    low, high = np.rad2deg([geometry.angles.min(), geometry.angles.max()])
    typer.echo(_of_tissue(name, record) if "drawn" in record else _of_phantom(record))
    typer.echo(
        f"volume       {' x '.join(map(str, geometry.shape))} (z, y, x) voxels of {geometry.voxel_size:.4g} {geometry.unit}"
    )
    rows, columns = geometry.detector
    typer.echo(f"series       {geometry.n_angles} tilts from {low:.4g} to {high:.4g} degrees, {rows} x {columns} pixels")
    if "drawn" in record:
        _say_drawn(record)
    elif record["noise"] != "none":
        given = {k: record[k] for k in ("snr", "dose", "attenuation") if k in record}
        typer.echo(f"noise        {record['noise']}: " + ", ".join(f"{k} {v:.4g}" for k, v in given.items()))
    if "true.tlt" in written:
        typer.echo("misaligned   true angles and shifts are in true.tlt and true.xf (recon: --angles, --shifts)")
    if record["axis_offset"]:
        typer.echo(f"axis         at {made.geometry.center[0]:.6g} pixels from the left edge (recon: --center)")
    typer.echo(f"wrote        {out}: {', '.join(written)}")
    typer.echo(f"next         tomoprior recon {out / 'series.mrc'} -o volume.mrc --method tv --thickness {geometry.shape[0]}")


def _of_phantom(record: dict[str, Any]) -> str:
    facts = [
        f"{v} {k}" for part in record["made"].values() if isinstance(part, dict) for k, v in part.items() if isinstance(v, int)
    ]
    return f"phantom      {record['phantom']}: {', '.join(facts) or record['made'].get('file', 'seed')}, seed {record['seed']}"


def _of_tissue(name: str, record: dict[str, Any]) -> str:
    made = record["made"]
    return (
        f"tissue       {name}: {' x '.join(map(str, made['tissue_shape']))} voxels of {made['tissue_voxel_size']:.4g} "
        f"{record['nominal_geometry']['unit']}, grey {made['least_stained']:.4g} without stain and {made['most_stained']:.4g} "
        f"with most, seed {record['seed']}"
    )


def _say_drawn(record: dict[str, Any]) -> None:
    """What a series of tissue has drawn from the ranges of its settings."""
    drawn, off = record["drawn"], {k: np.array(v) for k, v in record["errors"].items()}
    good = off["kind"] == 0
    shift = np.sqrt(np.mean(off["shift"][good] ** 2)) if good.any() else 0.0
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
        f"errors       shifts {shift:.2g} pixels, angles {np.rad2deg(off['angle'].std()):.2g} degrees, axis "
        f"{drawn['axis_error']:.2g} degrees, magnification {100 * (off['magnification'] - 1).std():.2g} %, brightness "
        f"{100 * off['gain'].std():.2g} %, dark level {100 * off['offset'].std():.2g} %"
    )
    spoilt = [f"{i} ({SPOILT[int(off['kind'][i])]})" for i in record["spoilt_tilts"]]
    typer.echo(f"spoilt       {'tilts ' + ', '.join(spoilt) if spoilt else 'none'}")
