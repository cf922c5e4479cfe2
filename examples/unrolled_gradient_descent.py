"""Unrolled gradient descent: the steps and a small network between them are learned through the projector.

    python examples/unrolled_gradient_descent.py [--small]

``x <- x + s_k A^T (p - A x) - R(x)``, K times from zero, with learned step lengths s_k and a small 3-D network R that all steps
share (Adler and Öktem, Inverse Problems 33 (2017) 124007, in its simplest form). Gradients of the loss flow back through every
A and A^T of ``tomoprior.Projector``. It is tried on phantoms that the training did not see, whose projections are exact and
not the projector's own, against as many plain steps, as long as is stable.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

import tomoprior


class Unrolled(torch.nn.Module):
    """``num_steps`` learned steps; before any training it is plain descent."""

    def __init__(self, A: tomoprior.Projector, num_steps: int = 6, channels: int = 8) -> None:
        super().__init__()
        self.A = A
        x = torch.rand(A.domain_shape)
        for _ in range(30):  # the power method: |A|^2; steps from 2 / |A|^2 on diverge
            x = A.T(A(x / x.norm()))
        self.longest = 1.9 / x.norm().item()
        self.steps = torch.nn.Parameter(torch.ones(num_steps))
        sizes, relu = ((1, channels), (channels, channels), (channels, 1)), torch.nn.ReLU()
        layers = [torch.nn.Conv3d(a, b, 3, padding=1, bias=False) for a, b in sizes]
        torch.nn.init.zeros_(layers[-1].weight)
        self.network = torch.nn.Sequential(layers[0], relu, layers[1], relu, layers[2])

    def forward(self, p: torch.Tensor) -> torch.Tensor:
        """``(batch, *range_shape)`` to ``(batch, *domain_shape)``."""
        x = p.new_zeros(len(p), *self.A.domain_shape)
        for step in self.steps:
            x = x + step * self.longest * self.A.T(p - self.A(x))
            x = x - self.network(x[:, None])[:, 0]
        return x


def phantoms(geometry: tomoprior.Geometry, seeds: range) -> tuple[torch.Tensor, torch.Tensor]:
    """Projections and volumes of hollow spheres, one a seed."""
    made = [tomoprior.simulate.Spheres.random(geometry.shape, radius=(2.5, 5), wall=0.5, fill=0.1, seed=s) for s in seeds]
    stacks = np.stack([s.project(geometry) for s in made]), np.stack([s.volume(geometry.shape) for s in made])
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
    for name, found in volumes.items():
        print(f"{name:<8} PSNR {tomoprior.metrics.psnr(found, truth):.2f} dB on unseen phantoms")


if __name__ == "__main__":
    main()
