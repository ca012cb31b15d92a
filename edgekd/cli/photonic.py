"""`edgekd photonic`: clicks and features of a photonic device, and what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from edgekd.photonic.circuit import Floats
    from edgekd.schema.photonic import Photonic

NAME = "photonic"
SHOWN = 8
"""Patterns of each half that are printed."""
app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Clicks and features of a photonic device.")

Device = Annotated[str, typer.Option(help="`device`, `device:source` or a descriptor's path; see `edgekd targets`.")]
Set = Annotated[list[str], typer.Option("--set", help="KEY=VALUE laid on the descriptor; may be repeated.")]
Angles = Annotated[Path | None, typer.Argument(help="Angles in radians, `.npy` or `.json`.")]
Random = Annotated[int | None, typer.Option("--random", min=0, help="Random angles by this seed in place of a file.")]
Shots = Annotated[int | None, typer.Option(min=1, help="Runs of the circuit; else the descriptor's.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the samples.")]
Out = Annotated[Path | None, typer.Option(help="A file to write, `.npy` or `.json`.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
TBI = "photonic-tbi"


@app.command()
def sample(
    angles: Angles = None, device: Device = TBI, random: Random = None, shots: Shots = None, seed: Seed = 0,
    set_: Set = [], out: Out = None, json: Json = False,  # noqa: B006
) -> None:  # fmt: skip
    """Give out clicks: a row of 0 and 1 a shot, the first mode first."""
    from edgekd.cli import console
    from edgekd.errors import RequestError
    from edgekd.photonic.base import ClickSource
    from edgekd.photonic.sources.registry import open_source

    found = _found(device, set_, shots)
    source = open_source(found)
    if not isinstance(source, ClickSource):
        raise RequestError(f"`{found.source}` gives features alone, no clicks", "`edgekd photonic features`")
    given = _angles(angles, random, found)
    clicks = source.sample(given, found.shots, (seed,))
    rows = ["".join("01"[c] for c in row) for row in clicks.astype(int)]
    if out:
        _write(out, clicks, rows)
    if json:
        console.emit(_told(found, source, given, seed) | {"clicks": rows})
    else:
        print(out or "\n".join(rows))


@app.command()
def features(
    angles: Angles = None, device: Device = TBI, random: Random = None, shots: Shots = None, seed: Seed = 0,
    set_: Set = [], out: Out = None, json: Json = False,  # noqa: B006
) -> None:  # fmt: skip
    """Give out the vector of features: shares of the patterns of each half of the modes."""
    from edgekd.cli import console
    from edgekd.photonic.sources.registry import features_of, open_source, shotless

    found = _found(device, set_, shots)
    source, given = open_source(found), _angles(angles, random, found)
    vector = features_of(source, found, given, found.shots, (seed,))
    if out:
        _write(out, vector, vector.tolist())
    told = _told(found, source, given, seed)
    if json:
        console.emit(told | {"features": vector.tolist()})
        return
    runs = "without noise of shots" if shotless(source) else f"{found.shots} shots"
    print(f"{found.name}: {found.title}\n{told['source']}, {told['kind']} by {told['tool']}, {runs}, "
          f"seed {seed}; validated: {found.validated}")  # fmt: skip
    print(f"{len(vector)} features, {int((vector != 0).sum())} of them not 0; the largest:\n")
    _print_largest(vector)
    print(f"\n{out}" if out else "\n--out FILE.npy, FILE.json or --json: all of them")


@app.command()
def profile(
    device: Device = TBI, shots: Shots = None, set_: Set = [],  # noqa: B006
    seconds: Annotated[float, typer.Option(min=0, help="How long a size is run, once at least.")] = 1.0,
    json: Json = False,
) -> None:  # fmt: skip
    """Time features here, with fewer modes and with all, and estimate the device's time by its descriptor's clock."""
    import os

    from edgekd.cli import console
    from edgekd.evidence import host
    from edgekd.photonic.profile import clock_source
    from edgekd.photonic.profile import profile as run

    found = _found(device, set_, shots)
    rows = list(run(found, seconds))
    if json:
        console.emit([figure.plain() for row in rows for figure in row])
        return
    tool, load = rows[-1][0].tool, os.getloadavg()[0]
    print(f"{found.name}: {found.title} (validated: {found.validated})\n"
          f"{found.source} by {tool}, {found.shots} shots\n{host()}, load {load:.2f}\n")  # fmt: skip
    by_name = [{figure.name: figure.value for figure in row} for row in rows]
    sizes = [row[0].subject.split(", ")[1:] for row in rows]
    table = [
        [size[0].split()[0], size[1].split()[0], f"{int(row['states']):,}", f"{row['features']:.3f}",
         f"{row['shots']:,.0f}" if "shots" in row else "", f"{row['memory'] / 2**20:.1f}", f"{row['device time']:.1f}"]
        for size, row in zip(sizes, by_name, strict=True)
    ]  # fmt: skip
    heads = ["modes", "photons", "states", "features, ms", "shots a second", "MiB a call", "on the device, ms"]
    console.table(heads, table, right=tuple(range(len(heads))))
    print("\nfeatures, shots and memory: measured on this host; on the device: estimated by its clock, "
          + clock_source(found))  # fmt: skip


def _found(name: str, overrides: list[str], shots: int | None) -> Photonic:
    """The device, with overrides."""
    from edgekd.errors import ProblemsError
    from edgekd.schema.load import parse_overrides
    from edgekd.schema.photonic import find_photonic

    table, problems = parse_overrides(overrides)
    if problems:
        raise ProblemsError(problems)
    return find_photonic(name, table | ({} if shots is None else {"shots": shots}))


def _angles(file: Path | None, seed: int | None, device: Photonic) -> Floats:
    from edgekd.errors import RequestError
    from edgekd.photonic.files import read_angles
    from edgekd.photonic.profile import random_angles

    if (file is None) == (seed is None):
        wrong = "no angles are given" if file is None else f"both `{file}` and `--random {seed}` are given"
        raise RequestError(wrong, "a file, `.npy` or `.json`, or `--random SEED`")
    return read_angles(file) if file is not None else random_angles(device, seed or 0)


def _write(out: Path, array: Any, plain: Any) -> None:
    from edgekd.photonic.files import write_array

    write_array(out, array, plain)


def _told(device: Photonic, source: Any, angles: Floats, seed: int) -> dict[str, Any]:
    """What vouches for the numbers."""
    from edgekd.evidence import host, now
    from edgekd.photonic.profile import kind, tools
    from edgekd.photonic.sources.registry import shotless

    return {
        "device": device.name, "source": device.source, "validated": device.validated, "kind": kind(source),
        "tool": tools(source), "host": host(), "when": now(), "seed": seed,
        "shots": None if shotless(source) else device.shots,
        "circuit": device.circuit.plain(), "imperfections": device.imperfections.plain(), "angles": angles.tolist(),
    }  # fmt: skip


def _print_largest(vector: Floats) -> None:
    """The largest features of each half beside each other."""
    import numpy as np

    from edgekd.cli import console

    halves = vector.reshape(2, -1)
    width = (halves.shape[1] - 1).bit_length()
    tops = [[(f"{i:0{width}b}", f"{half[i]:.4f}") for i in np.argsort(-half, kind="stable")[:SHOWN]] for half in halves]
    rows = [[*first, *second] for first, second in zip(*tops, strict=True)]
    console.table(["first half", "share", "second half", "share"], rows, right=(1, 3))
