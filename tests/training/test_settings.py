from __future__ import annotations

import pytest

from tomoprior.errors import SettingsError
from tomoprior.training import TrainingSettings


def test_lists_are_taken_as_a_command_line_gives_them():
    found = TrainingSettings.parse(
        {"field": "96, 64", "widths": "32,64", "blocks": "1,2", "log_sigma": "0,1.5", "ranges": "20,90"}
    )
    assert (found.field, found.widths, found.blocks) == ((96, 64), (32, 64), (1, 2))
    assert (found.log_sigma, found.ranges) == ((0.0, 1.5), (20.0, 90.0))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"widths": "32,x"}, "widths"),
        ({"widths": (32,)}, "for every level"),
        ({"widths": (), "blocks": ()}, "at least one level"),
        ({"widths": (32, 0, 32)}, "1 or more"),
        ({"tile_size": 40, "widths": (16,) * 4, "blocks": (1,) * 4}, "multiples of 16"),
        ({"tile_size": 40, "widths": (16,) * 4, "blocks": (1,) * 4, "flat": True}, "multiples of 16"),
        ({"tile_size": 20}, "tile_size"),
        ({"field": (192, 40)}, "at least as wide as a tile"),
        ({"ranges": (20, 160)}, "2 to 150"),
        ({"ranges": (60, 20)}, "2 to 150"),
        ({"tilts": (1, 9)}, "tilts"),
        ({"voxel_size": (25, 16)}, "voxel_size must run"),
        ({"tilt_step": (0, 1)}, "tilt_step must run"),
        ({"learning_rate_end": 1.0}, "learning_rate_end must not exceed"),
        ({"steps": 0}, "steps"),
        ({"minutes": -1}, "minutes"),
        ({"seed": 2**63}, "seed"),
        ({"minuts": 1}, "did you mean minutes"),
    ],
)
def test_what_cannot_be_trained_is_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        TrainingSettings.parse(values)
