"""Features of all settings: old names, ``none`` as a word, and descriptions in the docstrings."""

import inspect
import warnings
from typing import Any, ClassVar

import pytest
from pydantic import Field

import tomoprior
from tomoprior import methods
from tomoprior.errors import SettingsError
from tomoprior.settings import Settings, document_settings


class Renamed(Settings):
    """Settings with an old name."""

    renamed: ClassVar[dict[str, str]] = {"old": "new"}
    new: float | None = Field(1.5, description="A number.")


@pytest.mark.parametrize("make", [Renamed.parse, lambda values: Renamed(**values), Renamed.model_validate])
def test_an_old_name_works_with_a_warning(make):
    with pytest.warns(DeprecationWarning, match="setting old is now called new; the old name works for one release"):
        assert make({"old": 2.0}).new == 2.0
    with pytest.warns(DeprecationWarning, match="now called"):
        assert Renamed.parse({"old": "none"}).new is None


def test_a_current_name_warns_of_nothing_and_values_are_not_changed():
    values: dict[str, Any] = {"new": "3"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Renamed.parse(values).new == 3
    assert values == {"new": "3"}


@pytest.mark.parametrize("values", [{"old": 1, "new": 2}, {"new": 2, "old": 1}])
def test_an_old_and_a_new_name_together_are_refused(values):
    with pytest.raises(SettingsError, match="old is the old name of new, and both are given; give new"):
        Renamed.parse(values)


def test_a_docstring_has_every_setting_with_its_description_and_default():
    assert Renamed.__doc__ == "Settings with an old name.\n\nParameters\n----------\nnew\n    A number. Default: 1.5."


def test_a_methods_docstring_ends_in_its_settings():
    @document_settings
    class Method:
        """A method."""

        Settings = Renamed

    assert Method.__doc__ == "A method.\n\nSettings\n--------\nnew\n    A number. Default: 1.5."


@pytest.mark.parametrize("name", ["wbp", "fourier", "sirt", "sart", "cgls", "tikhonov", "tv", "cn"])
def test_the_help_of_a_method_describes_all_its_settings(name):
    method = methods.get(name)
    text = " ".join(inspect.getdoc(type(method)).split())
    for fields in method.Settings.fields_by_group().values():
        for setting, field in fields.items():
            assert f"{setting} {' '.join(field.description.split())} Default: {field.default!r}." in text


def test_classes_of_methods_are_attributes_of_the_module():
    assert tomoprior.methods.TV is type(methods.get("tv"))
    with pytest.raises(AttributeError, match="Nothing"):
        tomoprior.methods.Nothing  # noqa: B018
