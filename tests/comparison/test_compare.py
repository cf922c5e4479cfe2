"""What a comparison as a whole says, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import tomoprior
import tomoprior.comparison
from tomoprior import Geometry, TiltSeries, metrics
from tomoprior.comparison.arguments import check_voxel_size
from tomoprior.comparison.evidence.planted import make_spheres
from tomoprior.comparison.evidence.prediction import compare_with_prediction
from tomoprior.errors import FormatError, InputError, OutputExistsError, SettingsError, UnknownNameError
from tomoprior.reconstruction import Reconstruction

from .conftest import ANGLES, SHAPE, named

#: Without trials, unless a test wants them.
compare = partial(tomoprior.comparison.compare, tune=False)


def test_every_method_sees_the_same_and_gives_what_it_gives_alone(found, made):
    series, truth = made
    alone = tomoprior.reconstruct(series, "sirt", num_iter=60, min_constraint=0, pad=0)
    np.testing.assert_array_equal(found["sirt"].volume, alone.volume)
    assert found["sirt"].evidence["truth"]["psnr"] == pytest.approx(metrics.psnr(alone.volume, truth))
    assert found["sirt"].settings["num_iter"] == 60
    assert [e.status for e in found.entries] == ["done", "done"]


def test_an_entry_says_what_its_run_chose(series):
    """Rays at 60 degrees need (14 + 10 sin 60) / cos 60 - 14 = 31 voxels beside 28; a quarter of the width is the most."""
    settings = {"free": {"num_iter": 2}, "given": {"num_iter": 2, "pad": 5}, "rule": {"num_iter": 2, "reg_par": "auto"}}
    result = compare(series, ["free=sirt", "given=sirt", "rule=tv"], settings=settings, isolate=False, checks=[])
    assert result["free"].settings["pad"] == "auto"
    assert result["free"].settled == {"pad": 7}
    assert result["given"].settled == {}
    assert result["rule"].settled["pad"] == 7
    assert result["rule"].settled["reg_par"] > 0


def test_ranks_by_truth_and_by_held_out_tilts(found):
    by_truth, by_tilts = found.rankings
    assert by_truth.groups == by_tilts.groups == (("sirt",), ("wbp",))
    assert by_truth.by.startswith("the truth")
    assert any("sirt" in sentence and "held-out tilts" in sentence for sentence in found.summary)


def test_held_out_tilts_are_those_of_the_series_and_were_not_seen(found, made):
    series, _ = made
    evidence = found["sirt"].evidence["held_out"]
    keep = np.setdiff1d(np.arange(len(ANGLES)), evidence["views"])
    assert 0 not in evidence["views"]
    assert len(ANGLES) - 1 not in evidence["views"]
    volume = tomoprior.reconstruct(series.select(keep), "sirt", num_iter=60, min_constraint=0, pad=0).volume
    test = series.select(np.array(evidence["views"]))
    projector = tomoprior.Projector(test.geometry)
    ones = projector(np.ones_like(volume))
    tilts = [compare_with_prediction(*tilt) for tilt in zip(test.projections, projector(volume), ones, strict=True)]
    assert evidence["squares"] == pytest.approx([tilt.square for tilt in tilts], rel=1e-4)
    assert evidence["error"] == pytest.approx(np.sqrt(np.mean(evidence["squares"])))
    assert np.all(np.abs(np.array(evidence["scales"]) - 1) < 0.1)
    assert np.abs(evidence["shifts"]).max() < 0.2  # of data without misalignment


def test_a_scan_of_one_slice_is_judged_like_any_other(series):
    one = TiltSeries(series.projections[:, 8:9], Geometry(ANGLES, (20, 1, 28)))
    entry = compare(one, ["wbp"], isolate=False, checks=["held_out", "halves"])["wbp"]
    assert (entry.status, entry.message) == ("done", "")
    assert 0 < entry.evidence["held_out"]["error"] < 1


def test_planted_objects_are_found_where_they_are(found):
    planted = found["sirt"].evidence["planted"]
    assert planted["found"] == planted["of"] >= 1
    assert max(planted["displaced"]) < 1.0
    assert 0.5 < planted["contrast"] < 1.1
    assert np.abs(planted["controls"]).max() < 0.1
    assert planted["invented"] < 0.3
    objects = make_spheres(found.planted, SHAPE).volume(SHAPE)
    assert np.corrcoef(found["sirt"].response.ravel(), objects.ravel())[0, 1] > 0.8


def test_without_a_truth_nothing_is_said_of_one(series):
    result = compare(series, ["wbp", "cgls"], isolate=False, checks=["held-out"])
    assert result.truth is None
    assert len(result.rankings) == 1
    for entry in result.entries:
        assert set(entry.evidence) == {"residual", "inferred", "held_out", "agreement"}
        assert entry.evidence["inferred"]["truth_share"] is None


def test_a_bad_tilt_is_named(series):
    spoilt = series.projections.copy()
    spoilt[9] += 2 * spoilt.std()
    result = compare(replace(series, projections=spoilt), ["cgls", "sirt"], isolate=False, checks=[])
    assert all(e.evidence["residual"]["outliers"] == [9] for e in result.entries)
    assert any("--exclude 9" in sentence for sentence in result.summary)


def test_one_that_fails_is_in_its_row_and_the_others_go_on(series):
    def broken(self, *arguments):
        raise ZeroDivisionError("no luck")

    def infinite(self, projections, projector, settings, progress):
        return projector.T(projections) * np.inf

    result = compare(
        series, [named("broken", volume=broken), named("infinite", volume=infinite), "cgls"], isolate=False, checks=["held_out"]
    )
    assert [e.status for e in result.entries] == ["failed", "failed", "done"]
    assert result["broken"].message == "ZeroDivisionError: no luck"
    assert "not finite" in result["infinite"].message
    assert result.done == (result["cgls"],)
    assert "broken" in result.summary[0]


def test_a_check_that_fails_leaves_the_volume(series):
    def moody(self, projections, projector, settings, progress):
        if projector.geometry.n_angles < len(ANGLES):
            raise RuntimeError("all tilts or none")
        return projector.T(projections)

    result = compare(series, [named("moody", volume=moody)], isolate=False)
    entry = result["moody"]
    assert entry.status == "done"
    assert entry.volume is not None
    assert "held-out: RuntimeError: all tilts or none" in entry.message
    assert "planted" in entry.evidence
    assert "halves" not in entry.evidence


def test_alike_methods_are_not_told_apart(series, truth):
    def noisy(seed):
        def volume(self, projections, projector, settings, progress):
            import torch

            x = type(self).__mro__[1].volume(self, projections, projector, settings, progress)
            return x + 0.05 * x.std() * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))

        return volume

    methods = [named(f"noisy{i}", volume=noisy(i)) for i in range(3)]
    result = compare(series, methods, truth=truth, isolate=False, checks=["held_out"])
    assert len(result.rankings[0].groups[0]) == 3
    assert any("the methods cannot be ranked" in sentence for sentence in result.summary)


def test_an_object_is_not_invented_by_an_honest_method_and_is_seen_where_one_invents(series):
    def dreamer(self, projections, projector, settings, progress):
        x = type(self).__mro__[1].volume(self, projections, projector, settings, progress)
        if float(projections.sum()) > float(series.projections.sum()) + 1:  # what is planted it shows in another place too
            x[2:5, 2:5, 2:5] += 10 * x.abs().max()
        return x

    result = compare(series, [named("dreamer", volume=dreamer), named("honest")], isolate=False, checks=["planted"])
    assert result["dreamer"].evidence["planted"]["invented"] > 1 > result["honest"].evidence["planted"]["invented"]


def test_one_method_twice_with_other_settings(series):
    result = compare(
        series, ["few=sirt", "many=sirt"], settings={"few": {"num_iter": 2}, "many": {"num_iter": 30}}, isolate=False, checks=[]
    )
    few, many = (result[label].evidence["residual"]["total"] for label in ("few", "many"))
    assert many < few
    assert result["few"].method == "sirt"


def test_a_mask_is_for_all(series):
    mask = np.zeros((SHAPE[0], SHAPE[2]), np.float32)
    mask[4:-4, 6:-6] = 1
    result = compare(series, ["sirt", "cgls"], mask=mask, isolate=False, checks=[])
    for entry in result.entries:
        assert not entry.volume[~np.broadcast_to(mask[:, None] > 0, SHAPE)].any()
        assert entry.volume.any()


def few(series: TiltSeries, n: int) -> TiltSeries:
    return series.select(np.arange(n))


@pytest.mark.parametrize(
    ("change", "arguments", "error", "message"),
    [
        (None, {"methods": ["sirtt"]}, UnknownNameError, "did you mean sirt"),
        (None, {"methods": []}, InputError, "no method"),
        (None, {"methods": ["sirt", "sirt"]}, InputError, "named twice"),
        (None, {"settings": {"sirt": {"iterations": 3}}}, SettingsError, "sirt: no setting is called 'iterations'"),
        (None, {"settings": {"tv": {"num_iter": 3}}}, SettingsError, "no method in this comparison is called 'tv'"),
        (None, {"checks": ["heldout"]}, UnknownNameError, "did you mean held_out"),
        (None, {"budget": 0}, SettingsError, "positive"),
        (None, {"truth": np.ones((3, 3, 3))}, InputError, r"truth has shape \(3, 3, 3\)"),
        (None, {"truth": np.ones(SHAPE)}, InputError, "1 throughout"),
        (None, {"volumes": "mrc"}, SettingsError, "only with out"),
        (None, {"mask": np.ones((3, 3))}, InputError, "a mask needs shape"),
        (None, {"mask": np.full(SHAPE, 0.5)}, InputError, "0 and 1 only"),
        (lambda s: few(s, 1), {}, InputError, "one tilt"),
        (lambda s: replace(s, projections=np.ones_like(s.projections)), {}, InputError, "1 throughout"),
        (lambda s: replace(s, projections=np.full_like(s.projections, np.nan)), {}, InputError, "NaN"),
    ],
)
def test_what_is_refused_before_any_work(series, change, arguments, error, message):
    changed = series if change is None else change(series)
    with pytest.raises(error, match=message):
        compare(changed, **{"methods": ["sirt"], "isolate": False, **arguments})


def test_a_truth_of_another_voxel_size_is_refused(series, truth):
    other = Reconstruction(truth, Geometry(ANGLES, SHAPE, voxel_size=2.0, unit="nanometer"))
    with pytest.raises(InputError, match="2 nanometer, the grid's 10 angstrom"):
        compare(series, ["sirt"], truth=other)
    same = Reconstruction(truth, Geometry(ANGLES, SHAPE, voxel_size=1.0, unit="nanometer"))
    assert compare(series, ["wbp"], truth=same, isolate=False, checks=[])["wbp"].evidence["truth"]["psnr"] > 5


def test_voxel_sizes_may_differ_by_a_thousandth():
    geometry = Geometry(ANGLES, SHAPE, voxel_size=10.0, unit="angstrom")
    check_voxel_size(1.0009, "nanometer", geometry)
    with pytest.raises(InputError, match="must agree"):
        check_voxel_size(1.0011, "nanometer", geometry)


def test_few_tilts_leave_checks_out_and_say_so(series):
    result = compare(few(series, 3), ["cgls"], isolate=False)
    assert set(result.about["left_out"]) == {"held_out", "halves"}
    assert result["cgls"].status == "done"


def test_a_folder_of_something_else_is_left_alone(series, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputExistsError, match="something else"):
        compare(series, ["wbp"], out=tmp_path, isolate=False)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(OutputExistsError, match="a file"):
        compare(series, ["wbp"], out=tmp_path / "thesis.tex", isolate=False)


def test_two_at_once_in_one_folder(series, tmp_path):
    def second(self, projections, projector, settings, progress):
        with pytest.raises(FormatError, match=r"process \d+ on .* compares there"):
            compare(series, ["wbp"], out=tmp_path / "out", isolate=False)
        return projector.T(projections)

    result = compare(series, [named("first", volume=second)], out=tmp_path / "out", isolate=False, checks=[])
    assert result["first"].status == "done"
