"""Comparisons without a reconstruction: volumes that are known voxel by voxel, evidence of every kind and of hardly any."""

import numpy as np
import pytest

from tomoprior import Geometry
from tomoprior.comparison.evidence.planted import make_spheres
from tomoprior.comparison.result import Comparison, Entry, Planted, Ranking

SHAPE = (12, 16, 20)
ANGLES = np.arange(-60, 61, 10)
NASTY = '<b>&"sirt"$x$</b>'


def curve(values, threshold, crossing):
    n = len(values)
    return {
        "frequency": list((np.arange(n) + 1) / (2 * n)),
        "correlation": list(values),
        "crossing": crossing,
        "threshold": threshold,
    }


def evidence(error, labels, *, bad=True):
    """Plausible numbers; ``error`` makes those of one method differ from another's."""
    fall = [1.0, 1 - error, 0.8 - error, 0.3]
    n = len(ANGLES)
    return {
        "residual": {
            "angles": ANGLES.tolist(),
            "residuals": [error + (0.4 if bad and i == 3 else 0) for i in range(n)],
            "outliers": [3] if bad else [],
            "total": error,
            "calibration": [2.0, 0.5],
        },
        "held_out": {"views": [1, 3, 6], "angles": [-50.0, -30.0, 0.0], "errors": [error, error * 2, error], "error": error},
        "halves": {"present": curve(fall, 0.143, 0.5), "missing": curve([0.1, None, 0.0, 0.0], 0.143, 0.0)},
        "inferred": {"share": error / 2, "truth_share": 0.3},
        "planted": {
            "recovered": [0.9 - error, 0.8 - error],
            "displaced": [0.1, 0.4],
            "controls": [0.02, -0.01],
            "invented": error / 3,
            "contrast": 0.85 - error,
            "found": 2,
            "of": 2,
        },
        "truth": {
            "rmse": error,
            "psnr": -20 * np.log10(error),
            "rmse_fitted": error / 2,
            "psnr_fitted": 6.0 - 20 * np.log10(error),
            "ssim": 1 - error,
            "vif": float("nan"),
            "error_present": error**2,
            "error_missing": 4 * error**2,
            "curves": {k: curve(fall, 0.5, 0.4 - error) for k in ("fsc", "present", "missing")},
        },
        "agreement": {label: 0.9 - 0.01 * i for i, label in enumerate(labels)},
        "tuned": {
            "values": {"num_iter": 20},
            "trials": [{"values": {"num_iter": 20}, "error": error}, {"values": {"num_iter": 40}, "error": 2 * error}],
            "why": "num_iter: no other values",
            "cut": "",
        },
    }


def ramp(shape):
    """A volume in which every voxel's value says where it is: between 0 and 1, x fastest."""
    z, y, x = np.indices(shape)
    return ((x / shape[2] + y / shape[1] + z / shape[0]) / 3).astype(np.float32)


@pytest.fixture(scope="session")
def full():
    truth = ramp(SHAPE)
    planted = Planted(np.array([[6.0, 8.0, 10.0], [3.0, 4.0, 5.0]]), np.array([[8.0, 12.0, 3.0]]), 2.0, 1.0)
    objects = make_spheres(planted, SHAPE).volume(SHAPE)
    rng = np.random.default_rng(5)
    errors = {"wbp": 0.3, NASTY: 0.1, "cn": 0.05}
    entries = []
    for label, error in errors.items():
        entries.append(
            Entry(
                label,
                label if label != NASTY else "sirt",
                {"num_iter": 20, "note": NASTY, "bounds": [0, None], "more": {"deep": 1}},
                volume=(truth + error * rng.normal(size=SHAPE)).astype(np.float32),
                std=(0.5 * truth).astype(np.float32) if label == "cn" else None,
                response=((1 - error) * objects).astype(np.float32) if label != "wbp" else None,  # its check failed
                settled={"num_iter": 20, "more": {"deep": 2}, "note": f"{NASTY}!"} if label == "cn" else {},
                seconds={"reconstruction": 10 * error, "checks": 72.0},
                memory=int(1e9 * error),
                evidence=evidence(error, [other for other in errors if other != label]),
                notes=(f"a note of {label}",),
            )
        )
    entries.append(Entry("tv", "tv", {}, "failed", "reg_par: must be positive </script><script>alert(1)"))
    return Comparison(
        f"A series {NASTY}",
        Geometry(np.deg2rad(ANGLES), SHAPE, voxel_size=4.0, unit="nanometer"),
        tuple(entries),
        truth=truth,
        planted=planted,
        rankings=(
            Ranking("agreement with the truth", (("cn",), (NASTY,), ("wbp",)), "a test over 8 blocks", "truth.rmse_fitted"),
            Ranking("prediction of held-out tilts", (("cn", NASTY), ("wbp",)), "a test over 3 tilts.", "held_out.error"),
        ),
        summary=("Against the truth cn is best.", f"So is {NASTY}."),
        spread=(0.1 * (1 - truth)).astype(np.float32),
        about={
            "views": [*range(10, 15), *range(16, 24)],
            "match": "affine",
            "input": "a.mrc",
            "command": f"tomoprior compare '{NASTY}'",
            "versions": {"torch": "2"},
            "seed": np.int64(3),
        },
    )


@pytest.fixture(scope="session")
def minimal():
    """No truth, nothing planted, no ranking, no unit; two methods with hardly any evidence."""
    entries = tuple(
        Entry(name, name, {}, volume=ramp((6, 8, 10)) * scale, evidence={"inferred": {"share": 0.1, "truth_share": None}})
        for name, scale in (("wbp", 1), ("sirt", 2))
    )
    return Comparison("small", Geometry(np.deg2rad([-40.0, 0, 40]), (6, 8, 10)), entries)
