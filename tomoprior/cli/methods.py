"""``tomoprior methods``: what there is, and each one's settings."""

from __future__ import annotations

from typing import Annotated

import typer


def methods(
    name: Annotated[str | None, typer.Argument(help="Show this method's settings, defaults and source.")] = None,
) -> None:
    """List the reconstruction methods, or describe one."""
    from tomoprior import methods as registry

    if name is None:
        found = registry.available()
        width = max(map(len, found))
        for method in found:
            typer.echo(f"{method:<{width}}  {registry.get(method).summary}")
        if not any(method.startswith("tomopy.") for method in found):
            typer.echo(f"{'tomopy.*':<{width}}  TomoPy's own, once it is installed: conda install -c conda-forge tomopy")
        return
    chosen = registry.get(name)
    typer.echo(f"{chosen.name}: {chosen.summary}\nAfter: {chosen.citation}")
    typer.echo("Slices: coupled" if chosen.couples_slices else "Slices: each by itself")
    if hasattr(chosen, "describe"):
        typer.echo(chosen.describe())
    for condition, fields in chosen.Settings.fields_by_group().items():
        typer.echo(f"\nSettings with {condition}:" if condition else "\nSettings (--set NAME=VALUE):")
        for setting, field in fields.items():
            typer.echo(f"  {setting} = {field.default!r}\n      {field.description}")
