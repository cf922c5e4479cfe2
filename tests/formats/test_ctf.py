"""Files of contrast transfer functions: values worked out from small files, real files, and files that are refused."""

import contextlib
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tomoprior.errors import FormatError
from tomoprior.formats.ctf import read_ctf
from tomoprior.formats.dose import read_dose, read_voltage

CTFFIND = """# Output from CTFFind version 4.1.8, run on 2019-02-25 11:33:34
# Pixel size: 1.327 Angstroms ; acceleration voltage: 200.0 keV ; spherical aberration: 2.10 mm ; amplitude contrast: 0.10
# Columns: #1 - micrograph number; #2 - defocus 1 [Angstroms]; #3 - defocus 2; #4 - azimuth of astigmatism; #5 - shift
1.000000 30000.0 29000.0 45.0 0.5 0.1 12.0
2.000000 31000.0 30000.0 -30.0 0.0 0.1 12.0
"""
STAR = """
data_global

_rlnTomoName  TS_01
_rlnVoltage  200.0
_rlnSphericalAberration  2.1

data_TS_01

loop_
_rlnMicrographName #1
_rlnTomoNominalStageTiltAngle #2
_rlnMicrographPreExposure #3
_rlnDefocusU #4
_rlnDefocusV #5
_rlnDefocusAngle #6
_rlnPhaseShift #7
'a b.mrc' 0.0 0.0 30000 29000 90 0
c.mrc 3.0 4.0 31000 30000 -90 90
d.mrc -3.0 8.0 32000 31000 0 180
"""


def write(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_ctffind_gives_angstrom_degrees_and_radians_and_the_optics_of_its_header(tmp_path):
    first, second = read_ctf(write(tmp_path, "a_ctffind4.txt", CTFFIND), 2)
    assert (first.defocus_u, first.defocus_v, first.phase_shift) == (30000, 29000, 0.5)
    assert first.astigmatism_angle == pytest.approx(math.pi / 4)
    assert (first.voltage, first.spherical_aberration, first.amplitude_contrast) == (200, 2.1, 0.1)
    assert second.defocus_u == 31000


def test_aretomo_may_count_from_zero_and_add_the_hand(tmp_path):
    text = "# Columns: #1 micrograph number\n   1  200.0 100.0 0 0 0.1 9.0 1\n   0  400.0 300.0 0 0 0.1 9.0 1\n"
    found = read_ctf(write(tmp_path, "a_CTF.txt", text), voltage=300)
    assert [c.defocus_u for c in found] == [400, 200]
    assert found[0].amplitude_contrast == 0.07


def test_version_2_gives_nanometers_of_ranges_of_views(tmp_path):
    text = "1 3 -60.0 -56.0 3000.0 2\n4 4 -54.0 -54.0 3400.0\n6 6 -50 -50 3600\n"
    found = read_ctf(write(tmp_path, "a.defocus", text), 7)
    # view 2 is the middle of the first range; 3 and 5 lie between means; 1 and 7 beyond them
    assert [c.mean_defocus for c in found] == pytest.approx([30000, 30000, 32000, 34000, 35000, 36000, 36000])
    assert all(c.defocus_u == c.defocus_v for c in found)


def test_version_3_gives_astigmatism_and_phase_shift_by_its_flags(tmp_path):
    text = "5 0 0. 0. 0 3\n1 1 -2 -2 3000 2900 30 45\n2 2 0 0 3000 2900 60 90\n"
    first, second = read_ctf(write(tmp_path, "a.defocus", text), 2)
    assert (first.defocus_u, first.defocus_v) == pytest.approx((30000, 29000))
    assert first.astigmatism_angle == pytest.approx(math.radians(30))
    assert (first.phase_shift, second.phase_shift) == pytest.approx((math.pi / 4, math.pi / 2))
    radians = "15 0 0. 0. 0 3\n1 1 -2 -2 3000 2900 0.5 0.25\n"
    (only,) = read_ctf(write(tmp_path, "b.defocus", radians), 1)
    assert (only.astigmatism_angle, only.phase_shift) == pytest.approx((0.5, 0.25))
    cut_on = "36 0 0. 0. 0 3\n1 1 -2 -2 3000 90 0.02\n"
    assert read_ctf(write(tmp_path, "c.defocus", cut_on), 1)[0].phase_shift == pytest.approx(math.pi / 2)


def test_star_rows_follow_the_angles_of_the_images(tmp_path):
    path = write(tmp_path, "a.star", STAR)
    found = read_ctf(path, 3, angles=[-3.4, 0.1, 2.9])
    assert [c.defocus_u for c in found] == [32000, 30000, 31000]
    assert [c.phase_shift for c in found] == pytest.approx([math.pi, 0, math.pi / 2])
    assert (found[0].voltage, found[0].spherical_aberration) == (200, 2.1)
    assert read_ctf(path, 3, voltage=300)[0].voltage == 300
    # half of the step between exposures, 2, is added: the middle of each exposure
    np.testing.assert_allclose(read_dose(path, 3, angles=[-3.4, 0.1, 2.9]), [10, 2, 6])
    with pytest.raises(FormatError, match="no row has the angle of image 2, 9"):
        read_ctf(path, 3, angles=[-3.4, 0.1, 9.0])


def test_the_dose_of_an_mdoc_adds_up_in_the_order_of_time(tmp_path):
    text = "Voltage = 300\n" + "".join(
        f"[ZValue = {z}]\nTiltAngle = {z}\nExposureDose = {dose}\nDateTime = {time}\n"
        for z, dose, time in ((0, 2, "06-Jun-23  23:19:46"), (1, 3, "2023-Jun-06 23:17:00"), (2, 4, "06-Jun-23  23:18:00"))
    )
    path = write(tmp_path, "a.mdoc", text)
    # image 1 first: 1.5; then image 2: 3 + 2; then image 0: 7 + 1
    np.testing.assert_allclose(read_dose(path, 3), [8, 1.5, 5])
    assert read_voltage(path) == 300


def test_the_microscopes_own_count_includes_images_that_are_missing(tmp_path):
    text = "".join(f"[ZValue = {z}]\nExposureDose = 2\nPriorRecordDose = {p}\n" for z, p in ((0, 4), (1, 0)))
    np.testing.assert_allclose(read_dose(write(tmp_path, "a.mdoc", text), 2), [5, 1])


def test_a_list_of_doses_is_taken_as_it_is(tmp_path):
    np.testing.assert_array_equal(read_dose(write(tmp_path, "dose.txt", "# e/A^2\n3\n\n6.5\n"), 2), [3, 6.5])


def test_real_files_are_read(data_dir):
    folder = data_dir / "formats" / "metadata"
    found = read_ctf(folder / "017_ctffind4.txt")
    assert len(found) == 60
    assert found[0].defocus_u == pytest.approx(14477.870117)
    assert found[0].astigmatism_angle == pytest.approx(math.radians(75.000012))
    gctf = read_ctf(folder / "017_gctf.star")
    assert gctf[0].defocus_v == pytest.approx(35036.406250)
    dose = read_dose(folder / "017.mdoc")
    # 134.379 before image 0, which took 2.238; one of 61 images is not in the file, so that the exposures in it add up to less
    assert dose[0] == pytest.approx(134.379 + 2.23843 / 2, abs=1e-3)
    # the sample's own table counts to the end of an exposure
    corrected = read_dose(folder / "017_corrected_dose.txt", len(dose))
    np.testing.assert_allclose(dose + 2.238 / 2, corrected, atol=0.01)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.defocus", "", "empty"),
        ("a.defocus", "1 1 0 0 3000 1\n", "version 2 or 3"),
        ("a.defocus", "1 1 0 0 3000 2\n2 2 0 0\n", "line 2 has 4 numbers where 5"),
        ("a.defocus", "1 1 0 0 3000 2\n2 9 0 0 3000\n", "line 2 names views 2 to 9"),
        ("a.defocus", "1 1 0 0 nan 2\n", "not a finite number"),
        ("a.defocus", "64 0 0. 0. 0 3\n1 1 0 0 3000\n", "flags 64"),
        ("a.txt", "# nothing\n", "no CTF in it"),
        ("a.txt", "1 2 3\n", "line 1 has 3 words"),
        ("a.txt", "1 3e4 3e4 0 0 0 0\n1 3e4 3e4 0 0 0 0\n", "image 1 appears twice"),
        ("a.txt", "1 3e4 3e4 0 0 0 0\n3 3e4 3e4 0 0 0 0\n", "without gaps"),
        ("a.txt", "1 3e4 3e4 0 0 0 0\n", "CTF of 1 images, and the series has 2"),
        ("a.star", "data_\nloop_\n_rlnVoltage #1\n300\n", "no column rlnDefocusU"),
        ("a.star", "data_\nloop_\n_rlnDefocusU #1\n300 2\n", "line 4 has 2 words for 1 columns"),
        ("a.star", "_rlnDefocusU 3\n", "no STAR file"),
        ("a.star", "data_\n_rlnDefocusU\n", "has no value"),
        ("a.star", "data_\nloop_\n_rlnDefocusU\n3\n_rlnDefocusV\n", "after the first row"),
        ("a.star", "data_\nloop_\n_rlnDefocusU\n_rlnMicrographName\n3 'a\n", "quotation mark"),
        ("a.star", "data_\nloop_\n_rlnDefocusU\n_rlnVoltage\n3e4 3e7\n4e4 300\n", "the voltage must lie"),
    ],
)
def test_a_file_that_tells_no_ctf_is_refused_in_one_line(tmp_path, name, text, message):
    with pytest.raises(FormatError, match=message) as caught:
        read_ctf(write(tmp_path, name, text), 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.mdoc", "Voltage = 300\n", "no .ZValue"),
        ("a.mdoc", "[ZValue = 0]\nTiltAngle = 0\n", "no ExposureDose for ZValue 0"),
        ("a.mdoc", "[ZValue = 0]\nExposureDose = 0\nDateTime = 06-Jun-23  23:19:46\n", "every ExposureDose is 0"),
        ("a.mdoc", "[ZValue = 0]\nExposureDose = 2\nDateTime = 31-Feb-23  23:19:46\n", "ZValue 0 has DateTime"),
        ("a.txt", "3\n-1\n", "dose of image 1 is negative"),
        ("a.txt", "", "no dose in it"),
        ("a.star", "data_\nloop_\n_rlnDefocusU\n3e4\n", "no column rlnMicrographPreExposure"),
    ],
)
def test_a_file_that_tells_no_dose_is_refused_in_one_line(tmp_path, name, text, message):
    with pytest.raises(FormatError, match=message):
        read_dose(write(tmp_path, name, text))


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_are_read_or_refused_in_one_line(tmp_path, data):
    texts = {
        "a.txt": CTFFIND, "a.star": STAR, "a.defocus": "5 0 0. 0. 0 3\n1 1 -2 -2 3000 2900 30 45\n2 2 0 0 3000 2900 60 90\n",
        "a.mdoc": "[ZValue = 0]\nExposureDose = 2\nDateTime = 06-Jun-23  23:19:46\n",
    }  # fmt: skip
    name = data.draw(st.sampled_from(sorted(texts)))
    text = texts[name]
    junk = st.sampled_from(["", "\n", "1e999", "-", "'", "[ZValue = 0]", "9" * 30, "#"])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(junk) + text[at + 4 :]
    path = write(tmp_path, name, text)
    for read in (read_ctf, read_dose):
        with contextlib.suppress(FormatError):  # any other error is a fault
            read(path, 2)
