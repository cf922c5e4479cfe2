"""Files of tomoprior itself that others may send or damage: priors, fields, networks, states of trainings, and records."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from kinds import SHAPE

import tomoprior
from tomoprior import Geometry, TiltSeries
from tomoprior.alignment.result import Alignment
from tomoprior.alignment.saving import load_alignment
from tomoprior.comparison.store import PARTS, Store, check_earlier_results
from tomoprior.errors import TomopriorError
from tomoprior.methods.cn.loading import load_field
from tomoprior.methods.cn.network import CoordinateNetwork, NetworkField, NetworkPart
from tomoprior.methods.cn.settings import CLASSES
from tomoprior.methods.cn.spline import SplineBasis, SplineField
from tomoprior.methods.diffusion.denoiser import Denoiser
from tomoprior.methods.diffusion.error_network import ErrorNetwork
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.methods.learning.unet import Shape
from tomoprior.methods.wedge import training as wedge
from tomoprior.methods.wedge.network import new_network
from tomoprior.methods.wedge.state import Trained, load_network, load_training, save_training
from tomoprior.running.slabs.finishing import open_result, read_run_identity
from tomoprior.running.slabs.journal import Journal
from tomoprior.training import checkpoint
from tomoprior.training.optimiser import initial_state, new_denoiser
from tomoprior.training.settings import TrainingSettings

SPAN, ABOUT = (-1.0, 1.0), {"seed": 3}
SERIES = TiltSeries(np.random.default_rng(0).random((7, 48, 8), np.float32), Geometry(np.linspace(-1, 1, 7), (4, 48, 8)))
TRAINING = TrainingSettings.parse(
    {"height": 16, "tile_size": 16, "field": (16, 32), "widths": (4, 4), "blocks": (1, 1), "separable": False}
)
K = np.geomspace(0.01, 0.87, 8)
SPECTRUM = Spectrum(tuple(K.tolist()), tuple(((1 + (K / 0.05) ** 2) ** -1.75).tolist()), 20.0)


def write_priors(folder: Path) -> None:
    """Write a prior with random weights, without and with an error network."""
    denoiser = Denoiser(Shape((4, 4), (1, 1), embedding=4, flat=False, separable=False), SPECTRUM)
    prior = Prior(
        denoiser, (16, 16, 16), SPECTRUM, (16.0, 25.0), "nanometer", (6.0, 140.0), card={"data": "chance", "licence": "none"}
    )
    prior.save(folder / "a.safetensors")
    shape = Shape((4, 4), (1, 1), embedding=4, flat=False, separable=False)
    table = ((20.0, 1.1, 1.2, 0.9), (120.0, 1.0, 1.3, 1.4))
    replace(prior, error_network=ErrorNetwork(shape), error_calibration=table).save(folder / "b.safetensors")


def read_prior(path: Path) -> int:
    """Load a prior."""
    Prior.load(path)
    return path.stat().st_size


def write_fields(folder: Path) -> None:
    """Write a field of splines, and networks of two encoders."""
    SplineField(torch.rand(SplineBasis(1).nodes((3, 4, 7))), SHAPE, 1, pad=1, background=0.25).save(folder / "a.safetensors")
    for name in ("grid", "fourier"):
        kind = CLASSES[name]
        values = {"width": 4, "depth": 1, "features": 2, "levels": 2, "table_size": 6, "seed": 0}
        settings = kind(**{k: v for k, v in values.items() if k in kind.model_fields})
        part = NetworkPart(CoordinateNetwork(settings, (3, 4, 7)), 0, 4, 0, 4)
        field = NetworkField([part], SHAPE, settings, scale=2.0, background=0.3, pad=1, mask=None)
        field.save(folder / f"{name}.safetensors")


def read_field(path: Path) -> int:
    """Load a field and evaluate it at a point."""
    load_field(path)(np.zeros((1, 3)))
    return path.stat().st_size


def write_wedge(folder: Path) -> None:
    """Write the network of a missing wedge with the state of its training."""
    state = wedge.initial_state(new_network(8, 2, 1, torch.device("cpu")), torch.zeros(3, 4, 5))
    state.step, state.losses = 2, [0.5, 0.25]
    state.rounds = [{"loss": 0.3, "inferred_power": 0.1, "change": 0.5}]
    save_training(folder / "a.safetensors", state, Trained(state.average, 8, 2, 1.5, 0.25, SPAN), ABOUT)


def read_wedge(path: Path) -> int:
    """Load the network, and the training."""
    initial = wedge.initial_state(new_network(8, 2, 1, torch.device("cpu")), torch.zeros(3, 4, 5))
    _read_all(lambda: load_network(path, SPAN), lambda: load_training(path, ABOUT, initial))
    return path.stat().st_size


def write_training(folder: Path) -> None:
    """Write the state of the training of a prior."""
    checkpoint.save(initial_state(new_denoiser(TRAINING, SPECTRUM)), folder / "a.safetensors", ABOUT)


def read_training(path: Path) -> int:
    """Load the state."""
    checkpoint.load(path, ABOUT, initial_state(new_denoiser(TRAINING, SPECTRUM)), TRAINING)
    return path.stat().st_size


def write_records(folder: Path) -> None:
    """Write the records of a finished volume, of an alignment, and of the results of a comparison."""
    for name in ("a", "b", "c"):
        (folder / name).mkdir(parents=True)
    tomoprior.reconstruct(SERIES, "wbp", out=folder / "a" / "v.npy", slab=16, device="cpu")
    record = {"alignment": Alignment(np.ones((7, 2)), 0.1, (48, 8), weights=np.ones(7)).to_dict()}
    (folder / "b" / "alignment.json").write_text(json.dumps(record, indent=1))
    store = Store(folder / "c" / "runs" / "sirt", "digest")
    for part in PARTS:
        store.put(part, {"seconds": 1.0, "settings": {"num_iter": 3}, "provenance": {"residual": 0.1}})
    store.put("outcome", {"settings": {"num_iter": 3}, "error": None})
    (folder / "c" / "metrics.json").write_text(json.dumps({"entries": [{"label": "sirt"}]}))


def read_records(folder: Path) -> int:
    """Read what lies in the folder as the record that it is."""
    if (folder / "v.npy").exists():
        read_run_identity(folder / "v.npy")
        open_result(folder / "v.npy", SERIES)
    elif (folder / "alignment.json").exists():
        load_alignment(folder / "alignment.json")
    else:
        stores = [Store(folder / "runs" / "sirt", digest) for digest in ("digest", "another")]
        _read_all(stores[0].finished_parts, *(lambda s=s: check_earlier_results(folder, {"sirt": (s, {})}) for s in stores))
    return 0


def write_partial(folder: Path) -> None:
    """Write the folders of unfinished runs: independent slabs, and slabs with blended borders, in two formats."""
    for name, method, given in (
        ("a.npy", "wbp", {"slab": 16}), ("b.zarr", "sirt", {"slab": 16, "num_iter": 1}),
        ("c.mrc", "tv", {"slab": 16, "num_iter": 1, "reg_par": 0.1}),
    ):  # fmt: skip
        (folder / name).mkdir(parents=True)
        with contextlib.suppress(KeyboardInterrupt):
            tomoprior.reconstruct(SERIES, method, out=folder / name / f"v.{name[2:]}", device="cpu", progress=_stop, **given)


def read_partial(folder: Path) -> int:
    """Continue the run: it ends in a volume or in one error."""
    out = next(folder.glob("*.partial")).with_suffix("")
    Journal(out).done()
    given = {"npy": ("wbp", {}), "zarr": ("sirt", {"num_iter": 1}), "mrc": ("tv", {"num_iter": 1, "reg_par": 0.1})}
    method, values = given[out.suffix[1:]]
    tomoprior.reconstruct(SERIES, method, out=out, device="cpu", resume=True, **values)
    return 0


def _stop(done: int, total: int, values: dict[str, float]) -> None:
    if done == 2:
        raise KeyboardInterrupt


def _read_all(*readers: Callable[[], object]) -> None:
    """Call all readers; only errors that are not clear leave this function."""
    for read in readers:
        with contextlib.suppress(TomopriorError):
            read()
