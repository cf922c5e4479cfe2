"""Make the pictures of the gallery page: ``python docs/make_gallery.py [FOLDER]``; takes three to four minutes on two cores.

FOLDER holds what the demo, the simulations and the example write; by default a temporary folder. Results that are already there
are used. The pictures go to ``docs/gallery`` with at most 64 colours and 1100 pixels width, so that all together stay small.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
PROGRAM = [sys.executable, "-m", "tomoprior"]
COMMANDS = {
    "tomoprior-demo": [*PROGRAM, "demo"],
    "shapes": [*PROGRAM, "simulate", "shapes", "-o", "shapes", "--size", "96x96x48", "--angles=-60:60:2", "--snr", "1"],
    "foam": [*PROGRAM, "simulate", "foam", "-o", "foam", "--size", "96x96x48", "--angles=-60:60:2"],
    "volume.png": [sys.executable, str(HERE.parent / "examples" / "mrc_to_omezarr.py")],
}
PICTURES = {
    "demo_spheres.png": "tomoprior-demo/spheres/figures/slices.png",
    "demo_correlation.png": "tomoprior-demo/spheres/figures/fsc_truth.png",
    "demo_planted.png": "tomoprior-demo/tissue/figures/planted.png",
    "demo_residuals.png": "tomoprior-demo/tissue/figures/residual_tilts.png",
    "simulated_shapes.png": "shapes/simulation.png",
    "simulated_foam.png": "foam/simulation.png",
    "spoilt_tilts.png": "volume.png",
}


def main(folder: Path) -> None:
    """Run the commands whose output is missing and copy the pictures."""
    for output, command in COMMANDS.items():
        if not (folder / output).exists():
            subprocess.run(command, cwd=folder, check=True)
    (HERE / "gallery").mkdir(exist_ok=True)
    for name, source in PICTURES.items():
        image = Image.open(folder / source).convert("RGB")
        image.thumbnail((1100, 1100))
        image.quantize(64).save(HERE / "gallery" / name, optimize=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as work:
            main(Path(work))
