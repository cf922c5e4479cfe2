"""Arrays and processes from outside: reversed, masked and differentiable arrays, another default type, forks, Dask workers."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import tomoprior
from tomoprior.errors import GeometryError, InputError
from tomoprior.storage.torch_state import float32_by_default

THETA = np.linspace(-1.2, 1.2, 12)
GEOMETRY = tomoprior.Geometry(THETA, (16, 3, 16))
DATA = np.random.default_rng(0).random((12, 3, 16)).astype(np.float32)
VOLUME = np.random.default_rng(1).random((16, 3, 16)).astype(np.float32)


def recon(tomo: Any = DATA, theta: Any = THETA, **more: Any) -> Any:
    return tomoprior.recon(tomo, theta, algorithm="sirt", num_iter=3, **more)


def reconstruct(projections: Any = DATA, weights: Any = None, **more: Any) -> Any:
    series = tomoprior.TiltSeries(projections, GEOMETRY, weights)
    return tomoprior.reconstruct(series, "sirt", num_iter=3, pad=0, **more).volume  # as for TomoPy's calls


def algorithm(tomo: Any = DATA, theta: Any = THETA, **more: Any) -> Any:
    out = np.full((3, 16, 16), 1e-6, np.float32)
    tomoprior.algorithm(tomo.swapaxes(0, 1), np.full(3, 8.0), out, theta, options={"method": "sirt", "num_iter": 3}, **more)
    return out


def masked(column: int = 3, behind: float = np.nan) -> Any:
    values = DATA.copy()
    values[:, :, column] = behind
    hidden = np.zeros(values.shape, bool)
    hidden[:, :, column] = True
    return np.ma.MaskedArray(values, hidden)


@pytest.fixture
def float64_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("call", [recon, reconstruct, algorithm])
@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1, 2)])
def test_reversed_views_give_the_values_of_their_copies(call: Callable[..., Any], axes: tuple[int, ...]) -> None:
    view = np.flip(DATA, axes)
    assert any(stride < 0 for stride in view.strides)
    np.testing.assert_array_equal(call(view), call(view.copy()))


def test_reversed_initial_volumes_and_masks_give_the_values_of_their_copies() -> None:
    first, inside = VOLUME[::-1, :, ::-1], (np.indices((16, 16))[0] < 9).astype(np.float32)[::-1]
    np.testing.assert_array_equal(
        reconstruct(initial=first, mask=inside), reconstruct(initial=first.copy(), mask=inside.copy())
    )
    start = VOLUME.swapaxes(0, 1)[::-1]
    np.testing.assert_array_equal(recon(init_recon=start), recon(init_recon=start.copy()))


def test_a_projector_takes_a_reversed_axis_of_length_one() -> None:
    A = tomoprior.Projector(tomoprior.Geometry(THETA, (1, 1, 16)))
    volume = np.ones((1, 1, 16), np.float32)
    np.testing.assert_array_equal(A(volume[::-1, ::-1]), A(volume))


@pytest.mark.parametrize("behind", [np.nan, np.inf, 1e30])
def test_masked_pixels_have_the_weight_zero_whatever_is_behind_the_mask(behind: float) -> None:
    weights = np.ones(DATA.shape, np.float32)
    weights[:, :, 3] = 0
    values = DATA.copy()
    values[:, :, 3] = 7.0
    expected = reconstruct(values, weights)
    np.testing.assert_array_equal(reconstruct(masked(behind=behind)), expected)
    np.testing.assert_array_equal(recon(masked(behind=behind)), expected.swapaxes(0, 1))
    np.testing.assert_array_equal(algorithm(masked(behind=behind)), expected.swapaxes(0, 1))
    sinograms = masked(behind=behind).swapaxes(0, 1)
    np.testing.assert_array_equal(recon(sinograms, sinogram_order=True), expected.swapaxes(0, 1))


def test_a_mask_multiplies_the_weights_that_are_given() -> None:
    series = tomoprior.TiltSeries(masked(), GEOMETRY, np.arange(1, 13))
    assert series.weights is not None
    assert series.weights.shape == DATA.shape
    assert series.weights[4, 1].tolist() == [5.0, 5.0, 5.0, 0.0, *[5.0] * 12]


def test_a_tilt_that_is_masked_as_a_whole_is_left_out_by_methods_with_weights_per_tilt() -> None:
    values = np.ma.MaskedArray(DATA.copy(), np.zeros(DATA.shape, bool))
    values[2] = np.ma.masked
    assert tomoprior.TiltSeries(values, GEOMETRY).weights.tolist() == [1, 1, 0, *[1] * 9]  # type: ignore[union-attr]
    values.data[2] = 1e9
    assert np.abs(tomoprior.recon(values, THETA, algorithm="wbp")).max() < 10


def test_a_method_with_weights_per_tilt_refuses_masked_pixels() -> None:
    with pytest.raises(InputError, match="one weight per tilt, not per pixel"):
        tomoprior.recon(masked(), THETA, algorithm="wbp")


def test_a_mask_that_hides_nothing_changes_nothing() -> None:
    np.testing.assert_array_equal(reconstruct(np.ma.MaskedArray(DATA)), reconstruct())


def test_masked_volumes_and_angles_are_refused() -> None:
    hidden = np.ma.MaskedArray(VOLUME, VOLUME < 0.5)
    for call in (
        lambda: reconstruct(initial=hidden),
        lambda: tomoprior.Projector(GEOMETRY)(hidden),
        lambda: tomoprior.compare(tomoprior.TiltSeries(DATA, GEOMETRY), ["wbp"], truth=hidden, checks=[]),
    ):
        with pytest.raises(InputError, match="masked values are possible in projections only"):
            call()
    angles = np.ma.MaskedArray(THETA, THETA > 1)
    for call in (lambda: tomoprior.Geometry(angles, (16, 3, 16)), lambda: recon(theta=angles)):
        with pytest.raises(GeometryError, match="angles must not be masked"):
            call()


def test_tensors_with_gradients_are_taken_as_values() -> None:
    data, theta = torch.tensor(DATA, requires_grad=True), torch.tensor(THETA, requires_grad=True)
    first = torch.tensor(VOLUME, requires_grad=True)
    np.testing.assert_array_equal(recon(data, theta, center=torch.tensor(8.0, requires_grad=True)), recon(center=8.0))
    np.testing.assert_array_equal(algorithm(data, theta), algorithm())
    weights = torch.ones(12, requires_grad=True)
    np.testing.assert_array_equal(reconstruct(data, weights, initial=first), reconstruct(weights=np.ones(12), initial=VOLUME))
    assert tomoprior.Geometry(theta, (16, 3, 16)) == GEOMETRY


def test_bfloat16_is_taken_by_value() -> None:
    rounded = torch.tensor(DATA).bfloat16()
    np.testing.assert_array_equal(recon(rounded), recon(rounded.float().numpy()))


def test_no_slices_are_refused_in_one_line() -> None:
    with pytest.raises(InputError, match=r"no slice to reconstruct: tomo has shape \(12, 0, 16\)"):
        recon(DATA[:, :0])


def test_complex_volumes_are_refused() -> None:
    with pytest.raises(InputError, match="real numbers, got dtype complex64"):
        reconstruct(initial=VOLUME + np.complex64(1j))


@pytest.mark.parametrize("method", ["wbp", "sirt", "tv", "fourier", "cn"])
def test_torchs_default_type_does_not_matter(method: str, request: pytest.FixtureRequest) -> None:
    values: dict[str, Any] = {} if method in ("wbp", "fourier") else {"num_iter": 3}
    series = tomoprior.TiltSeries(DATA, GEOMETRY)
    expected = tomoprior.reconstruct(series, method, **values).volume
    request.getfixturevalue("float64_by_default")
    result = tomoprior.reconstruct(series, method, **values).volume
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, expected)
    assert torch.get_default_dtype() == torch.float64  # as the caller set it


@pytest.mark.parametrize("backend", ["astra-matrix", "numba", "astra-2d"])
@pytest.mark.usefixtures("float64_by_default")
def test_a_projector_and_its_gradient_are_float32_whatever_the_default_type(backend: str) -> None:
    A = tomoprior.Projector(tomoprior.Geometry([0.0], (8, 3, 8)), backend=backend)
    x = torch.ones(8, 3, 8, dtype=torch.float32, requires_grad=True)
    y = A(x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, torch.full((1, 3, 8), 8.0, dtype=torch.float32))  # a homogeneous box: its thickness
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.ones(8, 3, 8, dtype=torch.float32))
    assert A.adjoint_error() < 1e-5
    assert A.norm() > 0


@pytest.mark.usefixtures("float64_by_default")
def test_overlapping_runs_restore_the_default_type_at_the_end_of_the_last() -> None:
    first, second = float32_by_default(), float32_by_default()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert torch.get_default_dtype() == torch.float32
    second.__exit__(None, None, None)
    assert torch.get_default_dtype() == torch.float64


FORK = """
    import multiprocessing as mp, sys, warnings
    import numpy as np, torch, tomoprior
    warnings.simplefilter("ignore", DeprecationWarning)
    torch.set_num_threads(2)
    theta = np.linspace(0, np.pi, 60, endpoint=False)
    data = np.random.default_rng(0).random((60, 16, 96), np.float32)

    def work(method):
        more = {} if method == "wbp" else {"num_iter": 2}
        return tomoprior.recon(data, theta, algorithm=method, ncore=2, **more)

    before = {name: work(name) for name in ("wbp", "sirt", "tv")}
    with mp.get_context("fork").Pool(2) as pool:
        after = pool.map_async(work, list(before)).get(60)
    for (name, want), got in zip(before.items(), after):
        assert np.abs(got - want).max() < 1e-4 * np.abs(want).max(), name
    print("same")
"""


def test_a_forked_pool_works_after_a_run_with_several_threads_in_the_parent() -> None:
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORK)], capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )  # fmt: skip
    assert result.stdout.strip() == "same", result.stderr


DAEMON = """
import multiprocessing
import sys

import numpy as np

import tomoprior


def work(queue, folder):
    geometry = tomoprior.Geometry(np.deg2rad(np.arange(-60, 61, 10)), (8, 3, 16))
    data = np.random.default_rng(0).random(geometry.range_shape, np.float32)
    series = tomoprior.TiltSeries(data, geometry)
    whole = tomoprior.reconstruct(series, "sirt", num_iter=2).volume
    parts = tomoprior.reconstruct(series, "sirt", num_iter=2, out=f"{folder}/v.npy", workers=2, slab=1).volume
    compared = tomoprior.compare(series, ["wbp"], checks=[])
    queue.put((bool(np.array_equal(whole, parts[...])), compared.entries[0].status))


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=work, args=(queue, sys.argv[1]), daemon=True)
    process.start()
    print(*queue.get(timeout=100))
    process.join()
"""


@pytest.mark.slow
def test_a_daemonic_process_as_a_dask_worker_is_can_start_workers_and_comparisons(tmp_path: Any) -> None:
    script = tmp_path / "daemon.py"
    script.write_text(DAEMON, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, timeout=200, check=False
    )
    assert result.stdout.strip() == "True done", result.stderr
