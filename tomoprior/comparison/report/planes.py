"""The planes of a volume that are worth showing."""

from __future__ import annotations

#: Axes of each plane: across, down.
PLANES = {"xy": ("x", "y"), "zy": ("z", "y"), "xz": ("x", "z")}
#: A plane is too thin to read with fewer voxels than this along an axis, or a longest axis so many times as long.
FEWEST, LONGEST = 4, 24


def choose_planes(shape: tuple[int, int, int]) -> tuple[str, ...]:
    """Return the planes that are not too thin for a grid ``(nz, ny, nx)``; if all are, the largest one.

    Examples
    --------
    >>> choose_planes((64, 64, 64))
    ('xy', 'zy', 'xz')
    >>> choose_planes((320, 1, 320))  # one slice of a synchrotron scan
    ('xz',)
    """
    size = dict(zip("zyx", shape, strict=True))
    least = max(FEWEST, max(shape) / LONGEST)
    wide = tuple(name for name, axes in PLANES.items() if min(size[a] for a in axes) >= least)
    return wide or (max(PLANES, key=lambda name: size[PLANES[name][0]] * size[PLANES[name][1]]),)
