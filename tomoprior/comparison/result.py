"""The result of a comparison: one entry per method, with its volume and the evidence for and against it."""

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
        The name in tables and pictures. It is unique.
    method, settings
        The method's name and all its settings, as plain values.
    status
        ``done``; or ``failed`` or ``over budget`` if there is no volume or a check is missing (``message`` gives the reason).
    message
        One line, empty if all went well.
    volume, std
        The volume and its standard deviation from the method, shape ``(nz, ny, nx)``, float32.
    seconds
        Time of the reconstruction and of all checks: ``{"reconstruction": ..., "checks": ...}``.
    memory
        Peak memory of the reconstruction in bytes, beyond that of the process before; None if it was not measured.
    evidence
        One mapping per check, with plain values; absent for a check that did not run. ``None`` marks a missing value.

        ``residual``: ``angles`` in degrees; ``residuals``, relative, one per tilt; ``outliers``, indices of bad tilts;
        ``total``; ``calibration``, the scale and the offset that fit the tilts.
        ``held_out``: ``views``; ``angles`` in degrees; ``errors``, relative, one per tilt that the method did not see, after
        the fit of ``scales`` and ``shifts`` (y, x, in pixels); ``squares``, their weighted squares; ``bands``, the same for
        each band of detail from coarse to fine; ``error``, of all tilts.
        ``halves``: ``present`` and ``missing``, each a curve with threshold 0.143.
        ``inferred``: ``share`` of the volume's power (without its mean) in directions that no tilt measured, and
        ``truth_share``, that of the truth, or None.
        ``planted``: ``recovered``, the share of its contrast at the place of each test object; ``displaced``, the distance to
        the response in voxels; ``controls``, the same share at places without an object; ``invented``, the largest response
        far from all objects, as a share of the contrast; ``contrast``, the mean of ``recovered``; ``found``, the number of
        objects that differ from the controls, ``of`` so many.
        ``truth``: ``rmse``, ``psnr``, ``ssim``, ``vif``, ``fsc_mean``, ``fsc_crossing`` and so on of ``metrics.evaluate``;
        ``rmse_fitted`` and ``psnr_fitted``, with scale and offset fitted to the truth; ``error_present`` and
        ``error_missing``, the error's power over the truth's in the measured directions and in the others; ``curves``:
        ``fsc``, ``present``, ``missing``, with threshold 0.5.
        ``agreement``: correlation with every other entry, by label.
        ``tuned``: the chosen ``values``; ``trials``, a list of ``{"values": ..., "error": ...}``; ``why`` they are fewer than
        the most that a method gets; ``cut``, why they ended early. Both are empty if there is no reason.

        A curve is ``{"frequency": [...], "correlation": [... or None], "crossing": number or None, "threshold": number}``,
        frequencies in cycles per voxel.
    response
        Change of the volume when the test objects are added to the tilts, same shape; None without planted objects.
    settled
        Values that the method chose while it ran, such as the strength by held-out tilts.
    notes
        Statements of the method's record: warnings, and what it inferred.
    """

    label: str
    method: str
    settings: Mapping[str, Any]
    status: Status = "done"
    message: str = ""
    volume: NDArray[np.float32] | None = None
    std: NDArray[np.float32] | None = None
    response: NDArray[np.float32] | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    memory: int | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    settled: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Planted:
    """Test objects that are added to the projections: full spheres.

    Attributes
    ----------
    centers, controls
        Places of the objects, and places without one: ``(n, 3)``, z, y, x as voxel indices.
    radius, density
        Radius in voxels, density per voxel.
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
        The evidence in words: ``prediction of held-out tilts``.
    groups
        Labels from best to worst. The evidence orders every pair from different groups.
    reason
        How the order was decided.
    measure
        The path of its numbers in the evidence: ``held_out.error``, ``truth.rmse_fitted``. Empty if there is none.
    pairs
        All pairs (better, worse) that the evidence orders, also within a group.
    """

    by: str
    groups: tuple[tuple[str, ...], ...]
    reason: str
    measure: str = ""
    pairs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several methods on one tilt series.

    Attributes
    ----------
    title
        The name of the series.
    geometry
        Angles, grid and voxel size of all volumes.
    entries
        In the order of the request, with those without a volume.
    truth
        The true volume, shape ``(nz, ny, nx)``, or None.
    planted
        The test objects, or None.
    spread
        Standard deviation among the volumes at each voxel, each with the scale and offset that fit the tilts; None for fewer
        than two.
    rankings
        By the truth, if there is one, then by held-out tilts.
    summary
        The findings in sentences.
    about
        Input and options, as plain values: ``input``, ``command``, ``versions``, ``seed``, ``checks``, ``kept`` and so on.
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
