"""Signals that ask a training to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


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


@contextmanager
def sheltered() -> Iterator[None]:
    """Processes started here never see Ctrl-C, which a terminal sends to all of them; this one sees it afterwards."""
    resource_tracker.ensure_running()  # which lets these signals in again when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
