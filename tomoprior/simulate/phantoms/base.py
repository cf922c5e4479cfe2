"""The phantom: settings, and a scene for a grid and a seed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar

from numpy.random import Generator, default_rng
from pydantic import BeforeValidator, Field

from tomoprior.settings import Settings
from tomoprior.simulate.scene import Scene


class Phantom(Settings, ABC):
    """An object to simulate; its fields are its settings.

    Attributes
    ----------
    name, summary
        Its name as users type it, and one line for a list.
    unit, default_voxel
        Unit of a voxel size, and the default voxel size.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    unit: ClassVar[str] = "angstrom"
    default_voxel: ClassVar[float] = 10.0

    lowpass: float = Field(
        1.0, ge=0, description="Gaussian low-pass, standard deviation in voxels: edges as a microscope shows them."
    )

    @abstractmethod
    def scene(self, shape: tuple[int, int, int], *, seed: int = 0, voxel_size: float | None = None) -> Scene:
        """Return a scene: the phantom placed in a grid.

        Parameters
        ----------
        shape
            Grid ``(nz, ny, nx)`` in voxels.
        seed
            The same seed gives the same scene.
        voxel_size
            Edge of a voxel in ``unit``; by default ``default_voxel``, or a size that suits the grid.

        Raises
        ------
        InputError
            If the phantom does not fit into the grid.
        """

    def margin(self, shape: tuple[int, int, int]) -> float:
        """Return the voxels to leave free at the grid's sides, so that the low-pass is not cut off; fewer in small grids."""
        return min(2 * self.lowpass, 0.1 * min(shape))


def random_stream(seed: int, purpose: int) -> Generator:
    """Return random numbers for one purpose, so that noise does not change when a phantom draws one number more."""
    return default_rng([seed, purpose])


def split_commas(value: Any) -> Any:
    """Return the words of ``cube,disc`` as a tuple; return anything but text unchanged."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


#: A smallest and a largest value.
Pair = Annotated[tuple[float, float], BeforeValidator(split_commas)]

#: A pair, or None for a rule.
PairOrRule = Annotated[tuple[float, float] | None, BeforeValidator(split_commas)]

#: Purposes of random numbers.
PLACES, ERRORS, NOISE, OPTICS = range(4)
