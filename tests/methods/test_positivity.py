"""Whether tilts allow a lower bound of zero, for series made by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tomoprior.methods import get
from tomoprior.methods.solving.positivity import allows_positivity, resolve_bound

DEGREES = np.arange(-60, 61, 5)


def problem(images, weights=None, degrees=DEGREES):
    """The part of a problem that the decision reads."""
    angles = np.deg2rad(degrees)
    return SimpleNamespace(
        data=torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)),
        weights=None if weights is None else torch.tensor(weights).reshape(-1, 1, 1),
        A=SimpleNamespace(geometry=SimpleNamespace(angles=angles)),
    )


def stack(image, levels=None):
    """The image at every tilt, times a level of the tilt."""
    levels = np.ones(len(DEGREES)) if levels is None else levels
    return levels[:, None, None] * image


@pytest.fixture
def bump():
    """A smooth object of height 10 that covers the middle of 16 x 48 pixels; its surroundings are 0."""
    u = np.clip(1 - np.abs(np.arange(48) - 24) / 8, 0, None)
    y = np.clip(1 - np.abs(np.arange(16) - 8) / 6, 0, None)
    return 10 * np.outer(y, u)


@pytest.fixture
def noise():
    return np.random.default_rng(0).normal(size=(len(DEGREES), 16, 48))


@pytest.mark.parametrize("sigma", [0, 0.5, 2])
def test_an_object_in_empty_surroundings_allows_it_with_and_without_noise(bump, noise, sigma):
    assert allows_positivity(problem(stack(bump) + sigma * noise))


@pytest.mark.parametrize("sigma", [0, 0.5, 2])
def test_images_without_their_mean_do_not(bump, noise, sigma):
    images = stack(bump) + sigma * noise
    assert not allows_positivity(problem(images - images.mean((1, 2), keepdims=True)))


@pytest.mark.parametrize("sigma", [0, 0.5, 2])
def test_bright_field_does_not(bump, noise, sigma):
    assert not allows_positivity(problem(30 - stack(bump) + sigma * noise))


def test_a_dark_patch_below_zero_forbids_it(bump):
    image = bump.copy()
    image[:4, :10] = -2
    assert not allows_positivity(problem(stack(image)))


def test_a_section_that_gets_brighter_with_the_path_allows_it(noise):
    path = 1 / np.cos(np.deg2rad(DEGREES))
    section = 5 + np.tile(np.sin(np.arange(48)), (16, 1))
    assert allows_positivity(problem(stack(section, path) + 0.1 * noise))
    assert not allows_positivity(problem(stack(section) + 0.1 * noise))
    assert not allows_positivity(problem(np.exp(-stack(section, path) / 5)))


def test_an_image_of_an_opaque_section_is_no_empty_surrounding(bump):
    """At high tilt most of it is black, and the images get darker with the path."""
    path = 1 / np.cos(np.deg2rad(DEGREES))
    assert not allows_positivity(problem(10 * np.exp(-stack(1.5 + bump / 5, path))))


def test_noise_alone_and_nothing_at_all_do_not(noise):
    assert not allows_positivity(problem(noise))
    assert not allows_positivity(problem(0 * noise))


def test_a_tilt_without_weight_is_not_asked(bump):
    images = stack(bump)
    images[4] = -10
    assert not allows_positivity(problem(images, degrees=np.arange(len(DEGREES))))
    weights = np.ones(len(DEGREES))
    weights[4] = 0
    assert allows_positivity(problem(images, weights))


def test_the_decision_replaces_auto_only_and_is_noted(bump):
    kind, p = get("sirt").Settings, problem(stack(bump))
    for given, expected, noted in (("auto", 0.0, {"min_constraint": 0.0}), (None, None, {}), (-1.0, -1.0, {})):
        settled = {}
        assert resolve_bound(p, kind(min_constraint=given), settled).min_constraint == expected
        assert settled == noted
    settled = {}
    assert resolve_bound(problem(-stack(bump)), kind(), settled).min_constraint is None
    assert settled == {"min_constraint": None}
