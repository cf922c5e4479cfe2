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

#: Number of middle slices for the comparison of speed.
RACED = 8
#: Iterations of the last fit at which ``cn`` is scored, for the speed and for the noise.
CN, NOISY = (1, 10, 20, 40, 80, 160, 300), (5, 10, 20, 40, 80, 160, 300, 600)
Truth = NDArray[np.float32]


def speed(verdicts: Verdicts, title: str, series: TiltSeries, truth: Truth, **paper_settings: Any) -> None:
    """Compare the times in which the fast preset and the paper's reach the paper's final score, and their final scores."""
    start = (truth.shape[1] - RACED) // 2
    runs = Runs(series.rows(start, start + RACED), truth[:, start : start + RACED])
    paper = runs("cn", preset="paper", **paper_settings)
    final = runs("cn")
    reached = next((f for f in (*(runs("cn", num_iter=n) for n in CN), final) if f.psnr >= paper.psnr), None)
    text = f"paper {paper.psnr:.2f} dB in {paper.seconds:.1f} s, "
    if reached is None:
        verdicts.bar(title, text + "never reached by fast; ratio", 0.0, 20)
    else:
        text += (
            f"fast {reached.psnr:.2f} dB in {reached.seconds:.1f} s, num_iter {reached.settings.get('num_iter', 'all')}; ratio"
        )
        verdicts.bar(title, text, paper.seconds / reached.seconds, 20)
    verdicts.bar(title, f"fast at its end {final.psnr:.2f} dB in {final.seconds:.1f} s, gain", final.psnr - paper.psnr, 1)
    verdicts.bar(
        title, f"missing FSC fast {final.missing:.4f}, paper {paper.missing:.4f}, gain", final.missing - paper.missing, 0
    )


def quality(verdicts: Verdicts, title: str, series: TiltSeries, truth: Truth) -> None:
    """Compare the whole volume with those of the classical methods."""
    runs = Runs(series, truth)
    ours, wbp = runs("cn"), runs("wbp")
    verdicts.bar(title, f"cn {ours.psnr:.2f} dB over wbp {wbp.psnr:.2f}", ours.psnr - wbp.psnr, 4)
    sirt = sirt_at_best(runs)
    text = f"cn {ours.psnr:.2f} dB over sirt at its best {sirt.psnr:.2f} ({sirt.settings['num_iter']} iterations)"
    verdicts.bar(title, text, ours.psnr - sirt.psnr, 1.5)
    tv = against_tv(verdicts, title, runs, ours)
    for name, scores in {"cn": ours, "wbp": wbp, "sirt best": sirt, **tv}.items():
        verdicts.note(title, f"  {name:<12} SSIM {scores.ssim:.4f}, missing FSC {scores.missing:.4f}, {scores.seconds:.1f} s")


def noise(verdicts: Verdicts, title: str, series: TiltSeries, truth: Truth) -> None:
    """Compare ``cn`` with earlier stops, and with ``tv``."""
    runs = Runs(series, truth)
    ours = runs("cn")
    settled = {"reg_par": ours.settled["reg_par"], "degree": int(ours.settled["degree"]), "stop": None}
    path = [runs("cn", num_iter=n, **settled) for n in NOISY]
    top = best([ours, *path])
    when = top.settings.get("num_iter", "all")
    verdicts.bar(title, f"cn {ours.psnr:.2f} dB over its best on the way {top.psnr:.2f} ({when})", ours.psnr - top.psnr, -0.5)
    against_tv(verdicts, title, runs, ours, -0.3)
    verdicts.note(title, "  cn after " + ", ".join(f"{f.settings['num_iter']}: {f.psnr:.2f}" for f in path))


def needle(verdicts: Verdicts, file: Path) -> None:
    """Compare reconstructions of a real specimen from 120 degrees with one from all tilts."""
    series = tomoprior.read(file)
    reference = tomoprior.reconstruct(series, "sirt", num_iter=100).volume
    runs = Runs(series.angle_range(*np.deg2rad([-60, 60])), reference, "standard")
    scores = {"wbp": runs("wbp"), "sirt at its best": sirt_at_best(runs), "tv": runs("tv")}
    scores |= {"tv held-out": runs("tv", reg_par="held-out"), "cn": runs("cn")}
    for name, f in scores.items():
        verdicts.note("needle", f"{name:<17} PSNR {f.psnr:.2f} dB, SSIM {f.ssim:.4f}, {f.seconds:.1f} s")
