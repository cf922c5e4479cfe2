"""Atomic models: mass, size, symmetry and handedness of the density against the atoms in the file."""

import gemmi
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from tomoprior.errors import InputError
from tomoprior.simulate import get_phantom
from tomoprior.simulate.phantoms.atoms import PROTEIN_DENSITY, read_atoms

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def corner(tmp_path):
    """Four carbon atoms on axes of different lengths: no mirror image fits."""
    structure = gemmi.Structure()
    model = gemmi.Model(1)
    chain = gemmi.Chain("A")
    residue = gemmi.Residue()
    residue.name, residue.seqid = "UNK", gemmi.SeqId("1")
    for position, element in (((0, 0, 0), "C"), ((30, 0, 0), "C"), ((0, 20, 0), "N"), ((0, 0, 10), "O"), ((0, 0, 99), "H")):
        atom = gemmi.Atom()
        atom.name, atom.element, atom.pos = element, gemmi.Element(element), gemmi.Position(*position)
        residue.add_atom(atom)
    chain.add_residue(residue)
    model.add_chain(chain)
    structure.add_model(model)
    path = tmp_path / "corner.pdb"
    structure.write_pdb(str(path))
    return path


def moments(volume, size):
    """Mass, centre (x, y, z) and second moments about it, in the unit of ``size``."""
    axes = np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * size for n in volume.shape], indexing="ij")
    points = np.stack([a.ravel() for a in axes[::-1]], axis=1)
    weights = volume.ravel().astype(np.float64)
    center = np.average(points, axis=0, weights=weights)
    second = np.einsum("n,ni,nj->ij", weights, points - center, points - center) / weights.sum()
    return weights.sum() * size**3, center, second


def test_x_y_and_z_of_the_file_are_those_of_the_volume(corner):
    points, weights = read_atoms(corner, None)
    assert weights.tolist() == [6, 6, 7, 8]  # no hydrogen
    scene = get_phantom("protein", file=corner, turned=False, resolution=4).scene((50, 52, 55), voxel_size=1.0)
    volume = scene.volume(2)
    center = np.average(points, axis=0, weights=weights)
    for point, weight in zip(points, weights, strict=True):
        x, y, z = np.rint(point - center + (np.array(volume.shape[::-1]) - 1) / 2).astype(int)
        near = volume[z - 4 : z + 5, y - 4 : y + 5, x - 4 : x + 5]
        assert near.sum() * PROTEIN_DENSITY == pytest.approx(weight, rel=0.02)


def test_a_turned_model_keeps_its_hand(corner):
    volume = get_phantom("protein", file=corner, resolution=4).scene((52, 52, 52), seed=4, voxel_size=1.0).volume(2)
    # the four heaviest places are the atoms; their triple product does not change when they are turned
    places, rest = [], volume.copy()
    for _ in range(4):
        at = np.unravel_index(np.argmax(rest), rest.shape)
        around = tuple(slice(max(0, i - 4), i + 5) for i in at)
        places.append((rest[around].sum(), np.array(at[::-1], float)))
        rest[around] = 0
    (_, oxygen), (_, nitrogen), *carbons = sorted(places, key=lambda p: -p[0])
    near, far = sorted((c for _, c in carbons), key=lambda c: np.linalg.norm(c - oxygen))
    assert np.linalg.det([far - near, nitrogen - near, oxygen - near]) == pytest.approx(30 * 20 * 10, rel=0.15)


def test_a_protein_weighs_and_spreads_as_its_atoms_do(files):
    points, weights = read_atoms(files / "models/1ubq.pdb", None)
    assert len(points) == 602
    centre = np.average(points, axis=0, weights=weights)
    gyration = np.average(((points - centre) ** 2).sum(1), weights=weights)
    scene = get_phantom("protein", resolution=6.0).scene((40, 44, 41), seed=1)
    mass, center, second = moments(scene.volume(2), scene.voxel_size)
    assert mass * PROTEIN_DENSITY == pytest.approx(weights.sum(), rel=1e-3)
    np.testing.assert_allclose(center, 0, atol=0.05 * scene.voxel_size)
    # the Gaussian of every atom adds its variance, and so does a voxel
    blur = 3 * ((0.225 * 6.0) ** 2 + scene.voxel_size**2 / 12)
    assert np.trace(second) == pytest.approx(gyration + blur, rel=0.01)


@pytest.fixture(scope="module")
def capsid(data_dir):
    path = data_dir / "models/1f2n.cif"
    scene = get_phantom("capsid", file=path, turned=False).scene((64, 64, 64))
    return path, scene, scene.volume(2)


def test_a_capsid_is_the_shell_that_its_atoms_make(capsid):
    path, scene, volume = capsid
    points, weights = read_atoms(path, "1")
    assert len(points) == 60 * 4531
    mass, center, second = moments(volume, scene.voxel_size)
    assert mass * PROTEIN_DENSITY == pytest.approx(weights.sum(), rel=1e-3)
    np.testing.assert_allclose(center, 0, atol=0.02 * scene.voxel_size)
    # icosahedral: the same second moment along every axis
    np.testing.assert_allclose(second, np.eye(3) * np.trace(second) / 3, atol=0.002 * np.trace(second))
    away = np.linalg.norm(np.stack(np.meshgrid(*[np.arange(64) - 31.5] * 3)), axis=0) * scene.voxel_size
    shell = volume > 0.2
    assert 95 < away[shell].min() < 110
    assert 155 < away[shell].max() < 170
    assert volume[away < 85].max() < 1e-3
    assert scene.voxel_size * 64 * 0.82 == pytest.approx(2 * scene.facts["radius"])
    assert 0.7 < volume.max() < 1.5


def test_a_capsid_looks_the_same_when_turned_by_its_symmetry(capsid):
    path, _, volume = capsid
    structure = gemmi.read_structure(str(path))
    operators = [np.array(o.transform.mat.tolist()) for o in structure.assemblies[0].generators[0].operators]
    fivefold = next(o for o in operators if np.trace(o) == pytest.approx(1 + 2 * np.cos(2 * np.pi / 5), abs=1e-3))

    def turned(matrix):
        at = np.stack(np.meshgrid(*[np.arange(64) - 31.5] * 3, indexing="ij")).reshape(3, -1)
        source = matrix[::-1, ::-1] @ at + 31.5
        return map_coordinates(volume, source, order=1).reshape(volume.shape)

    def likeness(other):
        return np.corrcoef(volume.ravel(), other.ravel())[0, 1]

    axis = np.linalg.eig(fivefold)
    axis = np.real(axis[1][:, np.argmin(np.abs(axis[0] - 1))])
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    angle = np.pi / 5  # halfway between two positions of the symmetry
    between = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    assert likeness(turned(fivefold)) > 0.97
    assert likeness(turned(between)) < 0.9


def test_models_that_do_not_fit_or_cannot_be_read_are_refused(files, tmp_path):
    with pytest.raises(InputError, match=r"1f2n.cif is 321 angstrom across and does not fit .*it fits from 12.2"):
        get_phantom("capsid").scene((32, 40, 48), voxel_size=5.0)
    with pytest.raises(InputError, match="holds no assembly '7'; it has: 1"):
        get_phantom("capsid", assembly="7").scene((32, 32, 32))
    other = tmp_path / "other.pdb"
    other.write_text("nothing of the kind\n")
    with pytest.raises(InputError, match=r"other\.pdb"):
        get_phantom("protein", file=other).scene((32, 32, 32))
    assert get_phantom("capsid", assembly="none").assembly is None
    assert get_phantom("capsid", assembly="none").scene((32, 32, 32)).facts["atoms"] == 4531


def test_resolution_and_low_pass_add_up(files):
    fine = get_phantom("protein", resolution=5).scene((40, 40, 40), voxel_size=2.0)
    wide = get_phantom("protein", resolution=5, lowpass=1.0).scene((40, 40, 40), voxel_size=2.0)
    assert wide.sigma == pytest.approx(np.hypot(0.225 * 5 / 2, 1))
    gain = [np.trace(moments(s.volume(2), 2.0)[2]) for s in (fine, wide)]
    assert gain[1] - gain[0] == pytest.approx(3 * 4, rel=0.05)
