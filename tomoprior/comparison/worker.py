"""A contestant in a process of its own: what it breaks, it breaks for itself alone.

``python -m tomoprior.comparison.worker FOLDER`` reads ``FOLDER/job.json`` and the arena beside it, and says on standard
output, a line of JSON each time, how far it is. What it finds is in the contestant's store.
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

#: Seconds between two lines at least.
EVERY = 0.2


def job(contestant: Candidate, store: Store, checks: tuple[str, ...], *, tune: bool, budget: float | None) -> dict[str, Any]:
    """What a child has to know beside the arena, as plain values."""
    return {
        "label": contestant.label,
        "method": contestant.method.name,
        "settings": contestant.settings.model_dump(mode="json"),
        "given": sorted(contestant.given),
        "store": str(store.folder),
        "digest": store.digest,
        "checks": list(checks),
        "tune": tune,
        "budget": budget,
    }


def main(folder: Path) -> int:
    """Run the job in ``folder``."""
    todo = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    method = methods.get(todo["method"])
    contestant = Candidate(todo["label"], method, method.Settings.parse(todo["settings"]), given=frozenset(todo["given"]))
    last = 0.0

    def step(stage: str, iteration: int, num_iter: int) -> None:
        nonlocal last
        now = time.monotonic()
        if iteration in (0, num_iter) or now - last > EVERY:
            last = now
            sys.stdout.write(json.dumps([stage, iteration, num_iter]) + "\n")
            sys.stdout.flush()

    contest = Evaluation(
        SharedInput.load(folder), contestant, Store(Path(todo["store"]), todo["digest"]), tuple(todo["checks"]),
        tune=todo["tune"], budget=todo["budget"], step=step, alone=True,
    )  # fmt: skip
    try:
        contest.run()
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
