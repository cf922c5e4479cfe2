"""The methods of a comparison, their names in it and their settings."""

from __future__ import annotations

import pytest

from tomoprior.comparison.candidates import make_candidates, split_settings
from tomoprior.errors import InputError, SettingsError


def test_settings_that_the_user_gives_are_known():
    few, wbp = make_candidates("few=sirt, wbp", {"few": {"num_iter": 7}})
    assert (few.label, few.method.name, few.settings.num_iter) == ("few", "sirt", 7)
    assert few.set_by_user == {"num_iter"}
    assert (wbp.label, wbp.method.name, wbp.set_by_user) == ("wbp", "wbp", frozenset())


def test_a_value_that_tuning_chooses_is_not_the_users():
    (one,) = make_candidates(["sirt"])
    changed = one.with_values({"num_iter": 9})
    assert (changed.settings.num_iter, changed.set_by_user, one.settings.num_iter) == (9, frozenset(), 500)
    with pytest.raises(SettingsError, match="no setting is called 'iterations'"):
        one.with_values({"iterations": 9})


@pytest.mark.parametrize("label", ["../sirt", "a/b", "a b", "a:b"])
def test_a_name_becomes_a_folder_and_is_no_path(label):
    with pytest.raises(InputError, match=r"letters, digits and \._- only"):
        make_candidates([f"{label}=sirt"])


def test_names_are_given_once():
    with pytest.raises(InputError, match="sirt is named twice; give one of them a name of its own, such as sirt2=sirt"):
        make_candidates(["sirt", "sirt"])
    assert [one.label for one in make_candidates(["sirt", "sirt2=sirt", "v1.0_b-c=sirt"])] == ["sirt", "sirt2", "v1.0_b-c"]


def test_settings_go_to_the_longest_label_that_fits():
    values = {"tv.reg_par": 1, "tv.b.reg_par": 2, "tv.b.c.d": 3}
    assert split_settings(values, ["tv", "tv.b"]) == {"tv": {"reg_par": 1}, "tv.b": {"reg_par": 2, "c.d": 3}}
    for name in ("reg_par", "tv", "tvb.reg_par"):
        with pytest.raises(SettingsError, match="NAME=VALUE of a method that takes part"):
            split_settings({name: 1}, ["tv", "tv.b"])
