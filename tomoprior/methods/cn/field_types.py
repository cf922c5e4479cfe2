"""Types of the settings of ``cn`` whose default depends on the encoder, with their descriptions."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

#: The text ``none`` is None.
NoneWord = BeforeValidator(lambda value: None if value == "none" else value)
Strength = Annotated[float, Field(ge=0)]

#: Descriptions of settings whose default depends on the encoder.
Iterations = Annotated[int, Field(ge=1, description="Number of iterations; with several networks, of the first one.")]
Width = Annotated[int, Field(ge=1, le=4096, description="Neurons in a hidden layer.")]
Depth = Annotated[
    int, Field(ge=0, le=32, description="Hidden layers after the encoder. 0 sums the encoder's features linearly.")
]
LearningRate = Annotated[float, Field(gt=0, description="Learning rate of Adam in the first half of the iterations.")]
NextLearningRate = Annotated[float, Field(gt=0, description="The same for further networks, which start from a neighbour.")]
Features = Annotated[int, Field(ge=1, le=512, description="Features per level.")]
Levels = Annotated[
    int,
    Field(ge=1, le=16, description="Number of grids. Each is twice as fine as the one before; the last has a node per voxel."),
]
