"""The columns of the table, and what each kind of evidence can and cannot show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tomoprior import memory
from tomoprior.comparison.report.plain import pick, scalar
from tomoprior.comparison.report.words import NONE, format_duration, format_number
from tomoprior.comparison.result import Entry
from tomoprior.comparison.summary import join_words

Better = Literal["high", "low", "one", ""]
Text = Callable[[Entry, float], str]


@dataclass(frozen=True)
class Column:
    """One number per entry.

    Attributes
    ----------
    name
        Name in ``table.csv``.
    title
        Title on the page. Empty for a column of ``table.csv`` only.
    value
        Returns the number of an entry, or None. The second argument is the voxel size in the unit of lengths.
    text
        Returns the number as text; by default with three digits.
    detail
        Returns a small note below the number.
    better
        The better direction: high, low, or close to one. Empty if a value is neither good nor bad, so that no best is marked.
    measure
        The ``Ranking.measure`` that decides about ties.
    meaning
        What the number is, for a group that explains each of its columns.
    """

    name: str
    title: str
    value: Callable[[Entry, float], float | None]
    text: Text | None = None
    detail: Text | None = None
    better: Better = ""
    measure: str = ""
    meaning: str = ""

    def shown(self, entry: Entry, voxel: float) -> str:
        """Return the value as text."""
        value = self.value(entry, voxel)
        return NONE if value is None else self.text(entry, voxel) if self.text else format_number(value)


@dataclass(frozen=True)
class Group:
    """Columns of one kind of evidence, with its meaning and its limit; ``{unit}`` in the title is the unit of lengths.

    Without ``what`` the meanings of the columns on the page explain the group.
    """

    title: str
    columns: tuple[Column, ...]
    what: str
    limit: str

    def explain(self, columns: Sequence[Column]) -> str:
        """Return the meaning of the group with these of its columns."""
        if self.what:
            return self.what
        meanings = join_words([c.meaning for c in columns])
        return f"{meanings[0].upper()}{meanings[1:]}."


def _number_column(path: str, name: str, title: str, better: Better = "", measure: str = "", meaning: str = "") -> Column:
    return Column(name, title, lambda e, _: scalar(e, path), better=better, measure=measure or path, meaning=meaning)


def _resolution(path: str, name: str, title: str, better: Better = "") -> Column:
    """Return the column of the length at which a curve crosses its threshold; no value if there is no agreement."""

    def value(entry: Entry, voxel: float) -> float | None:
        crossing = scalar(entry, f"{path}.crossing")
        return voxel / crossing if crossing else None

    def text(entry: Entry, voxel: float) -> str:
        # a curve that never falls below its threshold means two voxels or better
        never = (scalar(entry, f"{path}.crossing") or 0) >= 0.5
        return ("≤ " if never else "") + format_number(value(entry, voxel))

    def detail(entry: Entry, voxel: float) -> str:
        return "no agreement" if scalar(entry, f"{path}.crossing") == 0 else ""

    return Column(name, title, value, text, detail, better, f"{path}.crossing")


def _found_of_all(entry: Entry, voxel: float) -> str:
    count, all_of = scalar(entry, "planted.found"), pick(entry.evidence, "planted.recovered")
    return "" if count is None or all_of is None else f"{count:.0f} of {len(all_of)}"


def _seconds(part: str) -> Callable[[Entry, float], float | None]:
    return lambda entry, _: entry.seconds.get(part)


def _memory(entry: Entry, voxel: float) -> float | None:
    """Return the peak memory, or None if what the process used before hides it."""
    return None if not entry.memory or entry.memory < MEASURABLE else float(entry.memory)


#: Smaller changes of the peak memory cannot be measured, in bytes.
MEASURABLE = 2**20

#: With a truth.
TRUTH: tuple[Group, ...] = (
    Group(
        "PSNR, dB",
        (
            _number_column("truth.psnr_fitted", "psnr_fitted_db", "fitted", "high", measure="truth.rmse_fitted"),
            _number_column("truth.psnr", "psnr_db", "as it is"),
        ),
        "Fitted: scale and offset of each volume are fitted to the truth first. This one ranks.",
        "All of this table holds for this specimen, this noise and these tilts only.",
    ),
    Group(
        "Likeness",
        (
            _number_column("truth.ssim", "ssim", "SSIM", "high", meaning="structural similarity"),
            _number_column("truth.rmse", "rmse", "RMSE", meaning="root mean square error"),
            _number_column("truth.vif", "vif", "VIF", "high", meaning="visual information fidelity"),
        ),
        "",
        "",
    ),
    Group(
        "Resolution, {unit}",
        (_resolution("truth.curves.fsc", "resolution_truth", "all directions", "low"),),
        "Where the Fourier shell correlation of the soft-masked volumes falls below 0.5.",
        "",
    ),
    Group(
        "Error",
        (
            _number_column("truth.error_present", "error_measured", "measured", "low"),
            _number_column("truth.error_missing", "error_unmeasured", "not measured", "low"),
        ),
        "The error's power over the truth's, in directions that a tilt measured and in the others.",
        "",
    ),
)

#: From the tilts alone.
TILTS: tuple[Group, ...] = (
    Group(
        "Unseen tilts",
        (_number_column("held_out.error", "held_out_error", "error", "low"),),
        "Each method predicts tilts that it has not seen. A scale, an offset and a shift are fitted to each tilt first. It "
        "ranks two methods only if no band of detail contradicts.",
        "These tilts lie between measured ones. They say nothing about the missing wedge.",
    ),
    Group(
        "Own tilts",
        (_number_column("residual.total", "residual", "residual"),),
        "The misfit of the volume with its own tilts.",
        "A small residual proves nothing: noise can be fitted too.",
    ),
    Group(
        "Halves agree to, {unit}",
        (
            _resolution("halves.present", "resolution_halves_measured", "measured"),
            _resolution("halves.missing", "resolution_halves_unmeasured", "not measured"),
        ),
        "Two volumes, each from half of the tilts, agree down to this detail (0.143), in measured and in other directions.",
        "Where no tilt measured, both halves may be wrong in the same way.",
    ),
    Group(
        "Inferred",
        (_number_column("inferred.share", "inferred_share", "share"),),
        "The share of the volume's power in directions that no tilt measured.",
        "Neither much nor little is good by itself. Only a truth or planted objects show whether it is right.",
    ),
    Group(
        "Planted objects",
        (
            Column(
                "planted_contrast",
                "recovered",
                lambda e, _: scalar(e, "planted.contrast"),
                detail=_found_of_all,
                better="one",
                measure="planted.contrast",
            ),
            _number_column("planted.invented", "planted_invented", "invented", "low"),
            Column("planted_found", "", lambda e, _: scalar(e, "planted.found")),
        ),
        "Spheres of known contrast are added to the tilts. Recovered: the share of the contrast that the volume shows, and how "
        "many spheres. Invented: the largest response far from all spheres.",
        "It holds for spheres of this size and contrast, not for other structures.",
    ),
    Group(
        "Cost",
        (
            Column(
                "seconds",
                "time",
                _seconds("reconstruction"),
                lambda e, _: format_duration(e.seconds["reconstruction"]),
                better="low",
            ),
            Column("seconds_checks", "", _seconds("checks")),
            Column("memory_bytes", "memory", _memory, lambda e, _: memory.format_bytes(e.memory or 0), better="low"),
        ),
        "One reconstruction on this machine, without trials and checks. Memory, where it can be measured: the increase of the "
        "process's peak.",
        "",
    ),
)

GROUPS = TRUTH + TILTS
