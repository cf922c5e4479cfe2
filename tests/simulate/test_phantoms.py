"""Every phantom: repeatable, on any grid, the same in whatever slabs it is rendered, and refused in one line."""

import numpy as np
import pytest

from tomoprior.errors import InputError, NoSuchFileError, SettingsError, UnknownNameError
from tomoprior.series.binning import block_mean
from tomoprior.simulate import get_phantom, list_phantoms

SHAPE = (24, 20, 33)


def test_the_same_seed_gives_the_same_phantom_and_another_another(name):
    first, again, other = (get_phantom(name).scene(SHAPE, seed=seed).volume() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.corrcoef(first.ravel(), other.ravel())[0, 1] < 0.97
    assert first.dtype == np.float32
    assert first.any()


@pytest.mark.parametrize("shape", [(16, 17, 19), (17, 8, 16), (16, 40, 64), (40, 9, 23)])
@pytest.mark.parametrize("supersample", [1, 2, 3])
def test_any_grid(name, shape, supersample):
    volume = get_phantom(name).scene(shape, seed=3).volume(supersample)
    assert volume.shape == shape
    assert np.isfinite(volume).all()
    assert volume.min() >= -1e-6
    assert 0.05 < volume.max() < 2.5


def test_how_finely_it_is_rendered_does_not_move_it(name):
    scene = get_phantom(name).scene(SHAPE, seed=1)
    coarse, fine = scene.volume(2), scene.volume(4)
    assert np.linalg.norm(coarse - fine) < 0.05 * np.linalg.norm(fine)
    assert coarse.sum() == pytest.approx(fine.sum(), rel=0.01)


@pytest.mark.parametrize("supersample", [1, 2])
def test_slabs_fit_together(name, supersample):
    scene = get_phantom(name).scene(SHAPE, seed=1)
    whole = scene.render(0, 20, supersample)
    parts = [scene.render(a, b, supersample) for a, b in ((0, 1), (1, 8), (8, 20))]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=2e-6)
    np.testing.assert_allclose(scene.volume(supersample), block_mean(whole, (supersample,) * 3), atol=2e-6)


def test_impossible_arguments_are_refused_in_one_line(name):
    for shape in ((4, 64, 64), (64, 64, 3)):
        with pytest.raises(InputError, match="too small for") as caught:
            get_phantom(name).scene(shape)
        assert "\n" not in str(caught.value)
    with pytest.raises(SettingsError, match="lowpass"):
        get_phantom(name, lowpass=-1)
    with pytest.raises(SettingsError, match="no setting is called 'lowpas'; did you mean lowpass"):
        get_phantom(name, lowpas=1)


def test_phantoms_are_found_by_name():
    assert set(list_phantoms()) == {"spheres", "shapes", "capsid", "protein", "particles", "foam"}
    with pytest.raises(UnknownNameError, match="no phantom is called 'capsd'; did you mean capsid"):
        get_phantom("capsd")


@pytest.mark.parametrize("name", ["spheres", "shapes"])
def test_sizes_that_do_not_fit_are_refused(name):
    assert get_phantom(name, diameter=(5, 8)).scene((12, 30, 30)).bodies
    assert get_phantom(name, diameter="5,8").diameter == (5, 8)
    for diameter in ((5, 13), (0, 5), (8, 5)):
        with pytest.raises(InputError, match=r"do not fit into a grid of 12 x 30 x 30 \(z, y, x\)"):
            get_phantom(name, diameter=diameter).scene((12, 30, 30))


@pytest.mark.parametrize("name", ["capsid", "protein", "particles"])
def test_missing_files_are_refused(name, monkeypatch, tmp_path):
    monkeypatch.delenv("TOMOPRIOR_DATA", raising=False)
    with pytest.raises(NoSuchFileError, match=rf"{name} needs .*TOMOPRIOR_DATA"):
        get_phantom(name).scene((32, 32, 32))
    monkeypatch.setenv("TOMOPRIOR_DATA", str(tmp_path))
    with pytest.raises(NoSuchFileError, match=f"{name} needs"):
        get_phantom(name).scene((32, 32, 32))
    with pytest.raises(NoSuchFileError, match="none such"):
        get_phantom(name, file="none such.pdb").scene((32, 32, 32))


def test_a_voxel_size_is_used_or_chosen(name):
    scene = get_phantom(name).scene((32, 32, 32))
    assert scene.unit == ("micrometer" if name == "foam" else "angstrom")
    size = scene.voxel_size * 1.5
    assert get_phantom(name).scene((32, 32, 32), voxel_size=size).voxel_size == size
