"""What a phantom is: settings, and a scene for a grid and a seed."""

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
        As users type it, and one line for a list.
    unit, default_voxel
        What a voxel size is given in, and what it is where no one gives one.
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
        """Place the phantom in a grid ``(nz, ny, nx)``; the same seed gives the same scene.

        Parameters
        ----------
        voxel_size
            Edge of a voxel in ``unit``; by default ``default_voxel``, or what suits the grid.

        Raises
        ------
        InputError
            If it does not fit the grid.
        """

    def margin(self, shape: tuple[int, int, int]) -> float:
        """Voxels to keep to the grid's sides, so that the low-pass is not cut off; less in small grids."""
        return min(2 * self.lowpass, 0.1 * min(shape))


def stream(seed: int, purpose: int) -> Generator:
    """Random numbers of their own for each purpose: noise does not change when a phantom draws one number more."""
    return default_rng([seed, purpose])


def listed(value: Any) -> Any:
    """``cube,disc`` as two words, as a command line gives them; anything but text stays as it is."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


#: Smallest and largest of something.
Pair = Annotated[tuple[float, float], BeforeValidator(listed)]

#: The same, or left to a rule.
PairOrRule = Annotated[tuple[float, float] | None, BeforeValidator(listed)]

#: Purposes of random numbers.
PLACES, ERRORS, NOISE = range(3)
