"""Tiles leave no seam, and a volume that is one tile is the network's own."""

import pytest
import torch

from tomoprior.methods.wedge.network import FillNetwork
from tomoprior.methods.wedge.prediction import predict


@pytest.fixture
def network():
    """A network with large random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = FillNetwork(8, 2)
        for p in made.parameters():
            torch.nn.init.normal_(p, std=0.08)
    return made.eval().requires_grad_(False)


def smooth(*shape):
    x = torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.avg_pool3d(torch.nn.functional.pad(x, 6 * (2,), mode="circular"), 5, 1)[0, 0] * 5


def test_a_volume_of_one_tile_is_the_networks_own(network):
    volume = smooth(24, 32, 28)
    torch.testing.assert_close(predict(network, volume, 32), network(volume[None])[0], rtol=0, atol=1e-5)


def test_a_network_that_changes_nothing_leaves_the_volume_as_it_is():
    made = FillNetwork(4, 2)  # which it does before its first step
    volume = smooth(37, 45, 70)
    torch.testing.assert_close(predict(made, volume, 24), volume, rtol=0, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_tiles_leave_no_seam(network, axis):
    """Steps where a tile begins or ends are no larger than elsewhere, though the network pads each tile with zeros."""
    shape = [24, 24, 24]
    shape[axis] = 120
    volume = smooth(*shape)
    change = predict(network, volume, 24) - volume
    assert float(change.std()) > 0.05 * float(volume.std())
    steps = change.diff(dim=axis).abs().mean([i for i in range(3) if i != axis])
    borders = sorted({b for first in range(0, 97, 16) for b in (first, first + 24)} - {0, 120})
    at_border = torch.stack([steps[b - 1] for b in borders if b < 120])
    inner = steps[4:-4]
    assert float(at_border.mean()) < 1.1 * float(inner.mean())
    assert float(at_border.max()) < 1.2 * float(inner.max())


def test_tiles_agree_with_the_whole(network):
    volume = smooth(24, 24, 96)
    whole, tiled = network(volume[None])[0] - volume, predict(network, volume, 48) - volume
    assert float((tiled - whole).norm() / whole.norm()) < 0.25
