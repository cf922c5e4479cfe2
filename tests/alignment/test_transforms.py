"""Transforms of images: signs, IMOD's lines, and what other programs' files give."""

from __future__ import annotations

import numpy as np
import pytest

from tomoprior import Geometry, TiltSeries
from tomoprior.alignment import Alignment
from tomoprior.alignment.external import find_mdoc_axis, read_alignment, read_mdoc_axis
from tomoprior.alignment.resampling import ResampledTilts, edge_weights
from tomoprior.alignment.saving import load_alignment, save_alignment, transpose_series
from tomoprior.alignment.transforms import from_xf, image_matrices, to_xf
from tomoprior.errors import FormatError, InputError, OutputExistsError
from tomoprior.formats.transforms import read_transforms, write_transforms
from tomoprior.storage.lazy import as_lazy


def raw_series(n=3, rows=20, columns=24):
    images = np.random.default_rng(0).random((n, rows, columns)).astype(np.float32)
    return TiltSeries(images, Geometry(np.deg2rad(np.arange(n) * 10.0), (8, rows, columns)))


def test_an_axis_at_ninety_degrees_points_along_minus_columns():
    # counterclockwise from y, where rows grow upwards: from up to the left
    assert image_matrices([np.pi / 2], [1.0])[0] @ [1.0, 0.0] == pytest.approx([0.0, -1.0])


def test_the_line_of_a_rotation_is_that_of_imod():
    # A11 A12 A21 A22 = cos sin -sin cos turns an axis at +30 degrees clockwise onto y; DX DY are minus (dx, dy)
    line = to_xf([np.deg2rad(30)], [1.0], [[2.0, 5.0]])[0]
    assert line == pytest.approx([0.8660254, 0.5, -0.5, 0.8660254, -5.0, -2.0])


def test_xf_and_back_keep_rotation_magnification_and_shift():
    rotations, magnifications, shifts = np.deg2rad([84.0, -3.0]), np.array([1.01, 0.99]), np.array([[1.0, -2.0], [0.5, 7.0]])
    back = from_xf(to_xf(rotations, magnifications, shifts))
    for got, expected in zip(back, (rotations, magnifications, shifts, [0, 0]), strict=True):
        assert got == pytest.approx(np.array(expected))


def test_a_stretch_is_a_distortion():
    assert from_xf([[1.1, 0, 0, 1.0, 0, 0]])[3] == pytest.approx([0.05])


def test_a_file_of_transforms_round_trips(tmp_path):
    table = to_xf([0.1, 0.2], [1.0, 1.0], [[1.25, -2.5], [0.0, 3.0]])
    write_transforms(tmp_path / "a.xf", table)
    assert read_transforms(tmp_path / "a.xf") == pytest.approx(table, abs=1e-6)
    with pytest.raises(OutputExistsError):
        write_transforms(tmp_path / "a.xf", table)


def test_a_picture_that_lies_two_rows_too_low_moves_up():
    image = np.zeros((1, 9, 9), np.float32)
    image[0, 6, 4] = 1.0  # its place is row 4
    moved = ResampledTilts(as_lazy(image), image_matrices([0.0], [1.0]), np.array([[2.0, 0.0]]), (9, 9))[...]
    assert np.unravel_index(moved[0].argmax(), (9, 9)) == (4, 4)
    assert moved[0, 4, 4] == pytest.approx(1.0, abs=1e-5)


def test_an_axis_along_x_is_turned_onto_y():
    image = np.zeros((1, 5, 9), np.float32)
    image[0, 2, 1] = 1.0  # three columns left of the middle: in the direction of the axis at 90 degrees
    moved = ResampledTilts(as_lazy(image), image_matrices([np.pi / 2], [1.0]), np.zeros((1, 2)), (9, 5))[...]
    assert np.unravel_index(moved[0].argmax(), (9, 5)) == (7, 2)


def test_pixels_from_outside_the_field_count_nothing():
    weights = edge_weights((4, 6), np.eye(2), np.array([1.0, -2.0]), (4, 6))
    assert weights.sum(0).tolist() == [0, 0, 3, 3, 3, 3]
    assert weights[:, 3].tolist() == [1, 1, 1, 0]


def test_a_margin_widens_the_border():
    assert edge_weights((7, 7), np.eye(2), np.zeros(2), (7, 7), margin=2).sum() == 9


def test_the_record_is_read_back(tmp_path):
    alignment = Alignment(np.array([[1.0, 2.0], [0.5, 0.0], [-1.0, 3.0]]), 0.1, (20, 24), weights=np.array([1.0, 0.5, 1.0]))
    series = raw_series()
    save_alignment(alignment, series, tmp_path / "out.mrc")
    assert {p.name for p in tmp_path.iterdir()} == {"out.mrc", "out.mrc.json", "out.xf", "out.tlt", "out.png"}
    back = load_alignment(tmp_path / "out.mrc.json")
    assert back.to_dict() == alignment.to_dict()
    from_imod = read_alignment(tmp_path / "out.xf", series)
    assert from_imod.offsets == pytest.approx(alignment.offsets, abs=1e-3)
    assert from_imod.axis_angle == pytest.approx(0.1, abs=1e-6)
    with pytest.raises(OutputExistsError):
        save_alignment(alignment, series, tmp_path / "out.mrc")


def test_a_real_file_of_imod_has_its_rotation(data_dir):
    rows = read_transforms(data_dir / "formats" / "metadata" / "00254.xf")
    series = raw_series(len(rows))
    alignment = read_alignment(data_dir / "formats" / "metadata" / "00254.xf", series)
    # A12 is negative: IMOD turned the images counterclockwise, so the axis is at -4.3 degrees
    assert np.rad2deg(alignment.axis_angle) == pytest.approx(-4.3, abs=0.01)


def test_the_axis_in_an_mdoc(data_dir):
    assert np.rad2deg(read_mdoc_axis(data_dir / "formats" / "metadata" / "017.mdoc")) == pytest.approx(172.9)


def test_the_mdoc_beside_a_stack_has_the_axis(tmp_path):
    stack = tmp_path / "a.mrc"
    assert find_mdoc_axis(stack) is None
    (tmp_path / "a.mrc.mdoc").write_text("[ZValue = 0]\nTiltAngle = 0\nRotationAngle = 90\n")
    axis, path = find_mdoc_axis(stack)
    assert axis == pytest.approx(np.pi / 2)
    assert path == tmp_path / "a.mrc.mdoc"


def test_a_pure_shift_with_an_oblique_axis_turns_its_shifts(tmp_path):
    (tmp_path / "a.prexg").write_text("1 0 0 1 -3 -4\n" * 3)  # the raw image lies (dy, dx) = (4, 3) away
    alignment = read_alignment(tmp_path / "a.prexg", raw_series(), tilt_axis=np.pi / 2)
    assert alignment.shifts[0] == pytest.approx([-3.0, 4.0])
    assert alignment.axis_angle == pytest.approx(np.pi / 2)


def test_stretching_and_local_warping_are_refused(tmp_path):
    (tmp_path / "a.xf").write_text("1.1 0 0 1 0 0\n" * 3)
    with pytest.raises(InputError, match="tilt 0 stretches or shears"):
        read_alignment(tmp_path / "a.xf", raw_series())
    (tmp_path / "a.aln").write_text("# NumPatches = 4\n")
    with pytest.raises(InputError, match="local warping cannot be applied"):
        read_alignment(tmp_path / "a.aln", raw_series())


@pytest.mark.parametrize("patches", ["x", "--", "nan"])
def test_a_count_of_patches_that_is_no_number_is_refused(tmp_path, patches):
    (tmp_path / "a.aln").write_text(f"# NumPatches = {patches}\n0 90 1 3 4 1 1 1 0 -10\n1 90 1 0 0 1 1 1 0 0\n")
    with pytest.raises(FormatError, match=r"a\.aln"):
        read_alignment(tmp_path / "a.aln", raw_series())


def test_an_aln_without_a_tilt_names_it(tmp_path):
    (tmp_path / "a.aln").write_text("# NumPatches = 0\n0 90 1 3 4 1 1 1 0 -10\n1 90 1 0 0 1 1 1 0 0\n")
    with pytest.raises(InputError, match="no alignment of tilt 2"):
        read_alignment(tmp_path / "a.aln", raw_series())
    alignment = read_alignment(tmp_path / "a.aln", raw_series().select([0, 1]))
    assert alignment.detector == (24, 20)
    # the raw image lies (dy, dx) = (4, 3) away from its place: in the axes of the aligned image that is (-3, 4)
    assert alignment.shifts[0] == pytest.approx([-3.0, 4.0])


def test_transposed_images_exchange_rows_and_columns():
    series = raw_series()
    turned = transpose_series(series)
    assert turned.geometry.detector == (24, 20)
    assert np.array_equal(turned.projections[1], series.projections[1].T)
