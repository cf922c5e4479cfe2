"""ASTRA's own algorithms as methods: the conformance checks."""

import numpy as np
import pytest
import torch

from tomoprior import Geometry, Projector, methods, testing
from tomoprior.errors import InputError, SettingsError

#: ART and SART go through rays and tilts one after the other; CGLS amplifies rounding
OPTIONS = {
    "ART": {"order_tolerance": 0.2},
    "BP": {},
    "CGLS": {"order_tolerance": 0.02},
    "FBP": {"center": 12.0},
    "SART": {"order_tolerance": 0.2},
    "SIRT": {},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_conformance(name):
    testing.check_method(f"astra.{name}", {"num_iter": 10}, **OPTIONS[name])


def test_astra_prints_nothing(capfd):
    """Its warnings go to the terminal past Python: an option that an algorithm does not know is one."""
    geometry = Geometry(np.deg2rad(np.linspace(-60, 60, 7)), (8, 2, 8))
    p, projector = torch.ones(geometry.range_shape), Projector(geometry, "cpu")
    for name in OPTIONS:
        method = methods.get(f"astra.{name}")
        bounds = {} if name in ("BP", "FBP", "CGLS") else {"min_constraint": 0.0, "max_constraint": 2.0}
        method.reconstruct(p, projector, method.Settings(num_iter=2, **bounds), mask=torch.ones(8, 8))
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_bounds_are_kept():
    geometry = Geometry(np.deg2rad(np.linspace(-60, 60, 7)), (8, 2, 8))
    method = methods.get("astra.SIRT")
    p = torch.randn(geometry.range_shape, generator=torch.Generator().manual_seed(0))
    settings = method.Settings(num_iter=20, min_constraint=0.0, max_constraint=0.1)
    x = method.reconstruct(p, Projector(geometry, "cpu"), settings).volume
    assert x.min() == 0
    assert x.max() == pytest.approx(0.1)


def test_shifts_along_y_are_refused():
    geometry = Geometry(np.deg2rad([-30, 0, 30]), (8, 2, 8), shifts=np.ones((3, 2)))
    method = methods.get("astra.SIRT")
    with pytest.raises(InputError, match="along y"):
        method.reconstruct(torch.ones(geometry.range_shape), Projector(geometry, "cpu"), method.Settings())


def test_settings_are_checked():
    with pytest.raises(SettingsError, match="did you mean num_iter"):
        methods.get("astra.SIRT").Settings.parse({"num_iters": 3})


def test_a_blank_slice_stays_blank():
    """ASTRA's CGLS divides by the norm of the data."""
    geometry = Geometry(np.deg2rad(np.arange(-60, 61, 10)), (12, 3, 16))
    projections = torch.rand(geometry.range_shape, generator=torch.Generator().manual_seed(0))
    projections[:, 0] = 0
    method = methods.get("astra.CGLS")
    volume = method.reconstruct(projections, Projector(geometry, "cpu"), method.Settings.parse({"num_iter": 5})).volume
    assert torch.isfinite(volume).all()
    assert not volume[:, 0].any()
    assert volume[:, 1].any()


def test_bounds_that_an_algorithm_does_not_know_are_refused():
    geometry = Geometry(np.deg2rad(np.arange(-60, 61, 10)), (12, 1, 16))
    method = methods.get("astra.CGLS")
    with pytest.raises(InputError, match="bounds"):
        method.reconstruct(
            torch.ones(geometry.range_shape), Projector(geometry, "cpu"), method.Settings.parse({"min_constraint": 0})
        )
