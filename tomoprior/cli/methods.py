"""``tomoprior methods``: the installed methods and their settings."""

from __future__ import annotations

from typing import Annotated

import typer


def methods(
    name: Annotated[str | None, typer.Argument(help="Show this method's settings, defaults and source.")] = None,
) -> None:
    """List the reconstruction methods, or describe one."""
    from tomoprior import methods as registry
    from tomoprior.methods.base import DescribedMethod

    if name is None:
        names = registry.available()
        width = max(map(len, names))
        for method in names:
            typer.echo(f"{method:<{width}}  {registry.get(method).summary}")
        if not any(method.startswith("tomopy.") for method in names):
            typer.echo(f"{'tomopy.*':<{width}}  TomoPy's algorithms, if it is installed: conda install -c conda-forge tomopy")
        return
    chosen = registry.get(name)
    typer.echo(f"{chosen.name}: {chosen.summary}\nSource: {chosen.citation}")
    typer.echo("Slices: coupled" if chosen.couples_slices else "Slices: independent")
    if isinstance(chosen, DescribedMethod):
        typer.echo(chosen.describe())
    for condition, fields in chosen.Settings.fields_by_group().items():
        typer.echo(f"\nSettings with {condition}:" if condition else "\nSettings (--set NAME=VALUE):")
        for setting, field in fields.items():
            typer.echo(f"  {setting} = {field.default!r}\n      {field.description}")
