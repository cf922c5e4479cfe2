"""Files of trained networks and of interrupted trainings: one kind of file, which holds no code and runs none.

A training's file also serves as a network. Users exchange both, so that their headers and arrays are checked before use.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from tomoprior.errors import FormatError, InputError
from tomoprior.methods.learning.state import (
    ADVICE,
    STATE,
    Count,
    Header,
    arrays_of,
    check_arrays,
    check_same_training,
    like,
    load_checked,
    parts_like,
    select,
)
from tomoprior.methods.wedge.network import FillNetwork, new_network
from tomoprior.methods.wedge.settings import MAX_DEPTH, MAX_WIDTH, MIN_DEPTH, WedgeSettings
from tomoprior.methods.wedge.training import State
from tomoprior.storage.lazy import one_line
from tomoprior.storage.tensors import save_tensors

#: Name in the header.
KEY = "wedge"
#: A network may fill in a wedge whose edges differ by this much (radians) from those of its training.
TOLERANCE = math.radians(3)
#: An array of a network written before its blocks were numbered within a level.
_EARLIER = re.compile(r"^(down|up)\.(\d+)\.(?=[a-z])")

Angle = Annotated[float, Field(ge=-4 * math.pi, le=4 * math.pi)]


class NetworkHeader(Header):
    """Header of a network's file; ``levels`` is the depth."""

    width: Annotated[int, Field(ge=1, le=MAX_WIDTH)]
    levels: Annotated[int, Field(ge=MIN_DEPTH, le=MAX_DEPTH)]
    offset: float
    unit: Annotated[float, Field(gt=0)]
    span: Annotated[list[Angle], Field(min_length=2, max_length=2)]
    about: dict[str, Any] = Field(default_factory=dict)


class RoundHeader(Header):
    """Results of a round."""

    loss: float
    inferred_power: float
    change: float
    half_error: float | None = None


class WedgeTrainingHeader(NetworkHeader):
    """Header of a training's file."""

    step: Count = 0
    rounds: list[RoundHeader] = Field(default_factory=list, max_length=10_000)


@dataclass(frozen=True)
class Trained:
    """A network ready for use, and the facts that its use depends on.

    Attributes
    ----------
    weights
        The running average of the weights, which predicts.
    width, depth
        Size of the network.
    offset, unit
        A value ``v`` of a volume is ``(v - offset) / unit`` to the network.
    span
        Smallest and largest tilt in radians.
    """

    weights: dict[str, torch.Tensor]
    width: int
    depth: int
    offset: float
    unit: float
    span: tuple[float, float]

    def header(self) -> dict[str, Any]:
        """Return plain values for the header."""
        return {
            "width": self.width, "levels": self.depth, "offset": self.offset, "unit": self.unit, "span": list(self.span),
        }  # fmt: skip

    def network(self, device: torch.device) -> FillNetwork:
        """Return the network, ready to predict."""
        network = new_network(self.width, self.depth, 0, device)
        network.load_state_dict(self.weights)
        return network.eval().requires_grad_(False)

    def save(self, path: Path) -> None:
        """Write the network; an existing file is replaced. The file is whole or absent."""
        save_tensors(path, KEY, self.header(), {f"average/{k}": v for k, v in self.weights.items()}, overwrite=True)


def load_network(path: str | Path, span: tuple[float, float]) -> Trained:
    """Return the network of a file that ``Trained.save`` or ``save_training`` wrote, for tilts over ``span`` (radians).

    Raises
    ------
    NoSuchFileError, FormatError
        If the file cannot be read, or is not such a file.
    InputError
        If the network was trained on another wedge.
    """
    header, arrays = load_checked(Path(path), KEY, NetworkHeader, "a trained network", "")
    named = _current_names(arrays)
    weights = select(named, "best/") or select(named, "average/")
    with torch.device("meta"):  # the header is untrusted: nothing is allocated for it before the arrays fit
        expected = FillNetwork(header.width, header.levels).state_dict()
    try:
        check_arrays(expected, weights)
    except ValueError as error:
        raise FormatError(f"{path}: not a trained network ({one_line(error)})") from None
    trained = Trained(weights, header.width, header.levels, header.offset, header.unit, (header.span[0], header.span[1]))
    if max(abs(a - b) for a, b in zip(trained.span, span, strict=True)) > TOLERANCE:
        theirs, ours = ("{:.1f} to {:.1f}".format(*map(math.degrees, s)) for s in (trained.span, span))
        raise InputError(f"{path}: trained on the wedge of tilts from {theirs} degrees, but these are from {ours}")
    return trained


def save_training(path: Path, state: State, trained: Trained, about: Mapping[str, Any]) -> None:
    """Write the state of a training; ``about`` identifies the training.

    Raises
    ------
    FormatError
        If it cannot be written; the state of the last save is still there.
    """
    best = {f"best/{name}": value for name, value in state.best.items()}
    losses = torch.tensor(state.losses, dtype=torch.float64)
    arrays = arrays_of(state) | best | {"filled": state.filled, "losses": losses}
    header = {**trained.header(), "about": about, "step": state.step, "rounds": state.rounds}
    save_tensors(path, KEY, header, arrays, overwrite=True)


def load_training(path: Path, about: Mapping[str, Any], initial: State) -> State:
    """Return the state that ``save_training`` wrote, with the memory layout of ``initial``, the state before the first step.

    Raises
    ------
    FormatError
        If it is not such a file, or belongs to a training with other settings or data.
    """
    header, arrays = load_checked(path, KEY, WedgeTrainingHeader)
    if not header.about:
        raise FormatError(f"{path}: a network without the state of its training; give it as network, or another checkpoint")
    check_same_training(path, header.about, about, WedgeSettings.renamed)
    arrays = _current_names(arrays)
    try:
        losses = arrays.pop("losses", torch.zeros(0))
        check_arrays({"losses": torch.empty(header.step, dtype=torch.float64, device="meta")}, {"losses": losses})
        filled = like({"filled": initial.filled}, {"filled": arrays.pop("filled", torch.zeros(0))})["filled"]
        best = select(arrays, "best/")
        best = like(initial.average, best) if best else {}
        parts = parts_like(initial, {name: value for name, value in arrays.items() if not name.startswith("best/")})
    except ValueError as error:
        raise FormatError(f"{path}: not {STATE} ({one_line(error)}){ADVICE}") from None
    rounds = [r.model_dump(exclude_none=True) for r in header.rounds]
    return State(*parts, header.step, losses.tolist(), filled=filled, rounds=rounds, best=best)


@dataclass(frozen=True)
class Checkpoint:
    """The file of a training, or none.

    Attributes
    ----------
    path
        None: nothing is read or written.
    about
        Identifies the training: settings, geometry, data and seed.
    """

    path: Path | None
    about: dict[str, Any]

    def resume(self, initial: State) -> State:
        """Return the saved state, or ``initial`` without a file; raises FormatError, see ``load_training``."""
        return initial if self.path is None or not self.path.exists() else load_training(self.path, self.about, initial)

    def save(self, state: State, trained: Trained) -> None:
        """Write the state; raises FormatError."""
        if self.path is not None:
            save_training(self.path, state, trained, self.about)


def _current_names(arrays: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the arrays by the present names of the network's modules."""

    def current(name: str) -> str:
        part, _, key = name.partition("/")
        if not key or key.startswith("unet."):
            return name
        return f"{part}/unet." + _EARLIER.sub(r"\1.\2.0.", key)

    return {current(name): array for name, array in arrays.items()}
