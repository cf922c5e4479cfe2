"""Tilts that are blank or repeat another one are named."""

import numpy as np

from tomoprior import Geometry, TiltSeries
from tomoprior.series.pixels import describe_pixels


def report(images: np.ndarray) -> tuple[str, ...]:
    geometry = Geometry(np.deg2rad(np.linspace(-60, 60, len(images))), (16, 4, 16))
    return describe_pixels(TiltSeries(images, geometry)).warnings


def test_a_blank_tilt_is_named() -> None:
    images = np.random.default_rng(0).normal(size=(9, 4, 16)).astype(np.float32)
    assert report(images) == ()
    images[3], images[7] = 0, 2.5
    assert report(images) == ("tilts 3, 7 are blank, all their pixels are equal; leave them out (--exclude)",)


def test_a_repeated_image_is_named_with_the_first_one() -> None:
    images = np.random.default_rng(0).normal(size=(9, 4, 16)).astype(np.float32)
    images[5] = images[2]
    (line,) = report(images)
    assert line.startswith("tilts 5 (as 2) have the same pixels as another tilt")


def test_images_that_differ_in_one_row_are_no_repeats() -> None:
    images = np.random.default_rng(0).normal(size=(9, 4, 16)).astype(np.float32)
    images[5] = images[2]
    images[5, 3] += 1
    assert report(images) == ()


def test_a_series_of_one_value_has_one_line() -> None:
    assert report(np.ones((9, 4, 16), np.float32)) == ("all pixels have the same value, 1",)
