"""The tilt series, its views, and the inspection and repair of its pixels."""

from tomoprior.series.series import TiltSeries

__all__ = ["TiltSeries"]
