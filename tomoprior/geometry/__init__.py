"""Axes, signs, centre and grid of single-axis tomography: the only file that states a convention.

Conventions
-----------
- A volume is indexed ``[z, y, x]``; projections are indexed ``[angle, y, u]``. ``y`` is the rotation (tilt) axis, so
  slice ``y`` of the volume projects onto row ``y`` of the detector, and nothing couples one slice to the next unless
  a tilt is shifted along y.
- ``X = x - (nx - 1) / 2`` and ``Z = z - (nz - 1) / 2`` are in voxels from the centre of the grid, which lies on the
  rotation axis. At angle ``theta`` the point (X, Z) projects to ``u = X cos(theta) - Z sin(theta)``.
- Detector sample ``d`` (counted from 0) of slice ``y`` in tilt ``i`` lies at ``u = d + 0.5 - center[y] - shifts[i, 1]``.
  ``center`` is TomoPy's: the position of the rotation axis in pixels from the detector's left edge, which is the
  index of the axis plus 0.5. The middle of a detector of ``nu`` pixels is ``nu / 2``.
- ``shifts[i] = (dy, dx)`` in detector pixels is how far the image of tilt ``i`` lies from its true position: a feature
  whose true position is row r, column d appears at row ``r + dy``, column ``d + dx``.
- Angles are radians. A projection is a line integral in voxel units: values of a volume are per voxel.
- In a fan beam (``FanGeometry``), the source of angle ``theta`` lies at ``X = R sin(theta)``, ``Z = R cos(theta)``, where R is
  ``source_distance``. The detector is flat, on the other side of the axis, and its ``u`` grows along
  ``(X, Z) = (cos(theta), -sin(theta))``. With D for ``detector_distance``, the point (X, Z) projects to
  ``u = (X cos(theta) - Z sin(theta)) (R + D) / (R - X sin(theta) - Z cos(theta))`` voxels, or pixels times ``pixel_size``.
  ``center`` is where the ray through the rotation axis, which is perpendicular to the detector, meets the detector. For
  growing distances the rays become those of the parallel beam at the same angle. Each slice has a fan of its own: the beam
  does not diverge along y.
- ``volume[z, y, x]`` is TomoPy's ``recon[y, z, x]``: a transpose without a flip.
"""

from tomoprior.geometry.checks import MAX_ANGLE
from tomoprior.geometry.fan import FanGeometry
from tomoprior.geometry.parallel import Geometry
from tomoprior.units import UNITS

__all__ = ["MAX_ANGLE", "UNITS", "FanGeometry", "Geometry"]
