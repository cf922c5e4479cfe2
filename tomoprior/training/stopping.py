"""Signals that ask a training to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stoppable() -> Iterator[threading.Event]:
    """An event that Ctrl-C and terminating signals set, so that a step is never cut in two."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only there can signals be caught
        yield stopped
        return
    caught = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup wants the training to outlive the terminal
        caught.append(signal.SIGHUP)
    before = {s: signal.signal(s, lambda *_: stopped.set()) for s in caught}
    try:
        yield stopped
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
