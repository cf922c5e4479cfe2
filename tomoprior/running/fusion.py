"""Combine the results of several methods to one volume, frequency by frequency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from tomoprior.errors import InputError
from tomoprior.metrics import measured_region
from tomoprior.reconstruction import Reconstruction
from tomoprior.running.agreement import Agreement, gains, measure_agreement
from tomoprior.running.halves import HalfReconstructions

Floats = NDArray[np.float64]

#: Number of neighbours on either side over which the agreement of a shell is added up, because a single shell is noisy.
NEIGHBOURS = 1
#: Standard deviation of the weights around those of the best member, before the images are seen. A small one shrinks weights
#: that the noise does not determine (measured on particles: 0.2 lost 0.2 dB where 0.05 gained 0.1).
SPREAD = 0.05
#: Part of a shell's squares that keeps its equations solvable where members are equal and noise is absent.
TINY = 1e-9
#: A member takes part if it explains at least this part of what the best one explains.
SHARE = 0.9


def fuse(results: Sequence[HalfReconstructions], *, trust: Sequence[float] | None = None) -> Reconstruction:
    """Return the combination of several methods' results for one series, frequency by frequency.

    In directions between the smallest and the largest tilt, the weights of a shell of frequencies are those with which the
    members' halves best predict the images of the other half: a Wiener combination, which scales a member that is too strong or
    too weak. They are shrunk towards the best single member, by as much as the noise requires. A member takes part in the
    shells in which it explains at least 0.9 of what the best member does. Images give no evidence about the missing wedge.
    There the same rule holds for the members that explain as much over all shells, or ``trust`` gives the weights.

    Parameters
    ----------
    results
        Results of ``reconstruct_halves`` by different methods from the same halves, all on one grid.
    trust
        Weight of each member in the missing wedge, not negative; their sum counts as 1, and each member is scaled by its own
        agreement with the images. None: by the rule above.

    Returns
    -------
    Reconstruction
        Its provenance lists the members, the part of the images' squares that each explains, and the weights of each shell.

    Raises
    ------
    InputError
        For fewer than two members, members without images, different grids, or trust that is negative or zero for all.

    Examples
    --------
    >>> import numpy as np
    >>> import tomoprior
    >>> from tomoprior.simulate import simulate
    >>> series = simulate("spheres", (16, 16, 32), np.deg2rad(np.arange(-60, 61, 4)), snr=1.0).series
    >>> members = [tomoprior.reconstruct_halves(series, method="sirt", num_iter=n) for n in (3, 20)]
    >>> fuse(members).volume.shape
    (16, 16, 32)
    """
    _check_members(results)
    geometry = results[0].mean.geometry
    angles = np.concatenate([half.geometry.angles for half in results[0].series or ()])
    measured = measured_region(geometry.shape, angles, mode="wedge")
    apart = measure_agreement(results)
    agreement = _add_neighbours(apart)
    trusted = agreement.explained.sum(0) >= SHARE * agreement.explained.sum(0).max()
    weights = combine(agreement, agreement.explained >= SHARE * agreement.explained.max(1, keepdims=True))
    if trust is None:
        outside = combine(agreement, np.broadcast_to(trusted, weights.shape))
    else:
        outside = gains(agreement) * _check_trust(trust, len(results))
    radius = _radius(geometry.shape)
    fused = np.zeros(measured.shape, complex)
    for result, inside, beyond in zip(results, weights.T, outside.T, strict=True):
        factor = [np.interp(radius, agreement.frequency, values) for values in (inside, beyond)]
        fused += fft.rfftn(np.asarray(result.mean.volume, np.float64)) * np.where(measured, *factor)
    names = [str(result.mean.provenance.get("method")) for result in results]
    record: Mapping[str, Any] = {
        "method": "fuse",
        "members": names,
        "explained": _round(apart.explained.sum(0) / apart.total),
        "trust": "agreement" if trust is None else _round(_check_trust(trust, len(results))),
        "frequency": _round(agreement.frequency),
        "weights": [_round(w) for w in weights.T],
        "weights_in_missing_wedge": [_round(w) for w in outside.T],
        "inferred": "the missing wedge: the members' inventions, weighted by their agreement with the images or by trust",
    }
    volume = fft.irfftn(fused, geometry.shape).astype(np.float32)
    return Reconstruction(volume, geometry, provenance=record)


def combine(agreement: Agreement, members: NDArray[np.bool_]) -> Floats:
    """Return the weights of each shell, shape ``(n_shells, n_members)``.

    They minimise ``|y - sum w_i p_i|^2 + noise / SPREAD^2 |w - w_best|^2`` over the values of a shell, with the projected
    members p, the images y, and in ``w_best`` the gain of the member that is the best over all shells.

    Parameters
    ----------
    agreement
        Of all members.
    members
        True where a member takes part in a shell, shape ``(n_shells, n_members)``. The best member always does.
    """
    best = int(np.argmax(agreement.explained.sum(0)))
    weights = np.zeros_like(agreement.with_images)
    for k, part in enumerate(members):
        products, gram = agreement.with_images[k], agreement.with_members[k]
        stiffness = agreement.noise[k] / SPREAD**2 + TINY * float(np.trace(gram))
        if stiffness == 0.0:
            continue
        start = np.zeros(len(products))
        # the best member's own gain is itself shrunk towards 1
        start[best] = max((products[best] + stiffness) / (gram[best, best] + stiffness), 0.0)
        index = np.flatnonzero(part | (np.arange(len(part)) == best))
        matrix = gram[np.ix_(index, index)] + stiffness * np.eye(len(index))
        weights[k, index] = np.linalg.solve(matrix, products[index] + stiffness * start[index])
    if not agreement.with_members[0].any():  # a transfer function removes the mean of the images
        weights[0] = weights[1]
    return weights


def _add_neighbours(agreement: Agreement) -> Agreement:
    """Return the agreement with that of neighbouring shells added; the mean, in shell 0, stays apart."""

    def add(values: Floats) -> Floats:
        out = values.copy()
        for k in range(1, len(values)):
            out[k] = values[max(1, k - NEIGHBOURS) : k + NEIGHBOURS + 1].sum(0)
        return out

    return Agreement(
        agreement.frequency, add(agreement.with_images), add(agreement.with_members), agreement.noise, agreement.total
    )


def _check_members(results: Sequence[HalfReconstructions]) -> None:
    if len(results) < 2:
        raise InputError("a fusion needs the results of two methods or more")
    if any(result.series is None for result in results):
        raise InputError("a fusion needs the images of the halves: use results of reconstruct_halves")
    geometry = results[0].mean.geometry
    for other in results[1:]:
        if (other.mean.geometry.shape, other.mean.geometry.voxel_size) != (geometry.shape, geometry.voxel_size):
            raise InputError(f"the results have different grids: {geometry} and {other.mean.geometry}")


def _check_trust(trust: Sequence[float], n: int) -> Floats:
    weights = np.asarray(trust, np.float64)
    if weights.shape != (n,) or not np.all(np.isfinite(weights)) or np.any(weights < 0) or not weights.sum() > 0:
        raise InputError(f"trust needs {n} numbers from 0, one for each member and not all 0, got {list(trust)}")
    return np.asarray(weights / weights.sum())


def _radius(shape: tuple[int, ...]) -> Floats:
    axes = [*(np.fft.fftfreq(n) for n in shape[:-1]), np.fft.rfftfreq(shape[-1])]
    return np.asarray(np.sqrt(sum(k**2 for k in np.meshgrid(*axes, indexing="ij"))))


def _round(values: Floats) -> list[float]:
    return [round(float(v), 4) for v in values]
