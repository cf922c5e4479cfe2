"""A tilt series, its selections and binned copies, and the repair of its pixels."""

from tomoprior.series.series import TiltSeries

__all__ = ["TiltSeries"]
