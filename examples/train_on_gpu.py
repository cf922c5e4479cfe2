"""Train a prior of the diffusion method on a GPU within minutes, on a machine without ASTRA and without the file of the volume.

    # on the machine with the volume: 520^3 voxels take 33 MiB
    python examples/train_on_gpu.py pack fibsem.tif --voxel-size 10 -o tissue.zip
    # on the machine with the GPU
    python examples/train_on_gpu.py train tissue.zip --validation other.zip --minutes 9 -o result

``pack`` keeps the slices as JPEG, whose error is a fortieth of the tissue's standard deviation once voxels are binned.
``train`` reports its progress every ten seconds, and writes the current prior, its log and its card to ``result``. After an
interruption the same command continues if ``--work`` still holds the state. At the end four samples of the prior are drawn. The
settings are in ``SETTINGS``: about 0.18 TFLOP per tile, on one H100 some hundred PFLOP in 9 minutes.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tomoprior.plot.figure import Figure
from tomoprior.simulate import Tissue
from tomoprior.training import TrainingSettings, sample_tissue, tile_flops, train

#: For one large GPU; ``--set batch_size=4`` and the like for a small one.
SETTINGS = {
    "batch_size": 16, "tile_size": 64, "field": (64, 64), "widths": (64, 128, 128), "blocks": (3, 2, 1), "separable": False,
    "group": 24, "keep": 5000, "reuse": 86, "learning_rate": 6e-4, "voxel_size": (12.5, 32.0), "warm_up": 300,
    "validate_every": 1.0,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("pack", "train"))
    parser.add_argument("volume", type=Path)
    parser.add_argument("--voxel-size", type=float, default=10.0, help="voxel size of the volume to pack, nanometer")
    parser.add_argument("--quality", type=int, default=85, help="quality of the JPEG slices")
    parser.add_argument("--validation", type=Path)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--work", type=Path, help="folder of the state; default: that of -o")
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    pack(args) if args.action == "pack" else learn(args)


def pack(args: argparse.Namespace) -> None:
    from tomoprior.formats import open_stack

    with zipfile.ZipFile(args.out, "w") as file:
        file.writestr("voxel_size.json", json.dumps(args.voxel_size))
        for i, plane in enumerate(open_stack(args.volume).data):
            Image.fromarray(np.asarray(plane)).save(buffer := io.BytesIO(), "JPEG", quality=args.quality)
            file.writestr(f"{i:05d}.jpg", buffer.getvalue())


def unpack(path: Path) -> Tissue:
    with zipfile.ZipFile(path) as file:
        names = sorted(name for name in file.namelist() if name.endswith(".jpg"))
        planes = [np.asarray(Image.open(io.BytesIO(file.read(name)))) for name in names]
        return Tissue.of(np.stack(planes), json.loads(file.read("voxel_size.json")))


def learn(args: argparse.Namespace) -> None:
    torch.backends.cudnn.benchmark = True  # all tiles have one size
    settings = TrainingSettings.parse(SETTINGS | {"minutes": args.minutes} | dict(pair.split("=", 1) for pair in args.set))
    work = args.work or args.out
    for folder in (work, args.out):
        folder.mkdir(parents=True, exist_ok=True)
    log, flops = work / "prior.csv", 3 * tile_flops(settings)
    print(f"{flops / 1e9:.0f} GFLOP per tile, forward and back", flush=True)
    began = last = time.monotonic()
    steps = 0

    def say(percent: int, whole: int, values: dict[str, float]) -> None:
        nonlocal last, steps
        steps += 1
        if (now := time.monotonic()) - last > 10:
            tiles, last = steps * settings.batch_size, now
            shown = "  ".join(f"{k} {v:.4g}" for k, v in values.items())
            rate = tiles / (now - began)
            print(
                f"{now - began:6.0f} s  {steps} steps  {rate:.0f} tiles/s  {tiles * flops / 1e15:.2f} PFLOP  {shown}",
                flush=True,
            )
            if log.exists():
                shutil.copy(log, args.out / "prior.csv")

    tissue, other = unpack(args.volume), unpack(args.validation) if args.validation else None
    prior = train(
        tissue, work / "prior.safetensors", validation=other, settings=settings, device=args.device, overwrite=True,
        snapshot=args.out / "prior.safetensors", progress=say, card={"name": args.out.name, "data": [args.volume.name]},
    )  # fmt: skip
    for name in ("prior.safetensors", "prior.csv"):
        if (work / name).resolve() != (args.out / name).resolve():
            shutil.copy(work / name, args.out / name)
    (args.out / "card.json").write_text(json.dumps(prior.card, indent=1))
    print(json.dumps({k: prior.card[k] for k in ("steps", "tiles", "draws", "validation", "gain_over_linear")}, indent=1))
    edge = 3 * settings.tile_size // 2
    volumes = sample_tissue(prior, 4, (settings.height, edge, edge), device=args.device)
    shown = Figure(figsize=(10, 10))
    for i, (axes, volume) in enumerate(zip(shown.subplots(2, 2).flat, volumes, strict=True)):
        axes.imshow(volume[len(volume) // 2].numpy(), cmap="gray", vmin=-1.2, vmax=1.2)
        axes.set_title(f"sample {i}")
    shown.savefig(args.out / "samples.png")


if __name__ == "__main__":
    main()
