"""Examples to train on: simulated series with their conditions and truths, and blocks of tissue without a series."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.methods.diffusion.conditioning import FACE_STD_OFFSET, build_condition, weigh_tilts
from tomoprior.methods.diffusion.data_statistics import estimate_noise_variance
from tomoprior.methods.diffusion.denoiser import N_SERIES_NUMBERS, Condition
from tomoprior.methods.diffusion.measurement_model import build_model
from tomoprior.methods.diffusion.ray_geometry import compute_padding, mark_used_rays
from tomoprior.methods.diffusion.scale import Scale, measure_mean_and_gain
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.simulate.microscope import MicroscopeSettings, tilt_errors
from tomoprior.simulate.recording import SUPERSAMPLE, margin_pixels, width_beyond_grid
from tomoprior.simulate.tissue import Tissue
from tomoprior.training.cutting import TissueBlocks
from tomoprior.training.faces import Faces, draw_faces
from tomoprior.training.rays import MatrixProjector
from tomoprior.training.recording import Section, bin_voxels, cut_section, project_lines, record_tilts, screen
from tomoprior.training.settings import TrainingSettings
from tomoprior.training.tissues import volume_shares

#: Places that are tried before a group of draws is given up.
ATTEMPTS = 20

#: Share of the draws on a grid that is thinner than the tile.
THINNER = 0.25

#: Shares of the sections that fill their grid, and of those that take less than 0.7 of it.
FILLED, THIN = 0.2, 0.15

#: Share of the draws in the middle of the voxel sizes, where a tissue of half that size needs no interpolation.
TYPICAL = 0.4

#: Share of the tilts that a column must be seen by to be learned from.
SEEN = 0.3

#: Values of a truth beyond this, in the prior's units, say that its contrast was measured wrongly.
LARGEST = 20.0


@dataclass(frozen=True, eq=False)
class Draw:
    """A training example, larger than a tile.

    Attributes
    ----------
    truth
        ``u`` on the padded grid, float16; at most as high as a tile.
    condition
        What the denoiser is told; its volumes are float16.
    told
        Whether there is a series; without one ``linear`` and ``coverage`` are zero.
    """

    truth: torch.Tensor
    condition: Condition
    told: bool = True

    @cached_property
    def seen(self) -> tuple[int, int]:
        """First column and one past the last that a third of the tilts see; all of them without a series."""
        nx = self.truth.shape[2]
        seen = (self.condition.coverage.float().mean(0) > SEEN).cpu().numpy()
        columns = np.flatnonzero(seen if self.told else np.ones(nx, bool))
        return (int(columns[0]), int(columns[-1]) + 1) if len(columns) else (0, nx)

    def to_dict(self) -> dict[str, torch.Tensor]:
        """Its arrays, for a checkpoint."""
        c = self.condition
        values = {"truth": self.truth, "linear": c.linear, "inside": c.inside, "coverage": c.coverage, "numbers": c.numbers}
        return {**values, "told": torch.tensor(self.told)}

    @classmethod
    def from_dict(cls, arrays: dict[str, torch.Tensor], device: torch.device) -> Draw:
        """Inverse of ``to_dict``."""
        told = bool(arrays["told"])
        a = {k: v.to(device) for k, v in arrays.items()}
        return cls(a["truth"], Condition(a["linear"], a["inside"], a["coverage"], a["numbers"]), told)


@dataclass(frozen=True, eq=False)
class Specimen:
    """A section before it is recorded: on fine voxels, and on the grid's, which is wider by ``pad`` at either end of x.

    Attributes
    ----------
    fine
        Density on voxels ``SUPERSAMPLE`` times finer, with a margin on every side.
    truth, inside
        Density and share inside on the padded grid.
    """

    fine: torch.Tensor
    truth: torch.Tensor
    inside: torch.Tensor
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Group:
    """Series that share angles, grid and voxel size, so that their estimates are made at once.

    Attributes
    ----------
    projections
        ``(batch, n_angles, ny, nu)``.
    specimens
        One a series.
    """

    geometry: Geometry
    projections: torch.Tensor
    specimens: list[Specimen]


def draw_angles(settings: TrainingSettings, rng: Generator) -> NDArray[np.float64]:
    """Tilt angles of a draw, radians."""
    low, high = settings.ranges
    span = low * (high / low) ** rng.random()
    step = settings.tilt_step[0] * (settings.tilt_step[1] / settings.tilt_step[0]) ** rng.random()
    n = int(np.clip(round(span / step) + 1, *settings.tilts))
    room = min(settings.centre, settings.ranges[1] / 2 - span / 2)
    middle = rng.uniform(-1, 1) * max(0.0, room)
    return np.asarray(np.deg2rad(middle + np.linspace(-span / 2, span / 2, n)))


class Simulator:
    """Makes draws of tissues on a device: the same ones for the same seed and number.

    Parameters
    ----------
    tissues
        What is drawn from, the more often the larger it is.
    spectrum
        Of the tissue, in the prior's units.
    device
        Where all is made and stays.
    """

    def __init__(
        self, tissues: Sequence[Tissue], spectrum: Spectrum, settings: TrainingSettings, device: torch.device | str = "cpu"
    ) -> None:
        self.tissues, self.spectrum, self.settings = list(tissues), spectrum, settings
        self.device = torch.device(device)
        self._blocks = [TissueBlocks(t, self.device) for t in tissues]
        self._shares = volume_shares(tissues)

    def draws(self, number: int) -> list[Draw]:
        """Group ``number`` of draws: at most ``settings.group``, fewer where some show no contrast.

        Raises
        ------
        InputError
            If place after place shows no tissue.
        """
        reason = ""
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng([self.settings.seed, number, attempt])
            try:
                group = self.record(
                    draw_angles(self.settings, rng), self._voxel(rng), self._height(rng), self.settings.group, rng,
                    MicroscopeSettings.parse({"dose": (200.0, 10000.0)}),
                )  # fmt: skip
            except ValueError as error:  # nothing to see at this place: an empty block
                reason = str(error)
                continue
            faces = [self.faces(group, s, rng) for s in group.specimens]
            if found := self.observe(group, faces):
                return found
            reason = "its tilts show hardly any contrast"
        raise InputError(
            f"{ATTEMPTS} places in a row show no tissue: is this volume of the kind, and its polarity right? The last: {reason}"
        )

    def blocks(self, number: int) -> list[Draw]:
        """Group ``number`` of blocks without a series, cut to a section or not: ``settings.group``, as wide as two tiles."""
        rng = np.random.default_rng([self.settings.seed, 2**31, number])
        wide = 3 * self.settings.tile // 2
        made = [self._block((self._height(rng), wide, wide), self._voxel(rng), rng) for _ in range(self.settings.group)]
        return [d for d in made if float(d.truth.abs().max()) < LARGEST]

    def filled_block(self, seed: int) -> Draw:
        """A block of tissue that fills a grid of the typical voxel, without faces, gamma or gradient."""
        rng = np.random.default_rng(seed)
        wide = 2 * self.settings.tile
        drawn = MicroscopeSettings.parse({"gamma": 1.0, "stain_gradient": 0.0, "roughness": 0.0}).draw(rng)
        size = self.settings.typical_voxel(*self.tissues)
        return self._describe(self._section((self.settings.height, wide, wide), size, 1.0, drawn, rng), size, rng, given=True)

    def record(
        self, angles: NDArray[np.float64], voxel_size: float, height: int, count: int, rng: Generator,
        microscope: MicroscopeSettings, thickness: tuple[float, float] | None = None, field: tuple[int, int] | None = None,
    ) -> Group:  # fmt: skip
        """``count`` series of sections on grids of ``height`` voxels; ``thickness`` is a range of shares of the height.

        Raises
        ------
        ValueError
            If a section is empty. InputError is one: where the tissue is too small.
        """
        nominal = Geometry(angles, (height, *(field or self.settings.field)), voxel_size=voxel_size)
        made, specimens = [], []
        margin = margin_pixels(microscope)
        for _ in range(count):
            drawn = microscope.draw(rng)
            off = tilt_errors(nominal.n_angles, drawn, rng)
            share = self._thickness(rng) if thickness is None else rng.uniform(*thickness)
            specimen = self._specimen(nominal, share, drawn, microscope, rng)
            true = nominal.angles + off["angle"]
            lines = project_lines(specimen.fine, true, screen(nominal, margin)) / SUPERSAMPLE
            made.append(record_tilts(lines, off, drawn, margin, int(np.argmin(np.abs(true))), rng))
            specimens.append(specimen)
        return Group(nominal, torch.stack(made), specimens)

    def faces(self, group: Group, specimen: Specimen, rng: Generator) -> Faces:
        """What is known of a specimen's faces, drawn."""
        return draw_faces(specimen.inside, specimen.low, specimen.high, compute_padding(group.geometry), rng)

    def observe(self, group: Group, faces: Sequence[Faces]) -> list[Draw]:
        """The group's series as the method sees them, and their truths; those without contrast are left out."""
        g, p = group.geometry, group.projections
        pad = compute_padding(g)
        A = MatrixProjector(g.padded(pad), self.device)
        valid = mark_used_rays(g, pad).to(self.device)
        floor = 1e-6 * p.flatten(1).var(1).clamp_min(1e-20)[:, None]
        noise = estimate_noise_variance(p).maximum(floor)
        thickness = torch.tensor([f.thickness for f in faces], device=self.device)
        measured = measure_mean_and_gain(p, valid, noise, g, self.spectrum, thickness)
        if measured is None:
            return []
        good = torch.isfinite(measured[1])
        mean, gain = (v.where(good, 1.0)[:, None, None, None] for v in measured)
        variance = noise[..., None, None].expand(p.shape).clone()
        mass = mean * thickness[:, None, None, None]
        data = build_model(p, g, A, valid, variance, Scale(mean, gain), mass)
        shape = (len(p), *A.domain_shape)
        inside = torch.stack([f.inside.expand(shape[1:]) for f in faces])
        flat = self.settings.flat
        data = weigh_tilts(data, self.spectrum, inside, flat=flat)
        stds = torch.tensor([f.face_std for f in faces], device=self.device)
        told = build_condition(data, self.spectrum, inside, stds, flat=flat, num_iter=self.settings.num_cg)
        truth = (torch.stack([s.truth for s in group.specimens]) - mean) / gain
        usable = (good & (truth.abs().amax((1, 2, 3)) < LARGEST) & torch.isfinite(told.linear).all(-1).all(-1).all(-1)).tolist()
        return [
            Draw(truth[i].half(), Condition(told.linear[i].half(), inside[i].half(), told.coverage, told.numbers[i]))
            for i in range(len(p))
            if usable[i]
        ]

    def _specimen(
        self, g: Geometry, thickness: float, drawn: dict[str, float], microscope: MicroscopeSettings, rng: Generator
    ) -> Specimen:
        """A section whose fine voxels hold every ray, and the grid with its padding."""
        nz, ny, nx = g.shape
        margin, pad, s = margin_pixels(microscope), compute_padding(g), SUPERSAMPLE
        beside = max(width_beyond_grid(g.shape, g.angles, margin, microscope), pad)
        cut = self._section((nz, ny + 2 * margin, nx + 2 * beside), g.voxel_size, thickness, drawn, rng)
        edge = beside - pad
        rows, columns = slice(margin * s, (margin + ny) * s), slice(edge * s, cut.density.shape[2] - edge * s)
        truth, inside = (bin_voxels(v[:, rows, columns]) for v in (cut.density, cut.inside))
        return Specimen(cut.density, truth, inside, cut.low / s, cut.high / s)

    def _section(
        self, shape: tuple[int, int, int], voxel_size: float, thickness: float, drawn: dict[str, float], rng: Generator
    ) -> Section:
        """A block of ``shape`` voxels on finer ones, cut to a section."""
        s = SUPERSAMPLE
        which = self._which(voxel_size, rng)
        spacing = max(voxel_size, self.tissues[which].voxel_size) / s / self.tissues[which].voxel_size
        blocks = self._blocks[which]
        turned = blocks.can_turn and rng.random() < self.settings.turned
        fine = blocks.cut(tuple(n * s for n in shape), spacing, rng, turned=turned)  # type: ignore[arg-type]
        fine = fine ** drawn["gamma"]
        return cut_section(fine, thickness, drawn["roughness"] * s, drawn["roughness_length"] * s, drawn["stain_gradient"], rng)

    def _which(self, voxel_size: float, rng: Generator) -> int:
        """Number of a tissue that can show voxels of this size: one of coarser voxels would be shown at another scale."""
        fine = np.array([t.voxel_size <= voxel_size * (1 + 1e-6) for t in self.tissues])
        shares = self._shares * fine if fine.any() else self._shares
        return int(rng.choice(len(shares), p=shares / shares.sum())) if len(shares) > 1 else 0

    def _block(self, shape: tuple[int, int, int], voxel_size: float, rng: Generator) -> Draw:
        share = 1.0 if rng.random() < 0.5 else self._thickness(rng)
        return self._describe(self._section(shape, voxel_size, share, MicroscopeSettings().draw(rng), rng), voxel_size, rng)

    def _describe(self, cut: Section, voxel_size: float, rng: Generator, *, given: bool = False) -> Draw:
        """A section without a series: mean and contrast as tilts would tell them, within their errors unless ``given``."""
        density, inside = bin_voxels(cut.density), bin_voxels(cut.inside)
        faces = Faces(inside, 0.0, 0.0) if given else draw_faces(
            inside, cut.low / SUPERSAMPLE, cut.high / SUPERSAMPLE, 0, rng
        )  # fmt: skip
        weight = inside.sum().clamp_min(1)
        mean = (density * inside).sum() / weight
        spread = ((density - mean).square() * inside).sum().div(weight).sqrt()
        gain = (spread / self._expected_std(voxel_size)).clamp_min(1e-6)
        if not given:
            gain = gain * math.exp(0.08 * rng.standard_normal())
            mean = mean + 0.1 * gain * rng.standard_normal()
        truth = (density - mean) / gain
        size = math.log(voxel_size / self.spectrum.voxel_size)
        specimen = [float(-mean / gain), size, math.log(FACE_STD_OFFSET + faces.face_std) / 2]
        numbers = torch.tensor([0.0] * N_SERIES_NUMBERS + specimen, device=self.device)
        empty = torch.zeros((), device=self.device, dtype=torch.float16).expand(density.shape)
        known = Condition(empty, faces.inside.expand(density.shape).half(), empty[:, 0], numbers)
        return Draw(truth.half(), known, told=False)

    def _expected_std(self, voxel_size: float) -> float:
        """Standard deviation of tissue in the prior's units in voxels of this size, of what varies within 64 voxels."""
        k = torch.fft.fftfreq(64)
        k2 = k[:, None, None] ** 2 + k[:, None] ** 2 + k**2
        power = self.spectrum(k2, voxel_size)
        power[0, 0, 0] = 0
        return math.sqrt(float(power.mean()))

    def _voxel(self, rng: Generator) -> float:
        low, high = self.settings.voxel_size
        if rng.random() < TYPICAL:
            return self.settings.typical_voxel(*self.tissues)
        return max(float(low * (high / low) ** rng.random()), min(t.voxel_size for t in self.tissues))

    def _height(self, rng: Generator) -> int:
        height = self.settings.height
        return height if rng.random() >= THINNER else int(rng.integers(height // 4, height))

    def _thickness(self, rng: Generator) -> float:
        """Of a section, as a share of the grid's height."""
        kind = rng.random()
        if kind < FILLED:
            return 1.0
        return float(rng.uniform(0.35, 0.7) if kind < FILLED + THIN else rng.uniform(0.7, 0.999))
