"""The program of a worker process: slabs arrive on standard input, and records leave on standard output, as lines of JSON.

It is started as ``python -m tomoprior.running.slabs.worker PLACE`` by ``ProcessExecutor``. Only the parent has the
pipes, so that no other user can reach the worker. The work itself arrives first, as a pickle of the parent: a method may be
an object of the caller's script, which no JSON describes. The pickle runs no code that is not the parent's own. It comes from
the memory of the parent through an anonymous pipe, never from a file or a socket, and no value that was read from a file is
unpickled on the way. Whoever can write into the pipe is the same user and could command the parent too.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys

import torch

from tomoprior.running.slabs.executors import worker_device
from tomoprior.running.slabs.plan import Slab


def serve(place: int) -> None:
    """Do the slabs that arrive until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # batch systems signal all processes of a job; the parent decides
    requests = sys.stdin.buffer
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # text that a library prints must not mix with the replies
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    try:
        work = pickle.load(requests)
    except Exception as error:  # such as a class of a module that this process cannot import
        replies.write(_describe(error))
        replies.flush()
        return
    device = worker_device(str(getattr(work, "device", "auto")), place, count, os.environ)
    for line in requests:
        try:
            reply = json.dumps({"record": work(Slab(**json.loads(line)), device)}).encode() + b"\n"
        except Exception as error:
            reply = _describe(error)
        replies.write(reply)
        replies.flush()


def _describe(error: Exception) -> bytes:
    return json.dumps({"error": {"class": type(error).__name__, "message": str(error)}}).encode() + b"\n"


if __name__ == "__main__":
    serve(int(sys.argv[1]))
