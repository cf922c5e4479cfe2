"""A trained network, and a training that is to go on, in one kind of file: no code is kept in it, none is run."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tomoprior.errors import FormatError, InputError
from tomoprior.methods.wedge.network import UNet
from tomoprior.methods.wedge.training import State, new_network
from tomoprior.storage.tensors import load_tensors, save_tensors

#: Of the header.
KEY = "wedge"
#: A network may fill in a wedge whose edges lie this far (radians) from those it was trained on.
TOLERANCE = math.radians(3)


@dataclass(frozen=True)
class Trained:
    """A network ready for use, and what it has to be told.

    Attributes
    ----------
    weights
        The average that predicts.
    width, levels
        Of the network.
    offset, unit
        A value ``v`` of a volume is ``(v - offset) / unit`` to the network.
    span
        Smallest and largest tilt in radians.
    """

    weights: dict[str, torch.Tensor]
    width: int
    levels: int
    offset: float
    unit: float
    span: tuple[float, float]

    def facts(self) -> dict[str, Any]:
        """Plain values for the header."""
        return {
            "width": self.width, "levels": self.levels, "offset": self.offset, "unit": self.unit, "span": list(self.span),
        }  # fmt: skip

    def network(self, device: torch.device) -> UNet:
        """Ready to predict."""
        made = new_network(self.width, self.levels, 0, device)
        made.load_state_dict(self.weights)
        return made.eval().requires_grad_(False)

    def save(self, path: Path) -> None:
        """Write it, whole or not at all; what is there is replaced."""
        save_tensors(path, KEY, self.facts(), {f"average/{k}": v for k, v in self.weights.items()}, overwrite=True)


def load_network(path: str | Path, span: tuple[float, float]) -> Trained:
    """A network from a file that ``Trained.save`` or ``save_training`` wrote, for tilts over ``span`` (radians).

    Raises
    ------
    NoSuchFileError, FormatError
        If it cannot be read, or is no such file.
    InputError
        If it was trained on another wedge.
    """
    facts, arrays = load_tensors(Path(path), KEY, "a trained network")
    try:
        found = Trained(
            _part(arrays, "average/"), int(facts["width"]), int(facts["levels"]), float(facts["offset"]),
            float(facts["unit"]), (float(facts["span"][0]), float(facts["span"][1])),
        )  # fmt: skip
        found.network(torch.device("cpu"))
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
        raise FormatError(f"{path}: not a trained network (parts of it are missing)") from error
    if max(abs(a - b) for a, b in zip(found.span, span, strict=True)) > TOLERANCE:
        theirs, ours = ("{:.1f} to {:.1f}".format(*map(math.degrees, s)) for s in (found.span, span))
        raise InputError(f"{path}: trained on the wedge of tilts from {theirs} degrees, and these are from {ours}")
    return found


def save_training(path: Path, state: State, trained: Trained, about: dict[str, Any]) -> None:
    """Write a training's state; ``about`` says what it belongs to.

    Raises
    ------
    FormatError
        If it cannot be written; what was saved before is still there.
    """
    arrays = {f"{part}/{k}": v for part in ("weights", "moments", "average") for k, v in getattr(state, part).items()}
    arrays |= {"filled": state.filled, "losses": torch.tensor(state.losses, dtype=torch.float64)}
    facts = {**trained.facts(), "about": about, "step": state.step, "rounds": state.rounds}
    save_tensors(path, KEY, facts, arrays, overwrite=True)


def load_training(path: Path, about: dict[str, Any], begun: State) -> State:
    """The state that ``save_training`` wrote, laid out in memory as ``begun``, the state before the first step.

    Raises
    ------
    FormatError
        If it is none, or belongs to a training with other settings or data.
    """
    facts, arrays = load_tensors(path, KEY, "the state of a training")
    theirs, ours = facts.get("about") or {}, json.loads(json.dumps(about))
    if not theirs:
        raise FormatError(f"{path}: a network without the state of its training; give it as network, or another checkpoint")
    different = [k for k in sorted(theirs.keys() | ours.keys()) if theirs.get(k) != ours.get(k)]
    if different:
        raise FormatError(
            f"{path}: this training was begun with other {', '.join(different)}; give the same, or another checkpoint, or "
            "remove the file to begin anew"
        )
    try:
        parts = [_like(getattr(begun, name), _part(arrays, f"{name}/")) for name in ("weights", "average", "moments")]
        filled = _like({"": begun.filled}, {"": arrays["filled"]})[""]
        losses = [float(v) for v in arrays["losses"]]
        return State(parts[0], parts[1], parts[2], filled, int(facts["step"]), losses, list(facts["rounds"]))
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path}: not the state of a training (parts of it are missing); remove it to begin anew") from error


def _part(arrays: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def _like(model: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same values on the model's device and with its strides: sums depend on the order in which they are taken."""
    if {k: v.shape for k, v in model.items()} != {k: v.shape for k, v in found.items()}:
        raise ValueError("other shapes")
    return {k: torch.empty_like(v).copy_(found[k]) for k, v in model.items()}
