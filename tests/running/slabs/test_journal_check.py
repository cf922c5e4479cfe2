"""The comparison of a run with the record of an unfinished one."""

from __future__ import annotations

import pytest

from tomoprior.errors import InputError
from tomoprior.running.slabs.journal import Journal


def test_a_value_of_none_and_one_that_is_missing_differ(tmp_path):
    journal = Journal(tmp_path / "v.mrc")
    with pytest.raises(InputError, match="another settings: extra"):
        journal.check({"settings": {"num_iter": 3}}, {"settings": {"num_iter": 3, "extra": None}})
