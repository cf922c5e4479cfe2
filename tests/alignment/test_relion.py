"""Global alignments of RELION 5 and Warp: angles, shifts and units, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from tomoprior import Geometry, TiltSeries
from tomoprior.alignment.external import read_alignment
from tomoprior.errors import FormatError, InputError

HEADER = "data_TS_1\n\nloop_\n_rlnTomoXTilt #1\n_rlnTomoZRot #2\n_rlnTomoXShiftAngst #3\n_rlnTomoYShiftAngst #4\n"
XML = """<?xml version="1.0"?>
<TiltSeries><Angles>-10
0</Angles><AxisAngle>90
90</AxisAngle><AxisOffsetX>6
0</AxisOffsetX><AxisOffsetY>0
2</AxisOffsetY><GridMovementX Width="1" Height="1" Depth="1"><Node X="0" Y="0" Z="0" Value="{warp}" /></GridMovementX>
</TiltSeries>"""


def raw_series(rows=21, columns=25, unit="nanometer"):
    geometry = Geometry(np.deg2rad([-10.0, 0.0]), (8, rows, columns), voxel_size=0.2, unit=unit)
    return TiltSeries(np.zeros((2, rows, columns), np.float32), geometry)


def star_file(tmp_path, rows):
    path = tmp_path / "series.star"
    path.write_text(HEADER + rows)
    return path


def test_shifts_of_a_star_file_turn_into_the_axes_of_the_aligned_image(tmp_path):
    # 6 angstrom are 3 pixels of 0.2 nm; an axis at 90 degrees points along minus columns, so dx of the raw image is minus dy
    found = read_alignment(star_file(tmp_path, "0 90 6 0\n0 90 0 2\n"), raw_series())
    assert np.rad2deg(found.axis_angle) == pytest.approx(90)
    assert found.detector == (25, 21)
    assert found.shifts == pytest.approx(np.array([[-3.0, 0.0], [0.0, 1.0]]), abs=1e-12)


def test_a_feature_of_a_star_file_lands_in_the_middle(tmp_path):
    series = raw_series()
    # the specimen's centre lies at row 10 - 2, column 12 + 3 of the raw image
    series.projections[:, 8, 15] = 1.0
    aligned = read_alignment(star_file(tmp_path, "0 0 6 -4\n0 0 6 -4\n"), series).apply(series)
    assert np.unravel_index(np.asarray(aligned.projections[0]).argmax(), (21, 25)) == (10, 12)


def test_images_of_even_size_turn_about_the_pixel_after_their_middle(tmp_path):
    found = read_alignment(star_file(tmp_path, "0 0 0 0\n0 0 0 0\n"), raw_series(rows=20, columns=25))
    assert found.shifts == pytest.approx(np.array([[0.5, 0.0], [0.5, 0.0]]))


def test_a_tilt_about_x_is_refused(tmp_path):
    with pytest.raises(InputError, match="about x by up to 2"):
        read_alignment(star_file(tmp_path, "2 90 0 0\n0 90 0 0\n"), raw_series())


def test_projection_matrices_are_named_and_refused(tmp_path):
    path = tmp_path / "series.star"
    path.write_text("data_TS_1\n\nloop_\n_rlnTomoProjX #1\n[1,0,0,0]\n")
    with pytest.raises(InputError, match="projection matrices"):
        read_alignment(path, raw_series())


def test_a_star_file_without_these_columns_is_named(tmp_path):
    path = tmp_path / "series.star"
    path.write_text("data_x\n\nloop_\n_rlnDefocusU #1\n10000\n")
    with pytest.raises(FormatError, match="rlnTomoZRot"):
        read_alignment(path, raw_series())


def test_shifts_in_angstrom_need_a_voxel_size(tmp_path):
    with pytest.raises(InputError, match="no voxel size"):
        read_alignment(star_file(tmp_path, "0 90 6 0\n0 90 0 2\n"), raw_series(unit="pixel"))


def test_warp_and_relion_say_the_same(tmp_path):
    (tmp_path / "series.xml").write_text(XML.format(warp=0))
    warp = read_alignment(tmp_path / "series.xml", raw_series())
    relion = read_alignment(star_file(tmp_path, "0 90 6 0\n0 90 0 2\n"), raw_series())
    assert warp.shifts == pytest.approx(relion.shifts)
    assert warp.axis_angle == relion.axis_angle


def test_local_warping_is_named_and_refused(tmp_path):
    (tmp_path / "series.xml").write_text(XML.format(warp=-1.5))
    with pytest.raises(InputError, match=r"local warping \(GridMovementX, up to 1.5 angstrom\)"):
        read_alignment(tmp_path / "series.xml", raw_series())


def test_the_local_warping_of_a_real_file_is_refused(data_dir):
    with pytest.raises(InputError, match="local warping"):
        read_alignment(data_dir / "formats" / "metadata" / "017.xml", raw_series())


def test_an_xml_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "series.xml").write_text("<Movie></Movie>")
    with pytest.raises(FormatError, match="not Warp's XML"):
        read_alignment(tmp_path / "series.xml", raw_series())
