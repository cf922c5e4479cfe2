"""Conformance tests that the author of a plug-in runs on a projector, a method or a file format.

Each check raises ``AssertionError`` with one line about the fault, and returns nothing. No test framework is needed::

    import tomoprior.testing

    def test_my_method() -> None:
        tomoprior.testing.check_method(MyMethod(), {"num_iter": 5})

``operators`` checks linear maps and projectors, ``methods`` reconstruction methods, ``formats`` file formats, ``encoders`` the
encoders of coordinate networks.
"""

from tomoprior.testing.encoders import check_encoder
from tomoprior.testing.formats import check_format
from tomoprior.testing.methods import check_method
from tomoprior.testing.operators import check_adjoint, check_gradient, check_operator, check_projector

__all__ = [
    "check_adjoint",
    "check_encoder",
    "check_format",
    "check_gradient",
    "check_method",
    "check_operator",
    "check_projector",
]
