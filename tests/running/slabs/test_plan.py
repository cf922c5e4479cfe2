"""Slabs cover all rows once, see their halo, and fit into the memory that there is."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tomoprior import Geometry, methods
from tomoprior.errors import InputError
from tomoprior.projector import ProjectorOptions
from tomoprior.running.slabs import plan
from tomoprior.running.slabs.plan import choose_rows, estimate_cost, halo_rows, plan_slabs, split_rows


def geometry(ny: int, shifts: float = 0.0) -> Geometry:
    moved = np.tile([[shifts, 0.0], [-shifts, 0.1]], (4, 1)) if shifts else None
    return Geometry(np.deg2rad(np.linspace(-60, 60, 8)), (8, ny, 16), shifts=moved)


@pytest.mark.parametrize("around", [0, 1, 5, 16])
@pytest.mark.parametrize("rows", [1, 7, 32, 1000])
@pytest.mark.parametrize("ny", [1, 31, 32, 33, 100, 257])
def test_slabs_cover_every_row_once_and_see_their_halo(ny, rows, around):
    made = split_rows(geometry(ny), rows, around)
    owned = [y for slab in made.slabs for y in range(slab.start, slab.stop)]
    assert owned == list(range(ny))
    for slab in made.slabs:
        assert slab.first == max(0, slab.start - around)
        assert slab.last == min(ny, slab.stop + around)
        assert slab.rows == slice(slab.start - slab.first, slab.stop - slab.first)
    for border in made.borders:
        before, after = (
            next(s for s in made.slabs if s.stop == border),
            next(s for s in made.slabs if s.start == border),
        )  # fmt: skip
        # both have what is blended, and no row is blended twice
        assert before.last >= border + made.blend
        assert after.first <= border - made.blend
        assert before.stop - before.start >= made.blend * (1 if before.number == 0 else 2)
        assert after.stop - after.start >= made.blend


def test_the_highest_slab_that_fits_is_a_multiple_of_a_shards_rows():
    def needed(rows):
        return 1000 * rows

    assert choose_rows(geometry(2048), 0, needed, 10**9, 1) == 96
    assert choose_rows(geometry(2048), 0, needed, 90_000, 1) == 64
    assert choose_rows(geometry(2048), 16, needed, 10**9, 1) == 128
    assert choose_rows(geometry(2048), 0, needed, 20_000, 1) == 20
    assert choose_rows(geometry(90), 0, needed, 10**9, 1) == 90
    assert choose_rows(geometry(90), 0, needed, 70_000, 1) == 64
    # a halo of 16 on either side; the last slab has one halo, so that a rest that it takes in does not make it the tallest
    assert choose_rows(geometry(2048), 16, needed, 96_000, 1) == 64
    assert choose_rows(geometry(2048), 16, needed, 95_999, 1) == 32
    assert choose_rows(geometry(2048 + 15), 16, needed, 96_000, 1) == 64
    # two slabs of 64 rows have one halo each
    assert choose_rows(geometry(128), 16, needed, 80_000, 1) == 64
    assert choose_rows(geometry(128), 16, needed, 79_999, 1) == 32
    # several workers should all have something to do
    assert choose_rows(geometry(512), 0, needed, 10**9, 4) == 32


def test_too_little_memory_is_told_with_a_way_out():
    with pytest.raises(InputError, match=r"a slab of 1 row\(s\) needs 1000 B .* each worker has 500 B: .*--bin"):
        choose_rows(geometry(64), 0, lambda rows: 1000 * rows, 500, 1)
    # 4 rows are blended at either end: 8 own rows, and a halo of 8 on either side
    with pytest.raises(InputError, match=r"a slab of 8 row\(s\) needs 23.4 KiB .* each worker has 23.4 KiB") as refusal:
        choose_rows(geometry(64), 8, lambda rows: 1000 * rows, 23_999, 1)
    assert choose_rows(geometry(64), 8, lambda rows: 1000 * rows, 24_000, 1) == 8
    assert "24" not in str(refusal.value)
    with pytest.raises(InputError, match="at least one row"):
        plan_slabs(geometry(64), methods.get("sirt"), methods.get("sirt").Settings(), ProjectorOptions(), slab=0)


def test_the_budget_is_shared_among_the_workers():
    method = methods.get("sirt")
    whole, settings = Geometry(np.deg2rad(np.linspace(-60, 60, 31)), (128, 512, 128)), method.Settings()
    rows = []
    for workers in (1, 2, 4):
        made = plan_slabs(whole, method, settings, ProjectorOptions("cpu"), workers=workers, budget=280 << 20)
        rows.append(made.rows)
        taken = estimate_cost(made, whole, method, settings, ProjectorOptions("cpu"))
        assert taken.memory <= (280 << 20) / workers
    assert rows[0] > rows[1] > rows[2]


def test_the_halo_is_what_the_method_asks_for_and_what_shifts_reach():
    sirt, tv, tikhonov = (methods.get(name) for name in ("sirt", "tv", "tikhonov"))
    assert halo_rows(geometry(64), sirt, sirt.Settings()) == 0
    assert halo_rows(geometry(64, 2.5), sirt, sirt.Settings()) == 4
    assert halo_rows(geometry(64), tv, tv.Settings()) == 16
    assert halo_rows(geometry(64, 2.5), tv, tv.Settings()) == 20
    assert halo_rows(geometry(64), tikhonov, tikhonov.Settings(order=0)) == 16


def test_a_method_that_couples_slices_must_say_how_far():
    class Mine:
        name, couples_slices = "mine", True

    with pytest.raises(InputError, match="mine couples slices"):
        halo_rows(geometry(8), Mine(), None)  # type: ignore[arg-type]


def test_a_large_volume_is_planned_at_once():
    method = methods.get("sirt")
    angles = np.deg2rad(np.linspace(-90, 90, 1800, endpoint=False))
    large = Geometry(angles, (2048, 2048, 2048), center=np.linspace(1020, 1028, 2048).round())
    started = time.perf_counter()
    options = ProjectorOptions("cpu", backend="astra-2d")
    made = plan_slabs(large, method, method.Settings(), options, budget=64 << 30)
    assert len(made.slabs) >= 8
    assert plan.halo_rows(large, method, method.Settings()) == 0
    assert time.perf_counter() - started < 10  # it takes a tenth of that on an idle machine
