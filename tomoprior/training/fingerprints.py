"""Fingerprints of a training's inputs, so that a saved state only continues with the same inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from tomoprior.errors import InputError
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.simulate.tissue import Tissue
from tomoprior.storage.digest import compute_digest
from tomoprior.training.settings import TrainingSettings


def fingerprint(tissue: Tissue) -> dict[str, Any]:
    """Return values that identify a volume; the digest is of every seventh voxel along each axis."""
    return {
        "shape": [int(n) for n in tissue.grey.shape],
        "sha256": compute_digest(np.asarray(tissue.grey[::7, ::7, ::7])),
        "voxel_size": tissue.voxel_size,
        "grey": [tissue.least, tissue.most],
    }


def weights_digest(prior: Prior) -> str:
    """Return the SHA-256 of a prior's weights."""
    return compute_digest(*prior.denoiser.state_dict().values())


def check_tissues(tissues: tuple[Tissue, ...], validation: Tissue | None, settings: TrainingSettings) -> Any:
    """Return the fingerprint of the training volume, a list for several; raises InputError if the volumes do not fit."""
    if not tissues:
        raise InputError("no tissue to train on")
    if len(units := {t.unit for t in (*tissues, validation) if t is not None}) > 1:
        raise InputError(f"the volumes' voxel sizes must have one unit, not {' and '.join(sorted(units))}")
    high = settings.voxel_size[1]
    for t in tissues:
        if t.voxel_size > high:
            raise InputError(
                f"a volume of voxels of {t.voxel_size:g} {t.unit} cannot show what those of {high:g} look like; set a larger "
                "voxel_size (--voxel-size LOW HIGH), or take a finer volume"
            )
    prints = [fingerprint(t) for t in tissues]
    if validation is not None and fingerprint(validation) in prints:
        raise InputError("the volume for validation is one of those trained on; give another, or none")
    return prints[0] if len(prints) == 1 else prints
