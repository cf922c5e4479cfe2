"""Python warns of doubtful values of a file as the shell does, in memory, slab by slab and in a comparison."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

import tomoprior
from tomoprior.errors import InputError, ReadingWarning, ResultWarning
from tomoprior.series.pixels import describe_pixels

N = 9
IMAGES = np.random.default_rng(0).normal(1, 0.1, (N, 4, 24)).astype(np.float32)
IMAGES[:, :, :2] = IMAGES[:, :, -2:] = 0  # the specimen lies within the field
BRIGHT = (IMAGES * 1000).astype(np.int16)


def blank() -> np.ndarray:
    images = IMAGES.copy()
    images[4] = 0
    return images


def repeated() -> np.ndarray:
    images = IMAGES.copy()
    images[6] = images[5]
    return images


CASES = {
    "blank": (blank, "tilts 4 are blank"),
    "repeated": (repeated, r"tilts 6 \(as 5\) have the same pixels"),
    "counts": (lambda: BRIGHT + 200, "look like a detector's counts"),
    "background": (lambda: BRIGHT - 3000, "are mostly below zero.*subtract auto"),
    "bright specimen": (lambda: np.where(IMAGES > 1.2, 9000, BRIGHT - 3000).astype(np.int16), "are mostly below zero"),
    "transmissions": (lambda: np.exp(-IMAGES), "these look like transmissions"),
}


def write(folder: Path, images: np.ndarray) -> Path:
    np.save(folder / "a.npy", images)
    (folder / "a.tlt").write_text("\n".join(map(str, np.linspace(-60, 60, len(images)))))
    return folder / "a.npy"


@pytest.mark.filterwarnings("ignore::tomoprior.errors.ResultWarning")
@pytest.mark.parametrize("name", CASES)
def test_reconstruct_warns_of_the_values_of_a_file(tmp_path: Path, name: str) -> None:
    make, words = CASES[name]
    path = write(tmp_path, make())
    with pytest.warns(ReadingWarning, match=words):
        tomoprior.reconstruct(path, "wbp")
    with pytest.warns(ReadingWarning, match=words):
        tomoprior.reconstruct(tomoprior.read(path).load(), "wbp")


@pytest.mark.filterwarnings("ignore::tomoprior.errors.ResultWarning")
def test_a_run_slab_by_slab_looks_at_some_tilts(tmp_path: Path) -> None:
    path = write(tmp_path, blank())  # of nine tilts 0, 2, 4, 6 and 8 are read
    with pytest.warns(ReadingWarning, match="tilts 4 are blank"):
        tomoprior.reconstruct(path, "wbp", out=tmp_path / "v.npy", slab=2)


@pytest.mark.filterwarnings("ignore::tomoprior.errors.ResultWarning")
def test_compare_warns_of_the_values_of_a_file_unless_it_is_given_the_notes(tmp_path: Path) -> None:
    path = write(tmp_path, blank())
    options = {"tune": False, "checks": ("held_out",), "isolate": False}
    with pytest.warns(ReadingWarning, match="tilts 4 are blank"):
        tomoprior.compare(path, ["wbp"], **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ReadingWarning)
        tomoprior.compare(path, ["wbp"], about={"notes": ["known"]}, **options)


def test_tilts_have_their_numbers_in_the_file(tmp_path: Path) -> None:
    series = tomoprior.read(write(tmp_path, blank())).exclude([0, 1])
    assert "tilts 4 are blank" in describe_pixels(series).warnings[0]
    images = IMAGES.copy()
    images[5] = np.inf
    lines = describe_pixels(tomoprior.read(write(tmp_path, images)).exclude([0, 1])).warnings
    assert "infinite, in tilts 5;" in lines[0]
    assert "tilts without a finite pixel: 5;" in lines[1]


def test_pixels_without_a_value_are_an_error_and_no_warning(tmp_path: Path) -> None:
    images = IMAGES.copy()
    images[2, 1, 5] = np.nan
    with pytest.raises(InputError, match=r"1 pixel\(s\) in 1 tilt\(s\) are NaN"):
        tomoprior.reconstruct(write(tmp_path, images), "wbp")


def test_values_that_a_program_made_are_its_own_affair() -> None:
    geometry = tomoprior.Geometry(np.deg2rad(np.linspace(-60, 60, N)), (24, 4, 24))
    tomoprior.reconstruct(tomoprior.TiltSeries(blank(), geometry), "wbp")


def test_a_report_of_some_tilts_has_these_only() -> None:
    geometry = tomoprior.Geometry(np.deg2rad(np.linspace(-60, 60, N)), (24, 4, 24))
    series = tomoprior.TiltSeries(np.arange(N, dtype=np.float32)[:, None, None] * np.ones((4, 24), np.float32), geometry)
    assert (describe_pixels(series, 3).mean, len(describe_pixels(series, 3).nan)) == (4.0, 3)  # 0, 4 and 8
    assert describe_pixels(series, 99).mean == describe_pixels(series).mean == 4.0
    assert issubclass(ReadingWarning, UserWarning)
    assert not issubclass(ReadingWarning, ResultWarning)
