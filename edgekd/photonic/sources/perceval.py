"""Perceval's samplers in the environment that `edgekd fetch perceval` makes: another's word on the same circuit."""

from __future__ import annotations

import json
import subprocess
import weakref
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
from typing import Any

import numpy as np

from edgekd.errors import MissingError, RequestError
from edgekd.photonic.base import Clicks
from edgekd.photonic.circuit import Floats
from edgekd.photonic.clicks import histogram
from edgekd.photonic.sampling import checked_shots
from edgekd.photonic.simulator import generator
from edgekd.photonic.sources.registry import NoOptions, circuit_of
from edgekd.schema.photonic import Photonic
from edgekd.toolchains.cache import python_of
from edgekd.toolchains.lock import Environment, find_lock

LOCK = "perceval"
TIMEOUT = 600.0
"""Seconds an answer may take."""
_SCRIPT = Path(__file__).with_name("perceval_worker.py")


class Perceval:
    """The unitary goes to a process that stays up, since Perceval takes seconds to start; without imperfections.

    Its binary, exqalibur, is under CC BY-NC-ND 4.0: not for commercial use. Nothing here imports it.
    """

    def __init__(self, device: Photonic, options: NoOptions) -> None:
        if not device.ideal:
            raise RequestError(
                "`perceval` is asked for ideal circuits alone", "leave `imperfections` out, or take `simulator`"
            )
        self.tool = f"Perceval {_version()}"
        self.circuit, self.interleaved, self.python = circuit_of(device), device.interleaved, python_of(LOCK)
        self._process: subprocess.Popen[str] | None = None
        self._said = TemporaryFile("w+")  # noqa: SIM115
        weakref.finalize(self, self._said.close)

    def features(self, angles: Floats, shots: int, seed: tuple[int, ...]) -> Floats:
        """Two-half click histogram of samples. Raises as `sample`."""
        return histogram(self.sample(angles, shots, seed), self.interleaved)

    def sample(self, angles: Floats, shots: int, seed: tuple[int, ...]) -> Clicks:
        """(shots, modes) by its Clifford-Clifford sampler, which gets the seed but does not always repeat itself.

        Raises RequestError for a wrong request, MissingError where the process ends.
        """
        number = int(generator(seed).integers(1 << 31))
        rows = self._ask(angles, task="sample", shots=checked_shots(shots, self.circuit.modes), seed=number)
        return np.array(rows).reshape(shots, self.circuit.modes) > 0

    def distribution(self, angles: Floats) -> dict[tuple[int, ...], float]:
        """Probability of each photon-number pattern by its SLOS. Raises as `sample`."""
        return {tuple(pattern): p for pattern, p in self._ask(angles, task="distribution")}

    def _ask(self, angles: Floats, **what: Any) -> Any:
        """What the process answers to a line of JSON."""
        unitary = np.asarray(self.circuit.unitary(angles), complex)
        if unitary.ndim != 2:
            raise RequestError(f"one setting of angles at a time, not {list(unitary.shape[:-2])}", "one call each")
        asked = {"real": unitary.real.tolist(), "imaginary": unitary.imag.tolist(), "photons": self.circuit.photons}
        process = self._process or self._begin()
        assert process.stdin is not None
        assert process.stdout is not None
        timer = Timer(TIMEOUT, process.kill)
        timer.start()
        try:
            print(json.dumps(asked | what), file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())
        except (OSError, ValueError):
            raise self._ended(process) from None
        finally:
            timer.cancel()

    def _begin(self) -> subprocess.Popen[str]:
        """A process, which ends with this object."""
        pipe, command = subprocess.PIPE, [str(self.python), "-I", str(_SCRIPT)]
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._said, text=True)
        weakref.finalize(self, _end, self._process)
        return self._process

    def _ended(self, process: subprocess.Popen[str]) -> MissingError:
        """What a process said last."""
        _end(process)
        self._process = None
        self._said.seek(0)
        lines = [line.strip() for line in self._said if line.strip()]
        return MissingError(f"Perceval ends: {lines[-1] if lines else f'no answer within {TIMEOUT:.0f} s'}",
                            "ask for less, or fetch it again")  # fmt: skip


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def _version() -> str:
    lock = find_lock(LOCK)
    assert isinstance(lock, Environment)
    return next(r.version for r in lock.requirements if r.name == "perceval-quandela")
