"""A trained prior: the denoiser with its training domain and calibration, and the file that holds them."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tomoprior.errors import FormatError
from tomoprior.methods.diffusion.denoiser import Denoiser
from tomoprior.methods.diffusion.error_network import ErrorNetwork
from tomoprior.methods.diffusion.preconditioning import SIGMA_DATA
from tomoprior.methods.diffusion.prior_header import ERROR_PREFIX, HEADER_KEY, VERSION, PriorHeader, parse_version
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.methods.learning.unet import Shape
from tomoprior.storage.lazy import one_line
from tomoprior.storage.tensors import load_tensors, read_header, save_tensors

#: Folder of the priors in this package.
SHIPPED_FOLDER = Path(__file__).with_name("weights")


@dataclass(frozen=True, eq=False)
class Prior:
    """A denoiser with all that its use depends on.

    Attributes
    ----------
    denoiser
        On the CPU, in evaluation mode.
    tile
        Shape of the tiles in training, ``(z, y, x)`` voxels; grids thicker than a tile are tiled along z too.
    spectrum
        The tissue's spectrum, in the prior's units.
    voxel_sizes
        Smallest and largest voxel size of the training, in ``unit``.
    ranges
        Smallest and largest tilt range of the training, degrees.
    errors
        Mean squared error of the denoiser at noise levels: ``((sigma, error), ...)``, rising.
    calibration
        Factors on the samples' standard deviation at tilt ranges in degrees, inside the section, about its faces and in
        vacuum: ``((range, inside, faces, vacuum), ...)``.
    data_weight
        Recommended weight of the likelihood at each level of the sampler, relative to the conditioned denoiser.
    error_network
        Variance of the error of the denoiser's mean, on the CPU, in evaluation mode; None for a prior without it.
    error_calibration
        Factors on the error network's standard deviation, as in ``calibration``.
    card
        Facts of the model card: data, licence, settings, times, validation.
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
    error_network: ErrorNetwork | None = None
    error_calibration: tuple[tuple[float, float, float, float], ...] = ()
    card: dict[str, Any] = field(default_factory=dict)

    def squared_error(self, sigma: float) -> float:
        """Return the denoiser's mean squared error at a noise level, interpolated linearly in logarithms.

        Without measured errors this is the error of the best denoiser for white noise of the standard deviation
        ``SIGMA_DATA``.
        """
        if not self.errors:
            return sigma**2 * SIGMA_DATA**2 / (sigma**2 + SIGMA_DATA**2)
        levels, errors = np.log(np.array(self.errors)).T
        return float(np.exp(np.interp(math.log(sigma), levels, errors)))

    def std_factors(self, span: float, inside: torch.Tensor, *, of_network: bool = False) -> torch.Tensor:
        """Return the factors on the standard deviation for a tilt range of ``span`` degrees.

        They have the shape of ``inside``, the probability that a voxel lies inside the section; a value between 0 and 1 means
        that the voxel lies about a face. ``of_network`` selects those for the error network instead of those for samples.
        """
        table = self.error_calibration if of_network else self.calibration
        if not table:
            return torch.ones_like(inside)
        spans, *columns = np.array(table).T
        within, faces, vacuum = (float(np.interp(math.log(span), np.log(spans), column)) for column in columns)
        weights = compute_region_weights(inside)
        return weights[0] * within + weights[1] * faces + weights[2] * vacuum

    def to(self, device: torch.device) -> Prior:
        """Return the prior with its networks on a device."""
        network = self.error_network
        return replace(self, denoiser=self.denoiser.to(device), error_network=None if network is None else network.to(device))

    def to_header(self) -> dict[str, Any]:
        """Return everything but the weights, as plain values."""
        network = self.error_network
        return {
            "version": VERSION,
            "shape": self.denoiser.unet.shape.to_dict(),
            "tile": list(self.tile),
            "spectrum": {"k": self.spectrum.k, "power": self.spectrum.power, "voxel_size": self.spectrum.voxel_size},
            "voxel_sizes": list(self.voxel_sizes),
            "unit": self.unit,
            "ranges": list(self.ranges),
            "errors": [list(pair) for pair in self.errors],
            "calibration": [list(row) for row in self.calibration],
            "data_weight": self.data_weight,
            "error_shape": None if network is None else network.unet.shape.to_dict(),
            "error_calibration": [list(row) for row in self.error_calibration],
            "card": self.card,
        }

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a safetensors file with weights in half precision; the file appears complete or not at all."""
        arrays = {name: value.detach().half() for name, value in self.denoiser.state_dict().items()}
        if self.error_network is not None:
            arrays |= {ERROR_PREFIX + name: value.detach().half() for name, value in self.error_network.state_dict().items()}
        save_tensors(Path(path), HEADER_KEY, self.to_header(), arrays, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path) -> Prior:
        """Read a file that ``save`` wrote.

        The file is not trusted: all values of its header have bounds, and its tensors must have the network's shapes before
        any is read.

        Parameters
        ----------
        path
            The file, or the name of a prior in this package.

        Raises
        ------
        FormatError
            If there is no such file, or it is not a valid prior, or one of another version.
        """
        target = find_prior(path)
        try:
            text, tensors = read_header(target, HEADER_KEY)
            version = parse_version(text)
            if version > VERSION:
                raise FormatError(f"{target}: a prior of a later version ({version}); update tomoprior")
            if version < VERSION:
                raise FormatError(f"{target}: a prior of an earlier version ({version}); train it again")
            header = PriorHeader.parse(text)
            header.check_tensors(tensors)
            _, arrays = load_tensors(target, HEADER_KEY, "a prior saved by tomoprior")
            for name, value in arrays.items():
                if not bool(torch.isfinite(value).all()):
                    raise ValueError(f"tensor {name} has values that are not finite")
            spectrum = Spectrum(header.spectrum.k, header.spectrum.power, header.spectrum.voxel_size)
            error_arrays = {n.removeprefix(ERROR_PREFIX): arrays.pop(n) for n in list(arrays) if n.startswith(ERROR_PREFIX)}
            error_network = None
            with torch.random.fork_rng(devices=[]):  # a new network draws weights, and a run's seed is drawn after it
                denoiser = Denoiser(Shape.from_dict(header.shape.model_dump()), spectrum)
                if header.error_shape is not None:
                    error_network = ErrorNetwork(Shape.from_dict(header.error_shape.model_dump()))
                    error_network.load_state_dict(error_arrays)
                    error_network.eval().requires_grad_(False)
            denoiser.load_state_dict(arrays)  # converts them to float32
        except FileNotFoundError:
            raise FormatError(
                f"{target}: no such file; train a prior with: tomoprior train VOLUME --validation VOLUME"
            ) from None
        except (ValueError, RuntimeError, OSError) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(f"{target}: not a prior saved by tomoprior ({one_line(error)})") from error
        return cls(
            denoiser.eval().requires_grad_(False), header.tile, spectrum, header.voxel_sizes, header.unit, header.ranges,
            header.errors, header.calibration, header.data_weight, error_network, header.error_calibration, header.card,
        )  # fmt: skip


def compute_region_weights(inside: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return weights of every voxel for inside the section, about its faces, and vacuum: from 0 to 1, with the sum 1."""
    faces = 4 * inside * (1 - inside)
    return (1 - faces) * (inside > 0.5), faces, (1 - faces) * (inside <= 0.5)


def find_prior(path: str | Path) -> Path:
    """Return the file of a prior: ``path`` if it has a suffix or a slash; a bare name is always a file of this package.

    Raises
    ------
    FormatError
        If no prior of that name comes with the package.
    """
    target = Path(path)
    if target.suffix or len(target.parts) > 1 or os.sep in str(path):
        return target
    target = SHIPPED_FOLDER / f"{path}.safetensors"
    if not target.is_file():
        names = ", ".join(list_shipped_priors()) or "none"
        there = f"; ./{path} is the file of that name here" if Path(path).exists() else ""
        raise FormatError(f"no prior called {str(path)!r} comes with tomoprior ({names}); give a .safetensors file{there}")
    return target


def load_prior(path: str | Path) -> Prior:
    """Load a prior, or return the same object again if its file has not changed."""
    target = find_prior(path)
    try:
        status = target.stat()
    except OSError:
        return Prior.load(target)  # raises the error
    return _load_cached(target.absolute(), status.st_mtime_ns, status.st_size, status.st_ino)


@lru_cache(maxsize=4)
def _load_cached(path: Path, *identity: int) -> Prior:
    return Prior.load(path)


def list_shipped_priors() -> list[str]:
    """Return the names of the priors in this package."""
    return sorted(path.stem for path in SHIPPED_FOLDER.glob("*.safetensors"))


def choose_network_dtype(device: torch.device) -> torch.dtype:
    """Return the U-Net's data type: bfloat16 with hardware for it (CUDA, AMX, AVX-512 with bf16), otherwise float32.

    Measured on a CPU with ``avx512_bf16``: bfloat16 is 1.8 times faster than float32. Without such hardware bfloat16
    convolutions run too, and are several times slower.
    """
    if device.type == "cuda":
        return torch.bfloat16
    fast = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if fast else torch.float32
