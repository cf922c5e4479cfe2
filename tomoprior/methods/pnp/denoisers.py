"""Find the denoiser that a setting names, and apply it to volumes."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from tomoprior import plugins
from tomoprior.errors import InputError, SettingsError
from tomoprior.geometry import Geometry
from tomoprior.projector import Projector

#: ``denoiser(x, sigma)``: an estimate of clean images given images with white noise of the standard deviation ``sigma``.
Denoiser = Callable[[torch.Tensor, float], torch.Tensor]

#: Name of the entry-point group.
GROUP = "tomoprior.denoisers"


@runtime_checkable
class SeriesDenoiser(Protocol):
    """A denoiser that has to know the series: it works on whole volumes of densities, ``(nz, ny, nx)``."""

    def check(self, geometry: Geometry) -> None:
        """Raise InputError if the denoiser does not suit the geometry."""

    def prepare(self, projections: torch.Tensor, projector: Projector, weights: torch.Tensor | None) -> Denoiser:
        """Return the denoiser of volumes on the projector's grid."""


def find_denoiser(denoiser: str | Denoiser) -> Denoiser | SeriesDenoiser:
    """Return a denoiser itself, or the one that a text names.

    Parameters
    ----------
    denoiser
        A callable; a name of the entry-point group ``tomoprior.denoisers``; a file of ``tomoprior train``
        (``*.safetensors``); or ``module:attribute``, a callable or a class whose instances are callable.

    Raises
    ------
    SettingsError
        If the text names nothing that can be called.
    """
    if not isinstance(denoiser, str):
        return denoiser
    if denoiser.endswith(".safetensors"):
        return plugins.load(GROUP, "prior")(denoiser)  # type: ignore[no-any-return]
    module, _, attribute = denoiser.partition(":")
    if not attribute:
        found = plugins.load(GROUP, denoiser)
    else:
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise SettingsError(f"denoiser {denoiser!r} cannot be imported: {error}") from None
    found = found() if isinstance(found, type) else found
    if not callable(found) and not isinstance(found, SeriesDenoiser):
        raise SettingsError(
            f"denoiser {denoiser!r} is a {type(found).__name__}, which cannot be called with an image and sigma"
        )
    return found  # type: ignore[no-any-return]


def name_denoiser(denoiser: str | Denoiser) -> str:
    """Return a text for records: the name, or module and class of a callable."""
    if isinstance(denoiser, str):
        return denoiser
    named = denoiser if hasattr(denoiser, "__qualname__") else type(denoiser)
    return f"{named.__module__}:{named.__qualname__}"


def apply_denoiser(
    denoiser: Denoiser, x: torch.Tensor, sigma: float, scale: float, planes: Literal["slices", "volume"]
) -> torch.Tensor:
    """Return the denoised volume, ``(nz, ny, nx)``.

    Parameters
    ----------
    x
        Densities, ``(nz, ny, nx)``.
    sigma
        Noise level in units of ``scale``.
    scale
        Density that is 1 for the denoiser.
    planes
        Whether the denoiser gets slices ``(ny, 1, nz, nx)`` or the volume ``(1, 1, nz, ny, nx)``.

    Raises
    ------
    InputError
        If the result has another shape or values that are not finite.
    """
    images = x.permute(1, 0, 2)[:, None] if planes == "slices" else x[None, None]
    clean = denoiser((images / scale).contiguous(), sigma)
    if tuple(clean.shape) != tuple(images.shape):
        raise InputError(f"the denoiser returns the shape {tuple(clean.shape)} for {tuple(images.shape)}; try the other planes")
    if not bool(torch.isfinite(clean).all()):
        raise InputError("the denoiser returns values that are not finite; try a smaller sigma")
    clean = clean.to(x) * scale
    return clean[:, 0].permute(1, 0, 2) if planes == "slices" else clean[0, 0]


def move_to(denoiser: Denoiser, device: torch.device) -> Denoiser:
    """Return a torch module on a device in evaluation mode; other denoisers as they are."""
    return denoiser.to(device).eval() if isinstance(denoiser, nn.Module) else denoiser


def denoise_by_non_local_means(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """Return images ``(batch, 1, ...)`` as means over similar patches, on the CPU.

    Buades, Coll and Morel, CVPR (2005), as scikit-image has it: patches of 5, searched within 6 pixels. The strength is 0.8
    sigma, as its documentation recommends where sigma is known.
    """
    from skimage.restoration import denoise_nl_means

    clean = [
        denoise_nl_means(image, patch_size=5, patch_distance=6, h=0.8 * sigma, sigma=sigma, fast_mode=True)
        for image in images[:, 0].cpu().numpy()
    ]
    return torch.from_numpy(np.stack(clean)[:, None]).to(images)


def as_settings_value(value: Any) -> Any:
    """Return a setting that is a text or a callable; raises ValueError for others."""
    if isinstance(value, str) or callable(value):
        return value
    raise ValueError("a denoiser is a name, module:attribute, a file of tomoprior train, or a callable")
