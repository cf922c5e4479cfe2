"""Tiles along one axis: they cover it, and their shares sum to one."""

from itertools import pairwise

import pytest
import torch

from tomoprior.methods.learning.tiles import axis_tiles, mirror_indices


@pytest.mark.parametrize(("length", "tile", "overlap"), [(24, 24, 8), (25, 24, 8), (97, 24, 8), (100, 16, 5), (64, 16, 0)])
def test_shares_of_tiles_sum_to_one_everywhere(length, tile, overlap):
    total, count = torch.zeros(length), torch.zeros(length)
    tiles = axis_tiles(length, tile, overlap, total)
    for box, share in tiles:
        assert box.stop - box.start == len(share) == tile
        assert 0 <= box.start < box.stop <= length
        assert float(share.min()) > 0
        total[box] += share
        count[box] += 1
    torch.testing.assert_close(total, torch.ones(length))
    assert float(count.min()) >= 1
    assert all(second[0].start <= first[0].stop - overlap for first, second in pairwise(tiles))


def test_an_axis_continues_as_its_mirror_image():
    assert mirror_indices(3, 10, torch.device("cpu"), 2).tolist() == [1, 0, 0, 1, 2, 2, 1, 0, 0, 1]
