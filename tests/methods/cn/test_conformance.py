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
    settings = {"num_iter": 60, "reg_par": "auto", "stop": None}
    check_method("cn", {**settings, "loss": loss, "regulariser": regulariser, "degree": degree})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "settings"),
    [
        ("siren", {"num_iter": 60, "learning_rate": 0.01}),  # by its own rate it takes 200 to be like the truth
        ("fourier", {"num_iter": 25}),
        ("grid", {"num_iter": 20}),
        ("hash", {"num_iter": 20}),
    ],
)
def test_networks(encoder, settings):
    check_method("cn", {"encoder": encoder, "width": 16, "depth": 1, "reg_par": 0.0, **settings})
