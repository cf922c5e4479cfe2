"""The arguments of a comparison, checked alone."""

from __future__ import annotations

import pytest

from tomoprior.comparison.arguments import select_checks
from tomoprior.errors import UnknownNameError


@pytest.mark.parametrize("names", [["halves", "held_out"], "halves,held-out", " halves, ,held-out,"])
def test_checks_run_in_one_order_whatever_the_order_of_their_names(names):
    assert select_checks(names) == ("held_out", "halves")


def test_no_name_is_no_check():
    assert select_checks("") == select_checks([]) == ()
    with pytest.raises(UnknownNameError, match="did you mean planted"):
        select_checks("halves,plantd")
