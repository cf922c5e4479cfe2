"""Signals that stop a training."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stoppable() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C and terminating signals set, so that no step is interrupted half-way."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # signals can only be caught in the main thread
        yield stopped
        return
    caught = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # with nohup the training outlives the terminal
        caught.append(signal.SIGHUP)
    before = {s: signal.signal(s, lambda *_: stopped.set()) for s in caught}
    try:
        yield stopped
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
