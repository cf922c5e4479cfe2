"""The checks that are shipped must fail on a method or an operator that breaks a promise."""

import contextlib

import numpy as np
import pytest
import torch
from pydantic import ConfigDict, Field

from tomoprior import Geometry, Projector, testing
from tomoprior.errors import InputError
from tomoprior.methods import Settings, arguments
from tomoprior.projector import LinearOperator
from tomoprior.reconstruction import Reconstruction


class GoodSettings(Settings):
    num_iter: int = Field(3, ge=1, description="Iterations.")


class Good:
    """Landweber iterations: the smallest method that keeps all promises."""

    name, summary, citation = "good", "Landweber iterations", "Landweber, Am. J. Math. 73 (1951) 615"
    Settings = GoodSettings
    couples_slices = False
    uses_projector = True

    def memory(self, geometry, settings):
        return 12 * int(np.prod(geometry.shape)) + 8 * int(np.prod(geometry.range_shape))

    def cost_in_pairs(self, geometry, settings):
        return float(settings.num_iter)

    def check(self, projections, projector, weights, initial, mask):
        arguments.check_projections(projections, projector)
        arguments.check_initial(initial, projector)
        return arguments.expand_weights(weights, projector), arguments.expand_mask(mask, projector)

    def reconstruct(self, projections, projector, settings, *, weights=None, initial=None, mask=None, progress=None):
        w, m = self.check(projections, projector, weights, initial, mask)
        x = torch.zeros(projector.domain_shape) if initial is None else initial.clone()
        step = 1 / (projector.geometry.n_angles * projector.domain_shape[0] * (1 if w is None else float(w.max())))
        history = []
        for i in range(settings.num_iter):
            r = projections - projector(x)
            history.append(float(r.norm()))
            x = self.update(x, projector.T((r if w is None else r * w).contiguous()), step)
            x = x if m is None else x * m
            if progress is not None:
                progress(i + 1, settings.num_iter, {"residual": history[-1]})
        return self.result(x, projector, history)

    def update(self, x, direction, step):
        return x + step * direction

    def result(self, x, projector, history):
        return Reconstruction(x, projector.geometry, history={"residual": history})


def test_a_good_method_passes():
    testing.check_method(Good())
    testing.check_method(Good(), {"num_iter": 6})


def variant(**parts):
    return type("Bad", (Good,), parts)()


class Open(GoodSettings):
    model_config = ConfigDict(extra="ignore")

    @classmethod
    def parse(cls, values):
        return cls.model_validate(values)


class Mutable(GoodSettings):
    model_config = ConfigDict(frozen=False)


class Silent(GoodSettings):
    more: int = 1


class Demanding(GoodSettings):
    more: int = Field(description="No default.")


def reconstruct_with(change):
    """``Good.reconstruct`` with its arguments changed first."""

    def reconstruct(self, projections, projector, settings, **arguments):
        projections, arguments = change(projections, projector, dict(arguments))
        return Good.reconstruct(self, projections, projector, settings, **arguments)

    return reconstruct


def scale_in_place(p, A, rest):
    p.mul_(1.001)
    return p, rest


def zero_nan(p, A, rest):
    return p.nan_to_num(posinf=0, neginf=0), rest


def drop(name):
    return lambda p, A, rest: (p, {**rest, name: None})


def clamp_weights(p, A, rest):
    if rest.get("weights") is not None and rest["weights"].min() >= 0 and rest["weights"].max() > 0:
        rest["weights"] = rest["weights"].clamp(min=0.1)
    return p, rest


def swallow(self, projections, projector, settings, progress=None, **rest):
    def quiet(*arguments):
        with contextlib.suppress(KeyboardInterrupt):
            progress(*arguments)

    return Good.reconstruct(self, projections, projector, settings, progress=progress and quiet, **rest)


def noisy(self, x, direction, step):
    noisy.calls += 1
    return x + step * direction * (1 + 1e-3 * (noisy.calls % 7))


noisy.calls = 0

BROKEN = {
    "summary is empty": {"summary": " "},
    "lacks uses_projector": {"uses_projector": property()},
    "uses_projector is neither": {"uses_projector": None},
    "uses_projector is False": {"uses_projector": False},
    "unknown setting is accepted": {"Settings": Open},
    "of a settings object can be changed": {"Settings": Mutable},
    "has no description": {"Settings": Silent},
    "has no default": {"Settings": Demanding},
    "not a number of bytes": {"memory": lambda self, g, s: 0},
    "not a cost": {"cost_in_pairs": lambda self, g, s: float("nan")},
    "does not grow": {"memory": lambda self, g, s: 1000},
    "changes the projections": {"reconstruct": reconstruct_with(scale_in_place)},
    "pixel that is nan is accepted": {"reconstruct": reconstruct_with(zero_nan)},
    "not a Reconstruction": {"result": lambda self, x, A, h: x},
    "not float32": {"result": lambda self, x, A, h: Reconstruction(x.double(), A.geometry)},
    "has shape": {"result": lambda self, x, A, h: Reconstruction(x[1:], A.geometry)},
    "not a tensor": {"result": lambda self, x, A, h: Reconstruction(x.numpy(), A.geometry)},
    "values that are not finite": {"result": lambda self, x, A, h: Reconstruction(x / 0, A.geometry)},
    "another geometry": {"result": lambda self, x, A, h: Reconstruction(x, A.geometry.with_thickness(9))},
    "the std is negative": {"result": lambda self, x, A, h: Reconstruction(x, A.geometry, std=-x.abs() - 1)},
    "the residual goes from": {"result": lambda self, x, A, h: Reconstruction(x, A.geometry, history={"residual": [0.1, 0.2]})},
    "correlation of": {"result": lambda self, x, A, h: Reconstruction(-x, A.geometry)},
    "returns other bits": {"update": noisy},
    "progress is never called": {"reconstruct": reconstruct_with(drop("progress"))},
    "KeyboardInterrupt": {"reconstruct": swallow},
    "an initial volume of another width is accepted": {"reconstruct": reconstruct_with(drop("initial"))},
    "a mask of another width is accepted": {"reconstruct": reconstruct_with(drop("mask"))},
    "weights for a tilt too few is accepted": {"reconstruct": reconstruct_with(drop("weights"))},
    "weight zero has an influence": {"reconstruct": reconstruct_with(clamp_weights)},
    "couples_slices is False": {"update": lambda self, x, d, step: x + step * (d + 0.1 * d.roll(1, 1))},
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_promise_is_found(message):
    with pytest.raises(AssertionError, match=message):
        testing.check_method(variant(**BROKEN[message]))


def test_an_influence_of_the_order_is_found():
    def first_counts_twice(p, A, rest):
        p = p.clone()
        p[0] *= 2
        return p, rest

    with pytest.raises(AssertionError, match="another order of the tilts"):
        testing.check_method(variant(reconstruct=reconstruct_with(first_counts_twice)))


def test_an_argument_that_is_checked_and_then_ignored_is_found():
    class Ignores(Good):
        def check(self, projections, projector, weights, initial, mask):
            super().check(projections, projector, weights, initial, mask)
            return (None, super().check(projections, projector, None, None, mask)[1]) if self.drops == "weights" else (
                super().check(projections, projector, weights, None, None)[0], None
            )  # fmt: skip

    for drops, message in (("weights", "has an influence"), ("mask", "not zero outside the mask")):
        with pytest.raises(AssertionError, match=message):
            testing.check_method(type("Bad", (Ignores,), {"drops": drops})())


def test_a_refusal_in_words_is_as_good_as_obeying():
    class Refuses(Good):
        def check(self, projections, projector, weights, initial, mask):
            arguments.refuse_arguments(self.name, weights=weights, mask=mask, **{"initial volume": initial})
            return super().check(projections, projector, weights, initial, mask)

    testing.check_method(Refuses())


class Operator(LinearOperator):
    """A matrix, and another for its adjoint."""

    def __init__(self, forward, backward, adjoint=None):
        self.forward, self.backward = forward, backward
        self.domain_shape, self.range_shape = (2, 3, 4), (3, 2, 5)
        self.device = torch.device("cpu")
        if adjoint is not None:
            self.domain_shape, self.range_shape = self.range_shape, self.domain_shape
        self._adjoint = adjoint or Operator(backward, forward, self)

    @property
    def T(self):
        return self._adjoint

    def _apply(self, batch):
        return self.forward(batch.flatten(1)).reshape(len(batch), *self.range_shape)


MATRIX = torch.randn(30, 24, generator=torch.Generator().manual_seed(0))


def forward(x):
    return x @ MATRIX.T


def adjoint(y):
    return y @ MATRIX


def test_a_good_operator_passes():
    testing.check_operator(Operator(forward, adjoint))


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (Operator(forward, lambda y: y @ MATRIX * 1.00001), "differ by"),
        (Operator(lambda x: x @ MATRIX.T + 1e-3, adjoint), "differ|linear|quotient"),
        (Operator(lambda x: forward(x).abs(), adjoint), "differ|linear|quotient"),
        (Operator(lambda x: forward(x) * (1 + 0.1 * (len(x) > 1)), adjoint), "differs in a batch and alone"),
        (Operator(lambda x: forward(x.mul_(1.0001)), adjoint), "differ|not A|changes"),
    ],
    ids=["adjoint", "offset", "nonlinear", "batch", "in place"],
)
def test_a_bad_operator_is_found(operator, message):
    with pytest.raises(AssertionError, match=message):
        testing.check_operator(operator)


def test_an_operator_outside_autograd_is_found():
    class Detached(Operator):
        def __call__(self, x):
            out = super().__call__(x)
            return out.detach() if isinstance(out, torch.Tensor) else out

    with pytest.raises(AssertionError, match="no gradient flows"):
        testing.check_operator(Detached(forward, adjoint))


def test_an_operator_that_takes_anything_is_found():
    class Lenient(Operator):
        def __call__(self, x):
            return super().__call__(x.float() if isinstance(x, torch.Tensor) and x.device.type == "cpu" else x)

    with pytest.raises(AssertionError, match="float64 tensor is accepted"):
        testing.check_operator(Lenient(forward, adjoint))


def test_a_projector_that_cannot_be_pickled_or_shared_is_found(monkeypatch):
    A = Projector(Geometry([0.1, 0.3, 0.7], (3, 2, 5)), "cpu")
    testing.check_projector(A)
    with monkeypatch.context() as patch:
        patch.setattr(Projector, "__getstate__", lambda self: {"geometry": self.geometry.flipped_hand(), "device": "cpu"})
        with pytest.raises(AssertionError, match="does not restore the projector"):
            testing.check_projector(A)
    with monkeypatch.context() as patch:
        patch.setattr(Projector, "subset", lambda self, views: self)
        with pytest.raises(AssertionError, match="subset of the tilts"):
            testing.check_projector(A)


def test_errors_must_be_input_errors():
    from tomoprior.testing._assertions import require_refusal

    def fails(error):
        def action():
            raise error

        return action

    require_refusal(fails(InputError("one line")), "this")
    for error, message in (
        (ValueError("x"), "raises ValueError"),
        (InputError("a\nb"), "not one line"),
        (InputError(""), "not one line"),
    ):
        with pytest.raises(AssertionError, match=message):
            require_refusal(fails(error), "this")
