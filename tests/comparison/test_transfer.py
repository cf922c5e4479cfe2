"""A comparison of a series with a transfer function: who uses it, and by what images all are judged."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tomoprior import FilteredProjector, Geometry, Projector, TiltSeries, compare
from tomoprior.comparison.arguments import series_to_compare
from tomoprior.comparison.shared import SharedInput
from tomoprior.methods import get
from tomoprior.microscopy import CTF, Transfer

ANGLES = np.deg2rad(np.arange(-60, 61, 8))


@pytest.fixture(scope="module")
def geometry():
    return Geometry(ANGLES, (16, 24, 24), voxel_size=8.0, unit="angstrom")


@pytest.fixture(scope="module")
def truth(geometry):
    z, y, x = np.ogrid[:16, :24, :24]
    ball = (z - 8) ** 2 + (y - 11) ** 2 + (x - 12) ** 2 < 16
    return torch.from_numpy(ball.astype(np.float32))


@pytest.fixture(scope="module")
def series(geometry, truth):
    transfer = Transfer((24, 24), 8.0, ctf=[CTF(d) for d in np.linspace(2e4, 4e4, len(ANGLES))])
    images = FilteredProjector(Projector(geometry, "cpu"), transfer)(truth).numpy()
    noise = np.random.default_rng(0).normal(0, 0.01 * images.std(), images.shape)
    return TiltSeries((images + noise).astype(np.float32), geometry, transfer=transfer)


def test_images_get_flipped_phases_and_the_transfer_its_absolute_value(series, truth):
    flipped = series_to_compare(series)
    assert (flipped.transfer >= 0).all()
    expected = FilteredProjector(Projector(series.geometry, "cpu"), flipped.transfer)(truth).numpy()
    assert np.abs(flipped.projections - expected).max() < 0.1 * expected.std()
    assert np.abs(series.projections - expected).max() > 0.5 * expected.std()


def test_the_truth_predicts_the_images_only_through_the_transfer(series, truth):
    shared = SharedInput(series_to_compare(series))
    errors = [
        float(np.square(s.projector(s.series)(truth.numpy()) - s.series.projections).mean())
        for s in (shared.for_method(get("sirt")), shared.for_method(get("wbp")))
    ]
    assert errors[0] < 1e-2 * errors[1]


def test_the_input_keeps_its_transfer_in_a_file(series, tmp_path):
    shared = SharedInput(series_to_compare(series))
    shared.save(tmp_path)
    loaded = SharedInput.load(tmp_path)
    np.testing.assert_array_equal(loaded.series.transfer, shared.series.transfer)
    assert loaded.digest() == shared.digest()
    other = replace(shared, series=replace(shared.series, transfer=shared.series.transfer / 2))
    assert other.digest() != shared.digest()


def test_a_comparison_says_which_methods_use_the_transfer(series, truth):
    result = compare(
        series, ["cgls", "wbp"], truth=truth.numpy(), settings={"cgls": {"num_iter": 40}}, checks=["held_out", "planted"],
        tune=False, isolate=False,
    )  # fmt: skip
    model, flipped = result.entries
    assert [e.status for e in result.entries] == ["done", "done"]
    assert model.notes == ("the transfer function of the microscope is in the model",)
    assert flipped.notes[0].startswith("images with flipped phases")
    # the noise is a hundredth of the signal: the model explains the images, and finds objects that passed the microscope
    assert model.evidence["residual"]["total"] < 0.1 < flipped.evidence["residual"]["total"]
    assert model.evidence["planted"]["found"] == model.evidence["planted"]["of"]
