"""Classical methods as strong as they can be: what no rule settles well is chosen by the truth, and said to be."""

from __future__ import annotations

from coordinate_network_runs import Found, Runs, Verdicts, best

#: Iterations after which ``sirt`` is looked at.
SIRT = (50, 100, 200, 400, 1000, 2000, 4000)
#: Strengths of ``tv`` that are tried on the truth, as multiples of what held-out tilts settled.
STRENGTHS = tuple(2.0**k for k in range(-4, 5))


def sirt_at_best(runs: Runs) -> Found:
    """Non-negative, with as many iterations as suit the truth."""
    return best(runs("sirt", num_iter=n, min_constraint=0) for n in SIRT)


def tv_twice(runs: Runs) -> tuple[Found, Found]:
    """With the strength that held-out tilts settle, and with the best one."""
    settled = runs("tv", reg_par="held-out")
    return settled, best([settled, *(runs("tv", reg_par=settled.settled["reg_par"] * f) for f in STRENGTHS)])


def against_tv(say: Verdicts, title: str, runs: Runs, ours: Found, at_least: float | None = None) -> dict[str, Found]:
    """Say by how much ``cn`` is above both of ``tv``; the bar is for the strength that held-out tilts settle."""
    held_out, at_best = tv_twice(runs)
    text = f"cn {ours.psnr:.2f} dB over tv held-out {held_out.psnr:.2f}"
    say.bar(title, text, ours.psnr - held_out.psnr, at_least)
    factor = at_best.settled["reg_par"] / held_out.settled["reg_par"]
    text = f"cn {ours.psnr:.2f} dB over tv at its best {at_best.psnr:.2f} ({factor:g} x the held-out strength)"
    say.bar(title, text, ours.psnr - at_best.psnr, None)
    return {"tv held-out": held_out, "tv best": at_best}
