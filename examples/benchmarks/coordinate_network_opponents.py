"""Classical methods at their best: the truth chooses what no rule chooses well, and the output says so."""

from __future__ import annotations

from coordinate_network_runs import Runs, Scores, Verdicts, best

#: Iterations at which ``sirt`` is scored.
SIRT = (50, 100, 200, 400, 1000, 2000, 4000)
#: Strengths of ``tv`` that are compared with the truth, as multiples of the choice by held-out tilts.
STRENGTHS = tuple(2.0**k for k in range(-4, 5))


def sirt_at_best(runs: Runs) -> Scores:
    """Return the non-negative result with the best number of iterations."""
    return best(runs("sirt", num_iter=n, min_constraint=0) for n in SIRT)


def tv_twice(runs: Runs) -> tuple[Scores, Scores]:
    """Return the result at the strength that held-out tilts choose, and at the best strength."""
    settled = runs("tv", reg_par="held-out")
    return settled, best([settled, *(runs("tv", reg_par=settled.settled["reg_par"] * f) for f in STRENGTHS)])


def against_tv(verdicts: Verdicts, title: str, runs: Runs, ours: Scores, at_least: float | None = None) -> dict[str, Scores]:
    """Print by how much ``cn`` exceeds ``tv`` at both strengths; the bar is for the one that held-out tilts choose."""
    held_out, at_best = tv_twice(runs)
    text = f"cn {ours.psnr:.2f} dB over tv held-out {held_out.psnr:.2f}"
    verdicts.bar(title, text, ours.psnr - held_out.psnr, at_least)
    factor = at_best.settled["reg_par"] / held_out.settled["reg_par"]
    text = f"cn {ours.psnr:.2f} dB over tv at its best {at_best.psnr:.2f} ({factor:g} x the held-out strength)"
    verdicts.bar(title, text, ours.psnr - at_best.psnr, None)
    return {"tv held-out": held_out, "tv best": at_best}
