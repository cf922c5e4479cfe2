"""Damage files of every kind and read them: one clear error or a readable file, and never anything else.

    python tests/fuzz --number 100000               all kinds, divided by their shares
    python tests/fuzz --number 1000 --kind tiff     one kind
    python tests/fuzz --kind tiff --seed 3 --only 417 --keep broken    one input again, kept in the folder ``broken``

Every input follows from kind, seed and number. A child process reads them: its death by a signal, a hang, and memory beyond
twice what a file claims are findings, as is an error that is not one line of ``tomoprior.errors``. Exit status 1 with findings.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from random import Random

import aligned
import h5py
import kinds
import programs
import saved
from guard import Finding, check_input, run_guarded
from kinds import Kind
from mutations import mutate

from tomoprior.adapters.hdf5 import format as hdf5_format
from tomoprior.adapters.hdf5 import trial

KINDS = {
    "mrc": Kind(kinds.write_mrc, kinds.read_stack),
    "tiff": Kind(kinds.write_tiff, kinds.read_stack),
    "hdf5": Kind(kinds.write_hdf5, kinds.read_stack),
    "microscopes": Kind(kinds.write_microscopes, kinds.read_stack),
    "zarr": Kind(kinds.write_zarr, kinds.read_stack),
    "numpy": Kind(kinds.write_numpy, kinds.read_stack),
    "programs": Kind(programs.write_microscopes, kinds.read_stack),
    "folders": Kind(programs.write_folders, kinds.read_stack),
    "side": Kind(kinds.write_side_files, kinds.read_side_file, 2.0),
    "beside": Kind(aligned.write_beside, aligned.read_beside, 2.0),
    "prior": Kind(saved.write_priors, saved.read_prior),
    "field": Kind(saved.write_fields, saved.read_field),
    "wedge": Kind(saved.write_wedge, saved.read_wedge, 0.3),
    "training": Kind(saved.write_training, saved.read_training, 0.3),
    "record": Kind(saved.write_records, saved.read_records),
    "partial": Kind(saved.write_partial, saved.read_partial, 0.1),
}


class Inputs:
    """The damaged files of one kind, made one after the other in the same folder."""

    def __init__(self, kind: Kind, name: str, seed: int, folder: Path) -> None:
        self.kind, self.name, self.seed = kind, name, seed
        self.whole, self.broken = folder / name, folder / f"{name}.broken"
        self.whole.mkdir(parents=True)
        kind.write(self.whole)
        self.paths = sorted(p for p in self.whole.iterdir() if p.suffix != ".tlt" or name == "side")
        for source in self.paths:  # a file that cannot be read before it is damaged would prove nothing
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                kind.read(self._copy(source))

    def make(self, index: int) -> Path:
        """Write input ``index`` and return its path."""
        chance = Random(f"{self.name} {self.seed} {index}")
        source = chance.choice(self.paths)
        path = self._copy(source)
        files = sorted(p for p in source.rglob("*") if p.is_file()) if source.is_dir() else [source]
        damaged = chance.choice(files)
        target = path / damaged.relative_to(source) if source.is_dir() else path
        target.write_bytes(mutate(damaged.read_bytes(), chance))
        return path

    def is_tried(self, finding: Finding) -> bool:
        """Return whether the HDF5 library failed, and the trial of the file in a process of its own notices that."""
        if finding.fault != "hang" and not finding.fault.startswith("killed"):
            return False
        path = self.make(finding.index)
        return h5py.is_hdf5(path) and trial.try_in_a_process(path) is not None

    def _copy(self, source: Path) -> Path:
        path = self.broken / source.name
        shutil.rmtree(self.broken, ignore_errors=True)
        self.broken.mkdir()
        return shutil.copytree(source, path) if source.is_dir() else shutil.copyfile(source, path)

    def check(self, index: int) -> str | None:
        """Make an input and read it; returns the fault, or None."""
        path = self.make(index)
        return check_input(lambda: self.kind.read(path))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=1300, help="inputs in all")
    parser.add_argument("--kind", choices=sorted(KINDS), action="append", help="may be repeated; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of one input, read without a guard")
    parser.add_argument("--keep", type=Path, help="folder for the files; default: a temporary one")
    parser.add_argument("--findings", type=Path, help="file for the findings, one JSON object a line")
    args = parser.parse_args()
    chosen = args.kind or sorted(KINDS)
    shares = sum(KINDS[name].share for name in chosen)
    findings = 0
    hdf5_format.try_in_a_process = lambda path: None  # a process for each file takes too long; see Inputs.is_tried
    with tempfile.TemporaryDirectory() as temporary:
        for name in chosen:
            inputs = Inputs(KINDS[name], name, args.seed, args.keep or Path(temporary))
            if args.only is not None:
                print(inputs.make(args.only), inputs.check(args.only) or "ok")
                continue
            count = round(args.number * KINDS[name].share / shares)
            started = time.perf_counter()
            found = [finding for finding in run_guarded(inputs.check, count) if not inputs.is_tried(finding)]
            print(f"{name:12} {count:7} inputs, {len(found)} findings, {time.perf_counter() - started:.0f} s", flush=True)
            report(found, name, args.seed, args.findings)
            findings += len(found)
    return 1 if findings else 0


def report(found: list[Finding], name: str, seed: int, path: Path | None) -> None:
    """Print each fault once, with the first input that has it; append all to a file."""
    first: dict[str, int] = {}
    for finding in found:
        first.setdefault(finding.fault, finding.index)
    for fault, times in Counter(finding.fault for finding in found).most_common(20):
        print(f"    {times} x {fault} (--kind {name} --seed {seed} --only {first[fault]})", flush=True)
    if path is not None and found:
        with path.open("a") as file:
            file.writelines(json.dumps({"kind": name, "seed": seed, **vars(finding)}) + "\n" for finding in found)


if __name__ == "__main__":
    sys.exit(main())
