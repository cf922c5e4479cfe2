"""Real X-ray scans: a tooth from counts with flats and darks, and a scan with dead pixels and its axis off the middle."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import tomoprior
from tomoprior.errors import InputError
from tomoprior.series.pixels import describe_pixels, repair_pixels


def negative_part(volume: np.ndarray) -> float:
    """What lies below zero, against what lies above: attenuation is never negative, and a wrong centre makes it so."""
    return float(-volume.clip(max=0).sum() / volume.clip(min=0).sum())


def edge_strength(picture: np.ndarray) -> float:
    """Mean of the strongest two-hundredth of the gradients: a sharp picture has steep edges."""
    size = np.hypot(*np.gradient(picture))
    return float(np.sort(size.ravel())[-size.size // 200 :].mean())


def test_the_tooth_is_sharp_at_its_centre(data_dir):
    def at(index: float) -> np.ndarray:
        series = tomoprior.read(data_dir / "tooth" / "tooth.h5", minus_log=True, center=index + 0.5)
        picture = tomoprior.reconstruct(series.rows(0, 1), "wbp", filter_name="hann").volume[:, 0]
        return gaussian_filter(picture, 1.5)  # the noise has steep edges too

    sharp, left, right = at(296), at(290), at(302)
    assert edge_strength(sharp) > 1.01 * max(edge_strength(left), edge_strength(right))
    # a tooth seen double has negative shadows: measured 0.023 at 296, 0.06 six pixels to either side
    assert negative_part(sharp) < 0.5 * min(negative_part(left), negative_part(right))


def test_the_tooth_is_attenuation_per_pixel(data_dir):
    series = tomoprior.read(data_dir / "tooth" / "tooth.h5", minus_log=True, center=296.5)
    report = describe_pixels(series)
    assert report.n_bad == 0
    assert report.looks_like == "line integrals"
    assert describe_pixels(tomoprior.read(data_dir / "tooth" / "tooth.h5")).looks_like != "line integrals"


def test_dead_pixels_are_refused_then_repaired_and_the_axis_is_off_the_middle(data_dir):
    series = tomoprior.read(data_dir / "savu_24737" / "savu_24737.h5", minus_log=True, center=86.4)
    assert describe_pixels(series).n_bad == 91
    with pytest.raises(InputError, match="91 pixel"):
        tomoprior.reconstruct(series, "wbp")
    repaired = repair_pixels(series).rows(96, 104)
    volume = tomoprior.reconstruct(repaired, "wbp", filter_name="hann").volume
    # row 100 shows a rod of 80 pixels across, off the axis: a disc of one value
    row = volume[:, 4]
    inside = row > 0.5 * np.percentile(row, 99)
    z, x = np.nonzero(inside)
    assert inside.sum() == pytest.approx(np.pi * 40**2, rel=0.1)
    radius = np.hypot(z - z.mean(), x - x.mean())
    assert np.percentile(radius, 99) == pytest.approx(40, abs=2.5)
    wrong = repaired.with_geometry(tomoprior.Geometry(repaired.geometry.angles, repaired.geometry.shape))
    assert negative_part(tomoprior.reconstruct(wrong, "wbp", filter_name="hann").volume) > 1.3 * negative_part(volume)
