"""The loss falls, and what was learned beats as many plain steps on phantoms that were not seen."""

from __future__ import annotations

import importlib.util
import re

import numpy as np
import pytest
import torch

import tomoprior

from .conftest import EXAMPLES


@pytest.mark.slow
def test_learning_pays(example):
    said = example("unrolled_gradient_descent.py", "--small")
    losses = [float(v) for v in re.findall(r"loss ([\d.]+)", said)]
    assert losses[-1] < 0.7 * losses[0]
    found = {name: float(value) for name, value in re.findall(r"^(\w+) +PSNR ([\d.]+) dB", said, re.M)}
    assert found["learned"] > found["plain"] + 1.5


def test_before_training_it_is_plain_descent_as_long_as_is_stable():
    spec = importlib.util.spec_from_file_location("unrolled", EXAMPLES / "unrolled_gradient_descent.py")
    unrolled = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(unrolled)
    A = tomoprior.Projector(tomoprior.Geometry(np.deg2rad([-40.0, 0.0, 40.0]), (6, 3, 8)), "cpu")
    model = unrolled.Unrolled(A, num_steps=5)
    columns = A(torch.eye(6 * 3 * 8).reshape(-1, 6, 3, 8)).flatten(1)
    norm = torch.linalg.matrix_norm(columns, 2).item() ** 2
    assert abs(model.longest * norm / 1.9 - 1) < 0.02
    p = torch.rand(2, *A.range_shape)
    x = torch.zeros(2, *A.domain_shape)
    for _ in range(5):
        x += model.longest * A.T(p - A(x))
    torch.testing.assert_close(model(p), x)
    # every weight has a part in the result, once the last layer is not zero
    torch.nn.init.normal_(model.network[-1].weight)
    model(p).square().mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())
