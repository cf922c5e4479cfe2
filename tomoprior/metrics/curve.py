"""A Fourier shell correlation and the resolution that it supports."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tomoprior.metrics._arrays import Floats

#: A shell with fewer Fourier voxels has no reliable correlation.
FEWEST = 12
#: Agreement counts as sustained if the smoothed curve is above the threshold for this many shells.
SUSTAINED = 3
#: Weights of the shells before, at and after a frequency, times their counts.
SMOOTHING = (1.0, 2.0, 1.0)


@dataclass(frozen=True, eq=False)
class FSC:
    """A Fourier shell correlation.

    Attributes
    ----------
    frequency
        Middle of each shell in cycles per voxel, from one shell above zero to the Nyquist frequency 0.5.
    correlation
        Values from -1 to 1; NaN for a shell without power or without a Fourier voxel of the region.
    count
        Fourier voxels in each shell; conjugate pairs count twice.
    """

    frequency: Floats
    correlation: Floats
    count: Floats

    def smooth(self) -> tuple[Floats, Floats]:
        """Return frequency and correlation, averaged over three shells by their counts.

        Shells with fewer than ``FEWEST`` Fourier voxels, or without a value, are left out. The frequency is averaged in the
        same way, so that a straight curve stays as it is.

        Returns
        -------
        tuple of numpy.ndarray
            Frequency in cycles per voxel, and correlation; one value for each shell that is not left out.
        """
        known = np.isfinite(self.correlation) & (self.count >= FEWEST)
        f, c, n = self.frequency[known], self.correlation[known], self.count[known]
        if len(f) == 0:
            return f, c
        return average_shells(f, n), average_shells(c, n)

    def crossing(self, threshold: float = 0.5) -> float:
        """Return the frequency in cycles per voxel up to which the two volumes agree.

        This is the end of the last sustained agreement: where the smoothed curve falls below ``threshold`` after at least
        ``SUSTAINED`` shells above it (any number at the start of the curve), interpolated. A single low shell does not end the
        agreement, and a single high shell does not extend it.

        Against a reference without error the usual threshold is 0.5, between two independent halves of the data 0.143
        (Rosenthal and Henderson, J. Mol. Biol. 333 (2003) 721).

        Parameters
        ----------
        threshold
            The smallest correlation that counts as agreement.

        Returns
        -------
        float
            0.5 if the agreement lasts to the end of the curve; 0 if there is no sustained agreement; NaN for a curve without
            any value.
        """
        f, c = self.smooth()
        if len(f) == 0:
            return float("nan")
        edges = np.flatnonzero(np.diff(np.pad((c >= threshold).astype(int), (1, 1))))
        runs = [(start, end) for start, end in edges.reshape(-1, 2) if start == 0 or end - start >= SUSTAINED]
        if not runs:
            return 0.0
        end = int(runs[-1][1])
        if end == len(f):
            return 0.5
        return float(f[end - 1] + (f[end] - f[end - 1]) * (c[end - 1] - threshold) / (c[end - 1] - c[end]))

    def mean(self, below: float = 0.5) -> float:
        """Return the mean correlation of the shells up to a frequency.

        Parameters
        ----------
        below
            The largest frequency, in cycles per voxel. The default is the Nyquist frequency.

        Returns
        -------
        float
            From -1 to 1; NaN if no shell has a value.

        Examples
        --------
        >>> import numpy as np
        >>> from tomoprior.metrics.curve import FSC
        >>> curve = FSC(np.array([0.1, 0.3, 0.5]), np.array([1.0, 0.5, np.nan]), np.array([26.0, 98.0, 218.0]))
        >>> curve.mean(), curve.mean(below=0.2)
        (0.75, 1.0)
        """
        chosen = self.correlation[self.frequency <= below + 1e-9]
        return float(np.nanmean(chosen)) if np.isfinite(chosen).any() else float("nan")


def average_shells(values: Floats, count: Floats) -> Floats:
    """Return averages over three neighbouring shells, two at the ends, by ``SMOOTHING`` and by their counts.

    Parameters
    ----------
    values
        A value for each shell; one that is not finite has no weight.
    count
        Fourier voxels in each shell.

    Returns
    -------
    numpy.ndarray
        Shape of ``values``; 0 where no neighbour has a value.

    Examples
    --------
    >>> import numpy as np
    >>> from tomoprior.metrics.curve import average_shells
    >>> average_shells(np.array([1.0, 0.5, np.nan]), np.array([10.0, 20.0, 30.0]))
    array([0.75, 0.6 , 0.5 ])
    """
    weights = np.where(np.isfinite(values), count, 0.0)
    total, sums = (np.convolve(np.pad(v, 1), SMOOTHING, "valid") for v in (weights, weights * np.nan_to_num(values)))
    return np.asarray(np.divide(sums, total, out=np.zeros_like(sums), where=total > 0), np.float64)
