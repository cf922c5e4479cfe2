"""Unrolled gradient descent: train its step lengths and a small network between the steps through the projector.

    python examples/unrolled_gradient_descent.py [--small]

``x <- x + s_k A^T (p - A x) - R(x)``, K times from zero, with learned step lengths s_k and a small 3-D network R that all steps
share (the simplest form of Adler and Öktem, Inverse Problems 33 (2017) 124007). Gradients of the loss flow back through every A
and A^T of ``tomoprior.Projector``. The test compares it with the same number of plain steps of the greatest stable length, on
phantoms outside the training set, whose projections are exact and independent of the projector.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

import tomoprior


class Unrolled(torch.nn.Module):
    """``num_steps`` learned steps; before training it is plain descent."""

    def __init__(self, A: tomoprior.Projector, num_steps: int = 6, channels: int = 8) -> None:
        super().__init__()
        self.A = A
        x = torch.rand(A.domain_shape)
        for _ in range(30):  # the power method for |A|^2: steps of 2 / |A|^2 or more diverge
            x = A.T(A(x / x.norm()))
        self.longest = 1.9 / x.norm().item()
        self.steps = torch.nn.Parameter(torch.ones(num_steps))
        sizes, relu = ((1, channels), (channels, channels), (channels, 1)), torch.nn.ReLU()
        layers = [torch.nn.Conv3d(a, b, 3, padding=1, bias=False) for a, b in sizes]
        torch.nn.init.zeros_(layers[-1].weight)
        self.network = torch.nn.Sequential(layers[0], relu, layers[1], relu, layers[2])

    def forward(self, p: torch.Tensor) -> torch.Tensor:
        """Return volumes ``(batch, *domain_shape)`` from projections ``(batch, *range_shape)``."""
        x = p.new_zeros(len(p), *self.A.domain_shape)
        for step in self.steps:
            x = x + step * self.longest * self.A.T(p - self.A(x))
            x = x - self.network(x[:, None])[:, 0]
        return x


def phantoms(geometry: tomoprior.Geometry, seeds: range) -> tuple[torch.Tensor, torch.Tensor]:
    """Return projections and volumes of hollow spheres, one phantom per seed."""
    spheres = [tomoprior.simulate.Spheres.random(geometry.shape, radius=(2.5, 5), wall=0.5, fill=0.1, seed=s) for s in seeds]
    stacks = np.stack([s.project(geometry) for s in spheres]), np.stack([s.volume(geometry.shape) for s in spheres])
    return torch.from_numpy(stacks[0]), torch.from_numpy(stacks[1])


def main() -> None:
    parser = argparse.ArgumentParser(description="Unrolled gradient descent, trained through the projector.")
    parser.add_argument("--small", action="store_true", help="small volumes and a training of seconds")
    torch.manual_seed(0)
    shape, count, epochs = ((12, 8, 24), 6, 6) if parser.parse_args().small else ((16, 16, 32), 12, 12)
    geometry = tomoprior.Geometry(np.deg2rad(np.arange(-60, 61, 6)), shape)
    model = Unrolled(tomoprior.Projector(geometry, "cpu"))
    p, truth = phantoms(geometry, range(count))
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(epochs):
        total = 0.0
        for one in torch.randperm(count).split(1):
            optimiser.zero_grad()
            loss = (model(p[one]) - truth[one]).square().mean()
            loss.backward()
            optimiser.step()
            total += loss.item()
        print(f"epoch {epoch + 1:3d}  loss {total / count:.5f}")
    p, truth = phantoms(geometry, range(1000, 1004))
    with torch.no_grad():
        volumes = {"plain": Unrolled(model.A)(p), "learned": model(p)}
    for name, volume in volumes.items():
        print(f"{name:<8} PSNR {tomoprior.metrics.psnr(volume, truth):.2f} dB on unseen phantoms")


if __name__ == "__main__":
    main()
