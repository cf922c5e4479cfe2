"""Pictures of volumes and of the evidence for them.

``slices`` shows orthogonal planes of volumes beside each other, ``fsc`` Fourier shell correlations, ``residuals`` how well each
tilt is explained. Each gives a matplotlib figure that a notebook shows and ``savefig`` writes. None needs pyplot or a display,
and no global state of matplotlib is touched.
"""

from tomoprior.plot.correlation import fsc
from tomoprior.plot.figure import Figure
from tomoprior.plot.planes import slices
from tomoprior.plot.tilts import residuals

__all__ = ["Figure", "fsc", "residuals", "slices"]
