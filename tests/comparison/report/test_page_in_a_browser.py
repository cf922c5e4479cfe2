"""The page in headless Chromium: what its controls do to the pixels, and how it fits the window."""

import dataclasses
import shutil
import time

import numpy as np
import pytest

from tomoprior import Geometry
from tomoprior.comparison.report.page import page as rendered
from tomoprior.comparison.report.pictures import pictures
from tomoprior.comparison.report.window import window
from tomoprior.comparison.result import Comparison, Entry
from tomoprior.metrics import split_measured

from .conftest import SHAPE

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (BROWSER and DRIVER), reason="Chromium with its driver is not installed")

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
)
NZ, NY, NX = SHAPE


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(30)
    yield driver
    driver.quit()


class Viewer:
    """The page as its reader has it."""

    def __init__(self, driver, path, width):
        self.driver = driver
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.get_log("browser")  # what came before
        driver.get(path.as_uri())
        self.until("return document.documentElement.dataset.ready === 'yes' || !document.getElementById('problem')?.hidden")

    def js(self, code, *arguments):
        return self.driver.execute_script(code, *arguments)

    def until(self, code):
        end = time.monotonic() + 15
        while not self.js(code):
            assert time.monotonic() < end, f"never: {code}"
            time.sleep(0.02)

    def settled(self):
        """After the frame in which a change is drawn."""
        self.driver.execute_async_script("const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done));")

    def pixels(self, card, plane):
        """Colours of a slice, shape (rows, columns, 3)."""
        self.settled()
        width, height, data = self.js(
            """const c = document.querySelectorAll('.card')[arguments[0]].querySelector(`[data-plane=${arguments[1]}] .pixels`);
            return [c.width, c.height, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]];""",
            card,
            plane,
        )
        return np.array(data, np.uint8).reshape(height, width, 4)[..., :3]

    def set(self, name, value):
        """Move a range as a user does."""
        self.js(
            "const e = document.getElementById(arguments[0]); e.value = arguments[1]; e.dispatchEvent(new Event('input'));",
            name,
            value,
        )

    def click(self, selector):
        self.js("document.querySelector(arguments[0]).click()", selector)


def grey(values, comparison, low=None, high=None):
    """The grey levels that values should have."""
    shown = window(comparison)
    low, high = shown.low if low is None else low, shown.high if high is None else high
    held = np.clip(values, shown.least, shown.most)
    return np.clip((held - low) / (high - low), 0, 1) * 255


def tolerance(comparison):
    """Grey levels that 8 bits of the wider scale leave open."""
    shown = window(comparison)
    return (shown.most - shown.least) / shown.width / 2 + 1


@pytest.fixture(scope="module")
def path(full, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(rendered(full, pictures(full)), "utf-8")
    return path


@pytest.fixture
def viewer(browser, path):
    viewer = Viewer(browser, path, 1280)
    yield viewer
    errors = [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    assert not errors
    assert viewer.js("return document.getElementById('problem').hidden")


def slices(volume, z, y, x):
    return {"xy": volume[z], "zy": volume[:, :, x].T, "xz": volume[:, y, :]}


def test_every_slice_shows_its_values(viewer, full):
    """Truth and all methods, all three planes, after each slider has moved."""
    at = {"z": NZ // 2, "y": NY // 2, "x": NX // 2}
    for axis, value in (("x", 3), ("y", NY - 1), ("z", 0)):
        before = {p: viewer.pixels(0, p) for p in ("xy", "zy", "xz")}
        viewer.set(f"at-{axis}", value)
        at[axis] = value
        after = {p: viewer.pixels(0, p) for p in ("xy", "zy", "xz")}
        changed = {p for p in before if not np.array_equal(before[p], after[p])}
        assert changed == {{"x": "zy", "y": "xz", "z": "xy"}[axis]}
    for card, volume in enumerate([full.truth, *(e.volume for e in full.done)]):
        for plane, values in slices(volume, **at).items():
            shown = viewer.pixels(card, plane)
            assert (shown[..., 0] == shown[..., 2]).all()
            assert np.abs(shown[..., 0] - grey(values, full)).max() <= tolerance(full), (card, plane)


def test_arrow_keys_move_a_focused_slider(viewer):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    slider = viewer.driver.find_element(By.ID, "at-z")
    before = viewer.pixels(1, "xy")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert not np.array_equal(viewer.pixels(1, "xy"), before)
    assert slider.get_attribute("value") == str(NZ // 2 + 1)
    assert viewer.js("return document.activeElement.id") == "at-z"
    # index and place of the voxel's middle: (7 + 0.5) * 4 nm
    assert viewer.js("return document.getElementById('at-z').nextElementSibling.textContent") == "7 · 30 nm"
    slider.send_keys(Keys.ARROW_LEFT)
    np.testing.assert_array_equal(viewer.pixels(1, "xy"), before)


def test_a_click_in_a_slice_moves_all_of_them_and_a_drag_follows(viewer, full):
    from selenium.webdriver.common.action_chains import ActionChains

    view = viewer.js("return document.querySelectorAll('.card')[1].querySelector('[data-plane=xy]')")
    viewer.js("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", view)
    width, height = view.size["width"], view.size["height"]

    def offset(x, y):  # from the middle, as the driver counts
        return round((x + 0.5) * width / NX - width / 2), round((y + 0.5) * height / NY - height / 2)

    def where():
        viewer.settled()
        return [viewer.js("return document.getElementById(arguments[0]).valueAsNumber", f"at-{a}") for a in "xyz"]

    mouse = ActionChains(viewer.driver, duration=20)
    mouse.move_to_element_with_offset(view, *offset(4, 11)).click().perform()
    assert where() == [4, 11, NZ // 2]
    last = [e.volume for e in full.done][-1]
    assert np.abs(viewer.pixels(3, "zy")[..., 0] - grey(last[:, :, 4].T, full)).max() <= tolerance(full)
    mouse.click_and_hold().move_to_element_with_offset(view, *offset(15, 2)).perform()
    assert where() == [15, 2, NZ // 2]
    mouse.release().move_to_element_with_offset(view, *offset(8, 8)).perform()
    assert where() == [15, 2, NZ // 2]


def test_the_grey_scale_is_set_and_reset(viewer, full):
    before = viewer.pixels(2, "xy")
    viewer.set("low", 0.4)
    viewer.set("high", 0.5)
    values = full.done[1].volume[NZ // 2]
    found = viewer.pixels(2, "xy")[..., 0]
    assert ((found == 0) | (found == 255)).mean() > 0.5
    np.testing.assert_array_equal(found[values < 0.39], 0)
    np.testing.assert_array_equal(found[values > 0.51], 255)
    viewer.click("#reset")
    np.testing.assert_array_equal(viewer.pixels(2, "xy"), before)


def test_differences_are_red_where_there_is_more_and_blue_where_less(viewer, full):
    viewer.click("input[value=difference]")
    difference = full.done[0].volume[NZ // 2] - full.truth[NZ // 2]
    shown = viewer.pixels(1, "xy").astype(int)
    limit = window(full).width / 2
    clear = np.abs(difference) > 0.2 * limit
    assert 0.2 < clear.mean() < 0.98
    redder = shown[..., 0] > shown[..., 2]
    np.testing.assert_array_equal(redder[clear], (difference > 0)[clear])
    assert np.ptp(viewer.pixels(0, "xy")) <= 1  # the truth from itself: no colour
    # another reference: the last method from itself
    viewer.js("const s = document.getElementById('reference'); s.value = 3; s.dispatchEvent(new Event('change'))")
    assert np.ptp(viewer.pixels(3, "xy")) <= 1
    assert np.ptp(viewer.pixels(0, "xy")) > 50
    assert "minus cn" in viewer.js("return document.getElementById('explained').textContent")


def test_measured_and_inferred_part(viewer, full):
    volume = full.done[2].volume
    present, missing = split_measured(volume, full.geometry.angles)
    viewer.click("input[value=measured]")
    shown = viewer.pixels(3, "xz")[..., 0]
    assert np.abs(shown - grey(present[:, NY // 2], full)).max() <= 2 * tolerance(full) + 1
    viewer.click("input[value=inferred]")
    shown = viewer.pixels(3, "xz").astype(int)
    limit = window(full).width / 2
    clear = np.abs(missing[:, NY // 2]) > 0.1 * limit
    assert clear.sum() > 10
    np.testing.assert_array_equal((shown[..., 0] > shown[..., 2])[clear], (missing[:, NY // 2] > 0)[clear])


def test_the_standard_deviation_lies_over_the_values(viewer, full):
    before = [viewer.pixels(card, "xy") for card in (2, 3)]
    viewer.click("#std")
    without, with_std = (viewer.pixels(card, "xy") for card in (2, 3))
    np.testing.assert_array_equal(without, before[0])
    orange = with_std[..., 0].astype(int) - with_std[..., 2]
    std = full["cn"].std[NZ // 2]
    assert orange.max() > 100
    assert np.corrcoef(orange.ravel(), std.ravel())[0, 1] > 0.9
    # that among the methods lies over all, instead
    viewer.click("#among")
    assert viewer.js("return document.getElementById('std').checked") is False
    for card in (0, 3):
        shown = viewer.pixels(card, "xy")
        orange = shown[..., 0].astype(int) - shown[..., 2]
        assert np.corrcoef(orange.ravel(), full.spread[NZ // 2].ravel())[0, 1] > 0.9
    viewer.click("#among")
    np.testing.assert_array_equal(viewer.pixels(3, "xy"), before[1])


def test_scale_and_offset_of_the_tilts(viewer, full):
    viewer.click("#calibrated")
    values = full.done[2].volume[NZ // 2]
    shown = window(full)
    step = 2 * 255 * (shown.most - shown.least) / 255 / shown.width
    held = np.clip(values, shown.least, shown.most)
    wanted = np.clip((2.0 * held + 0.5 - shown.low) / shown.width, 0, 1) * 255
    assert np.abs(viewer.pixels(3, "xy")[..., 0] - wanted).max() <= step / 2 + 1


def test_planted_objects_are_shown_in_the_volumes_that_hold_them(viewer, full):
    """Not in those without: circles there would mark nothing."""
    marked = """const c = document.querySelectorAll('.card')[0].querySelector('[data-plane=xy] .marks');
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;
        for (let i = 0; i < d.length; i += 4) n += d[i] > 180 && d[i + 1] > 140 && d[i + 2] < 120 && d[i + 3] > 150;
        return n;"""
    viewer.settled()
    assert viewer.js(marked) == 0
    viewer.set("at-z", 0)
    viewer.click("input[value=planted]")
    # the cross-hair goes to the first object, (6, 8, 10)
    assert [viewer.js("return document.getElementById(arguments[0]).valueAsNumber", f"at-{a}") for a in "zyx"] == [6, 8, 10]
    shown = "return [...document.querySelectorAll('.card')].map((c) => !c.hidden)"
    viewer.settled()
    assert viewer.js(shown) == [True, False, True, True]  # the check of wbp failed
    assert viewer.js(marked) > 20
    whole = full["cn"].volume + full["cn"].response
    assert np.abs(viewer.pixels(3, "xy")[..., 0] - grey(whole, full)[6]).max() <= 2 * tolerance(full) + 2
    viewer.set("at-z", 11)
    viewer.settled()
    assert viewer.js(marked) == 0
    viewer.click("input[value=response]")
    viewer.js("const s = document.getElementById('object'); s.value = 1; s.dispatchEvent(new Event('change'))")
    change = viewer.pixels(3, "xy").astype(int)
    there = full["cn"].response[3] > 0.5
    assert (change[there][:, 0] > change[there][:, 2] + 30).all()
    assert np.ptp(change[full["cn"].response[3] == 0]) <= 1
    viewer.click("#circles")
    viewer.settled()
    assert viewer.js(marked) == 0


PLACE = """const v = document.querySelectorAll('.card')[arguments[0]].querySelector('[data-plane=xy]');
    const [a, b] = [v.getBoundingClientRect(), v.querySelector('.pixels').getBoundingClientRect()];
    return [b.left - a.left, b.top - a.top, b.width / a.width, b.height / a.height, a.width, a.height];"""


def test_planes_zoom_and_move_together(viewer):
    from selenium.webdriver.common.action_chains import ActionChains

    viewer.settled()
    *_, width, height = viewer.js(PLACE, 0)
    viewer.click("#zoom-in")
    viewer.click("#zoom-in")
    viewer.settled()
    places = [viewer.js(PLACE, card) for card in range(4)]
    assert all(place == pytest.approx(places[0]) for place in places)
    left, top, *factors = places[0][:4]
    assert factors == pytest.approx([2.25, 2.25])
    # the middle stays in the middle
    assert [left, top] == pytest.approx([-0.625 * width, -0.625 * height], abs=0.01)
    # with the picture dragged, its point under the pointer follows, and the cross-hair stays
    view = viewer.js("return document.querySelectorAll('.card')[1].querySelector('[data-plane=xy]')")
    viewer.js("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", view)
    viewer.click("input[name=drag][value=picture]")
    before = viewer.js("return document.getElementById('at-x').value")
    ActionChains(viewer.driver, duration=20).click_and_hold(view).move_by_offset(20, -10).release().perform()
    viewer.settled()
    assert viewer.js(PLACE, 2)[:2] == pytest.approx([left + 20, top - 10], abs=0.01)
    assert viewer.js("return document.getElementById('at-x').value") == before
    # nothing beyond the volume comes into sight
    ActionChains(viewer.driver, duration=20).click_and_hold(view).move_by_offset(400, 0).release().perform()
    viewer.settled()
    assert viewer.js(PLACE, 0)[0] == pytest.approx(0, abs=0.01)
    # a slider takes the picture along when the cross-hair would leave the sight
    viewer.set("at-x", NX - 1)
    viewer.settled()
    left, _, across, _, width, _ = viewer.js(PLACE, 0)
    assert left + across * width == pytest.approx(width, abs=0.01)
    viewer.click("#zoom-whole")
    viewer.settled()
    assert viewer.js(PLACE, 0)[:4] == pytest.approx([0, 0, 1, 1])


def test_the_wheel_zooms_at_the_pointer_only_with_control(viewer):
    turn = """const v = document.querySelector('[data-plane=xy]'); const b = v.getBoundingClientRect();
        return !v.dispatchEvent(new WheelEvent('wheel', {deltaY: -100, ctrlKey: arguments[0], clientX: b.left + b.width / 4,
            clientY: b.top + b.height, bubbles: true, cancelable: true}));"""
    assert viewer.js(turn, False) is False  # the page scrolls as usual
    viewer.settled()
    assert viewer.js(PLACE, 0)[:4] == pytest.approx([0, 0, 1, 1])
    assert viewer.js(turn, True) is True
    viewer.settled()
    left, top, across, down, width, height = viewer.js(PLACE, 0)
    assert across == pytest.approx(np.exp(0.5), rel=1e-3)
    # the point under the pointer, a quarter from the left and at the lower end, stays
    assert (width / 4 - left) / (across * width) == pytest.approx(0.25, abs=0.01)  # the event has whole pixels
    assert (height - top) / (down * height) == pytest.approx(1, abs=0.01)


def test_two_fingers_zoom(viewer):
    viewer.js("""const v = document.querySelector('[data-plane=xy]'); const b = v.getBoundingClientRect();
        v.setPointerCapture = () => {};
        const send = (type, id, u, v_) => v.dispatchEvent(new PointerEvent(type, {pointerId: id, button: 0,
            clientX: b.left + u, clientY: b.top + v_, bubbles: true}));
        send('pointerdown', 1, 20, 20); send('pointerdown', 2, 60, 20);
        send('pointermove', 2, 100, 20);
        send('pointerup', 1, 20, 20); send('pointerup', 2, 100, 20);""")
    viewer.settled()
    assert viewer.js(PLACE, 0)[2] == pytest.approx(2)


def test_one_plane_alone_is_large(viewer):
    before = viewer.js(PLACE, 0)[4:]
    viewer.js("const s = document.getElementById('planes'); s.value = 'xy'; s.dispatchEvent(new Event('change'))")
    viewer.settled()
    assert viewer.js("return document.querySelectorAll('.view:not([hidden])').length") == 4
    assert viewer.js(PLACE, 0)[4] > 1.3 * before[0]


@pytest.mark.parametrize("width", [390, 1280])
def test_a_scan_of_one_slice_fills_its_card(browser, tmp_path, width):
    shape = (60, 1, 60)
    volume = np.random.default_rng(1).random(shape, np.float32)
    one = Comparison("slice", Geometry(np.deg2rad([-60.0, 0, 60]), shape), (Entry("wbp", "wbp", {}, volume=volume),))
    path = tmp_path / "report.html"
    path.write_text(rendered(one, []), "utf-8")
    viewer = Viewer(browser, path, width)
    viewer.settled()
    (view,) = viewer.js("""return [...document.querySelectorAll('.view:not([hidden])')].map((v) => {
        const b = v.getBoundingClientRect(); return [v.dataset.plane, b.width, b.height, v.closest('.card').clientWidth]; })""")
    assert view[0] == "xz"
    assert view[1] == view[2] > 0.7 * view[3]
    assert np.abs(viewer.pixels(0, "xz")[..., 0] - grey(volume[:, 0], one)).max() <= tolerance(one)


def test_volumes_are_chosen(viewer):
    shown = "return [...document.querySelectorAll('.card')].map((c) => !c.hidden)"
    assert viewer.js(shown) == [True] * 4
    viewer.click("input[name=shown][value='1']")
    viewer.settled()
    assert viewer.js(shown) == [True, False, True, True]
    for index in (0, 2, 3):
        viewer.click(f"input[name=shown][value='{index}']")
    viewer.settled()
    viewer.click("input[name=shown][value='2']")
    viewer.settled()
    assert viewer.js(shown) == [False, False, True, False]


CUT_TABLES = "return [...document.querySelectorAll('.scroll')].some((s) => s.scrollWidth > s.clientWidth + 1)"
#: Words of up to 20 letters in several lines.
BROKEN_WORDS = """const out = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) for (const word of walk.currentNode.data.matchAll(/[A-Za-z_]{2,20}/g)) {
        const range = document.createRange();
        range.setStart(walk.currentNode, word.index); range.setEnd(walk.currentNode, word.index + word[0].length);
        if (new Set([...range.getClientRects()].map((r) => Math.round(r.top))).size > 1) out.push(word[0]);
    } return out;"""


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_the_window(browser, path, width):
    viewer = Viewer(browser, path, width)
    viewer.settled()
    assert viewer.js("return document.documentElement.scrollWidth") <= width
    # every slice has its true aspect, whole or half pixels a voxel, and lies inside of its card
    assert not viewer.js(CUT_TABLES) or width < 1280
    assert viewer.js(BROKEN_WORDS) == []
    for drawn, natural in viewer.js("""return [...document.querySelectorAll('.drawing img')].map((i) =>
            [i.getBoundingClientRect().width, i.naturalWidth])"""):
        assert drawn / natural * 12 >= 11  # the smallest letters have 9 points, which are 12 pixels
    for view in viewer.js("""return [...document.querySelectorAll('.view')].map((v) => { const c = v.querySelector('.pixels');
            const [a, b] = [v.getBoundingClientRect(), v.closest('.card').getBoundingClientRect()];
            return [a.width / c.width, a.height / c.height, a.left - b.left, b.right - a.right]; })"""):
        assert view[0] == pytest.approx(view[1])
        assert view[0] * 2 == pytest.approx(round(view[0] * 2))
        assert view[0] >= 2
        assert min(view[2:]) >= 0
    images = viewer.js("return [...document.images].map((i) => [i.complete, i.naturalWidth])")
    assert len(images) == 6
    assert all(complete and wide > 200 for complete, wide in images)
    assert not [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]


def test_every_control_has_a_name_and_the_keyboard_reaches_it(viewer):
    nameless = viewer.js(
        """return [...document.querySelectorAll('input, select, button')]
        .filter((e) => !(e.labels?.length || e.ariaLabel || e.textContent.trim())).map((e) => e.outerHTML)"""
    )
    assert nameless == []
    assert viewer.js("return document.querySelectorAll('h1').length") == 1
    assert viewer.js("return [...document.querySelectorAll('[tabindex]')].every((e) => e.tabIndex <= 0)")


def test_a_binned_page_says_so_and_keeps_places(browser, tmp_path, monkeypatch):
    shape = (8, 10, 16)
    volume = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    entry = Entry("a", "a", {}, volume=volume)
    comparison = Comparison("small", Geometry(np.deg2rad([-60.0, 60]), shape, voxel_size=2, unit="nanometer"), (entry,))
    size = len(rendered(comparison, []).encode())
    monkeypatch.setattr("tomoprior.comparison.report.page.LIMIT", size + 500_000 - 1500)
    path = tmp_path / "report.html"
    path.write_text(rendered(comparison, []), "utf-8")
    viewer = Viewer(browser, path, 1280)
    assert "2 × 2 × 2" in viewer.js("return document.getElementById('binned').textContent")
    mean = volume[4:6, :, :].reshape(2, 5, 2, 8, 2).mean((0, 2, 4))
    shown = window(comparison)
    found = viewer.pixels(0, "xy")[..., 0]
    assert found.shape == (5, 8)
    assert np.abs(found - grey(mean, comparison)).max() <= (shown.most - shown.least) / shown.width / 2 + 1
    # the middle of two voxels: 4.5, which is 5 * 2 nm from the face
    assert viewer.js("return document.getElementById('at-z').nextElementSibling.textContent") == "4.5 · 10 nm"


def test_without_volumes_truth_or_evidence_the_page_still_works(browser, minimal, full, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(rendered(minimal, []), "utf-8")
    viewer = Viewer(browser, path, 1280)
    assert viewer.js("return document.querySelectorAll('.card:not([hidden])').length") == 2
    assert np.abs(viewer.pixels(0, "xy")[..., 0] - grey(minimal.done[0].volume[3], minimal)).max() <= tolerance(minimal)
    failed = dataclasses.replace(full, entries=full.entries[-1:], truth=None, planted=None, rankings=())
    path.write_text(rendered(failed, []), "utf-8")
    browser.get(path.as_uri())
    assert not [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]


def test_a_page_that_is_cut_off_says_so(browser, path, tmp_path):
    text = path.read_text("utf-8")
    start = text.index('id="data-1-values"')
    begin = text.index(">", start) + 1
    end = text.index("</script>", begin)
    broken = tmp_path / "report.html"
    broken.write_text(text[: begin + (end - begin) // 8 * 4] + text[end:], "utf-8")
    viewer = Viewer(browser, broken, 1280)
    assert viewer.js("return document.getElementById('problem').hidden") is False
    assert "The viewer does not work" in viewer.js("return document.getElementById('problem').textContent")
