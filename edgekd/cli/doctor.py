"""`edgekd doctor`: what can be done on this host."""

from __future__ import annotations

from typing import Annotated

import typer

NAME = "doctor"


def main(json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False) -> None:
    """Say what is installed here, and which targets can be trained for, run and measured on this host."""
    import os
    import platform
    import shutil

    from edgekd.backends.imx500.converter import PROGRAM, VARIABLE
    from edgekd.backends.registry import is_installed
    from edgekd.cli import console
    from edgekd.devices.local import is_board
    from edgekd.evidence import host
    from edgekd.runners import board, trt
    from edgekd.schema.targets import boards, load_board
    from edgekd.store import installed
    from edgekd.toolchains.cache import is_fetched
    from edgekd.toolchains.lock import find_lock, names

    packages = {
        name: installed(name)
        for name in ("torch", "onnx", "onnxruntime", "openvino", "ai-edge-litert", "nncf", "lightning-fabric")
    }
    found = [load_board(path) for path in boards().values()]
    engines = {b.name: [name for name, engine in b.engines.items() if is_installed(engine.backend)] for b in found}
    here = {b.name: is_board(b.reach) for b in found}
    trtexec, converter = trt.find(), shutil.which(os.environ.get(VARIABLE, ""))
    fetched = [name for name in names() if is_fetched(find_lock(name))]
    if json:
        abilities = {name: {"compile": engines[name], "measure here": here[name]} for name in engines}
        known = {"host": host(), "python": platform.python_version(), "8-bit products saturate": board.saturates(),
                 "packages": packages, "trtexec": trtexec,
                 PROGRAM: converter, "fetched": fetched}  # fmt: skip
        console.emit(known | {"targets": abilities})
        return
    print(f"host     {host()}\npython   {platform.python_version()}")
    if board.saturates():
        print("vnni     absent: int8 is slow here, OpenVINO's even float; weights of 7 bits, `x86-avx2`, are not")
    for name, version in packages.items():
        print(f"{name:<16} {version}")
    print(f"{'trtexec':<16} {trtexec or 'absent: compiling for a Jetson gives a kit'}")
    print(f"{PROGRAM:<16} {converter or f'absent: `{VARIABLE}` names yours; firmware for an IMX500 is a kit without'}")
    print(f"{'fetched':<16} {', '.join(fetched) or 'nothing: edgekd fetch lists what there is'}")
    print(f"training         {'possible' if packages['torch'] != 'absent' else 'needs pip install edgekd[train]'}\n")
    rows = [[name, ", ".join(engines[name]) or "none", "yes" if here[name] else "no"] for name in engines]
    console.table(["target", "engines that compile here", "latency can be measured here"], rows)
