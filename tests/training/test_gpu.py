"""A training on a GPU agrees with one on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tomoprior.training.optimiser import Training, initial_state, new_denoiser
from tomoprior.training.rays import MatrixProjector
from tomoprior.training.recording import project_lines
from tomoprior.training.simulator import Simulator

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")]


def test_rays_are_those_of_the_cpu(tissue, spectrum, settings):
    density = torch.rand(16, 12, 60, generator=torch.Generator().manual_seed(0))
    angles = np.deg2rad([-66.0, -20.0, 3.0, 50.0])
    found = project_lines(density.cuda(), angles, 24).cpu()
    torch.testing.assert_close(found, project_lines(density, angles, 24), rtol=1e-4, atol=1e-3)


def test_a_group_is_simulated_and_learned_from(tissue, spectrum, settings):
    simulator = Simulator([tissue], spectrum, settings, "cuda")
    draws, blocks = simulator.draws(0), simulator.blocks(0)
    assert all(d.truth.is_cuda and bool(torch.isfinite(d.truth).all()) for d in [*draws, *blocks])
    denoiser = new_denoiser(settings, spectrum, "cuda")
    state = initial_state(denoiser)
    state.draws, state.blocks = draws, blocks
    run = Training(denoiser, state, settings, spectrum, None)
    before = {k: v.clone() for k, v in state.weights.items()}
    for i in range(5):
        run.step(i / 5)
    run.settle()
    assert len(state.losses) == 5
    assert any(not torch.equal(before[k], v) for k, v in state.weights.items())


def test_the_matrix_is_that_of_the_cpu(spectrum):
    from tomoprior import Geometry

    geometry = Geometry(np.deg2rad([-70.0, 0.0, 31.0]), (12, 3, 40))
    x = torch.rand(2, 12, 3, 40, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        MatrixProjector(geometry, "cuda")(x.cuda()).cpu(), MatrixProjector(geometry, "cpu")(x), rtol=1e-4, atol=1e-4
    )
