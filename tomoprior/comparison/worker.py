"""One candidate in a process of its own, so that its crash ends no other method.

``python -m tomoprior.comparison.worker FOLDER`` reads ``FOLDER/job.json`` and the shared input in ``FOLDER``. It reports its
progress on standard output, one line of JSON each time, and leaves the results in the candidate's store.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from tomoprior import methods
from tomoprior.comparison.candidates import Candidate
from tomoprior.comparison.evaluation import Evaluation
from tomoprior.comparison.shared import SharedInput
from tomoprior.comparison.store import Store

#: The shortest time between two lines of progress, in seconds.
INTERVAL = 0.2


def describe_job(
    candidate: Candidate, store: Store, checks: tuple[str, ...], *, tune: bool, budget: float | None
) -> dict[str, Any]:
    """Return what the worker needs beside the shared input, as plain values."""
    return {
        "label": candidate.label,
        "method": candidate.method.name,
        "settings": candidate.settings.model_dump(mode="json"),
        "set_by_user": sorted(candidate.set_by_user),
        "store": str(store.folder),
        "digest": store.digest,
        "checks": list(checks),
        "tune": tune,
        "budget": budget,
    }


def main(folder: Path) -> int:
    """Run the job in ``folder``; returns the exit status."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    method = methods.get(job["method"])
    candidate = Candidate(
        job["label"], method, method.Settings.parse(job["settings"]), set_by_user=frozenset(job["set_by_user"])
    )
    last = 0.0

    def step(stage: str, iteration: int, num_iter: int) -> None:
        nonlocal last
        now = time.monotonic()
        if iteration in (0, num_iter) or now - last > INTERVAL:
            last = now
            sys.stdout.write(json.dumps([stage, iteration, num_iter]) + "\n")
            sys.stdout.flush()

    evaluation = Evaluation(
        SharedInput.load(folder), candidate, Store(Path(job["store"]), job["digest"]), tuple(job["checks"]),
        tune=job["tune"], budget=job["budget"], step=step, alone=True,
    )  # fmt: skip
    try:
        evaluation.run()
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
