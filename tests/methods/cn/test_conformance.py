"""The method as a whole keeps what every method promises, with each of its encoders."""

import pytest

from tomoprior.testing import check_method

NETWORK = {"num_iter": 150, "width": 16, "depth": 1, "reg_par": 0.0}


def test_the_default():
    check_method("cn", {"num_iter": 60})


@pytest.mark.parametrize("loss", ["l1", "huber"])
@pytest.mark.parametrize("regulariser", ["none", "squared", "huber-tv"])
def test_losses_and_regularisers(loss, regulariser):
    check_method("cn", {"num_iter": 100, "reg_par": "auto", "loss": loss, "regulariser": regulariser, "degree": 3})


@pytest.mark.parametrize("encoder", ["siren", "fourier", "grid", "hash"])
def test_networks(encoder):
    check_method("cn", {"encoder": encoder, **NETWORK})
