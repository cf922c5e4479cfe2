"""Values of the settings of ``cn`` for the paper's preset, and from earlier releases."""

from __future__ import annotations

from typing import Any

#: Defaults of ``preset="paper"``: Van Veen et al. 2024, section 4.2 and their released settings. In addition, this preset
#: scales the projections to a range of one and leaves the output's first bias random (``training``).
PAPER: dict[str, Any] = {
    "width": 256, "depth": 4, "omega": 30.0, "activation": "clip", "loss": "l1", "regulariser": None, "reg_par": 0.0,
    "num_iter": 2000, "num_iter_next": 400, "learning_rate": 1e-3, "learning_rate_next": 1e-4, "decay": 0.1, "amsgrad": True,
    "slices": "auto", "refit": True, "coordinates": "per-axis", "pad": 0, "stop": None,
}  # fmt: skip


def replace_old_activation(values: dict[str, Any]) -> dict[str, Any]:
    """Express the values bound and none that ``activation`` once had by ``min_constraint`` and the current values."""
    old = values.get("activation")
    if old not in ("bound", "none", "softplus") or "min_constraint" in values:
        return dict(values)
    current = {**values, "min_constraint": None if old == "none" else 0.0}
    current["activation"] = "softplus" if old == "softplus" else "clip"
    return current
