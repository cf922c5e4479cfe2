"""The contract of ``tomopy.recon`` with a callable, played by a stand-in; see test_installed.py for the real one."""

from __future__ import annotations

import functools
import importlib

import numpy as np
import pytest

import tomoprior
from tomoprior.adapters.tomopy.centers import axis_by_mass
from tomoprior.errors import InputError, ResultWarning, SettingsError, UnknownNameError

from .conftest import Scan, drive

tomopy_algorithm = importlib.import_module("tomoprior.adapters.tomopy.algorithm")
SIRT = {"method": "sirt", "num_iter": 30}


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def run(scan, monkeypatch, ncore=1, nchunk=None, **kwargs):
    return drive(tomoprior.algorithm, scan, ncore=ncore, nchunk=nchunk, monkeypatch=monkeypatch, **kwargs)


@pytest.mark.parametrize(("ncore", "nchunk"), [(1, None), (2, None), (3, 1), (2, 0), (1, 4)])
def test_however_tomopy_cuts_the_stack_the_result_is_the_same(scan, monkeypatch, ncore, nchunk):
    options = dict(SIRT)
    found = run(scan, monkeypatch, ncore, nchunk, options=options)
    whole = tomoprior.recon(scan.sinograms, scan.theta, scan.center, sinogram_order=True, algorithm="sirt", num_iter=30)
    np.testing.assert_allclose(found, whole, atol=1e-5)
    assert correlation(found, scan.truth) > 0.9  # each slice at its own centre, right way round
    assert options == SIRT


def test_the_grid_can_have_another_size(scan, monkeypatch):
    found = run(scan, monkeypatch, options=SIRT, num_gridx=24, num_gridy=40)
    assert found.shape == (6, 24, 40)
    # both grids are centred on the axis: the common part shows the same thing
    assert correlation(found[:, :, 4:36], scan.truth[:, 4:28]) > 0.9


def test_init_recon_is_where_the_iteration_starts(scan, monkeypatch):
    far = run(scan, monkeypatch, options={**SIRT, "num_iter": 40})
    half = run(scan, monkeypatch, options={**SIRT, "num_iter": 20})
    start = half.copy()
    again = run(scan, monkeypatch, 2, None, options={**SIRT, "num_iter": 20}, init_recon=start)
    assert again is start  # TomoPy's contract: a float32 start is the output
    np.testing.assert_allclose(again, far, atol=1e-4)


def test_a_center_from_find_center_is_half_a_pixel_less(scan, monkeypatch):
    right = run(scan, monkeypatch, options=SIRT)
    index = scan._replace(center=scan.center - np.float32(0.5))
    found = run(index, monkeypatch, options={**SIRT, "center_convention": "index"})
    np.testing.assert_allclose(found, right, atol=1e-5)
    with pytest.raises(SettingsError, match="center_convention"):
        run(scan, monkeypatch, options={**SIRT, "center_convention": "x"})


@pytest.mark.parametrize(("ncore", "nchunk"), [(2, None), (1, 2), (3, 1)])
def test_a_method_that_couples_slices_gets_the_whole_stack_behind_its_chunks(scan, monkeypatch, ncore, nchunk):
    options = {"method": "tv", "num_iter": 5, "reg_par": 0.1}
    whole = run(scan, monkeypatch, options=options)
    np.testing.assert_array_equal(run(scan, monkeypatch, ncore, nchunk, options=options), whole)
    separate = run(scan, monkeypatch, ncore, nchunk, options={**options, "independent_chunks": True})
    assert np.abs(separate - whole).max() > 1e-3


def test_a_method_that_couples_slices_is_refused_where_single_slices_come(scan, monkeypatch):
    with pytest.raises(InputError, match="ncore=1"):
        run(scan, monkeypatch, 2, 0, options={"method": "tv", "num_iter": 5})
    with pytest.raises(InputError, match="ncore=1"):  # a start of the caller's may be a view for any reason
        run(scan, monkeypatch, 2, None, options={"method": "tv", "num_iter": 5}, init_recon=np.ones((6, 32, 32), np.float32))


@pytest.mark.parametrize(("ncore", "nchunk"), [(1, None), (2, None), (3, 1), (1, 4)])
def test_chunks_of_a_stack_are_reconstructed_by_one_run(scan, monkeypatch, ncore, nchunk):
    runs = []
    real = tomopy_algorithm.reconstruct_into
    monkeypatch.setattr(tomopy_algorithm, "reconstruct_into", lambda *a, **k: (runs.append(len(a[0])), real(*a, **k)))
    first = run(scan, monkeypatch, ncore, nchunk, options=SIRT)
    again = run(scan, monkeypatch, ncore, nchunk, options=SIRT)  # another volume: nothing of the first run is left
    assert runs == [6, 6]
    np.testing.assert_array_equal(first, again)


def test_a_stack_that_is_a_part_of_a_larger_array_is_reconstructed_alone(scan, monkeypatch):
    larger = np.concatenate([np.full_like(scan.sinograms[:2], 7.0), scan.sinograms, np.full_like(scan.sinograms[:2], 7.0)])
    part = scan._replace(sinograms=larger[2:8])
    found = run(part, monkeypatch, 3, None, options=SIRT)
    np.testing.assert_array_equal(found, run(scan, monkeypatch, options=SIRT))


def test_a_failed_run_leaves_nothing_for_the_next_one(scan, monkeypatch):
    bad = scan.sinograms.copy()
    bad[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="NaN"):
        run(scan._replace(sinograms=bad), monkeypatch, 2, None, options=SIRT)
    found = run(scan, monkeypatch, 2, None, options=SIRT)
    np.testing.assert_array_equal(found, run(scan, monkeypatch, options=SIRT))


def test_a_method_that_couples_slices_runs_on_the_whole(scan, monkeypatch):
    options = {"method": "tv", "num_iter": 60, "reg_par": 0.1}
    found = run(scan, monkeypatch, options=options)
    assert correlation(found, scan.truth) > 0.95


def test_settings_may_stand_beside_options_and_strays_are_warned_of(scan, monkeypatch):
    with pytest.warns(UserWarning, match="filter_name"):
        found = run(
            scan,
            monkeypatch,
            options={"method": "sirt"},
            num_iter=np.int32(30),
            filter_name="shepp",
        )
    np.testing.assert_allclose(found, run(scan, monkeypatch, options=SIRT), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "error"),
    [({}, SettingsError), ({"method": "sirtt"}, UnknownNameError), ({"method": "sirt", "num_itr": 3}, SettingsError)],
)
def test_mistakes_in_options_are_errors(scan, monkeypatch, options, error):
    with pytest.raises(error):
        run(scan, monkeypatch, options=options)


def test_data_are_not_touched(scan, monkeypatch):
    data = scan.sinograms.copy()
    drive(tomoprior.algorithm, scan._replace(sinograms=data), ncore=2, nchunk=None, monkeypatch=monkeypatch, options=SIRT)
    np.testing.assert_array_equal(data, scan.sinograms)


@pytest.mark.parametrize("name", ["wbp", "fourier", "cgls", "astra.SIRT"])
def test_other_methods_fit_in(scan, monkeypatch, name):
    found = run(scan, monkeypatch, 2, None, options={"method": name})
    assert correlation(found, scan.truth) > 0.85


def test_a_partial_binds_the_method_although_tomopy_passes_empty_options():
    theta = np.linspace(0, np.pi, 20, endpoint=False)
    tomo = np.random.default_rng(0).random((2, 20, 16)).astype(np.float32)
    bound, plain = (np.full((2, 16, 16), 1e-6, np.float32) for _ in range(2))
    call = functools.partial(tomoprior.algorithm, method="sirt", num_iter=3)
    call(tomo, np.full(2, 8.0, np.float32), bound, theta, options={})
    tomoprior.algorithm(tomo, np.full(2, 8.0, np.float32), plain, theta, options={"method": "sirt", "num_iter": 3})
    np.testing.assert_array_equal(bound, plain)


def test_a_start_in_slices_of_its_own_is_named_for_a_method_that_couples_slices(scan, monkeypatch):
    start = np.full(scan.truth.shape, 0.1, np.float32)
    with pytest.warns(UserWarning, match=r"tv couples slices, and starts from 1 of 6 slices of an array"):
        run(scan, monkeypatch, 1, 0, options={"method": "tv", "num_iter": 2, "reg_par": 0.1}, init_recon=start)


@pytest.mark.parametrize("call", ["algorithm", "recon"])
def test_a_center_that_is_half_a_pixel_less_than_the_axis_is_named(monkeypatch, call):
    """A Gaussian that turns about 17.2 pixels from the edge; ``tomopy.find_center`` would say 16.7."""
    theta = np.linspace(0, np.pi, 30, endpoint=False)
    middle = 17.2 + 4 * np.cos(theta) - 2 * np.sin(theta)
    rays = np.exp(-((np.arange(32) + 0.5 - middle[:, None]) ** 2) / 8).astype(np.float32)
    sinograms = np.repeat(rays[None], 2, axis=0)

    def reconstruct(center, **options):
        if call == "recon":
            return tomoprior.recon(sinograms, theta, center, True, "wbp", **options)
        one = Scan(sinograms, theta.astype(np.float32), np.full(2, center, np.float32), sinograms)
        return run(one, monkeypatch, options={"method": "wbp", **options})

    with pytest.warns(ResultWarning, match=r"turn about 17\.20 pixels .*, half a pixel beyond the given center of 16\.7"):
        reconstruct(16.7)
    for right in (17.2, 15.2):  # the axis, and an error of another kind
        reconstruct(right)
    reconstruct(16.7, center_convention="index")


def test_projections_that_fill_the_field_tell_no_axis():
    theta = np.linspace(0, np.pi, 30, endpoint=False)
    assert axis_by_mass(np.ones((1, 30, 32), np.float32), theta) is None
    empty = np.zeros((1, 30, 32), np.float32)
    assert axis_by_mass(empty, theta) is None
    empty[0, :, 16] = 1
    assert axis_by_mass(empty, theta) == pytest.approx(16.5)
    assert axis_by_mass(empty[:, :5], theta[:5]) is None
    empty[0, ::3, 16], empty[0, ::3, 20] = 0, 1  # it jumps
    assert axis_by_mass(empty, theta) is None
