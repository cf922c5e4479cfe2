"""Public names of the last release: each still works, with a warning that gives its new name."""

import importlib

import pytest

from tomoprior.deprecation import deprecated_names

RENAMED = [
    ("tomoprior.metrics", "matched", "match_scale"),
    ("tomoprior.metrics", "measured", "measured_region"),
    ("tomoprior.metrics", "split", "split_measured"),
    ("tomoprior.simulate", "Microscope", "MicroscopeSettings"),
    ("tomoprior.simulate", "available", "list_phantoms"),
    ("tomoprior.simulate", "get", "get_phantom"),
    ("tomoprior.simulate", "save", "save_simulation"),
    ("tomoprior.formats", "replacing", "replace_atomically"),
]


@pytest.mark.parametrize(("module", "old", "new"), RENAMED)
def test_an_old_name_gives_the_new_object_and_a_warning(module, old, new):
    module_object = importlib.import_module(module)
    with pytest.warns(DeprecationWarning, match=f"{module}.{old} is called {module}.{new} now"):
        assert getattr(module_object, old) is getattr(module_object, new)
    assert old not in module_object.__all__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'rsme'"):
        deprecated_names("tomoprior.metrics", {})("rsme")
