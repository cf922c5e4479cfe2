"""Steps of ``tomoprior recon`` that move the tilts of a series before its reconstruction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from tomoprior.methods.base import Method
    from tomoprior.projector import ProjectorOptions
    from tomoprior.series import TiltSeries


def align_series(series: TiltSeries, notes: list[str]) -> tuple[TiltSeries, list[str]]:
    """Return the aligned series, and the notes with those of the alignment."""
    from tomoprior.alignment import estimate_alignment
    from tomoprior.progress import progress_bar

    with progress_bar("align") as step:
        alignment = estimate_alignment(series, progress=step)
    typer.echo(f"alignment    {alignment}")
    return alignment.apply(series), [*notes, *alignment.statements]


def refine_series(
    series: TiltSeries, method: Method, settings: Any, projector: ProjectorOptions, rounds: int, **run: Any
) -> tuple[TiltSeries, Any]:  # fmt: skip
    """Return the series with refined shifts and the settings with them, and print how far they moved."""
    from tomoprior.progress import progress_bar
    from tomoprior.running.refinement import refine_shifts

    with progress_bar("shifts") as step:
        series, settings = refine_shifts(series, method, settings, projector, rounds, progress=step, **run)
    refined = series.metadata["refined_shifts"]
    dy, dx = refined["rms_change"]
    first, last = refined["residuals"][0], refined["residuals"][-1]
    typer.echo(f"shifts       refined by {dy:.2f} (y) and {dx:.2f} (x) pixels r.m.s.; residual {first:.4f}, then {last:.4f}")
    return series, settings
