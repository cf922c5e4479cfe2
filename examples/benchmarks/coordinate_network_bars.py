"""The bars of ``coordinate_network.py``, one function each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from coordinate_network_opponents import against_tv, sirt_at_best
from coordinate_network_runs import Runs, Verdicts, best
from numpy.typing import NDArray

import tomoprior
from tomoprior.series import TiltSeries

#: Slices of the middle that the recipes race on.
RACED = 8
#: Iterations of the last fit after which ``cn`` is looked at, for the speed and for the noise.
CN, NOISY = (1, 10, 20, 40, 80, 160, 300), (5, 10, 20, 40, 80, 160, 300, 600)
Truth = NDArray[np.float32]


def speed(say: Verdicts, title: str, series: TiltSeries, truth: Truth, **paper_settings: Any) -> None:
    """How much sooner the fast recipe is where the paper's ends, on the same slices, and where it ends itself."""
    start = (truth.shape[1] - RACED) // 2
    runs = Runs(series.rows(start, start + RACED), truth[:, start : start + RACED])
    paper = runs("cn", preset="paper", **paper_settings)
    final = runs("cn")
    there = next((f for f in (*(runs("cn", num_iter=n) for n in CN), final) if f.psnr >= paper.psnr), None)
    text = f"paper {paper.psnr:.2f} dB in {paper.seconds:.1f} s, "
    if there is None:
        say.bar(title, text + "never reached by fast; ratio", 0.0, 20)
    else:
        text += f"fast {there.psnr:.2f} dB in {there.seconds:.1f} s ({there.settings.get('num_iter', 'all')} iterations); ratio"
        say.bar(title, text, paper.seconds / there.seconds, 20)
    say.bar(title, f"fast at its end {final.psnr:.2f} dB in {final.seconds:.1f} s, gain", final.psnr - paper.psnr, 1)
    say.bar(title, f"missing FSC fast {final.missing:.4f}, paper {paper.missing:.4f}, gain", final.missing - paper.missing, 0)


def quality(say: Verdicts, title: str, series: TiltSeries, truth: Truth) -> None:
    """The whole volume against the classical methods."""
    runs = Runs(series, truth)
    ours, wbp = runs("cn"), runs("wbp")
    say.bar(title, f"cn {ours.psnr:.2f} dB over wbp {wbp.psnr:.2f}", ours.psnr - wbp.psnr, 4)
    sirt = sirt_at_best(runs)
    text = f"cn {ours.psnr:.2f} dB over sirt at its best {sirt.psnr:.2f} ({sirt.settings['num_iter']} iterations)"
    say.bar(title, text, ours.psnr - sirt.psnr, 1.5)
    tv = against_tv(say, title, runs, ours)
    for name, found in {"cn": ours, "wbp": wbp, "sirt best": sirt, **tv}.items():
        say.note(title, f"  {name:<12} SSIM {found.ssim:.4f}, missing FSC {found.missing:.4f}, {found.seconds:.1f} s")


def noise(say: Verdicts, title: str, series: TiltSeries, truth: Truth) -> None:
    """Whether it would have been better to stop earlier, and against ``tv``."""
    runs = Runs(series, truth)
    ours = runs("cn")
    settled = {"reg_par": ours.settled["reg_par"], "degree": int(ours.settled["degree"]), "stop": "none"}
    path = [runs("cn", num_iter=n, **settled) for n in NOISY]
    top = best([ours, *path])
    when = top.settings.get("num_iter", "all")
    say.bar(title, f"cn {ours.psnr:.2f} dB over its best on the way {top.psnr:.2f} ({when})", ours.psnr - top.psnr, -0.5)
    against_tv(say, title, runs, ours, -0.3)
    say.note(title, "  cn after " + ", ".join(f"{f.settings['num_iter']}: {f.psnr:.2f}" for f in path))


def needle(say: Verdicts, file: Path) -> None:
    """A real specimen, 120 degrees of it against all of it."""
    series = tomoprior.read(file)
    reference = tomoprior.reconstruct(series, "sirt", num_iter=100).volume
    runs = Runs(series.angle_range(*np.deg2rad([-60, 60])), reference, "standard")
    found = {"wbp": runs("wbp"), "sirt at its best": sirt_at_best(runs), "tv": runs("tv")}
    found |= {"tv held-out": runs("tv", reg_par="held-out"), "cn": runs("cn")}
    for name, f in found.items():
        say.note("needle", f"{name:<17} PSNR {f.psnr:.2f} dB, SSIM {f.ssim:.4f}, {f.seconds:.1f} s")
