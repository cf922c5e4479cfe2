"""State of a training and its file: everything that it needs to continue as if it had never stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, model_validator

from tomoprior.errors import FormatError
from tomoprior.methods.learning.state import (
    ADVICE,
    STATE,
    Count,
    NetworkState,
    TrainingHeader,
    arrays_of,
    check_same_training,
    load_checked,
    parts_like,
    select,
)
from tomoprior.storage.lazy import one_line
from tomoprior.storage.tensors import save_tensors
from tomoprior.training.calibration import CalibrationState
from tomoprior.training.draws import Draw
from tomoprior.training.log import COLUMNS
from tomoprior.training.settings import TrainingSettings

#: Name in the header.
KEY = "state"

#: Most draws, and most blocks, in a file.
SAVED = 64

#: Most rows of the log, and losses, in a file.
MOST_ROWS, MOST_LOSSES = 10_000, 10_000_000

#: A number of the log; without a validation its score is not a number.
Number = int | Annotated[float, Field(allow_inf_nan=True)]


@dataclass
class State(NetworkState):
    """A training between two steps.

    Attributes
    ----------
    losses
        Losses of the steps since the last row of the log.
    draws, blocks
        Training examples with a series and without, oldest first. The newest ``SAVED`` of each are saved: a training with more
        continues with these and simulates new ones.
    seconds
        Time that the steps took.
    drawn
        Groups of draws simulated since the start.
    rows
        The log.
    calibration
        Measurements of the calibration so far.
    """

    draws: list[Draw] = field(default_factory=list)
    blocks: list[Draw] = field(default_factory=list)
    seconds: float = 0.0
    drawn: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)
    calibration: CalibrationState = field(default_factory=CalibrationState)


class StateHeader(TrainingHeader):
    """Header of a state's file."""

    seconds: Annotated[float, Field(ge=0)]
    drawn: Count
    rows: Annotated[list[Annotated[dict[str, Number], Field(max_length=100)]], Field(max_length=MOST_ROWS)]
    losses: Annotated[list[float], Field(max_length=MOST_LOSSES)]
    draws: Annotated[int, Field(ge=0, le=SAVED)]
    blocks: Annotated[int, Field(ge=0, le=SAVED)]
    calibration: CalibrationState = Field(default_factory=CalibrationState)

    @model_validator(mode="after")
    def _check_counts(self) -> StateHeader:
        if any(row.keys() - {*COLUMNS, *TrainingSettings.renamed} for row in self.rows):
            raise ValueError("a row of the log has an unknown column")
        if self.step > 0 and self.drawn == 0:
            raise ValueError("steps without draws")
        if self.drawn > 0 and self.draws == 0:
            raise ValueError("the draws are missing")
        return self


def save(state: State, path: Path, about: dict[str, Any]) -> None:
    """Write the state; ``about`` identifies the training. The file is whole or absent.

    Raises
    ------
    FormatError
        If it cannot be written; the state of the last save is still there.
    """
    arrays = arrays_of(state)
    kinds = {"draws": state.draws[-SAVED:], "blocks": state.blocks[-SAVED:]}
    for kind, draws in kinds.items():
        for i, draw in enumerate(draws):
            arrays.update(
                {f"{kind}/{i}/{k}": v.clone(memory_format=torch.contiguous_format) for k, v in draw.to_dict().items()}
            )
    header = {
        "about": about, "step": state.step, "seconds": state.seconds, "drawn": state.drawn, "rows": state.rows,
        "losses": state.losses, "calibration": state.calibration.model_dump(),
        **{kind: len(draws) for kind, draws in kinds.items()},
    }  # fmt: skip
    try:
        save_tensors(path, KEY, header, arrays, overwrite=True)
    except FormatError as error:
        if not path.exists():
            raise
        raise FormatError(f"{error}; the state saved before is still there") from error


def load(path: Path, about: dict[str, Any], initial: State, settings: TrainingSettings) -> State:
    """Return the state that ``save`` wrote, with the memory layout of ``initial``, the state before the first step.

    Raises
    ------
    FormatError
        If it is not such a file, or belongs to a training with other settings or data.
    """
    try:
        header, arrays = load_checked(path, KEY, StateHeader)
        check_same_training(path, header.about, about, TrainingSettings.renamed)
        parts = parts_like(initial, arrays)
        device = next(iter(initial.weights.values())).device
        draws, blocks = (
            [Draw.from_dict(select(arrays, f"{kind}/{i}/"), settings, device) for i in range(getattr(header, kind))]
            for kind in ("draws", "blocks")
        )
    except ValueError as error:
        raise FormatError(f"{path}: not {STATE} ({one_line(error)}){ADVICE}") from error
    return State(
        *parts, header.step, list(header.losses), draws, blocks, header.seconds, header.drawn,
        [{TrainingSettings.renamed.get(k, k): v for k, v in row.items()} for row in header.rows], header.calibration,
    )  # fmt: skip
