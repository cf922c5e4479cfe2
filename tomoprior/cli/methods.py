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
    method_object = registry.get(name)
    typer.echo(f"{method_object.name}: {method_object.summary}\nSource: {method_object.citation}")
    typer.echo("Slices: coupled" if method_object.couples_slices else "Slices: independent")
    if isinstance(method_object, DescribedMethod):
        typer.echo(method_object.describe())
    typer.echo("\nSettings (--set NAME=VALUE):")
    for setting, field in method_object.Settings.model_fields.items():
        typer.echo(f"  {setting} = {field.default!r}\n      {field.description}")
