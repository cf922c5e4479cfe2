"""Diagrams of the architecture page as SVG: the flow of data, and the layers that the import contracts state."""

from __future__ import annotations

import tomllib
from pathlib import Path
from xml.sax.saxutils import escape

ROW, WIDTH, PAD = 44, 760, 12

#: The flow of data: outside world, adapters, core.
FLOW = [
    ("MRC, HDF5, TIFF, Zarr, NumPy", "formats: mrc, hdf5, tiff, zarr, npy", "TiltSeries = projections + Geometry"),
    (
        "ASTRA Toolbox (CPU, CUDA)",
        "projectors: astra-matrix, numba, astra-2d, astra-cuda",
        "Projector = differentiable A and A.T",
    ),
    ("TomoPy", "tomopy: algorithm, recon, tomopy.*", "methods: classical, cn, diffusion, wedge"),
    ("Dask, SLURM", "executors: dask", "running: in memory, slabs, resume"),
    ("you", "command line, notebook", "comparison, metrics, plot, simulate"),
]


def write(folder: Path) -> None:
    """Write ``flow.svg`` and ``layers.svg`` into ``folder``."""
    folder.mkdir(exist_ok=True)
    for name, text in (("flow.svg", flow()), ("layers.svg", layers(core_layers()))):
        path = folder / name
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)


def core_layers() -> list[str]:
    """The core's layers from top to bottom, as pyproject.toml states them for import-linter."""
    settings = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    layered = next(c for c in contracts if c["type"] == "layers" and c["name"].startswith("The core's layers"))
    return [layer.replace("tomoprior.", "") for layer in layered["layers"]]


def flow() -> str:
    """SVG of three columns: what lies outside, the adapter, the core."""
    titles = ("files, arrays, clusters", "adapters/", "tomoprior/, the core")
    column = WIDTH / 3
    parts = [_text(column * (i + 0.5), 20, title, "bold") for i, title in enumerate(titles)]
    for row, cells in enumerate(FLOW):
        y = 32 + row * (ROW + PAD)
        for i, cell in enumerate(cells):
            parts.append(_box(column * i + PAD, y, column - 2 * PAD, ROW, ("#eceff1", "#e3f2fd", "#e8f5e9")[i]))
            parts += _wrapped(column * (i + 0.5), y + ROW / 2, cell)
        for i in (1, 2):
            parts.append(_arrow(column * i - PAD, column * i + PAD, y + ROW / 2))
    return _svg(32 + len(FLOW) * (ROW + PAD), parts)


def layers(names: list[str]) -> str:
    """SVG of the layers; a module imports only from layers below its own."""
    parts = []
    height = 30
    for row, name in enumerate(names):
        y = 8 + row * (height + 4)
        parts += [_box(WIDTH / 6, y, WIDTH * 2 / 3, height, "#e8f5e9"), _text(WIDTH / 2, y + 20, name.replace(" : ", ",  "))]
    return _svg(16 + len(names) * (height + 4), parts)


def _svg(height: float, parts: list[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" font-family="sans-serif" font-size="12">'
    marker = (
        '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#555"/></marker></defs>'
    )
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height:g}" fill="#ffffff"/>', marker, *parts, "</svg>", ""])


def _box(x: float, y: float, width: float, height: float, fill: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5" fill="{fill}" stroke="#78909c"/>'


def _text(x: float, y: float, text: str, weight: str = "normal") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="middle" font-weight="{weight}" fill="#222">{escape(text)}</text>'


def _wrapped(x: float, y: float, text: str, limit: int = 34) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > limit:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return [_text(x, y + 4 + 15 * (i - (len(lines) - 1) / 2), line) for i, line in enumerate(lines)]


def _arrow(x1: float, x2: float, y: float) -> str:
    return f'<line x1="{x1:g}" y1="{y:g}" x2="{x2:g}" y2="{y:g}" stroke="#555" marker-end="url(#tip)"/>'
