"""Checks of an encoder: features, derivatives, continuity, product grids, saving."""

from __future__ import annotations

from collections.abc import Callable

import torch

from tomoprior.methods.cn.encoders.base import Encoder
from tomoprior.testing._assertions import ROUNDING, require, require_close

#: A step of ``STEP`` in coordinates may change a feature by at most ``SLOPE`` times the step.
STEP, SLOPE = 1e-3, 500.0
#: Relative difference between a difference quotient in float32 and the derivative.
QUOTIENT = 0.02


def check_encoder(create: Encoder | Callable[[], Encoder], *, points: int = 300, seed: int = 0) -> None:
    """Check the properties of an encoder that a coordinate network needs.

    Features have the declared shape, are float32 and finite, and are the same at every call and for every division of the
    points; the gradients of all weights agree with difference quotients; a small step makes a small difference; a product grid
    has the features of its points; ``state_dict`` restores the encoder.

    Parameters
    ----------
    create
        A function that returns a new encoder, or an encoder. With an encoder, the check that a second one has the same initial
        weights is left out. Its coordinates belong to a grid of at least two voxels along its longest axis.
    points
        Number of points, with coordinates from -1 to 1.
    seed
        Seed of the points.

    Raises
    ------
    AssertionError
        With the fault, in one line.
    """
    encoder = create if isinstance(create, Encoder) else create()
    generator = torch.Generator().manual_seed(seed)
    device = next((t.device for t in (*encoder.parameters(), *encoder.buffers())), torch.device("cpu"))
    at = (2 * torch.rand(points, 3, generator=generator) - 1).to(device)
    _check_features(encoder, at)
    _check_gradient(encoder, at, generator)
    _check_continuity(encoder, at, generator)
    _check_product_grid(encoder, generator, device)
    if not isinstance(create, Encoder):
        _check_state(encoder, create(), at)


def _check_features(encoder: Encoder, at: torch.Tensor) -> None:
    before = at.clone()
    features = encoder(at).detach()
    shape = (len(at), encoder.out_features)
    require(tuple(features.shape) == shape, f"features have shape {tuple(features.shape)} instead of {shape}")
    require(features.dtype == torch.float32, f"features are {features.dtype}")
    require(features.device == at.device, f"features of points on {at.device} are on {features.device}")
    require(bool(torch.isfinite(features).all()), "features are not finite")
    require(torch.equal(at, before), "the encoder changes its points")
    require(torch.equal(features, encoder(at).detach()), "the same points have other features in a second call")
    require(float(features.std(0).max()) > 0, "features are the same everywhere")
    parts = torch.cat([encoder(part).detach() for part in torch.tensor_split(at, 7)])
    require_close(parts, features, ROUNDING, "features of a point depend on the other points of the call")
    require(tuple(encoder(at[:0]).shape) == (0, shape[1]), "an empty list of points does not give an empty list of features")


def _check_gradient(encoder: Encoder, at: torch.Tensor, generator: torch.Generator) -> None:
    weights = [p for p in encoder.parameters() if p.requires_grad]
    factors = torch.randn(len(at), encoder.out_features, generator=generator).to(at.device)
    for p in weights:
        p.grad = None
    value = (encoder(at) * factors).sum()
    if not weights:
        return
    value.backward()
    for name, p in encoder.named_parameters():
        require(p.grad is not None and bool(torch.isfinite(p.grad).all()), f"{name} has no gradient, or one that is not finite")
    for p in weights:
        assert p.grad is not None
        before = p.detach().clone()
        direction = torch.randn(p.shape, generator=generator).to(p.device)
        size = 1e-2 * float(p.detach().abs().mean().clamp(min=1e-3))
        expected = float((direction.double() * p.grad.double()).sum())
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                p.add_(direction, alpha=sign * size)
                values.append(float((encoder(at).double() * factors.double()).sum()))
                p.copy_(before)
        quotient = (values[0] - values[1]) / (2 * size)
        scale = float(direction.double().norm() * p.grad.double().norm())
        require(
            abs(quotient - expected) <= QUOTIENT * scale,
            f"a slope is {quotient:.4g} by differences and {expected:.4g} by gradient",
        )
        p.grad = None


def _check_continuity(encoder: Encoder, at: torch.Tensor, generator: torch.Generator) -> None:
    with torch.no_grad():
        step = STEP * torch.randn(at.shape, generator=generator).to(at.device)
        change = (encoder(at + step) - encoder(at)).abs().amax(1) / step.norm(dim=1)
    require(float(change.max()) <= SLOPE, f"a step of {STEP} changes a feature {float(change.max()):.3g} times as much")


def _check_product_grid(encoder: Encoder, generator: torch.Generator, device: torch.device) -> None:
    for sizes in ((5, 3, 7), (1, 1, 4), (2, 1, 1)):
        axes = [(2 * torch.rand(n, generator=generator, dtype=torch.float64) - 1).sort()[0].to(device) for n in sizes]
        z, y, x = axes
        points = torch.stack(torch.meshgrid(z, x, y, indexing="ij"), -1).reshape(-1, 3)[:, [0, 2, 1]].float()
        with torch.no_grad():
            features = encoder.on_grid(z, y, x)
            require_close(
                features, encoder(points), ROUNDING, f"features of a {sizes} grid are not those of its points, y fastest"
            )
    factors = torch.randn(features.shape, generator=generator).to(device)
    for p in encoder.parameters():
        p.grad = None
    if any(p.requires_grad for p in encoder.parameters()):
        torch.autograd.backward((encoder.on_grid(z, y, x) * factors).sum())
        grid_gradients = [None if p.grad is None else p.grad.clone() for p in encoder.parameters()]
        encoder.zero_grad()
        torch.autograd.backward((encoder(points) * factors).sum())
        for p, gradient in zip(encoder.parameters(), grid_gradients, strict=True):
            if gradient is not None and p.grad is not None and bool(p.grad.any()):
                require_close(gradient, p.grad, 10 * ROUNDING, "a product grid's gradient is not that of its points")
        encoder.zero_grad()


def _check_state(encoder: Encoder, other: Encoder, at: torch.Tensor) -> None:
    with torch.no_grad():
        require(torch.equal(encoder(at), other(at)), "a second encoder has other initial weights")
        for p in other.parameters():
            p.add_(1.0)
        other.load_state_dict(encoder.state_dict())
        require(torch.equal(encoder(at), other(at)), "state_dict does not restore the encoder")
