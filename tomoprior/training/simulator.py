"""Simulation of training examples on a device: tissue is cut to sections, recorded, and estimated as the method does."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
from tomoprior.simulate.recording import SUPERSAMPLE
from tomoprior.simulate.tissue import Tissue
from tomoprior.training.cutting import TissueBlocks
from tomoprior.training.draws import Draw, Group, Specimen
from tomoprior.training.faces import Faces, draw_faces
from tomoprior.training.parameters import draw_angles, draw_height, draw_thickness, draw_voxel_size
from tomoprior.training.rays import MatrixProjector
from tomoprior.training.recording import Section, bin_voxels, cut_section, project_lines, record_tilts, screen
from tomoprior.training.settings import TrainingSettings
from tomoprior.training.tissues import SeriesBlock, fine_shape, fine_spacing, volume_shares

#: Places that are tried for a group of draws before an error.
ATTEMPTS = 20

#: Largest value of a truth in the prior's units; beyond it the contrast was measured wrongly.
LARGEST = 20.0


class Simulator:
    """Source of training examples on a device: the same ones for the same seed and number.

    Parameters
    ----------
    tissues
        Volumes to draw from, with a probability proportional to their size.
    spectrum
        Spectrum of the tissue in the prior's units.
    device
        Device of the simulation and of the examples.
    """

    def __init__(
        self, tissues: Sequence[Tissue], spectrum: Spectrum, settings: TrainingSettings, device: torch.device | str = "cpu"
    ) -> None:
        self.tissues, self.spectrum, self.settings = list(tissues), spectrum, settings
        self.device = torch.device(device)
        self._blocks = [TissueBlocks(t, self.device) for t in tissues]
        self._shares = volume_shares(tissues)

    def draws(self, number: int) -> list[Draw]:
        """Return group ``number`` of draws: at most ``settings.group``, fewer if some show no contrast.

        Raises
        ------
        InputError
            If ``ATTEMPTS`` places in a row show no tissue.
        """
        reason = ""
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng([self.settings.seed, number, attempt])
            try:
                group = self.record(
                    draw_angles(self.settings, rng), draw_voxel_size(self.settings, self.tissues, rng),
                    draw_height(self.settings, rng), self.settings.group, rng,
                    MicroscopeSettings.parse({"dose": (200.0, 10000.0)}),
                )  # fmt: skip
            except ValueError as error:  # an empty block
                reason = str(error)
                continue
            faces = [self.faces(group, s, rng) for s in group.specimens]
            if draws := self.observe(group, faces):
                return draws
            reason = "its tilts show hardly any contrast"
        raise InputError(
            f"{ATTEMPTS} places in a row show no tissue: is this volume of the kind, and its polarity right? The last: {reason}"
        )

    def blocks(self, number: int) -> list[Draw]:
        """Return group ``number`` of blocks without a series, whole or cut to a section: ``settings.group``, 1.5 tiles wide."""
        rng = np.random.default_rng([self.settings.seed, 2**31, number])
        blocks = [self._random_block(rng) for _ in range(self.settings.group)]
        return [d for d in blocks if float(d.truth.abs().max()) < LARGEST]

    def filled_block(self, seed: int) -> Draw:
        """Return a block of tissue that fills a grid of the typical voxel, without faces, gamma or gradient."""
        rng = np.random.default_rng(seed)
        wide = 2 * self.settings.tile_size
        drawn = MicroscopeSettings.parse({"gamma": 1.0, "stain_gradient": 0.0, "roughness": 0.0}).draw(rng)
        size = self.settings.typical_voxel(*self.tissues)
        section = self._section((self.settings.height, wide, wide), size, 1.0, drawn, rng)
        return self._describe(section, size, rng, exact=True)

    def record(
        self, angles: NDArray[np.float64], voxel_size: float, height: int, count: int, rng: Generator,
        microscope: MicroscopeSettings, thickness: tuple[float, float] | None = None, field: tuple[int, int] | None = None,
    ) -> Group:  # fmt: skip
        """Return ``count`` series of sections on grids of ``height`` voxels; ``thickness`` is a range of shares of the height.

        Raises
        ------
        ValueError
            If a section is empty; InputError, a ValueError, if the tissue is too small.
        """
        nominal = Geometry(angles, (height, *(field or self.settings.field)), voxel_size=voxel_size)
        block = SeriesBlock.of(nominal, microscope)
        projections, specimens = [], []
        for _ in range(count):
            drawn = microscope.draw(rng)
            errors = tilt_errors(nominal.n_angles, drawn, rng)
            share = draw_thickness(rng) if thickness is None else rng.uniform(*thickness)
            specimen = self._specimen(nominal, block, share, drawn, rng)
            angles_with_errors = nominal.angles + errors["angle"]
            lines = project_lines(specimen.fine, angles_with_errors, screen(nominal, block.margin)) / SUPERSAMPLE
            least = int(np.argmin(np.abs(angles_with_errors)))
            projections.append(record_tilts(lines, errors, drawn, block.margin, least, rng))
            specimens.append(specimen)
        return Group(nominal, torch.stack(projections), specimens)

    def faces(self, group: Group, specimen: Specimen, rng: Generator) -> Faces:
        """Return a random knowledge of a specimen's faces."""
        return draw_faces(specimen.inside, specimen.low, specimen.high, compute_padding(group.geometry), rng)

    def observe(self, group: Group, faces: Sequence[Faces]) -> list[Draw]:
        """Return the group's series as the method sees them, with their truths; series without contrast are left out."""
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
        known = build_condition(data, self.spectrum, inside, stds, flat=flat, num_iter=self.settings.num_cg)
        truth = (torch.stack([s.truth for s in group.specimens]) - mean) / gain
        finite = torch.isfinite(known.linear).all(-1).all(-1).all(-1)
        usable = (good & (truth.abs().amax((1, 2, 3)) < LARGEST) & finite).tolist()
        return [
            Draw(truth[i].half(), Condition(known.linear[i].half(), inside[i].half(), known.coverage, known.numbers[i]))
            for i in range(len(p))
            if usable[i]
        ]

    def _specimen(
        self, geometry: Geometry, block: SeriesBlock, thickness: float, drawn: dict[str, float], rng: Generator
    ) -> Specimen:
        """Return a section whose fine voxels hold every ray, and its density on the padded grid."""
        ny, s = geometry.shape[1], SUPERSAMPLE
        section = self._section(block.shape, geometry.voxel_size, thickness, drawn, rng)
        edge = block.beyond - compute_padding(geometry)
        rows = slice(block.margin * s, (block.margin + ny) * s)
        columns = slice(edge * s, section.density.shape[2] - edge * s)
        truth, inside = (bin_voxels(v[:, rows, columns]) for v in (section.density, section.inside))
        return Specimen(section.density, truth, inside, section.low / s, section.high / s)

    def _section(
        self, shape: tuple[int, int, int], voxel_size: float, thickness: float, drawn: dict[str, float], rng: Generator
    ) -> Section:
        """Return a block of ``shape`` voxels, on fine voxels, cut to a section."""
        s = SUPERSAMPLE
        which = self._choose_tissue(voxel_size, rng)
        blocks = self._blocks[which]
        turned = blocks.can_turn and rng.random() < self.settings.turned
        fine = blocks.cut(fine_shape(shape), fine_spacing(self.tissues[which], voxel_size), rng, turned=turned)
        fine = fine ** drawn["gamma"]
        return cut_section(fine, thickness, drawn["roughness"] * s, drawn["roughness_length"] * s, drawn["stain_gradient"], rng)

    def _choose_tissue(self, voxel_size: float, rng: Generator) -> int:
        """Return the number of a tissue with a probability proportional to its size; a single tissue needs no random number.

        Tissues whose voxels are coarser than ``voxel_size`` are left out if others are finer: they would be shown at another
        scale.
        """
        fine = np.array([t.voxel_size <= voxel_size * (1 + 1e-6) for t in self.tissues])
        shares = self._shares * fine if fine.any() else self._shares
        return int(rng.choice(len(shares), p=shares / shares.sum())) if len(shares) > 1 else 0

    def _random_block(self, rng: Generator) -> Draw:
        wide = 3 * self.settings.tile_size // 2
        shape = (draw_height(self.settings, rng), wide, wide)
        voxel_size = draw_voxel_size(self.settings, self.tissues, rng)
        share = 1.0 if rng.random() < 0.5 else draw_thickness(rng)
        return self._describe(self._section(shape, voxel_size, share, MicroscopeSettings().draw(rng), rng), voxel_size, rng)

    def _describe(self, section: Section, voxel_size: float, rng: Generator, *, exact: bool = False) -> Draw:
        """Return a section as an example without a series.

        Mean and contrast are those that tilts would show, with their usual errors unless ``exact``.
        """
        density, inside = bin_voxels(section.density), bin_voxels(section.inside)
        faces = Faces(inside, 0.0, 0.0) if exact else draw_faces(
            inside, section.low / SUPERSAMPLE, section.high / SUPERSAMPLE, 0, rng
        )  # fmt: skip
        weight = inside.sum().clamp_min(1)
        mean = (density * inside).sum() / weight
        spread = ((density - mean).square() * inside).sum().div(weight).sqrt()
        gain = (spread / self._expected_std(voxel_size)).clamp_min(1e-6)
        if not exact:
            gain = gain * math.exp(0.08 * rng.standard_normal())
            mean = mean + 0.1 * gain * rng.standard_normal()
        truth = (density - mean) / gain
        size = math.log(voxel_size / self.spectrum.voxel_size)
        specimen = [float(-mean / gain), size, math.log(FACE_STD_OFFSET + faces.face_std) / 2]
        numbers = torch.tensor([0.0] * N_SERIES_NUMBERS + specimen, device=self.device)
        empty = torch.zeros((), device=self.device, dtype=torch.float16).expand(density.shape)
        known = Condition(empty, faces.inside.expand(density.shape).half(), empty[:, 0], numbers)
        return Draw(truth.half(), known, has_series=False)

    def _expected_std(self, voxel_size: float) -> float:
        """Return the standard deviation, in the prior's units, of what varies within 64 voxels of this size in tissue."""
        k = torch.fft.fftfreq(64)
        k2 = k[:, None, None] ** 2 + k[:, None] ** 2 + k**2
        power = self.spectrum(k2, voxel_size)
        power[0, 0, 0] = 0
        return math.sqrt(float(power.mean()))
