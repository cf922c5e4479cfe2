"""Everything that a training needs to go on as if it had never stopped, in one file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tomoprior.errors import FormatError
from tomoprior.training.draws import Draw


@dataclass
class State:
    """A training between two steps.

    Attributes
    ----------
    weights, average
        Of the network, and their running average.
    moments
        Adam's two, by the weights' names with ``.m`` and ``.v``.
    draws
        Those that tiles are cut from, oldest first.
    step, seconds
        Steps done and time taken by them.
    drawn
        Draws made since the beginning.
    rows
        The log.
    best
        Best validation score, and the averaged weights that had it.
    """

    weights: dict[str, torch.Tensor]
    average: dict[str, torch.Tensor]
    moments: dict[str, torch.Tensor]
    draws: list[Draw] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0
    drawn: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)


def save(state: State, path: Path, about: dict[str, Any]) -> None:
    """Write the state, whole or not at all; ``about`` says what it belongs to."""
    from safetensors.torch import save_file

    from tomoprior.formats.writing import replacing

    arrays = {f"{part}/{k}": v for part in ("weights", "average", "moments") for k, v in getattr(state, part).items()}
    for i, draw in enumerate(state.draws):
        arrays.update({f"draws/{i}/{k}": v for k, v in draw.to_dict().items()})
    facts = {
        "about": about, "step": state.step, "seconds": state.seconds, "drawn": state.drawn, "rows": state.rows,
        "draws": len(state.draws),
    }  # fmt: skip
    with replacing(path, overwrite=True) as temporary:
        save_file({k: v.detach().clone().contiguous() for k, v in arrays.items()}, temporary, {"state": json.dumps(facts)})


def load(path: Path, about: dict[str, Any]) -> State:
    """The state that ``save`` wrote.

    Raises
    ------
    FormatError
        If it is none, or belongs to a training with other settings or data.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt") as file:
            facts = json.loads((file.metadata() or {})["state"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise FormatError(f"{path}: not the state of a training ({str(error).splitlines()[0]})") from error
    same = json.loads(json.dumps(about))
    if different := sorted(k for k in same.keys() | facts["about"].keys() if same.get(k) != facts["about"].get(k)):
        raise FormatError(
            f"{path}: this training was begun with other {', '.join(different)}; give the same, or another output"
        )

    def part(prefix: str) -> dict[str, torch.Tensor]:
        return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}

    return State(
        part("weights/"), part("average/"), part("moments/"),
        [Draw.from_dict(part(f"draws/{i}/")) for i in range(facts["draws"])],
        facts["step"], facts["seconds"], facts["drawn"], facts["rows"],
    )  # fmt: skip
