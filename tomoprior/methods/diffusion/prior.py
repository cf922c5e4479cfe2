"""A trained prior: weights, what they were trained on, and the file that holds both."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tomoprior.errors import FormatError
from tomoprior.methods.diffusion.denoiser import Denoiser
from tomoprior.methods.diffusion.preconditioning import SIGMA_DATA
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.methods.learning.unet import Shape
from tomoprior.storage.lazy import one_line
from tomoprior.storage.tensors import load_tensors, save_tensors

#: Of the file: what the network is told and how its layers are laid out.
VERSION = 3

#: Of the file's header.
KEY = "tomoprior_prior"

#: Where the shipped priors lie.
SHIPPED = Path(__file__).with_name("weights")


@dataclass(frozen=True, eq=False)
class Prior:
    """A denoiser with all that its use depends on.

    Attributes
    ----------
    denoiser
        On the CPU, in evaluation mode.
    tile
        What the network sees at once, ``(z, y, x)`` voxels; the grid is at most as thick as it is high.
    spectrum
        Of the tissue, in the prior's units.
    voxel_sizes
        Smallest and largest voxel trained on, in ``unit``.
    ranges
        Smallest and largest tilt range trained on, in degrees.
    errors
        Mean squared error of the denoiser against the noise level: ``((sigma, error), ...)``, rising.
    calibration
        What the samples' standard deviation is multiplied by, against the tilt range in degrees, inside the section, about its
        faces and in vacuum: ``((range, inside, faces, vacuum), ...)``.
    data_weight
        Say of the data at each level of the sampler, beside what the denoiser knows of them.
    card
        Data, licence, settings, times, validation: the model card's facts.
    """

    denoiser: Denoiser
    tile: tuple[int, int, int]
    spectrum: Spectrum
    voxel_sizes: tuple[float, float]
    unit: str
    ranges: tuple[float, float]
    errors: tuple[tuple[float, float], ...] = ()
    calibration: tuple[tuple[float, float, float, float], ...] = ()
    data_weight: float = 0.0
    card: dict[str, Any] = field(default_factory=dict)

    def error(self, sigma: float) -> float:
        """Mean squared error of the denoiser at a noise level, between the levels where it was measured (linear in logarithms).

        Where none was measured: that of the best for white noise on a volume of the denoiser's own scale.
        """
        if not self.errors:
            return sigma**2 * SIGMA_DATA**2 / (sigma**2 + SIGMA_DATA**2)
        at, value = np.log(np.array(self.errors)).T
        return float(np.exp(np.interp(math.log(sigma), at, value)))

    def spread(self, span: float, inside: torch.Tensor) -> torch.Tensor:
        """What the samples' standard deviation is multiplied by for a tilt range of ``span`` degrees; shaped as ``inside``.

        ``inside`` is the probability that a voxel lies inside the section: between 0 and 1 it is one about the faces.
        """
        if not self.calibration:
            return torch.ones_like(inside)
        at, *factors = np.array(self.calibration).T
        within, faces, vacuum = (float(np.interp(math.log(span), np.log(at), f)) for f in factors)
        weights = region_weights(inside)
        return weights[0] * within + weights[1] * faces + weights[2] * vacuum

    def header(self) -> dict[str, Any]:
        """Everything but the weights, as plain values."""
        return {
            "version": VERSION,
            "shape": self.denoiser.unet.shape.to_dict(),
            "tile": list(self.tile),
            "spectrum": {"k": self.spectrum.k, "power": self.spectrum.power, "voxel_size": self.spectrum.voxel_size},
            "voxel_sizes": list(self.voxel_sizes),
            "unit": self.unit,
            "ranges": list(self.ranges),
            "errors": [list(pair) for pair in self.errors],
            "calibration": [list(pair) for pair in self.calibration],
            "data_weight": self.data_weight,
            "card": self.card,
        }

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write it as safetensors, weights in half precision; whole or not at all."""
        arrays = {name: value.detach().half() for name, value in self.denoiser.state_dict().items()}
        save_tensors(Path(path), KEY, self.header(), arrays, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path) -> Prior:
        """Read what ``save`` wrote; a name without a suffix is one of the priors that come with the package.

        Raises
        ------
        FormatError
            If there is no such file, or it is not a prior, or one of a later version.
        """
        target = Path(path)
        if not target.suffix and not target.exists():
            target = SHIPPED / f"{path}.safetensors"
            if not target.is_file():
                known = ", ".join(shipped()) or "none"
                raise FormatError(f"no prior called {str(path)!r} comes with tomoprior ({known}); give a .safetensors file")
        try:
            found, arrays = load_tensors(target, KEY, "a prior saved by tomoprior")
            if found["version"] > VERSION:
                raise FormatError(f"{target}: a prior of a later version ({found['version']}); update tomoprior")
            if found["version"] < VERSION:
                raise FormatError(f"{target}: a prior of an earlier version ({found['version']}); train it anew")
            with torch.random.fork_rng(devices=[]):  # a new network draws weights, and a run's seed is drawn after it
                table = found["spectrum"]
                spectrum = Spectrum(tuple(table["k"]), tuple(table["power"]), table["voxel_size"])
                denoiser = Denoiser(Shape.from_dict(found["shape"]), spectrum)
            denoiser.load_state_dict(arrays)  # which makes them float32
            return cls(
                denoiser.eval().requires_grad_(False),
                tuple(found["tile"]),
                spectrum,
                tuple(found["voxel_sizes"]),
                found["unit"],
                tuple(found["ranges"]),
                tuple(tuple(pair) for pair in found["errors"]),
                tuple(tuple(pair) for pair in found["calibration"]),
                found["data_weight"],
                found["card"],
            )
        except FileNotFoundError:
            raise FormatError(
                f"{target}: no such file; train a prior with: tomoprior train VOLUME --validation VOLUME"
            ) from None
        except (KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(f"{target}: not a prior saved by tomoprior ({one_line(error)})") from error


def region_weights(inside: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """How far every voxel counts as inside the section, about its faces and in vacuum: from 0 to 1, and 1 in all."""
    faces = 4 * inside * (1 - inside)
    return (1 - faces) * (inside > 0.5), faces, (1 - faces) * (inside <= 0.5)


@lru_cache(maxsize=4)
def load(name: str) -> Prior:
    """A prior, read once."""
    return Prior.load(name)


def shipped() -> list[str]:
    """Names of the priors that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def network_dtype(device: torch.device) -> torch.dtype:
    """What the U-Net computes in: bfloat16 where there is hardware for it (CUDA, AMX, AVX-512 with bf16), else float32.

    Measured on a CPU with ``avx512_bf16``: 1.8 times faster than float32. Without such hardware bfloat16 convolutions run too,
    and are several times slower.
    """
    if device.type == "cuda":
        return torch.bfloat16
    fast = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if fast else torch.float32
