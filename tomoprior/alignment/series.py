"""Align a raw tilt series in one call."""

from __future__ import annotations

from typing import Any

from tomoprior.alignment.estimate import estimate_alignment
from tomoprior.alignment.settings import AlignSettings
from tomoprior.errors import SettingsError
from tomoprior.progress import Progress
from tomoprior.series import TiltSeries


def align(
    series: TiltSeries, settings: AlignSettings | None = None, *, progress: Progress | None = None, **values: Any
) -> TiltSeries:
    """Align a raw tilt series by matching its images to the reprojections of their own reconstruction.

    Parameters
    ----------
    series
        Raw images with their angles, shape ``(n_angles, ny, nu)``. Images in a file stay there.
    settings, values
        ``AlignSettings``, as an object or one by one (``tilt_axis=84.0``).
    progress
        Called after each level of binning.

    Returns
    -------
    TiltSeries
        Its images are resampled once, by cubic splines, when they are read. Its weights are zero where a pixel comes from
        outside the raw field. ``metadata["alignment"]`` has the transforms and their quality (``Alignment.from_dict``).

    Raises
    ------
    SettingsError, InputError
        One line that says what does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import tomoprior
    >>> angles = np.deg2rad(np.arange(-60, 61, 10))
    >>> simulation = tomoprior.simulate.simulate("spheres", (16, 16, 32), angles, seed=1, shift_std=1.0)
    >>> aligned = tomoprior.align(simulation.series, tilt_axis=0.0, search="none")
    >>> aligned.projections.shape, np.shape(aligned.metadata["alignment"]["shifts"])
    ((13, 16, 32), (13, 2))
    """
    if settings is None:
        settings = AlignSettings.parse(dict(values))
    elif values:
        settings = AlignSettings.parse({**settings.model_dump(), **values})
    if not isinstance(settings, AlignSettings):
        raise SettingsError(f"settings must be AlignSettings, got {type(settings).__name__}")
    return estimate_alignment(series, settings, progress=progress).apply(series)
