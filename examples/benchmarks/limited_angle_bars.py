"""The bars: scores that ``diffusion`` has to reach against the other methods, from the table of measured rows."""

from __future__ import annotations

from limited_angle_opponents import SAMPLE, SAMPLE_RANGE, SLICE_RANGE
from limited_angle_table import POWERS, REGIONS, Table

#: Differences in dB at each tilt range: PSNR over ``wiener`` with the grid assumed to be filled, over the best opponent without
#: a mask, over ``wiener`` with the mask for both, and inside the section over the better ``wiener`` without a mask.
OVER_FILLED = {10: 2.7, 20: 3.0, 60: 4.2, 120: 5.0}
OVER_BEST = {10: 1.0, 20: 1.0, 60: 1.5, 120: 2.0}
OVER_GIVEN = {10: 0.5, 20: 0.8, 60: 1.6, 120: 2.0}
INSIDE = {10: 0.4, 20: 0.8, 60: 1.8, 120: 2.0}

#: At 60 degrees: correlation in the missing region, average precision of membranes, and the largest lead of the mean's
#: precision over a sample's.
FSC, AP, SAMPLE_AP = 0.70, 0.85, 0.05

#: Largest difference of a sample's power from the truth's in any band, as a share of the truth's.
POWER = 0.20

#: Correlation of std with |error|; coverage of the 90 % interval.
CORRELATION, COVERAGE = 0.45, (0.87, 0.93)

#: Lead over the prior of single slices, dB.
BEHIND = 0.5


class Bars:
    """Prints bars and counts those that are missed."""

    def __init__(self) -> None:
        self.missed = 0

    def check_least(self, name: str, value: float, bar: float) -> None:
        """Check that a value is not below the bar."""
        self._print(name, value, f"{bar:g}", value >= bar)

    def check_most(self, name: str, value: float, bar: float) -> None:
        """Check that a value is not above the bar."""
        self._print(name, value, f"{bar:g} at most", value <= bar)

    def check_within(self, name: str, value: float, low: float, high: float) -> None:
        """Check that a value lies between two bars."""
        self._print(name, value, f"{low:g} to {high:g}", low <= value <= high)

    def _print(self, name: str, value: float, bar: str, reached: bool) -> None:
        self.missed += not reached
        print(f"{name}: {value:.3f}, bar {bar}: {'pass' if reached else 'FAIL'}", flush=True)


def check_accuracy(bars: Bars, table: Table, span: int) -> None:
    """Check the bars of the volumes at one range."""
    means = table.compute_means(span)
    ours = means["found", "diffusion"]
    others = {key: m for key, m in means.items() if key[0] != "given" and key[1] in ("sirt", "tv", "tikhonov", "wiener")}
    best = max(others, key=lambda key: others[key]["psnr"])
    given = means["given", "diffusion"]["psnr"] - means["given", "wiener"]["psnr"]
    inner = max(means[faces, "wiener"]["inner"] for faces in ("unknown", "found"))
    at = f"{span} degrees, "
    for text, value, bar in (
        ("PSNR over wiener, grid assumed filled", ours["psnr"] - means["unknown", "wiener"]["psnr"], OVER_FILLED),
        (f"PSNR over the best, {best[1]} with faces {best[0]}", ours["psnr"] - others[best]["psnr"], OVER_BEST),
        ("PSNR over wiener, faces given", given, OVER_GIVEN),
        ("PSNR inside over wiener", ours["inner"] - inner, INSIDE),
    ):
        if span in bar:
            bars.check_least(at + text, value, bar[span])
    if span == SAMPLE_RANGE:
        bars.check_least(at + "missing-region FSC", ours["fsc"], FSC)
        bars.check_least(at + "average precision of membranes", ours["ap"], AP)
    if span <= SLICE_RANGE and ("found", "diffusion.slice") in means:
        bars.check_least(at + "PSNR over diffusion.slice", ours["psnr"] - means["found", "diffusion.slice"]["psnr"], BEHIND)


def check_uncertainty(bars: Bars, table: Table, span: int) -> None:
    """Check the bars of the standard deviation at one range; it needs two samples or more."""
    ours = table.compute_means(span)["found", "diffusion"]
    if "corr" not in ours:
        print(f"{span} degrees: no standard deviation", flush=True)
        return
    bars.check_least(f"{span} degrees, correlation of std with |error|", ours["corr"], CORRELATION)
    print(f"{span} degrees, the same inside the section: {ours['corr_inside']:.3f}", flush=True)
    for region in REGIONS:
        text = f"{span} degrees, coverage of the 90 % interval, {region} (mean z^2 {ours[f'z2_{region}']:.2f})"
        bars.check_within(text, ours[f"cover_{region}"], *COVERAGE)


def check_samples(bars: Bars, table: Table) -> None:
    """Check the bars of single samples at the range where they are scored."""
    means = table.compute_means(SAMPLE_RANGE, SAMPLE)
    if SAMPLE not in means:
        print(f"{SAMPLE_RANGE} degrees: no single samples", flush=True)
        return
    one, mean = means[SAMPLE], means["found", "diffusion"]
    bars.check_most(f"{SAMPLE_RANGE} degrees, average precision of the mean over a sample's", mean["ap"] - one["ap"], SAMPLE_AP)
    for name in POWERS:
        low = float(name.partition("_")[2])
        text = f"{SAMPLE_RANGE} degrees, a sample's power over the truth's, {low:g} to {low + 0.05:g} cycles per voxel"
        bars.check_within(text, one[name], 1 - POWER, 1 + POWER)
