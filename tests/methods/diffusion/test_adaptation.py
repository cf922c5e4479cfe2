"""An adapted network explains held-out tilts better, and the prior does not change."""

from __future__ import annotations

import pytest
import torch

from tomoprior.methods.diffusion.adaptation import N_PARTS, adapt_denoiser
from tomoprior.methods.diffusion.posterior_slab import PosteriorSlab
from tomoprior.methods.diffusion.section import section_from_faces
from tomoprior.methods.diffusion.settings import DiffusionSettings


@pytest.fixture(scope="module")
def slab(simulated, lively):
    case = simulated((12, 16, 32), tilts=9, span=80)
    section = section_from_faces(12, (0.0, 12.0), 0.0, torch.device("cpu"))
    with torch.no_grad():
        return PosteriorSlab(case.projections, case.projector, lively, DiffusionSettings(robust=False), section, rows=range(16))


def test_tilts_held_out_are_explained_better(slab, lively):
    before = {k: v.clone() for k, v in lively.denoiser.state_dict().items()}
    misfits = []
    with torch.no_grad():
        adapted = adapt_denoiser(lively, slab.data, slab.section, 5 * N_PARTS, 0, lambda _, value: misfits.append(value))
    first, last = (sum(part) / N_PARTS for part in (misfits[:N_PARTS], misfits[-N_PARTS:]))
    assert last < 0.98 * first
    assert all(torch.equal(before[k], v) for k, v in lively.denoiser.state_dict().items())
    assert adapted.state_dict().keys() == before.keys()  # nothing of how it was adapted is left
    assert any(not torch.equal(before[k], v) for k, v in adapted.state_dict().items())
    assert not any(p.requires_grad for p in adapted.parameters())


def test_zero_steps_leave_the_network_unchanged(slab, lively):
    with torch.no_grad():
        same = adapt_denoiser(lively, slab.data, slab.section, 0, 0)
    for name, value in lively.denoiser.state_dict().items():
        torch.testing.assert_close(same.state_dict()[name], value)


def test_the_same_seed_gives_the_same_adaptation(slab, lively):
    with torch.no_grad():
        one, two = (adapt_denoiser(lively, slab.data, slab.section, 2, seed).state_dict() for seed in (1, 1))
    assert all(torch.equal(one[k], two[k]) for k in one)
