"""From exceptions to one line on the terminal and an exit code: 0 done, 2 wrong use, 1 failed, 130 interrupted."""

from __future__ import annotations

import os
import sys
import traceback

import typer

from tomoprior import errors

#: Set to see the traceback of an error that is not the user's.
DEBUG = "TOMOPRIOR_DEBUG"

#: Exit code after Ctrl-C, as shells have it.
INTERRUPTED = 130


class InterruptedWithOutput(SystemExit):
    """Ctrl-C after which something was written all the same, and the user has been told."""

    def __init__(self) -> None:
        super().__init__(INTERRUPTED)


#: What the user can mend by another command line; all else is a failure.
WRONG_USE = (
    errors.SettingsError,
    errors.UnknownNameError,
    errors.GeometryError,
    errors.InputError,
    errors.OutputExistsError,
    errors.NoSuchFileError,
)


def report(app: typer.Typer, arguments: list[str]) -> int:
    """Run ``app`` and return the exit code; whatever goes wrong is told in one line."""
    try:
        app(arguments)
    except SystemExit as stop:
        if stop.code == INTERRUPTED and not isinstance(stop, InterruptedWithOutput):  # typer has caught it, and said nothing
            print("tomoprior: interrupted; nothing was written", file=sys.stderr)
        return stop.code if isinstance(stop.code, int) else 0
    except errors.TomopriorError as error:
        print(f"tomoprior: {_line(error)}", file=sys.stderr)
        return 2 if isinstance(error, WRONG_USE) else 1
    except MemoryError:
        print("tomoprior: out of memory; try --bin, or --dry-run to see what a method needs", file=sys.stderr)
        return 1
    except Exception as error:
        if os.environ.get(DEBUG):
            traceback.print_exc()
        if "memory" in str(error).lower():  # torch raises RuntimeError
            print(f"tomoprior: out of memory ({_line(error)}); try --bin, or --dry-run", file=sys.stderr)
        else:
            print(f"tomoprior: unexpected {type(error).__name__}: {_line(error)} (set {DEBUG}=1 to see where)", file=sys.stderr)
        return 1
    return 0


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
