"""The page: one file that contains everything, below a size limit."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from tomoprior._version import __version__
from tomoprior.comparison.report import words
from tomoprior.comparison.report.figures import TRUTH, Picture, looks
from tomoprior.comparison.report.plain import pick, plain
from tomoprior.comparison.report.planes import PLANES, choose_planes
from tomoprior.comparison.report.table import places, tables
from tomoprior.comparison.report.volumes import Packed, pack, responses
from tomoprior.comparison.report.window import Window, volumes, window
from tomoprior.comparison.result import Comparison, Entry

#: Largest size of a page in bytes, and the reserve for text that binning changes.
LIMIT, SLACK = 15_000_000, 500_000
#: A larger drawing is embedded as a bitmap, in bytes.
DRAWING = 400_000

SCRIPTS = ("unpack.js", "planes.js", "zoom.js", "marks.js", "viewer.js")


def page(comparison: Comparison, pictures: Sequence[Picture]) -> str:
    """Return ``report.html``, below ``LIMIT`` bytes, without outside resources. The volumes are binned until they fit."""
    context = _context(comparison, pictures)
    grey = window(comparison)
    if grey is None:
        return _render(context | {"viewer": None})
    rest = len(_render(context | {"viewer": _viewer(comparison, grey, None)}).encode())
    packed = pack(comparison, grey, LIMIT - SLACK - rest)
    return _render(context | {"viewer": _viewer(comparison, grey, packed)})


def _render(context: dict[str, Any]) -> str:
    here = files(__package__)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": words.format_number, "duration": words.format_duration}
    template = environment.from_string((here / "templates" / "report.html.j2").read_text("utf-8"))
    style = (here / "assets" / "report.css").read_text("utf-8")
    script = "\n".join((here / "assets" / name).read_text("utf-8") for name in SCRIPTS)
    return template.render(**context, style=style, script=script)


def _context(comparison: Comparison, pictures: Sequence[Picture]) -> dict[str, Any]:
    look = looks(comparison)
    return {
        "title": comparison.title,
        "data": words.data_line(comparison.geometry),
        "summary": comparison.summary,
        "rankings": [(r, places(r)) for r in comparison.rankings],
        "tables": tables(comparison),
        "matched": comparison.about.get("match") not in (None, "none") and comparison.truth is not None,
        "truth_share": next((s for e in comparison.entries if (s := pick(e.evidence, "inferred.truth_share"))), None),
        "colours": {label: one.colour for label, one in look.items()} | {"truth": TRUTH},
        "pictures": [(p, _embedded(p), _narrow(p)) for p in pictures if p.name != "slices"],
        "slices": next(((p, _data("png", p.png(100))) for p in pictures if p.name == "slices"), None),
        "timed": any(e.seconds for e in comparison.entries),
        "runs": [_run(e) for e in comparison.entries],
        "about": [
            (k.replace("_", " "), _format_fact(k, v)) for k, v in plain(comparison.about).items() if v not in (None, {}, [])
        ],
        "version": __version__,
    }


def _format_fact(name: str, value: Any) -> Any:
    if name == "alignment":  # its numbers are in the figure
        return "; ".join(value["statements"]) or "all tilts are placed"
    return words.format_runs(value) if name == "views" and isinstance(value, list) else value


def _run(entry: Entry) -> dict[str, Any]:
    """Return the settings and trials of an entry as plain values; ``settled`` are settings that the run itself chose."""
    tuned, settings, settled = plain(entry.evidence.get("tuned")), plain(entry.settings), plain(entry.settled)
    trials = (tuned or {}).get("trials", [])
    count = f"{len(trials)} trial{'s' * (len(trials) != 1)}"
    reasons = [reason for name in ("why", "cut") if tuned and (reason := tuned.get(name))]
    return {
        "entry": entry,
        "settings": settings,
        "settled": {k: _shorten(v) for k, v in settled.items() if k in settings and v != settings[k]},
        "tuned": (tuned or {}).get("values", {}),
        "trials": trials,
        "kinds": ", ".join(["message"] * bool(entry.message) + ["notes"] * bool(entry.notes) + ["trials"] * bool(trials)),
        "trials_text": "not tuned" if tuned is None else ": ".join([count, *reasons]),
    }


def _shorten(value: Any) -> Any:
    """Return a number with few digits, and other values as they are."""
    if not isinstance(value, float):
        return value
    return int(value) if value.is_integer() else words.format_number(value)


def _viewer(comparison: Comparison, grey: Window, packed: Packed | None) -> dict[str, Any]:
    """Return the facts and the data for the viewer; without ``packed`` the facts only."""
    geometry, names, look = comparison.geometry, list(volumes(comparison)), looks(comparison)
    nz, ny, nx = packed.shape if packed else geometry.shape
    planted, changed = comparison.planted, responses(comparison)
    entries = [_volume(comparison, name, packed, name in changed) for name in names]
    known: dict[str, Any] = {
        "shape": {"z": nz, "y": ny, "x": nx},
        "step": dict(zip("zyx", packed.step if packed else (1, 1, 1), strict=True)),
        "voxel": words.voxel(geometry),
        "unit": words.unit(geometry),
        "grey": {"low": grey.low, "high": grey.high, "least": grey.least, "most": grey.most},
        "shift": packed.shift if packed else 1.0,
        "spread": packed.spread if packed else 1.0,
        "reach": packed.reach if packed else 1.0,
        "planes": choose_planes(geometry.shape),
        "entries": entries,
        "among": comparison.spread is not None,
        "planted": plain(dict(vars(planted))) if planted is not None and changed else None,
    }
    return {
        "known": known,
        "names": [(name, look[name].colour if name in look else TRUTH) for name in names],
        "planes": [(name, "–".join(axes)) for name, axes in PLANES.items()],
        "wedge": words.misses_wedge(geometry),
        "thin": " and ".join("–".join(axes) for name, axes in PLANES.items() if name not in known["planes"]),
        "has_std": any("std" in e["parts"] for e in entries),
        "calibrated": any(e["calibration"] != [1.0, 0.0] for e in entries),
        "limit": grey.width,
        "levels": words.format_number((grey.most - grey.least) / 255, 2),
        "cut": (words.format_number(grey.least), words.format_number(grey.most)),
        "binned": "" if not packed or max(packed.step) == 1 else " × ".join(str(s) for s in reversed(packed.step)),
        "parts": [
            (f"data-{i}-{part}", name_of, text)
            for i, name in enumerate(names)
            for part, (name_of, text) in (packed.parts[name] if packed else {}).items()
        ]
        + ([("data-among", *packed.among)] if packed and packed.among else []),
    }


def _volume(comparison: Comparison, name: str, packed: Packed | None, changed: bool) -> dict[str, Any]:
    """Return one volume for the viewer: its parts, and the scale and offset that fit the tilts."""
    entry = next((e for e in comparison.done if e.label == name), None)
    calibration = None if entry is None else plain(pick(entry.evidence, "residual.calibration"))
    known = isinstance(calibration, list) and len(calibration) == 2 and None not in calibration
    std = entry is not None and entry.std is not None
    return {
        "name": name,
        "parts": list(packed.parts[name]) if packed else ["values", "inferred"] + ["std"] * std + ["response"] * changed,
        "calibration": calibration if known else [1.0, 0.0],
    }


def _embedded(picture: Picture) -> str:
    drawing = picture.svg()
    return _data("svg+xml", drawing) if len(drawing) <= DRAWING else _data("png", picture.png(110))


def _narrow(picture: Picture) -> str | None:
    drawing = picture.narrow_svg()
    return None if drawing is None or len(drawing) > DRAWING else _data("svg+xml", drawing)


def _data(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
