"""State of a training, and its file: everything that a training needs to continue as if it had never stopped.

Users exchange these files, so that a file is untrusted: a schema with bounds holds its header, and the shapes of its arrays are
compared with those of the network before any of them is used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from tomoprior.errors import FormatError
from tomoprior.storage.lazy import one_line
from tomoprior.storage.tensors import load_tensors

#: Dictionaries of arrays in a state, which are the first part of an array's name in the file.
PARTS = ("weights", "average", "moments")

Arrays = dict[str, torch.Tensor]
Parts = tuple[Arrays, Arrays, Arrays]

#: A count in a header: no training has more steps.
Count = Annotated[int, Field(ge=0, le=2**53)]


#: What a file of a training should be, and the way out if it is not; for messages.
STATE, ADVICE = "the state of a training", "; remove it to start anew"


@dataclass
class NetworkState:
    """A network between two steps of its training.

    Attributes
    ----------
    weights, average
        Weights of the network, and their running average.
    moments
        Both moments of Adam, by the names of the weights with ``.m`` and ``.v``.
    step
        Number of finished steps.
    losses
        Loss of each step that is not logged elsewhere.
    """

    weights: Arrays
    average: Arrays
    moments: Arrays
    step: int = 0
    losses: list[float] = field(default_factory=list)


class Header(BaseModel):
    """Base of the schemas of headers: types are not converted, unknown names are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class TrainingHeader(Header):
    """Part of a header that all trainings share."""

    about: dict[str, Any]
    step: Count


AnyHeader = TypeVar("AnyHeader", bound=Header)


def initial_parts(network: nn.Module) -> Parts:
    """Return weights, average and moments before the first step; the weights are the network's own arrays."""
    weights = dict(network.state_dict())
    moments = {f"{k}.{m}": torch.zeros_like(v) for k, v in weights.items() for m in "mv"}
    return weights, {k: v.clone() for k, v in weights.items()}, moments


def arrays_of(state: NetworkState) -> Arrays:
    """Return the arrays of a network's state by their names in a file."""
    return {f"{part}/{k}": v for part in PARTS for k, v in getattr(state, part).items()}


def parts_like(initial: NetworkState, arrays: Mapping[str, torch.Tensor]) -> Parts:
    """Return weights, average and moments from a file's arrays; see ``like``."""
    weights, average, moments = (like(getattr(initial, part), select(arrays, f"{part}/")) for part in PARTS)
    return weights, average, moments


def select(arrays: Mapping[str, torch.Tensor], prefix: str) -> Arrays:
    """Return the arrays whose names start with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def check_arrays(expected: Mapping[str, torch.Tensor], arrays: Mapping[str, torch.Tensor]) -> None:
    """Compare names, shapes and types of arrays with those expected, which may be on the meta device.

    Raises
    ------
    ValueError
        If they differ, or a value is not finite; one line.
    """
    if missing := sorted(expected.keys() - arrays.keys()):
        raise ValueError(f"parts of it are missing, such as {missing[0]!r}")
    if unknown := sorted(arrays.keys() - expected.keys()):
        raise ValueError(f"it holds unknown arrays, such as {unknown[0][:80]!r}")
    for name, array in arrays.items():
        wanted = expected[name]
        if array.shape != wanted.shape:
            raise ValueError(f"{name or 'an array'!r} has the shape {tuple(array.shape)}, not {tuple(wanted.shape)}")
        if array.dtype != wanted.dtype:
            raise ValueError(f"{name or 'an array'!r} has the type {array.dtype}, not {wanted.dtype}")
        if not bool(torch.isfinite(array).all()):
            raise ValueError(f"{name or 'an array'!r} has values that are not finite")


def like(expected: Mapping[str, torch.Tensor], arrays: Mapping[str, torch.Tensor]) -> Arrays:
    """Return copies of arrays on the device and with the strides of those expected.

    Sums depend on the order of memory: with other strides a training would not continue bit for bit.

    Raises
    ------
    ValueError
        See ``check_arrays``.
    """
    check_arrays(expected, arrays)
    return {k: torch.empty_like(v).copy_(arrays[k]) for k, v in expected.items()}


def load_checked(
    path: Path, key: str, schema: type[AnyHeader], kind: str = STATE, advice: str = ADVICE
) -> tuple[AnyHeader, Arrays]:
    """Return the header under ``key``, held by a schema, and the arrays of a file.

    Parameters
    ----------
    kind, advice
        For messages: what the file should be, and the way out.

    Raises
    ------
    NoSuchFileError
        If there is no such file.
    FormatError
        If it cannot be read, or its header does not fit the schema; one line.
    """
    values, arrays = load_tensors(path, key, kind, advice)
    try:
        return schema.model_validate(values), arrays
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][:3]) or "header"
        raise FormatError(f"{path}: not {kind} ({where}: {one_line(ValueError(first['msg'])).lower()}){advice}") from None


def check_same_training(path: Path, saved: Mapping[str, Any], current: Mapping[str, Any], renamed: Mapping[str, str]) -> None:
    """Compare what a state belongs to with the training that wants to continue from it.

    Parameters
    ----------
    saved, current
        Names and values; a dictionary called ``settings`` counts by its own names.
    renamed
        Earlier names of settings with their present ones.

    Raises
    ------
    FormatError
        If they differ; it names what differs.
    """
    first, second = _flat(saved, renamed), _flat(json.loads(json.dumps(current)), {})
    different = [key for key in sorted(first.keys() | second.keys()) if first.get(key) != second.get(key)]
    if different:
        names = ", ".join(name[:80] for name in different[:10])
        raise FormatError(
            f"{path}: this training started with other {names}; give the same, or another file, or remove it to start anew"
        )


def _flat(about: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    settings = about.get("settings")
    inner = settings if isinstance(settings, dict) else {}
    values = {k: v for k, v in about.items() if not (k == "settings" and inner)} | inner
    return {renamed.get(k, k): v for k, v in values.items()}
