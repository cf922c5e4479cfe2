"""Methods are found by name; plug-ins with the members' old names keep working."""

import pytest

from tomoprior import methods, plugins
from tomoprior.methods.classical.sirt import SIRT


class OldPlugin:
    """The members of a method before they were renamed."""

    name = "old"

    def work(self, geometry, settings):
        return 3.0

    def carried(self, result, settings, folder):
        return {"reg_par": 2.0}

    def within(self, settings, rows):
        return (settings, rows)


@pytest.fixture
def old_plugin(monkeypatch):
    monkeypatch.setattr(plugins, "names", lambda group: ["old"])
    monkeypatch.setattr(plugins, "load", lambda group, name: OldPlugin)


def test_members_with_their_old_names_work_and_are_warned_of(old_plugin):
    with pytest.warns(DeprecationWarning, match="is now called") as caught:
        method = methods.get("old")
    assert method.cost_in_pairs(None, None) == 3.0
    assert method.settings_from_pilot(None, None, None) == {"reg_par": 2.0}
    assert method.settings_for_rows("settings", range(4)) == ("settings", range(4))
    assert [str(w.message).partition(";")[0] for w in caught] == [
        "method old: OldPlugin.work is now called cost_in_pairs",
        "method old: OldPlugin.carried is now called settings_from_pilot",
        "method old: OldPlugin.within is now called settings_for_rows",
    ]


def test_members_of_a_family_are_adapted_too(monkeypatch):
    class Family:
        def members(self):
            return ["old"]

        def get(self, member):
            return OldPlugin()

    monkeypatch.setattr(plugins, "names", lambda group: ["family"])
    monkeypatch.setattr(plugins, "load", lambda group, name: Family)
    assert methods.available() == ["family.old"]
    with pytest.warns(DeprecationWarning, match="now called"):
        assert methods.get("family.old").cost_in_pairs(None, None) == 3.0


def test_a_method_with_both_names_keeps_its_own(monkeypatch):
    class Both(OldPlugin):
        carried = within = None

        def cost_in_pairs(self, geometry, settings):
            return 5.0

        settings_from_pilot = settings_for_rows = None

    monkeypatch.setattr(plugins, "names", lambda group: ["both"])
    monkeypatch.setattr(plugins, "load", lambda group, name: Both)
    assert methods.get("both").cost_in_pairs(None, None) == 5.0


def test_a_current_method_is_returned_as_it_is():
    method = methods.get("sirt")
    assert type(method) is SIRT
    assert vars(method) == {}
