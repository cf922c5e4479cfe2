"""The bar: drawn in a terminal and in a notebook, silent in a file, and honest about a total that changes."""

import io
import sys
import types

import pytest

import tomoprior
from tomoprior.progress import in_notebook, stages_bar


class Screen(io.StringIO):
    """Standard error as a terminal, or as a file."""

    def __init__(self, is_terminal):
        super().__init__()
        self.isatty = lambda: is_terminal


@pytest.fixture
def screen(monkeypatch):
    def make(is_terminal):
        shown = Screen(is_terminal)
        monkeypatch.setattr(sys, "stderr", shown)
        return shown

    return make


@pytest.fixture
def kernel(monkeypatch):
    """IPython as it looks inside a Jupyter kernel."""
    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))


def run(title="tv", totals=(4, 4, 4, 4)):
    with tomoprior.progress_bar(title) as progress:
        for i, total in enumerate(totals):
            progress(i + 1, total, {"residual": 0.5 / (i + 1)})


def test_a_terminal_shows_title_count_and_residual(screen):
    shown = screen(True)
    run()
    last = shown.getvalue().rstrip().rsplit("\r", 1)[-1]
    assert last.startswith("tv: 100%")
    assert "4/4" in last
    assert "residual=0.125" in last


def test_a_file_gets_nothing(screen):
    shown = screen(False)
    run()
    assert shown.getvalue() == ""


def test_a_total_that_changes_is_followed(screen):
    shown = screen(True)
    run(totals=(4, 8, 5))
    assert "3/5" in shown.getvalue().rstrip().rsplit("\r", 1)[-1]


def test_a_notebook_without_widgets_gets_text_and_no_warning(screen, kernel, monkeypatch):
    monkeypatch.setattr("tomoprior.progress.find_spec", lambda name: None)
    shown = screen(False)  # what a kernel's standard error says of itself
    assert in_notebook()
    run()
    assert "4/4" in shown.getvalue().rstrip().rsplit("\r", 1)[-1]


def test_a_notebook_with_widgets_gets_one(kernel, monkeypatch):
    widgets = []

    class Widget:
        """What the bar uses of tqdm's."""

        def __init__(self, **options):
            self.options, self.disable, self.total, self.n, self.start_t = options, False, None, 0, 7.0
            self.container = types.SimpleNamespace(children=[None, types.SimpleNamespace(max=None), None])
            widgets.append(self)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.closed = True

        def reset(self, total):
            self.total, self.start_t, self.container.children[1].max = total, 99.0, total

        def set_postfix(self, values, refresh):
            self.values = values

        def update(self, n):
            self.n += n

    monkeypatch.setattr("tomoprior.progress.find_spec", lambda name: types.SimpleNamespace(name=name))
    monkeypatch.setitem(sys.modules, "tqdm.notebook", types.SimpleNamespace(tqdm=Widget))
    run(totals=(4, 4, 6))
    (widget,) = widgets
    assert (widget.total, widget.n, widget.container.children[1].max) == (6, 3, 6)
    assert widget.start_t == 7.0  # the time before the first iteration counts
    assert widget.values == {"residual": f"{0.5 / 3:.4g}"}
    assert widget.closed


def test_a_plain_python_is_no_notebook():
    assert not in_notebook()


def test_it_goes_with_a_method_and_is_closed_when_that_fails(screen):
    import numpy as np

    shown = screen(True)
    series = tomoprior.TiltSeries(np.ones((2, 3, 4), np.float32), tomoprior.Geometry([0.0, 0.5], (4, 3, 4)))
    with tomoprior.progress_bar("sirt") as progress:
        tomoprior.reconstruct(series, "sirt", num_iter=3, progress=progress, device="cpu")
    assert "3/3" in shown.getvalue()


def test_it_is_closed_when_what_it_shows_fails(screen):
    shown = screen(True)
    bar = tomoprior.progress_bar("sirt")
    progress = bar.__enter__()
    progress(1, 2, {})
    assert not bar.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    assert shown.getvalue().endswith("\n")


def test_stages_are_lines_where_nothing_can_be_drawn(capsys):
    with stages_bar() as step:
        for stage in ("reconstruction", "held_out"):
            for i in range(3):
                step("tv", stage, i, 2)
        step("cn", "reconstruction", 0, 1)
    assert capsys.readouterr().err == "tv: reconstruction\ntv: held_out\ncn: reconstruction\n"


def test_stages_are_one_bar_for_each_job_in_a_terminal(screen):
    drawn = screen(True)
    with stages_bar() as step:
        for stage in ("reconstruction", "held_out"):
            for i in range(4):
                step("tv", stage, i, 3)
    text = drawn.getvalue()
    assert "tv: held_out: 100%" in text
    assert "3/3" in text
    assert text.count("\n") == 1
