"""Exceptions become one line on the terminal and an exit code: 0 done, 2 wrong use, 1 failed, 130 interrupted."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from tomoprior import errors
from tomoprior.cli.limits import describe_limits

#: Environment variable that shows the traceback of an unexpected error.
DEBUG = "TOMOPRIOR_DEBUG"

#: Exit code after Ctrl-C, as in shells.
INTERRUPTED = 130


class InterruptedWithOutput(SystemExit):
    """The end of a command after Ctrl-C, when it has printed what became of its output."""

    def __init__(self) -> None:
        super().__init__(INTERRUPTED)


#: Errors that another command line can avoid; all others are failures.
WRONG_USE = (
    errors.SettingsError,
    errors.UnknownNameError,
    errors.GeometryError,
    errors.InputError,
    errors.OutputExistsError,
    errors.NoSuchFileError,
)


@contextmanager
def before_output() -> Iterator[None]:
    """Print on Ctrl-C that nothing was written; for the part of a command before its first output."""
    try:
        yield
    except errors.Interrupted:  # it has a result, which is written
        raise
    except KeyboardInterrupt:
        typer.echo("interrupted  nothing was written", err=True)
        raise InterruptedWithOutput from None


def report(app: typer.Typer, arguments: list[str]) -> int:
    """Run ``app`` and return the exit code; an error is printed in one line."""
    try:
        app(arguments)
    except SystemExit as stop:
        if stop.code == INTERRUPTED and not isinstance(stop, InterruptedWithOutput):  # typer has caught it without a message
            print("tomoprior: interrupted", file=sys.stderr)
        return stop.code if isinstance(stop.code, int) else 0
    except errors.TomopriorError as error:
        print(f"tomoprior: {_line(error)}{describe_limits(error)}", file=sys.stderr)
        return 2 if isinstance(error, WRONG_USE) else 1
    except MemoryError as error:
        hint = describe_limits(error)
        print(f"tomoprior: out of memory; try --bin, or --dry-run to see how much a method needs{hint}", file=sys.stderr)
        return 1
    except Exception as error:
        if os.environ.get(DEBUG):
            traceback.print_exc()
        if isinstance(error, RuntimeError) and "memory" in str(error).lower():  # as torch reports it
            print(
                f"tomoprior: out of memory ({_line(error)}); try --bin, or --dry-run{describe_limits(error)}", file=sys.stderr
            )
        elif hint := describe_limits(error):
            print(f"tomoprior: {type(error).__name__}: {_line(error)}{hint}", file=sys.stderr)
        else:
            print(f"tomoprior: unexpected {type(error).__name__}: {_line(error)} (set {DEBUG}=1 to see where)", file=sys.stderr)
        return 1
    return 0


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
