"""Series outside a prior's training are refused, with a message that says what to do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.methods.diffusion import training_domain


def geometry(voxel_size=20.0, unit="nanometer", span=100.0, nz=16):
    return Geometry(np.deg2rad(np.linspace(-span / 2, span / 2, 11)), (nz, 4, 20), voxel_size=voxel_size, unit=unit)


@pytest.mark.parametrize(("size", "unit"), [(20.0, "nanometer"), (200.0, "angstrom"), (0.02, "micrometer"), (2e-8, "meter")])
def test_units_are_converted(prior, size, unit):
    assert training_domain.convert_voxel_size(geometry(size, unit), prior, check=True) == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("size", "fits"), [(14.0, True), (13.8, False), (16.0, True), (25.0, True), (28.7, True), (28.8, False)]
)
def test_a_voxel_size_slightly_outside_the_training_is_allowed(prior, size, fits):
    if fits:
        assert training_domain.convert_voxel_size(geometry(size), prior, check=True) == size
    else:
        with pytest.raises(InputError, match="are outside the prior's training range"):
            training_domain.convert_voxel_size(geometry(size), prior, check=True)


def message(call, *arguments, **options):
    with pytest.raises(InputError) as error:
        call(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_unknown_voxel_size_is_refused_with_advice(prior):
    found = message(training_domain.convert_voxel_size, geometry(1.0, "pixel"), prior, check=True)
    assert found.startswith("the voxel size is not known (pixel), and the prior is for 16 to 25 nanometer: give it")
    assert "--voxel-size and --unit" in found
    assert "check_prior=false to assume 20 nanometer" in found
    assert training_domain.convert_voxel_size(geometry(1.0, "pixel"), prior, check=False) == pytest.approx(20.0)


def test_a_prior_without_a_unit_takes_pixels_as_they_are(prior):
    assert training_domain.convert_voxel_size(geometry(1.0, "pixel"), replace(prior, unit="pixel"), check=True) == 1.0


@pytest.mark.parametrize(("size", "factor", "then"), [(5.0, 4, "20"), (10.0, 2, "20"), (12.0, 2, "24"), (1.3, 15, "19.5")])
def test_the_advice_for_small_voxels_is_a_valid_binning(prior, size, factor, then):
    found = message(training_domain.convert_voxel_size, geometry(size), prior, check=True)
    assert f"bin by {factor} (--bin {factor}: {then} nanometer)" in found
    assert f"voxels of {size:g} nanometer" in found
    training_domain.convert_voxel_size(geometry(size * factor), prior, check=True)  # the advice is good


def test_large_voxels_need_another_prior(prior):
    found = message(training_domain.convert_voxel_size, geometry(60.0), prior, check=True)
    assert (
        "voxels of 60 nanometer are outside the prior's training range (16 to 25): train a prior for this voxel size" in found
    )
    assert "check_prior=false" in found
    assert "bin" not in found
    assert training_domain.convert_voxel_size(geometry(60.0), prior, check=False) == 60.0


def test_a_grid_thicker_than_two_tiles_is_always_refused(prior):
    for nz in (16, 32):
        training_domain.check_grid_and_range(geometry(nz=nz), prior, check_range=True)
    for check_range in (False, True):
        found = message(training_domain.check_grid_and_range, geometry(nz=42), prior, check_range=check_range)
        assert "a volume of 42 voxels along z exceeds the prior's limit of 32" in found
        assert "--thickness" in found
        assert "--bin 2" in found
        assert "height=48" in found


def test_a_range_outside_the_training_is_refused(prior):
    found = message(training_domain.check_grid_and_range, geometry(span=170.0), prior, check_range=True)
    assert "a tilt range of 170 degrees is outside the prior's training range (6 to 140)" in found
    assert "--angle-range -70 70" in found
    found = message(training_domain.check_grid_and_range, geometry(span=4.0), prior, check_range=True)
    assert "a tilt range of 4 degrees" in found
    assert "use another method" in found
    assert "--angle-range" not in found
    for span in (4.0, 170.0):
        training_domain.check_grid_and_range(geometry(span=span), prior, check_range=False)
    for span in (5.5, 153.0):
        training_domain.check_grid_and_range(geometry(span=span), prior, check_range=True)
