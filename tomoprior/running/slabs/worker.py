"""The program of a worker process: slabs arrive on standard input, and records leave on standard output.

It is started as ``python -m tomoprior.running.slabs.worker PLACE`` by ``ProcessExecutor``. Only the parent has the
pipes, so that no other user can reach the worker.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys

import torch

from tomoprior.errors import TomopriorError
from tomoprior.running.slabs.executors import worker_device


def serve(place: int) -> None:
    """Do the slabs that arrive until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # batch systems signal all processes of a job; the parent decides
    requests = sys.stdin.buffer
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # text that a library prints must not mix with the replies
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    work = pickle.load(requests)
    device = worker_device(str(getattr(work, "device", "auto")), place, count, os.environ)
    while True:
        try:
            slab = pickle.load(requests)
        except EOFError:
            return
        try:
            reply: tuple[bool, object] = (True, work(slab, device))
        except Exception as error:
            known = isinstance(error, TomopriorError | MemoryError)
            reply = (False, error if known else RuntimeError(f"{type(error).__name__}: {error}"))
        pickle.dump(reply, replies)
        replies.flush()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
