"""What ``write_report`` leaves in a folder."""

import csv
import dataclasses
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.image import imread
from matplotlib.text import Text

from tomoprior import Geometry
from tomoprior.alignment import Alignment
from tomoprior.comparison.report import write_report
from tomoprior.comparison.report.page import LIMIT, page
from tomoprior.comparison.report.pictures import pictures
from tomoprior.comparison.report.tilts import list_bad_tilts, name_tilts
from tomoprior.comparison.report.window import window
from tomoprior.comparison.result import Comparison, Entry
from tomoprior.errors import FormatError, InputError, OutputExistsError

from .conftest import NASTY, SHAPE


class Page(HTMLParser):
    """Tags with their attributes, and the text outside of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.inside = [], [], None
        self.feed(text)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside = tag if tag in ("script", "style") else self.inside

    def handle_endtag(self, tag):
        self.inside = None if tag == self.inside else self.inside

    def handle_data(self, data):
        if not self.inside:
            self.words.append(data)

    def all(self, tag):
        return [a for t, a in self.tags if t == tag]


@pytest.fixture(scope="module")
def written(full, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "out"
    return folder, write_report(full, folder)


@pytest.fixture(scope="module")
def html(written):
    return Page((written[0] / "report.html").read_text("utf-8"))


def test_every_file_is_there_and_nothing_else(written):
    folder, paths = written
    assert paths[0] == folder / "report.html"
    assert sorted(p for p in folder.rglob("*") if p.is_file()) == sorted(paths)
    names = {str(p.relative_to(folder)) for p in paths}
    figures = ("slices", "fsc_truth", "fsc_halves", "residual_tilts", "held_out_tilts", "agreement", "planted")
    assert names == {"report.html", "table.csv", "metrics.json", *(f"figures/{n}.png" for n in figures)}
    for path in folder.glob("figures/*.png"):
        picture = imread(path)
        assert min(picture.shape[:2]) > 100, path
        assert picture[..., :3].std() > 0.02, path


def test_the_page_asks_for_nothing_outside_of_itself(html, written):
    for tag, attributes in html.tags:
        for name in ("src", "href", "action", "data", "srcset"):
            value = attributes.get(name)
            # links to files that a reader may open
            beside = tag == "a" and value and not value.startswith("#") and (written[0] / value).exists()
            assert value is None or beside or value.startswith(("data:", "#")), (tag, name, value[:80])
    (policy,) = [a["content"] for a in html.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert all(a["alt"] for a in html.all("img"))
    linked = {a["href"] for a in html.all("a") if not a["href"].startswith("#")}
    assert linked == {"table.csv", "metrics.json", "figures/", *(f"figures/{p.name}" for p in written[0].glob("figures/*.png"))}


def test_names_and_messages_are_text(html, written):
    assert "b" not in {tag for tag, _ in html.tags}
    assert NASTY in html.text
    assert f"A series {NASTY}" in html.text
    assert f"→ {NASTY}!" in html.text  # a value that a method's record holds
    raw = (written[0] / "report.html").read_text("utf-8")
    assert "<script>alert" not in raw
    assert "</script><script>alert(1)" in html.text


def read_tables(text):
    """Tables of numbers: for each its groups, and its rows by label: (group, column) and the cell's HTML."""
    out = []
    for table in re.findall(r'<table class="numbers">.*?</table>', text, re.S):
        head, body = table.split("<tbody>")
        groups = re.findall(r'colspan="(\d+)" class="group">(.*?)</th>', head)
        names = [group for count, group in groups for _ in range(int(count))]
        columns = re.findall(r'<th scope="col"(?: class="group")?>(.*?)</th>', head)
        rows = {}
        for row in body.split("</tr>")[:-1]:
            cells = re.findall(r"<td[^>]*>(.*?)</td>", row, re.S)
            label = Page(row.split("</th>")[0]).text.split()[0]
            rows[label] = dict(zip(zip(names, columns, strict=True), cells, strict=True)) if len(cells) > 1 else cells
        out.append((names, rows))
    return out


def test_the_tables_show_what_there_is_and_mark_the_best_beyond_ties(html, written):
    (names, truth), (_, tilts) = read_tables((written[0] / "report.html").read_text("utf-8"))
    assert list(truth) == ["wbp", '<b>&"sirt"$x$</b>', "cn"]  # what has no volume is told of once
    cn = truth["cn"]
    assert ("Likeness", "VIF") not in cn  # NaN for all, so that no text explains it either
    assert "Structural similarity and root mean square error." in html.text
    assert "<strong" in cn["PSNR, dB", "fitted"]
    assert "32.0" in cn["PSNR, dB", "fitted"]
    assert "<strong" not in cn["PSNR, dB", "as it is"]  # plain values stand beside, and rank nothing
    assert "26.0" in cn["PSNR, dB", "as it is"]
    assert "11.4" in cn["Resolution, nm", "all directions"]  # 4 nm / 0.35
    assert sum("nm" in name for name in set(names)) == 1
    assert not any("nm" in cell or "dB" in cell for cell in cn.values())
    cn = tilts["cn"]
    assert "<strong" not in cn["Unseen tilts", "error"]  # a tie in the ranking, although the number is the smallest
    assert "<strong" not in cn["Own tilts", "residual"]  # the smallest, and yet no merit
    assert "2 of 2" in cn["Planted objects", "recovered"]
    assert "no agreement" in cn["Halves agree to, nm", "not measured"]
    assert "≤ 8.00" in cn["Halves agree to, nm", "measured"]
    assert "<strong" in cn["Cost", "time"]
    assert len(tilts["tv"]) == 1
    assert "reg_par: must be positive" in tilts["tv"][0]
    assert "Scale and offset of each volume were fitted to the truth here, too" in html.text
    assert "10–14, 16–23" in html.text
    assert "cannot be ranked" in html.text
    assert "1–2" in html.text


def test_settings_and_trials_of_each_method_are_in_sight(written):
    text = (written[0] / "report.html").read_text("utf-8")
    table = re.search(r'<table class="settings">.*?</table>', text, re.S)
    assert text.count("<details", 0, table.start()) == text.count("</details>", 0, table.start())  # in no fold
    rows = [Page(row).text.strip() for row in table[0].split("<tbody>")[1].split("</tr>")[:-1]]
    settings, trials = r"num_iter 20 tuned ; note .*; bounds 0, none ; more deep 1", "2 trials: num_iter: no other values"
    assert re.match(rf"wbp {settings} {trials}", rows[0])
    assert "more deep 1 → deep 2" in rows[2]  # chosen by the run; the chosen num_iter equals the setting
    assert rows[2].count("→") == 2  # and the note
    assert "→" not in rows[0]
    assert rows[2].endswith("reconstruction 0.5 s checks 1 min 12 s")
    assert rows[3] == "tv no settings not tuned"


def test_equal_times_have_no_best(full):
    """9.96 s and 9.99 s are 10 s on the page, and the rest is slower."""
    seconds = {"wbp": 9.96, "cn": 9.99}
    changed = tuple(
        dataclasses.replace(e, seconds={"reconstruction": seconds.get(e.label, 40.0), "checks": 1.0}) for e in full.entries
    )
    rows = read_tables(page(dataclasses.replace(full, entries=changed), []))[1][1]
    assert rows["wbp"]["Cost", "time"].split() == rows["cn"]["Cost", "time"].split()
    assert "<strong" not in rows["wbp"]["Cost", "time"] + rows["cn"]["Cost", "time"]


def test_a_volume_on_another_scale_does_not_hide_the_others(full):
    """The truth has values from 0 to 0.94; the scale grows by half of its width at most."""
    loud = dataclasses.replace(full.entries[0], volume=100 * full.entries[0].volume)
    low, high = np.percentile(full.truth, (0.1, 99.9))
    grey = window(dataclasses.replace(full, entries=(loud, *full.entries[1:])))
    assert grey.high == pytest.approx(high + (high - low) / 2, rel=1e-4)
    assert grey.low >= low - (high - low) / 2 - 1e-4


def test_memory_too_small_to_measure_has_no_value(full):
    changed = tuple(dataclasses.replace(e, memory=0 if e.label == "wbp" else e.memory) for e in full.entries)
    text = page(dataclasses.replace(full, entries=changed), [])
    rows = read_tables(text)[1][1]
    assert rows["wbp"]["Cost", "memory"] == "–"
    assert "47.7 MiB" in rows["cn"]["Cost", "memory"]
    assert " 0 B" not in Page(text).text


def test_drawings_have_their_natural_size_in_the_page(full, written):
    text = (written[0] / "report.html").read_text("utf-8")
    shown = [int(width) for width in re.findall(r'style="--natural: (\d+)px"', text)]
    slices, *others = [round(96 * p.figure.get_size_inches()[0]) for p in pictures(full)]
    assert shown == [slices, *others]
    assert f"min-width: calc({SHRUNK} * var(--natural))" in text


#: The page shows a drawing with this share of its natural size at least; an inch has 96 pixels then.
SHRUNK = ".92"


@pytest.mark.parametrize("count", [1, 10])
def test_letters_of_every_plot_have_eleven_pixels(full, count):
    """The smallest letters at the smallest size at which the page shows a drawing, whatever the number of methods."""
    labels = [f"a rather long label {i}" for i in range(count)]
    other = {label: {other: 0.5 for other in labels if other != label} for label in labels}
    cn = full["cn"]
    entries = tuple(
        dataclasses.replace(cn, label=label, evidence={**cn.evidence, "agreement": other[label]}) for label in labels
    )
    drawn = pictures(dataclasses.replace(full, entries=entries, rankings=()))
    assert len(drawn) == 7 - (count == 1)
    for figure, name in [(f, p.name) for p in drawn for f in (p.figure, p.narrow) if f is not None]:
        points = min(t.get_fontsize() for t in figure.findobj(Text) if t.get_visible() and t.get_text())
        assert points / 72 * 96 * float(SHRUNK) >= 11, name
        figure.draw_without_rendering()
        for legend in figure.legends:
            assert legend.get_window_extent().x1 <= figure.bbox.x1 + 1, name
    for picture in drawn:
        # in half of a page 1186 pixels wide, or in all of it: less the gap, the frame and its padding
        room = 1186 - 26 if picture.wide else (1186 - 26) / 2 - 26
        assert picture.width * float(SHRUNK) <= room, picture.name
        # a phone 360 pixels wide, less the margins, the frame and its padding
        assert picture.narrow is None or 96 * picture.narrow.get_size_inches()[0] * float(SHRUNK) <= 360 - 28 - 26


def test_bad_tilts_are_told_in_one_way(full):
    """Never a bad tilt in one place and none in another."""

    def words(outliers):
        entries = [
            dataclasses.replace(e, evidence={**e.evidence, "residual": {**e.evidence["residual"], "outliers": bad}})
            for e, bad in zip(full.done, outliers, strict=True)
        ]
        changed = dataclasses.replace(full, entries=tuple(entries), rankings=())
        (picture,) = [p for p in pictures(changed) if p.name == "residual_tilts"]
        return picture.caption, Page(page(changed, [picture])).text

    caption, text = words([[3], [3], []])
    assert "Bad for at least half of the methods: tilt 13, −30°." in caption
    caption, text = words([[3], [], []])
    assert "Single methods have bad tilts: wbp (tilt 13, −30°)." in caption
    assert "No tilt" not in text
    caption, text = words([[], [], []])
    assert "No tilt is bad." in caption
    assert not re.search(r"\d+ bad", text)


def test_a_scan_of_one_slice_shows_its_useful_plane_alone():
    shape = (60, 1, 60)
    volume = np.random.default_rng(1).random(shape, np.float32)
    one = Comparison("slice", Geometry(np.deg2rad([-60.0, 0, 60]), shape), (Entry("wbp", "wbp", {}, volume=volume),))
    (picture,) = pictures(one)
    (axes,) = picture.figure.axes  # no strip of a pixel
    width, height = axes.get_window_extent().size / picture.figure.dpi
    assert width == pytest.approx(height)
    assert width > 4  # inches
    text = page(one, [picture])
    assert json.loads(re.search(r'id="known">(.*?)</script>', text)[1])["planes"] == ["xz"]
    assert 'value="all"' not in text
    assert "x–y and z–y are too thin" in Page(text).text
    assert "smears" not in Page(text).text + picture.caption  # three tilts, 60 degrees apart, leave no wedge out


def test_a_missing_wedge_is_named(full, html):
    (middle,) = (picture for picture in pictures(full) if picture.name == "slices")
    assert middle.caption.startswith(
        "Above: x–y in the middle of z. Below: x–z in the middle of y, where the missing wedge smears. One grey scale"
    )
    assert "In x–z the missing wedge smears" in html.text


def test_the_csv_has_the_numbers_in_full(written, full):
    with (written[0] / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["label"]: row for row in csv.DictReader(file)}
    assert list(rows) == [e.label for e in full.entries]
    for entry in full.done:
        row, evidence = rows[entry.label], entry.evidence
        assert float(row["psnr_db"]) == evidence["truth"]["psnr"]
        assert float(row["psnr_fitted_db"]) == evidence["truth"]["psnr_fitted"]
        assert float(row["resolution_truth"]) == 4.0 / evidence["truth"]["curves"]["fsc"]["crossing"]
        assert float(row["held_out_error"]) == evidence["held_out"]["error"]
        assert float(row["planted_contrast"]) == evidence["planted"]["contrast"]
        assert float(row["planted_found"]) == 2
        assert float(row["seconds"]) == entry.seconds["reconstruction"]
        assert float(row["memory_bytes"]) == entry.memory
        assert row["resolution_halves_unmeasured"] == ""
        assert "vif" not in row
    assert rows["tv"]["status"] == "failed"
    assert rows["tv"]["psnr_db"] == ""
    assert rows["cn"]["length_unit"] == "nm"


def test_the_metrics_are_json_without_volumes(written, full):
    def refuse(value):
        raise AssertionError(f"{value} is no JSON")

    text = (written[0] / "metrics.json").read_text("utf-8")
    found = json.loads(text, parse_constant=refuse)
    assert found["entries"][0]["evidence"]["truth"]["vif"] is None
    assert found["entries"][2]["evidence"]["held_out"] == full["cn"].evidence["held_out"]
    assert found["about"]["seed"] == 3
    assert found["planted"]["centers"] == full.planted.centers.tolist()
    assert found["rankings"][1]["groups"] == [["cn", NASTY], ["wbp"]]
    assert Geometry.from_dict(found["geometry"]) == full.geometry
    assert "volume" not in found["entries"][0]


def test_bad_tilts_are_named_in_words(html):
    alts = " ".join(a["alt"] for a in html.all("img"))
    assert "tilt 13, −30°" in alts  # number in the file
    # where a curve falls below, as a length: 4 nm / 0.35
    assert "cn at 11.4 nm" in alts


def test_neighbouring_tilts_share_a_name(full):
    assert name_tilts(full, [3, 4, 6]) == {"tilts 13–14, −30° to −20°": [3, 4], "tilt 17, 0°": [6]}
    assert name_tilts(full, []) == {}
    # half of the methods have to agree
    entries = [dataclasses.replace(e, evidence={**e.evidence, "residual": dict(e.evidence["residual"])}) for e in full.done]
    for entry, outliers in zip(entries, ([3, 5], [5], [8]), strict=True):
        entry.evidence["residual"]["outliers"] = outliers
    assert list_bad_tilts(dataclasses.replace(full, entries=tuple(entries))) == [5]


def test_a_check_that_did_not_end_leaves_the_numbers_and_says_so(full):
    cut = dataclasses.replace(full.entries[2], status="over budget", message="the check halves was cut off")
    text = page(dataclasses.replace(full, entries=(*full.entries[:2], cut)), [])
    body = text[text.index("<h3>From the tilts") : text.index('id="settings"')]
    assert re.search(
        r'rowspan="2".*?cn.*?over budget.*?0\.0500.*?<td class="none" colspan="\d+">the check halves was cut off', body, re.S
    )


def test_little_evidence_makes_a_short_page(minimal, tmp_path):
    paths = write_report(minimal, tmp_path / "deep" / "er")
    assert {p.name for p in paths} == {"report.html", "table.csv", "metrics.json", "slices.png"}
    page = Page(paths[0].read_text("utf-8"))
    assert "share" in page.text
    for absent in ("PSNR", "Against the truth", "Planted", "Held-out", "Plots", "standard deviation", "Time", "Marked"):
        assert absent not in page.text, absent
    assert "voxel size unknown" in page.text


def test_a_comparison_without_a_volume_is_a_page_of_messages(full, tmp_path):
    failed = dataclasses.replace(full, entries=full.entries[-1:], truth=None, planted=None, rankings=(), summary=())
    paths = write_report(failed, tmp_path)
    assert {p.name for p in paths} == {"report.html", "table.csv", "metrics.json"}
    page = Page(paths[0].read_text("utf-8"))
    assert "reg_par: must be positive" in page.text
    assert not page.all("canvas")
    assert not (tmp_path / "figures").exists()


def test_a_folder_that_cannot_be_made_is_one_line(minimal, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FormatError, match="cannot create the folder"):
        write_report(minimal, tmp_path / "file" / "out")


def test_an_earlier_report_stays_unless_it_may_go(minimal, tmp_path):
    first = write_report(minimal, tmp_path)
    before = first[0].read_bytes()
    (tmp_path / "figures" / "planted.png").write_bytes(b"of an earlier report")
    (tmp_path / "figures" / "mine.png").write_bytes(b"the user's")
    renamed = dataclasses.replace(minimal, title="another")
    with pytest.raises(OutputExistsError, match=r"report\.html exists"):
        write_report(renamed, tmp_path)
    assert first[0].read_bytes() == before
    write_report(renamed, tmp_path, overwrite=True)
    assert b"another" in first[0].read_bytes()
    assert not (tmp_path / "figures" / "planted.png").exists()
    assert (tmp_path / "figures" / "mine.png").exists()
    assert not list(tmp_path.rglob("*.part*"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: dataclasses.replace(e, volume=e.volume[1:]), "the comparison's grid"),
        (lambda e: dataclasses.replace(e, volume=np.full(SHAPE, np.nan, np.float32)), "not finite"),
        (lambda e: dataclasses.replace(e, std=np.zeros((1, 2, 3), np.float32)), "standard deviation of wbp"),
        (lambda e: dataclasses.replace(e, label="cn"), "labels of their own"),
        (lambda e: dataclasses.replace(e, label="truth"), "labels of their own"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_anything_is_written(full, tmp_path, change, words):
    wrong = dataclasses.replace(full, entries=(change(full.entries[0]), *full.entries[1:]))
    with pytest.raises(InputError, match=words):
        write_report(wrong, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_large_volumes_are_binned_until_the_page_fits():
    shape = (48, 224, 224)  # of noise, which does not pack: three times 2.4 MB twice, in base64
    rng = np.random.default_rng(6)
    entries = tuple(Entry(n, n, {}, volume=rng.normal(size=shape).astype(np.float32)) for n in ("wbp", "sirt", "tv"))
    text = page(Comparison("large", Geometry(np.deg2rad([-60.0, 0, 60]), shape), entries), [])
    assert 1_000_000 < len(text.encode()) < LIMIT
    assert "Shown binned by 2 × 2 × 2" in Page(text).text
    known = json.loads(re.search(r'id="known">(.*?)</script>', text).group(1))
    assert known["shape"] == {"z": 24, "y": 112, "x": 112}


def test_an_alignment_has_a_figure_and_says_what_is_not_determined(full):
    n = full.geometry.n_angles
    found = Alignment(
        np.zeros((n, 2)), 0.1, full.geometry.detector, residuals_before=np.full(n, 0.5), residuals_after=np.full(n, 0.2),
        statements=("the angle of the tilt axis is not determined",),
    )  # fmt: skip
    aligned = dataclasses.replace(full, about={**full.about, "alignment": found.to_dict()})
    names = [picture.name for picture in pictures(aligned)]
    assert "alignment" in names
    assert "alignment" not in [picture.name for picture in pictures(full)]
    assert "the angle of the tilt axis is not determined" in Page(page(aligned, [])).text
