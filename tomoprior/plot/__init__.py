"""Figures of volumes and of the evidence for them.

``slices`` draws orthogonal planes of volumes side by side, ``fsc`` Fourier shell correlations, ``residuals`` the misfit of
each tilt, and ``alignment`` the residuals, shifts and tilt axis of an alignment. Each returns a matplotlib figure that a
notebook shows and ``savefig`` writes. None needs pyplot or a display, and none changes the global state of matplotlib.
"""

from tomoprior.plot.alignment import alignment
from tomoprior.plot.correlation import fsc
from tomoprior.plot.figure import Figure
from tomoprior.plot.planes import slices
from tomoprior.plot.tilts import residuals

__all__ = ["Figure", "alignment", "fsc", "residuals", "slices"]
