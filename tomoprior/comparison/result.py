"""What a comparison found: an entry a method, with its volume and the evidence for and against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tomoprior.display import to_html
from tomoprior.geometry import Geometry

Status = Literal["done", "failed", "over budget"]


@dataclass(frozen=True, eq=False)
class Entry:
    """One method in a comparison.

    Attributes
    ----------
    label
        Its name in tables and pictures: the method's, with a number where it takes part twice.
    method, settings
        What ran: the method's name and all its settings, as plain values.
    status
        ``done``; ``failed`` or ``over budget`` where there is no volume, or where a check of it did not end (``message`` says).
    message
        One line, empty if all went well.
    volume, std
        Shape ``(nz, ny, nx)``, float32, as the method gave them.
    seconds
        That the reconstruction took, and all checks with it: ``{"reconstruction": ..., "checks": ...}``.
    memory
        Bytes at the peak beyond what the process had before, where it was measured.
    evidence
        One mapping a check, plain values only, each there only if that check was made. ``None`` stands for what has no value.

        ``residual``: ``angles`` in degrees, ``residuals``, relative, one a tilt, ``outliers``: indices of tilts that stick out,
        and ``total``.
        ``held_out``: ``views``, ``angles`` in degrees, ``errors``, relative, one a tilt that the method did not see; ``error``,
        all together; ``calibration``, the scale and the offset that the tilts it saw asked for.
        ``halves``: ``present`` and ``missing``, each a curve, against 0.143.
        ``inferred``: ``share`` of the volume's power (its mean left out) in directions that no tilt measured, and
        ``truth_share``, the truth's, or None.
        ``planted``: ``recovered``, the share of its contrast found where each test object was put, ``displaced``, how far from
        there in voxels, ``controls``, the same share where none was, ``invented``, the largest response far from all of them as
        a share of the contrast; ``contrast`` (mean of ``recovered``) and ``found`` (how many can be told from the controls).
        ``truth``: ``rmse``, ``psnr``, ``ssim``, ``vif``, ``fsc_mean``, ``fsc_crossing`` and so on of ``metrics.evaluate``;
        ``error_present`` and ``error_missing``, the error's power over the truth's inside what was measured and outside it;
        ``curves``: ``fsc``, ``present``, ``missing``, against 0.5.
        ``agreement``: correlation with every other entry, by label.
        ``tuned``: ``values`` chosen, and ``trials``, a list of ``{"values": ..., "error": ...}``.

        A curve is ``{"frequency": [...], "correlation": [... or None], "crossing": number or None, "threshold": number}``,
        frequencies in cycles per voxel.
    notes
        Sentences of the method's own record: warnings, what it inferred.
    """

    label: str
    method: str
    settings: Mapping[str, Any]
    status: Status = "done"
    message: str = ""
    volume: NDArray[np.float32] | None = None
    std: NDArray[np.float32] | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    memory: int | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Planted:
    """Test objects that were added to the projections: full spheres.

    Attributes
    ----------
    centers, controls
        Where they are, and where none is to compare with: ``(n, 3)``, z, y, x as indices of voxels.
    radius, density
        In voxels, and per voxel.
    """

    centers: NDArray[np.float64]
    controls: NDArray[np.float64]
    radius: float
    density: float


@dataclass(frozen=True)
class Ranking:
    """An order that the evidence supports.

    Attributes
    ----------
    by
        What it goes by, in words: ``prediction of held-out tilts``.
    groups
        Labels from best to worst; those in one group cannot be told apart from the group's best.
    reason
        How that was decided, one sentence.
    measure
        Where the numbers behind it stand in the evidence: ``held_out.error``, ``truth.rmse``. Empty if they are not there.
    """

    by: str
    groups: tuple[tuple[str, ...], ...]
    reason: str
    measure: str = ""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several methods on one tilt series.

    Attributes
    ----------
    title
        Name of the series.
    geometry
        Angles, grid and voxel size that all have in common.
    entries
        In the order in which they were asked for, those without a volume too.
    truth
        Shape ``(nz, ny, nx)``, where there is one.
    planted
        The test objects, where any were planted.
    spread
        Standard deviation among the volumes at each voxel, each with the scale and offset that the tilts ask for; None with
        fewer than two.
    rankings
        With a truth first by that, then by held-out tilts.
    summary
        What all this says, in sentences.
    about
        What was run on what: ``input``, ``command``, ``versions``, ``seed``, ``checks``, ``seconds`` and so on, plain values.
    """

    title: str
    geometry: Geometry
    entries: tuple[Entry, ...]
    truth: NDArray[np.float32] | None = None
    planted: Planted | None = None
    spread: NDArray[np.float32] | None = None
    rankings: tuple[Ranking, ...] = ()
    summary: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        states = ", ".join(e.label if e.status == "done" else f"{e.label} ({e.status})" for e in self.entries)
        return f"Comparison({self.title}: {states})"

    def _repr_html_(self) -> str:
        rows = []
        for entry in self.entries:
            numbers = [entry.evidence.get("held_out", {}).get("error"), entry.evidence.get("truth", {}).get("psnr")]
            held_out, psnr = ("" if value is None else f"{value:.4g}" for value in numbers)
            rows.append((entry.label, entry.status, held_out, psnr, entry.message))
        table = to_html(f"Comparison: {self.title}", rows, ("method", "status", "held-out error", "PSNR (dB)", ""))
        return table + "".join(f"<p>{escape(sentence)}</p>" for sentence in self.summary)

    def __getitem__(self, label: str) -> Entry:
        for entry in self.entries:
            if entry.label == label:
                return entry
        raise KeyError(label)

    @property
    def done(self) -> tuple[Entry, ...]:
        """The entries that have a volume."""
        return tuple(e for e in self.entries if e.volume is not None)
