"""The method as a whole keeps what every method promises, with each of its encoders."""

import pytest

from tomoprior.testing import check_method


@pytest.mark.slow
def test_the_default():
    check_method("cn", {"num_iter": 40, "degree": 3})


@pytest.mark.parametrize(
    ("loss", "regulariser", "degree"),
    [("l2", "none", 1), ("l1", "squared", 3), ("huber", "huber-tv", 5), ("l1", "tv", 3), ("huber", "none", 7)],
)
def test_losses_and_regularisers(loss, regulariser, degree):
    settings = {"num_iter": 60, "reg_par": "auto", "stop": "none"}
    check_method("cn", {**settings, "loss": loss, "regulariser": regulariser, "degree": degree})


@pytest.mark.slow
@pytest.mark.parametrize(("encoder", "num_iter"), [("siren", 200), ("fourier", 60), ("grid", 60), ("hash", 60)])
def test_networks(encoder, num_iter):
    check_method("cn", {"encoder": encoder, "num_iter": num_iter, "width": 16, "depth": 1, "reg_par": 0.0})
