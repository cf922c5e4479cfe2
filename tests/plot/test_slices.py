"""Orthogonal slices: the right planes, not mirrored, on one scale, and said in words what cannot be shown."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import tomoprior
from tomoprior import Geometry, Reconstruction, plot
from tomoprior.errors import InputError

SHAPE = (5, 9, 16)  # all different, so that no axis can stand for another
AT = (3, 2, 11)
PNG = b"\x89PNG"


@pytest.fixture
def volume():
    """Every voxel holds 10000 z + 100 y + x."""
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    return (10000 * z + 100 * y + x).astype(np.float32)


@pytest.fixture
def reconstruction(volume):
    return Reconstruction(volume, Geometry([0.0], SHAPE, voxel_size=2.5, unit="nanometer"), provenance={"method": "tv"})


def panels(figure):
    """The axes that show planes, in the order of drawing: row by row within a block."""
    return [axes for axes in figure.axes if axes.images]


def image(axes):
    return np.asarray(axes.images[0].get_array())


def texts(figure):
    return {t.get_text() for t in figure.texts}


def seen(axes):
    """What stands at the panel's top left, top right and bottom left on the page, through the axes' own directions."""
    shown = axes.images[0]
    found = []
    for corner in ((0.01, 0.99), (0.99, 0.99), (0.01, 0.01)):
        at = axes.transData.inverted().transform(axes.transAxes.transform(corner))
        left, right, bottom, top = shown.get_extent()
        rows, columns = image(axes).shape
        # imshow with origin upper: row 0 lies at the extent's top
        assert shown.origin == "upper"
        row = int((at[1] - top) / (bottom - top) * rows)
        column = int((at[0] - left) / (right - left) * columns)
        found.append(float(image(axes)[row, column]))
    return found


def test_the_planes_through_the_point_stand_with_index_0_at_the_left_and_top(volume):
    xy, xz, zy = panels(plot.slices(volume, at=AT))
    z, y, x = AT
    nz, ny, nx = SHAPE
    assert seen(xy) == [volume[z, 0, 0], volume[z, 0, nx - 1], volume[z, ny - 1, 0]]
    assert seen(xz) == [volume[0, y, 0], volume[0, y, nx - 1], volume[nz - 1, y, 0]]
    assert seen(zy) == [volume[0, 0, x], volume[nz - 1, 0, x], volume[0, ny - 1, x]]
    np.testing.assert_array_equal(image(zy), volume[:, :, x].T)


def test_the_middle_is_the_default_and_is_named(volume):
    figure = plot.slices(volume)
    np.testing.assert_array_equal(image(panels(figure)[0]), volume[2])
    assert {"x–y\nz = 2", "x–z\ny = 4", "z–y\nx = 8"} <= texts(figure)


def test_a_voxel_is_a_square_of_one_size_in_all_panels(volume):
    figure = plot.slices({"a": volume, "b": volume})
    figure.draw_without_rendering()
    edges = []
    for axes in panels(figure):
        box = axes.get_window_extent()
        edges += [box.width / image(axes).shape[1], box.height / image(axes).shape[0]]
    np.testing.assert_allclose(edges, edges[0], rtol=1e-3)


def test_all_volumes_have_one_grey_scale_and_their_labels(volume):
    figure = plot.slices({"wbp": volume, "tv": volume / 2, "cn": -volume})
    limits = {axes.images[0].get_clim() for axes in panels(figure)}
    assert len(limits) == 1
    low, high = limits.pop()
    assert low < -volume[2].min()
    assert high > volume[2].max() / 2
    assert [axes.get_title() for axes in panels(figure) if axes.get_title()] == ["wbp", "tv", "cn"]


def test_a_grey_scale_given_is_taken_and_the_bar_says_what_lies_beyond(volume):
    figure = plot.slices(volume, grey=(100, 20000))
    assert panels(figure)[0].images[0].get_clim() == (100, 20000)
    bar = next(axes for axes in figure.axes if not axes.images)
    assert bar._colorbar.extend == "both"
    assert next(a for a in plot.slices(volume, grey=(-1, 1e6)).axes if not a.images)._colorbar.extend == "neither"


def test_a_single_hot_voxel_does_not_take_the_scale(volume):
    wide = np.tile(volume, (1, 4, 4))
    wide[2, 4, 8] = 1e9
    assert panels(plot.slices(wide, at=(2, 4, 8)))[0].images[0].get_clim()[1] < 1e5


def test_differences_to_a_volume_or_to_one_of_those_given(volume):
    for volumes, reference, name in (
        ({"tv": volume + 2, "wbp": volume - 3}, volume, "reference"),
        ({"tv": volume + 2, "truth": volume, "wbp": volume - 3}, "truth", "truth"),
    ):
        figure = plot.slices(volumes, reference=reference)
        titles = [axes.get_title() for axes in panels(figure) if axes.get_title()]
        assert titles == [name, "tv", "wbp", f"tv − {name}", f"wbp − {name}"]
        by_title = {axes.get_title(): axes for axes in panels(figure)}
        np.testing.assert_array_equal(image(by_title[f"tv − {name}"]), np.full(SHAPE[1:], 2.0))
        np.testing.assert_array_equal(image(by_title[f"wbp − {name}"]), np.full(SHAPE[1:], -3.0))
        low, high = by_title[f"tv − {name}"].images[0].get_clim()
        assert (low, high) == (-3, 3)
        # the scale of the volumes is the reference's, whatever the others hold
        shown = [volume[2], volume[:, 4], volume[:, :, 8]]
        expected = (min(s.min() for s in shown), max(s.max() for s in shown))
        assert by_title["tv"].images[0].get_clim() == expected


def test_torch_tensors_of_any_type_are_shown_as_arrays_are(volume):
    expected = [image(axes) for axes in panels(plot.slices(volume))]
    tensor = torch.from_numpy(volume)
    for given in (tensor, tensor.clone().requires_grad_(), tensor.double(), tensor.to(torch.int32)):
        for found, axes in zip(expected, panels(plot.slices(given)), strict=True):
            np.testing.assert_array_equal(image(axes), found)
    small = torch.zeros(SHAPE, dtype=torch.bfloat16)
    small[2] = 0.5
    assert image(panels(plot.slices(small))[0]).max() == 0.5


def test_of_a_volume_in_a_file_only_the_planes_are_read(volume):
    class File:
        shape, dtype = SHAPE, volume.dtype

        def __init__(self):
            self.read = 0

        def __getitem__(self, key):
            found = volume[key]
            self.read += found.size
            return found

    file = File()
    plot.slices(file)
    assert file.read == SHAPE[1] * SHAPE[2] + SHAPE[0] * SHAPE[2] + SHAPE[0] * SHAPE[1]


def test_a_reconstruction_brings_its_name_and_a_scale_bar(reconstruction):
    first = panels(plot.slices(reconstruction))[0]
    assert first.get_title() == "tv"
    assert [t.get_text() for t in first.texts] == ["10 nm"]
    (bar,) = first.lines
    start, end = bar.get_xdata()
    assert (end - start) * SHAPE[2] * 2.5 == pytest.approx(10)
    assert not panels(plot.slices(reconstruction.volume))[0].lines


def test_axes_count_voxels_or_the_unit(reconstruction):
    xy, xz, _ = panels(plot.slices(reconstruction))
    assert (xy.get_ylabel(), xz.get_xlabel()) == ("y", "x")
    assert xz.get_xlim() == (-0.5, SHAPE[2] - 0.5)
    xy, xz, _ = panels(plot.slices(reconstruction, axes="unit"))
    assert (xy.get_ylabel(), xz.get_xlabel()) == ("y (nm)", "x (nm)")
    assert xz.get_xlim() == (-0.5 * 2.5, (SHAPE[2] - 0.5) * 2.5)
    assert xy.get_ylim() == ((SHAPE[1] - 0.5) * 2.5, -0.5 * 2.5)  # downwards


def test_a_reconstruction_shows_itself_with_its_std(reconstruction, volume):
    assert len(panels(reconstruction.plot())) == 3
    sure = Reconstruction(volume, reconstruction.geometry, std=np.full(SHAPE, 0.25), provenance={"method": "diffusion"})
    figure = sure.plot(at=AT)
    titles = [axes.get_title() for axes in panels(figure) if axes.get_title()]
    assert titles == ["diffusion", "std of diffusion"]
    np.testing.assert_array_equal(image(panels(figure)[0]), volume[AT[0]])
    assert np.all(image(panels(figure)[3]) == 0.25)
    assert len(panels(sure.plot(std=False))) == 3


def test_many_columns_stand_below_their_reference(volume):
    figure = plot.slices({str(i): volume * i for i in range(8)}, reference="0", title="eight")
    assert len(panels(figure)) == 3 * (8 + 7)
    width, height = figure.get_size_inches()
    assert width < 16
    assert height < 12
    boxes = [axes.get_position() for axes in figure.axes]
    for i, a in enumerate(boxes):
        assert 0 <= a.x0 < a.x1 <= 1
        assert 0 <= a.y0 < a.y1 <= 1
        assert not any(a.overlaps(b) for b in boxes[:i])


def test_bad_voxels_are_red_and_a_constant_volume_is_shown(volume):
    volume[2, 1, 1] = np.nan
    axes = panels(plot.slices(volume, at=(2, 4, 8)))[0]
    shown = axes.images[0]
    assert tuple(shown.to_rgba(shown.get_array())[1, 1]) == (1.0, 0.0, 0.0, 1.0)
    low, high = panels(plot.slices(np.ones(SHAPE)))[0].images[0].get_clim()
    assert low < 1 < high


def test_a_figure_is_drawn_in_a_notebook_and_written(volume, tmp_path):
    figure = plot.slices(volume)
    assert figure._repr_png_()[:4] == PNG
    figure.savefig(tmp_path / "slices.png")
    assert (tmp_path / "slices.png").read_bytes()[:4] == PNG


def test_nothing_global_of_matplotlib_is_touched():
    code = (
        "import matplotlib; before = matplotlib.rcParams.copy(), matplotlib.get_backend(auto_select=False)\n"
        "import sys, numpy as np, tomoprior\n"
        "tomoprior.plot.slices({'a': np.eye(8)[None] * np.ones((4, 1, 1))}, reference=np.ones((4, 8, 8)))._repr_png_()\n"
        "tomoprior.plot.residuals([0.1, 0.2], [0.0, 0.1])._repr_png_()\n"
        "assert 'matplotlib.pyplot' not in sys.modules and 'torch' not in sys.modules\n"
        "assert before == (matplotlib.rcParams.copy(), matplotlib.get_backend(auto_select=False))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({},), "no volume to show"),
        ((np.ones((3, 4)),), r"needs three axes \(z, y, x\)"),
        ((np.ones((0, 3, 4)),), "needs three axes"),
        (({"a": np.ones((2, 3, 4)), "b": np.ones((2, 3, 5))},), r"b has shape \(2, 3, 5\), a \(2, 3, 4\)"),
        ((np.full((2, 3, 4), np.nan),), "no finite value"),
        ((np.ones((2, 3, 4), complex),), "real numbers, got dtype complex"),
        (("volume.mrc",), "needs three axes"),
        (([[[1, 2], [3]]],), "must be an array, got list"),
    ],
)
def test_what_cannot_be_shown_is_said_in_a_line(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        plot.slices(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at": (5, 0, 0)}, "z = 5 does not exist: there are 5 planes, counted from 0"),
        ({"at": (0, 0, -1)}, "x = -1 does not exist"),
        ({"at": (0.5, 0, 0)}, "three whole numbers"),
        ({"at": 3}, "three whole numbers"),
        ({"grey": (1, 1)}, "a lower and a higher number"),
        ({"grey": 3}, "two numbers"),
        ({"grey": (0, np.inf)}, "a lower and a higher number"),
        ({"reference": "truth"}, "no volume is called 'truth'"),
        ({"reference": "a"}, "nothing to compare"),
        ({"reference": np.ones((2, 2, 2))}, r"reference has shape \(2, 2, 2\), a \(5, 9, 16\)"),
        ({"axes": "unit"}, "need a Reconstruction with a voxel size"),
        ({"axes": "nm"}, "axes must be voxel or unit"),
        ({"std": True}, "no volume shown has a standard deviation"),
    ],
)
def test_wrong_options_are_said_in_a_line(volume, options, message):
    with pytest.raises(InputError, match=message) as caught:
        plot.slices({"a": volume}, **options)
    assert "\n" not in str(caught.value)


def test_voxels_of_different_sizes_are_not_put_on_one_scale(volume, reconstruction):
    other = Reconstruction(volume, Geometry([0.0], SHAPE, voxel_size=5.0, unit="nanometer"))
    with pytest.raises(InputError, match=r"voxels of 5 nm \(b\) and of 2.5 nm \(a\)"):
        plot.slices({"a": reconstruction, "b": other})
    assert tomoprior.plot is plot
