"""Which evidence becomes which column of the table, and what each kind can and cannot tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tomoprior import memory
from tomoprior.comparison.report.plain import pick, scalar
from tomoprior.comparison.report.words import NONE, duration, number
from tomoprior.comparison.result import Entry

Better = Literal["high", "low", "one", ""]
Text = Callable[[Entry, float], str]


@dataclass(frozen=True)
class Column:
    """A number that the table has of every entry.

    Attributes
    ----------
    name
        In ``table.csv``.
    title
        On the page; ``{unit}`` becomes the unit of lengths. Empty for what only ``table.csv`` has.
    value
        The number, None where an entry has none. The second argument is a voxel's edge in the unit of lengths.
    text
        The same for people; by default to three digits.
    detail
        What stands smaller beside it.
    better
        High, low, close to one; or empty where a value by itself is neither good nor bad, so that no best is marked.
    measure
        The ``Ranking.measure`` that decides about ties in it.
    """

    name: str
    title: str
    value: Callable[[Entry, float], float | None]
    text: Text | None = None
    detail: Text | None = None
    better: Better = ""
    measure: str = ""

    def shown(self, entry: Entry, voxel: float) -> str:
        """The value as text."""
        value = self.value(entry, voxel)
        return NONE if value is None else self.text(entry, voxel) if self.text else number(value)


@dataclass(frozen=True)
class Group:
    """Columns of one kind of evidence, with a sentence on what it is and one on what it cannot tell."""

    title: str
    columns: tuple[Column, ...]
    what: str
    limit: str


def _of(path: str, name: str, title: str, better: Better = "", measure: str = "") -> Column:
    return Column(name, title, lambda e, _: scalar(e, path), better=better, measure=measure or path)


def _resolution(path: str, name: str, title: str, better: Better = "") -> Column:
    """Where a curve falls below its threshold, as a length; none if its first shell is below already."""

    def apart(entry: Entry) -> bool:
        known = [c for c in pick(entry.evidence, f"{path}.correlation") or () if c is not None]
        return bool(known) and known[0] < pick(entry.evidence, f"{path}.threshold")

    def value(entry: Entry, voxel: float) -> float | None:
        crossing = scalar(entry, f"{path}.crossing")
        return voxel / crossing if crossing and not apart(entry) else None

    def text(entry: Entry, voxel: float) -> str:
        # a curve that never falls below says that the resolution is two voxels or better
        never = (scalar(entry, f"{path}.crossing") or 0) >= 0.5
        return ("≤ " if never else "") + number(value(entry, voxel))

    def detail(entry: Entry, voxel: float) -> str:
        return "agrees nowhere" if apart(entry) else ""

    return Column(name, title, value, text, detail, better, f"{path}.crossing")


def _count(path: str, word: str) -> Text:
    def text(entry: Entry, voxel: float) -> str:
        found = pick(entry.evidence, path)
        return f"{len(found)} {word}" if found else ""

    return text


def _found(entry: Entry, voxel: float) -> str:
    found, all_of = scalar(entry, "planted.found"), pick(entry.evidence, "planted.recovered")
    return "" if found is None or all_of is None else f"{found:.0f} of {len(all_of)}"


def _seconds(part: str) -> Callable[[Entry, float], float | None]:
    return lambda entry, _: entry.seconds.get(part)


GROUPS: tuple[Group, ...] = (
    Group(
        "Against the truth",
        (
            _of("truth.psnr", "psnr_db", "PSNR, dB", "high", measure="truth.rmse"),  # the same order
            _of("truth.ssim", "ssim", "SSIM", "high"),
            _of("truth.rmse", "rmse", "RMSE", "low"),
            _of("truth.vif", "vif", "VIF", "high"),
            _resolution("truth.curves.fsc", "resolution_truth", "Resolution, {unit}", "low"),
            _of("truth.error_present", "error_measured", "Error, measured", "low"),
            _of("truth.error_missing", "error_unmeasured", "Error, not measured", "low"),
        ),
        "Each volume against the known one; resolution where their Fourier shell correlation falls below 0.5; error as share "
        "of the truth's power, in the directions that the tilts measured and in those that they did not.",
        "It holds for this specimen, this noise and these tilts, not for every other.",
    ),
    Group(
        "Held-out tilts",
        (_of("held_out.error", "held_out_error", "Error", "low"),),
        "Each method is run without some of the tilts and has to predict them: the relative error of that. It needs no truth.",
        "Those tilts lie between measured ones, so it says next to nothing about what fills the missing wedge.",
    ),
    Group(
        "Fit",
        (
            Column(
                "residual",
                "Residual",
                lambda e, _: scalar(e, "residual.total"),
                detail=_count("residual.outliers", "bad"),
                measure="residual.total",
            ),
        ),
        "How far the volume's projections are from the tilts that it was made from; bad tilts are those that stick out.",
        "A small residual proves nothing: noise can be fitted too.",
    ),
    Group(
        "Halves of the tilts",
        (
            _resolution("halves.present", "resolution_halves_measured", "Measured, {unit}"),
            _resolution("halves.missing", "resolution_halves_unmeasured", "Not measured, {unit}"),
        ),
        "Two volumes, each from half of the tilts: down to which detail they agree (0.143), in measured and other directions.",
        "Agreement where no tilt measured is the consistency of an inference, not truth: both halves may be wrong alike.",
    ),
    Group(
        "Inferred",
        (_of("inferred.share", "inferred_share", "Share"),),
        "How much of what the volume shows lies in directions that no tilt measured, so that it was inferred.",
        "Neither much nor little is good by itself; whether it is right only a truth or planted objects can tell.",
    ),
    Group(
        "Planted objects",
        (
            Column(
                "planted_contrast",
                "Recovered",
                lambda e, _: scalar(e, "planted.contrast"),
                detail=_found,
                better="one",
                measure="planted.contrast",
            ),
            _of("planted.invented", "planted_invented", "Invented", "low"),
            Column("planted_found", "", lambda e, _: scalar(e, "planted.found")),
        ),
        "Spheres of known contrast were added to the tilts: the share of it that comes back, how many of them can be told from "
        "places without one, and the largest response far from all of them.",
        "It shows how spheres of this size and contrast fare, not other structures.",
    ),
    Group(
        "Cost",
        (
            Column(
                "seconds", "Time", _seconds("reconstruction"), lambda e, _: duration(e.seconds["reconstruction"]), better="low"
            ),
            Column("seconds_checks", "", _seconds("checks")),
            Column(
                "memory_bytes",
                "Memory",
                lambda e, _: None if e.memory is None else float(e.memory),
                lambda e, _: memory.format_bytes(e.memory or 0),
                better="low",
            ),
        ),
        "Of one reconstruction on this machine, without the checks.",
        "Memory is what the process took at its peak beyond what it had before.",
    ),
)
