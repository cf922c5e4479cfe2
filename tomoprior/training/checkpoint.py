"""Everything that a training needs to go on as if it had never stopped, in one file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tomoprior.errors import FormatError
from tomoprior.storage.lazy import one_line
from tomoprior.storage.tensors import load_tensors, save_tensors
from tomoprior.training.draws import Draw

#: Dictionaries of arrays in a state.
PARTS = ("weights", "average", "moments")

#: Draws, and blocks, that a state holds at most.
SAVED = 64


@dataclass
class State:
    """A training between two steps.

    Attributes
    ----------
    weights, average
        Of the network, and their running average.
    moments
        Adam's two, by the weights' names with ``.m`` and ``.v``.
    draws, blocks
        Those that tiles are cut from, with a series and without, oldest first. Of more than ``SAVED`` the newest are saved: a
        training with more goes on with these and makes new ones.
    step, seconds
        Steps done and time taken by them.
    drawn
        Groups of draws made since the beginning.
    rows
        The log.
    losses
        Of the steps since its last row.
    """

    weights: dict[str, torch.Tensor]
    average: dict[str, torch.Tensor]
    moments: dict[str, torch.Tensor]
    draws: list[Draw] = field(default_factory=list)
    blocks: list[Draw] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0
    drawn: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


def save(state: State, path: Path, about: dict[str, Any]) -> None:
    """Write the state, whole or not at all; ``about`` says what it belongs to.

    Raises
    ------
    FormatError
        If it cannot be written; one that was saved before is still there.
    """
    arrays = {f"{part}/{k}": v for part in PARTS for k, v in getattr(state, part).items()}
    kinds = {"draws": state.draws[-SAVED:], "blocks": state.blocks[-SAVED:]}
    for kind, draws in kinds.items():
        for i, draw in enumerate(draws):
            arrays.update(
                {f"{kind}/{i}/{k}": v.clone(memory_format=torch.contiguous_format) for k, v in draw.to_dict().items()}
            )
    facts = {
        "about": about, "step": state.step, "seconds": state.seconds, "drawn": state.drawn, "rows": state.rows,
        "losses": state.losses, **{kind: len(draws) for kind, draws in kinds.items()},
    }  # fmt: skip
    try:
        save_tensors(path, "state", facts, arrays, overwrite=True)
    except FormatError as error:
        if not path.exists():
            raise
        raise FormatError(f"{error}; the state saved before is still there") from error


def load(path: Path, about: dict[str, Any], fresh: State) -> State:
    """The state that ``save`` wrote, laid out in memory as ``fresh``, the state before the first step.

    Raises
    ------
    FormatError
        If it is none, or belongs to a training with other settings or data.
    """
    try:
        facts, arrays = load_tensors(path, "state", "the state of a training", "; remove it to begin anew")
        different = _different(facts["about"], json.loads(json.dumps(about)))
        parts = [{} if different else _like(getattr(fresh, part), _part(arrays, f"{part}/")) for part in PARTS]
        device = next(iter(fresh.weights.values())).device
        draws, blocks = (
            [Draw.from_dict(_part(arrays, f"{kind}/{i}/"), device) for i in range(facts[kind])] for kind in ("draws", "blocks")
        )
        state = State(
            parts[0], parts[1], parts[2], draws, blocks,
            int(facts["step"]), float(facts["seconds"]), int(facts["drawn"]), list(facts["rows"]),
            list(facts["losses"]),
        )  # fmt: skip
    except FormatError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = one_line(error) if isinstance(error, ValueError) and str(error) else "parts of it are missing"
        raise FormatError(f"{path}: not the state of a training ({reason}); remove it to begin anew") from error
    if different:
        raise FormatError(
            f"{path}: this training was begun with other {', '.join(different)}; give the same, or another output, or remove "
            "the file to begin anew"
        )
    return state


def _different(begun: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Names of what differs; of the settings, each by its own."""
    first, second = ({k: v for k, v in about.items() if k != "settings"} | about["settings"] for about in (begun, now))
    return [key for key in sorted(first.keys() | second.keys()) if first.get(key) != second.get(key)]


def _part(arrays: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def _like(model: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same values with the strides of the model's arrays: sums depend on the order in which they are taken."""
    if {k: v.shape for k, v in model.items()} != {k: v.shape for k, v in found.items()}:
        raise ValueError
    return {k: torch.empty_like(v).copy_(found[k]) for k, v in model.items()}
