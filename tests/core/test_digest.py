"""Digests: the bits that earlier files hold, equal for equal content, different for different content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tomoprior import Geometry
from tomoprior.storage.digest import compute_digest, compute_file_digest


def test_plain_values_are_hashed_as_sorted_json():
    expected = hashlib.sha256(b'{"a": [1, 2.5], "b": null}').hexdigest()
    assert compute_digest({"b": None, "a": [1, 2.5]}) == expected


def test_arrays_are_hashed_by_their_values_in_c_order():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    expected = hashlib.sha256(array.tobytes()).hexdigest()
    for same in (array, np.asfortranarray(array), torch.from_numpy(array), torch.from_numpy(array.T.copy()).T):
        assert compute_digest(same) == expected
    assert compute_digest(array.T) != expected
    assert compute_digest(np.zeros((0, 3))) == hashlib.sha256(b"").hexdigest()
    assert compute_digest(np.float32(2)) == compute_digest(np.full((1,), 2, np.float32))


def test_parts_follow_one_another():
    array = np.arange(3.0)
    expected = hashlib.sha256(b'"x"' + array.tobytes() + b"none" + b"raw").hexdigest()
    assert compute_digest("x", array, None, b"raw") == expected


def test_a_value_without_a_json_form_is_refused():
    with pytest.raises(TypeError):
        compute_digest({"a": object()})


def test_a_geometry_keeps_the_digest_of_earlier_files():
    geometry = Geometry([0.0, 0.5], (2, 3, 4), center=2.1)
    expected = hashlib.sha256(json.dumps(geometry.to_dict(), sort_keys=True).encode()).hexdigest()
    assert geometry.digest() == expected


def test_a_file_has_the_digest_of_its_content(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert compute_file_digest(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()
