from __future__ import annotations

import importlib
from collections.abc import Callable
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
from tomoprior.training.draws import Draw
from tomoprior.training.simulator import Simulator
from tomoprior.training.tissues import tissue_spectrum

#: The smallest training that does all that a training does, in a fiftieth of a second a step.
TINY: dict[str, Any] = {
    "height": 16, "tile_size": 16, "field": (16, 32), "widths": (16, 16), "blocks": (1, 1), "keep": 2, "batch_size": 1,
    "tilts": (5, 9), "ranges": (20, 60), "tilt_step": (5, 10), "voxel_size": (10, 12),
    "warm_up": 3, "reuse": 4, "group": 1, "num_cg": 10,
}  # fmt: skip

#: Tilt range and step of the series that a training of these tests is validated on.
SERIES = ((20, 10), (60, 20))


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
def simulator(tissue: Tissue, spectrum: Spectrum, settings: TrainingSettings) -> Simulator:
    return Simulator([tissue], spectrum, settings)


@pytest.fixture(scope="session")
def draws(simulator: Simulator) -> list[Draw]:
    with torch.no_grad():
        return [draw for number in range(3) for draw in simulator.draws(number)]


@pytest.fixture(scope="session")
def blocks(simulator: Simulator) -> list[Draw]:
    return [block for number in range(3) for block in simulator.blocks(number)]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of ``train``, which validates on little."""
    monkeypatch.setattr("tomoprior.training.validation.SERIES", SERIES)
    return importlib.import_module("tomoprior.training.train")


@pytest.fixture
def train(module: Any, tissue: Tissue) -> Callable[..., Prior]:
    def call(out: Path, of: Any = tissue, **options: Any) -> Prior:
        return training.train(of, out, **{"device": "cpu"} | TINY | options)

    return call


def weights(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
