"""Examples for the training of an error network, and the files that keep them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from pydantic import Field, ValidationError

from tomoprior.errors import FormatError
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.methods.diffusion.tiling import TiledDenoiser
from tomoprior.methods.learning.state import Header
from tomoprior.storage.lazy import one_line
from tomoprior.storage.tensors import load_tensors, save_tensors
from tomoprior.training.draws import Draw
from tomoprior.training.fingerprints import weights_digest
from tomoprior.training.simulator import Simulator

#: Key of the header in a file of examples.
KEY = "error_examples"


@dataclass(frozen=True, eq=False)
class ErrorExample:
    """A simulated series with its truth and condition, and the denoiser's mean, ``(nz, ny, nx)`` float16."""

    draw: Draw
    mean: torch.Tensor


class _ExamplesHeader(Header):
    weights: str = Field(max_length=64)
    seed: int
    number: int
    count: int = Field(ge=0, le=1000)


def make_error_examples(prior: Prior, simulator: Simulator, number: int) -> list[ErrorExample]:
    """Return the series of group ``number`` with the denoiser's mean of each."""
    with torch.no_grad():
        examples = []
        for draw in simulator.draws(number):
            c = draw.condition
            condition = replace(c, linear=c.linear.float(), inside=c.inside.float(), coverage=c.coverage.float())
            examples.append(ErrorExample(draw, TiledDenoiser(prior.denoiser, prior.tile, condition).mean().half()))
        return examples


def make_or_load(prior: Prior, simulator: Simulator, number: int, folder: Path | None) -> list[ErrorExample]:
    """Return the examples of a group, from the folder if it has them; new ones are saved there.

    Raises
    ------
    FormatError
        If the file of the group is not one of this prior and seed.
    """
    if folder is None:
        return make_error_examples(prior, simulator, number)
    path = folder / f"examples-{number:05d}.safetensors"
    about = {"weights": weights_digest(prior), "seed": simulator.settings.seed, "number": number}
    if path.exists():
        return _load_examples(path, about, simulator)
    examples = make_error_examples(prior, simulator, number)
    # the series of a group share their coverage; a file does not hold shared memory
    arrays = {
        f"{i}/{name}": value
        for i, example in enumerate(examples)
        for name, value in {**example.draw.to_dict(), "mean": example.mean}.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(path, KEY, {**about, "count": len(examples)}, {k: v.clone() for k, v in arrays.items()}, overwrite=False)
    return examples


def _load_examples(path: Path, about: dict[str, object], simulator: Simulator) -> list[ErrorExample]:
    values, arrays = load_tensors(path, KEY, "examples of a training")
    try:
        header = _ExamplesHeader.model_validate(values)
        if header.model_dump(exclude={"count"}) != about:
            raise ValueError("it belongs to another prior or seed")
        examples = []
        for i in range(header.count):
            parts = {k.removeprefix(f"{i}/"): v for k, v in arrays.items() if k.startswith(f"{i}/")}
            mean = parts.pop("mean")
            draw = Draw.from_dict(parts, simulator.settings, simulator.device)
            if mean.shape != draw.truth.shape or mean.dtype != torch.float16:
                raise ValueError("the mean does not fit the truth")
            examples.append(ErrorExample(draw, mean))
    except (ValueError, KeyError, ValidationError) as error:
        raise FormatError(f"{path}: not examples of this training ({one_line(error)}); remove it to make them again") from None
    return examples
