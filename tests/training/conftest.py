from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from tomoprior import training
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.methods.diffusion.scale import UNIT_STD
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.simulate.tissue import Tissue
from tomoprior.training import TrainingSettings
from tomoprior.training.draws import Draw, draw, tissue_spectrum

#: The smallest training that does all that a training does, in a twentieth of a second a step.
TINY: dict[str, Any] = {
    "height": 16, "tile": 16, "field": (16, 32), "widths": (16, 16), "blocks": (1, 1), "keep": 2, "batch": 1, "tilts": (5, 9),
    "ranges": (20, 60), "tilt_step": (5, 10), "voxel_size": (10, 12), "warm_up": 3, "reuse": 4,
}  # fmt: skip


class Direct:
    """Draws made where they are asked for, without a process: the same ones."""

    def __init__(self, tissues: Sequence[Tissue], spectrum: Spectrum, settings: TrainingSettings, start: int, *_: Any) -> None:
        self._made = (draw(tissues, spectrum, settings, i) for i in count(start))

    def __iter__(self) -> Iterator[Draw]:
        return self

    def __next__(self) -> Draw:
        return next(self._made)

    def close(self) -> None:
        pass


def grey(seed: int, edge: int = 48) -> np.ndarray:
    """Smoothed noise, 8 bit, dark where it is dense."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal((edge,) * 3), 1.2, mode="wrap")
    return np.clip(128 + 60 * noise / noise.std(), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def tissue() -> Tissue:
    return Tissue.of(grey(0), 10.0)


@pytest.fixture(scope="session")
def other() -> Tissue:
    return Tissue.of(grey(1), 10.0)


@pytest.fixture(scope="session")
def settings() -> TrainingSettings:
    return TrainingSettings.parse(TINY)


@pytest.fixture(scope="session")
def spectrum(tissue: Tissue) -> Spectrum:
    return tissue_spectrum([tissue], 11.0, UNIT_STD, 0)


@pytest.fixture(scope="session")
def draws(tissue: Tissue, spectrum: Spectrum, settings: TrainingSettings) -> list[Draw]:
    return [draw([tissue], spectrum, settings, i) for i in range(3)]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of ``train``, which simulates without a process and validates on little."""
    found = importlib.import_module("tomoprior.training.train")
    monkeypatch.setattr(found, "Source", Direct)
    monkeypatch.setattr("tomoprior.training.validation.SERIES", ((20, 10), (60, 20)))
    return found


@pytest.fixture
def train(module: Any, tissue: Tissue) -> Callable[..., Prior]:
    def call(out: Path, of: Any = tissue, **options: Any) -> Prior:
        return training.train(of, out, **TINY | options)

    return call


def weights(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
