"""Compiled functions are kept in the user's folder, not in the package's."""

import os
import subprocess
import sys
from pathlib import Path

import tomoprior.adapters.numba

SCRIPT = """
import numba, numpy as np, tomoprior
geometry = tomoprior.Geometry(np.deg2rad([-30, 0, 30]), (8, 4, 8))
tomoprior.Projector(geometry, "cpu", backend="numba")(np.ones(geometry.shape, np.float32))
print(repr(numba.config.CACHE_DIR))
"""


def test_a_product_leaves_no_files_beside_the_source(tmp_path):
    """Files there would outlive the package and hide an editable install of it."""
    package = Path(tomoprior.adapters.numba.__file__).parent
    before = set(package.rglob("*.nb[ic]"))
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | {"XDG_CACHE_HOME": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment, check=True)
    assert set(package.rglob("*.nb[ic]")) == before
    assert list((tmp_path / "tomoprior" / "numba").rglob("*.nbi"))
    assert ran.stdout.strip() == "''"  # the user's own functions are cached where Numba puts them
