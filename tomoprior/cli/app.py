"""The ``tomoprior`` program with its commands."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tomoprior._version import __version__
from tomoprior.cli import align, compare, demo, info, methods, recon, simulate, train
from tomoprior.cli.errors import report

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="Classical and learned reconstruction for limited-angle tomography, based on the ASTRA Toolbox.",
    epilog="Angles are degrees on the command line and radians in Python. Exit codes: 0 done, 1 failed, 2 wrong use.",
)
app.command("info")(info.info)
app.command("methods")(methods.methods)
app.command("recon", epilog=recon.EXAMPLES)(recon.recon)
app.command("align", epilog=align.EXAMPLES)(align.align)
app.command("compare", epilog=compare.EXAMPLES)(compare.compare)
app.command("demo")(demo.demo)
app.command("simulate", epilog=simulate.EXAMPLES)(simulate.simulate)
app.command("train", epilog=train.EXAMPLES)(train.train)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"tomoprior {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> None:
    """Run the program and exit with 0, 1 or 2, or with 130 after Ctrl-C."""
    sys.exit(report(app, sys.argv[1:] if arguments is None else arguments))
