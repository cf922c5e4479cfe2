"""Recordings on the training's device agree with those of ``tomoprior.simulate``."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from tomoprior import Geometry, Projector
from tomoprior.simulate.microscope import MicroscopeSettings, expose_tilt, tilt_errors, warp
from tomoprior.simulate.recording import SUPERSAMPLE
from tomoprior.training import recording
from tomoprior.training.recording import bin_voxels, cut_section, project_lines, record_tilts, screen


def smooth(shape, sigma, seed=0):
    noise = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    return gaussian_filter(noise, sigma, mode="wrap")


@pytest.fixture(scope="module")
def section():
    """A smooth density that ends within the block, above zero."""
    density = smooth((24, 6, 160), 2.5)
    density = 0.5 + 0.15 * density / density.std()
    z = np.abs(np.arange(24) - 11.5)[:, None, None]
    return (density * np.clip(10.0 - z, 0, 1)).astype(np.float32)


def test_line_integrals_are_those_of_rays_weighted_by_area(section):
    angles = np.deg2rad([-70.0, -52.0, -45.0, -20.0, 0.0, 7.0, 45.5, 60.0, 70.0])
    found = project_lines(torch.from_numpy(section), angles, 28)
    wanted = torch.from_numpy(np.asarray(Projector(Geometry(angles, section.shape, (6, 28)), "cpu", "strip")(section)))
    assert found.shape == (9, 6, 28)
    for i, angle in enumerate(angles):
        error = (found[i] - wanted[i]).abs().max() / wanted[i].mean()
        assert error < 0.005, f"{np.rad2deg(angle):.0f} degrees: {float(error):.4f}"


def test_the_rays_of_many_tilts_are_followed_part_by_part(section, monkeypatch):
    angles = np.deg2rad(np.arange(-60.0, 61.0, 10.0))
    volume = torch.from_numpy(section)
    whole = project_lines(volume, angles, 28)
    monkeypatch.setattr(recording, "AT_ONCE", 2 * 6 * 28 * 24)  # two tilts, or one steep one
    torch.testing.assert_close(project_lines(volume, angles, 28), whole)


def test_pictures_are_moved_as_the_microscope_moves_them():
    pictures = smooth((4, 30, 42), (0, 1.5, 1.5)) + 1.0
    shift = np.array([[0.0, 0.0], [1.3, -2.4], [-6.0, 0.5], [0.25, 9.75]])
    magnification = np.array([1.0, 1.004, 0.99, 1.0])
    for rotation in (0.0, math.radians(-3.0)):
        found = recording._warp(torch.from_numpy(pictures), shift, rotation, magnification)
        for i in range(4):
            wanted = warp(pictures[i], shift[i], rotation, float(magnification[i]))
            np.testing.assert_allclose(found[i].numpy(), wanted, atol=1e-4)


@pytest.mark.parametrize("sigma", [0.0, 0.6, 1.5, 4.8])
def test_blur_is_that_of_the_microscope(sigma):
    pictures = smooth((2, 20, 34), (0, 0.7, 0.7))
    found = recording._blur(torch.from_numpy(pictures), sigma)
    wanted = [gaussian_filter(p, sigma, mode="nearest", truncate=3) if sigma else p for p in pictures]
    np.testing.assert_allclose(found.numpy(), np.stack(wanted), atol=2e-6)


DRAWN = {
    "attenuation": 0.8, "saturation": 0.1, "blur": 0.5, "dose": 1e7, "read_noise": 0.0, "axis_error": 0.5, "defocus": 0.0,
    "shift_error": 0.7, "drift": 0.5, "magnification_error": 0.2, "gain_error": 0.03, "offset_error": 0.003,
    "angle_error": 0.0, "outliers": 0.0,
}  # fmt: skip


def recorded(section, drawn, kind=None, seed=3):
    """The same tilts recorded by both: ``record_tilts``, and ``warp`` with ``expose_tilt``."""
    geometry = Geometry(np.deg2rad([-40.0, -10.0, 0.0, 25.0, 50.0]), (12, 1, 14))
    margin, s = 4, SUPERSAMPLE
    tall = np.repeat(section, 3, axis=1)  # (12 + ...) rows, so that a margin is there on every side
    lines = project_lines(torch.from_numpy(tall), geometry.angles, screen(geometry, margin)) / s
    off = tilt_errors(geometry.n_angles, drawn, np.random.default_rng(seed))
    if kind is not None:
        off["kind"][:] = kind
    found = record_tilts(lines, off, drawn, margin, 2, np.random.default_rng(0)).numpy()
    per_line = drawn["attenuation"] / float(lines[2].mean())
    wanted = []
    for i, picture in enumerate(lines.numpy()):
        moved = warp(picture, off["shift"][i] * s, math.radians(drawn["axis_error"]), float(off["magnification"][i]))
        cut = moved[margin * s : -margin * s, margin * s : -margin * s]
        values = [off[name][i] for name in ("gain", "offset")]
        wanted.append(expose_tilt(cut, per_line, int(off["kind"][i]), *values, drawn, s, 1.0, np.random.default_rng(1))[0])
    return found, np.stack(wanted)


@pytest.mark.parametrize("changes", [{}, {"saturation": 0.0, "blur": 0.0}, {"offset_error": 0.0, "gain_error": 0.0}])
def test_without_noise_a_tilt_has_the_values_that_it_has_there(section, changes):
    found, wanted = recorded(section, DRAWN | changes)
    assert found.shape == wanted.shape == (5, 1, 14)
    assert np.abs(found - wanted).max() < 0.01 * wanted.mean()


def test_a_blurred_tilt_is_blurred_and_a_hidden_one_hidden_on_one_side(section):
    found, wanted = recorded(section, DRAWN, kind=2)
    assert np.abs(found - wanted).max() < 0.01 * wanted.mean()
    usual, _ = recorded(section, DRAWN, kind=0)
    hidden, _ = recorded(section, DRAWN, kind=3)
    assert np.abs(hidden[..., :8] - usual[..., :8]).max() < 0.01 * usual.mean()
    # -ln(0.05) more, less what saturates
    assert (hidden[..., -1] - usual[..., -1]).min() > 1.5 * usual.mean()


def test_noise_is_that_of_counts():
    lines = torch.full((1, 120, 120), 3.0)
    drawn = DRAWN | {"dose": 500.0, "read_noise": 3.0, "saturation": 0.0, "blur": 0.0, "axis_error": 0.0}
    off = {
        "shift": np.zeros((1, 2)), "magnification": np.ones(1), "gain": np.ones(1), "offset": np.zeros(1), "kind": np.zeros(1)
    }  # fmt: skip
    found = record_tilts(lines, off, drawn, 4, 0, np.random.default_rng(0))
    counts = 500 * math.exp(-drawn["attenuation"])
    deviation = math.sqrt(counts + 9) / counts * 3.0 / drawn["attenuation"]
    assert float(found.mean()) == pytest.approx(3.0, rel=0.01)
    assert float(found.std()) == pytest.approx(deviation, rel=0.05)


def test_a_section_that_is_empty_is_reported():
    off = tilt_errors(1, DRAWN, np.random.default_rng(0))
    with pytest.raises(ValueError, match="the section is empty"):
        record_tilts(torch.zeros(1, 40, 40), off, DRAWN, 4, 0, np.random.default_rng(0))


def test_a_section_has_rough_faces_of_the_requested_thickness():
    density = torch.ones(40, 60, 80)
    found = cut_section(density, 0.6, 1.5, 8.0, 0.0, np.random.default_rng(0))
    thickness = found.inside.sum(0)
    assert found.high - found.low == pytest.approx(24.0)
    assert 0 < found.low < found.high < 40
    assert float(thickness.mean()) == pytest.approx(24.0, abs=0.05)
    assert float(thickness.std()) == pytest.approx(1.5 * math.sqrt(2), rel=0.3)
    z = torch.arange(40)[:, None, None] + 0.5
    middle = float((found.inside * z).sum() / found.inside.sum())
    assert middle == pytest.approx((found.low + found.high) / 2, abs=0.05)
    torch.testing.assert_close(found.density, found.inside)  # of density 1


def test_stain_grows_from_one_face_to_the_other():
    found = cut_section(torch.ones(40, 8, 8), 0.5, 0.0, 8.0, 0.2, np.random.default_rng(1))
    whole = found.inside[:, 0, 0] == 1
    stain = found.density[:, 0, 0][whole]
    assert float(stain.mean()) == pytest.approx(1.0, abs=0.02)
    assert float(stain[-1] - stain[0]) == pytest.approx(0.4, abs=0.05)


def test_a_section_that_fills_the_block_has_no_face_in_it():
    found = cut_section(torch.ones(12, 8, 8), 1.0, 1.5, 8.0, 0.0, np.random.default_rng(0))
    assert (found.low, found.high) == (0.0, 12.0)
    assert bool((found.inside == 1).all())


def test_microscopes_draw_the_values_that_a_recording_wants():
    assert MicroscopeSettings().draw(np.random.default_rng(0)).keys() >= DRAWN.keys()


def test_voxels_are_binned_to_their_means():
    volume = torch.arange(64.0).view(4, 4, 4)
    assert float(bin_voxels(volume)[0, 0, 0]) == pytest.approx(float(volume[:2, :2, :2].mean()))
    assert bin_voxels(volume).shape == (2, 2, 2)
