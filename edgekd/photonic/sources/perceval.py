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
from edgekd.photonic.sources.histogram import histogram, positive
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
            raise RequestError("`perceval` is asked for ideal circuits alone", "take the flaws out, or `simulator`")
        self.tool = f"Perceval {_version()}"
        self.circuit, self.python = circuit_of(device), python_of(LOCK)
        self._process: subprocess.Popen[str] | None = None

    def features(self, angles: Floats, shots: int, seed: tuple[int, ...]) -> Floats:
        """Two-half click histogram of samples. Raises as `sample`."""
        return histogram(self.sample(angles, shots, seed))

    def sample(self, angles: Floats, shots: int, seed: tuple[int, ...]) -> Clicks:
        """(shots, modes) by its Clifford-Clifford sampler, the same for the same seed in a process that just began.

        Raises RequestError for a wrong request, MissingError where the process ends.
        """
        number = int(np.random.SeedSequence(seed).generate_state(1)[0] >> 1)
        rows = self._ask(angles, task="sample", shots=positive(shots), seed=number)
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
        with TemporaryFile("w+") as said:
            process = self._process if self._process and self._process.poll() is None else self._begin(said)
            assert process.stdin is not None
            assert process.stdout is not None
            timer = Timer(TIMEOUT, process.kill)
            timer.start()
            try:
                print(json.dumps(asked | what), file=process.stdin, flush=True)
                return json.loads(process.stdout.readline())
            except (OSError, ValueError):
                process.kill()
                said.seek(0)
                lines = [line.strip() for line in said if line.strip()] or [f"no answer within {TIMEOUT:.0f} s"]
                raise MissingError(f"Perceval ends: {lines[-1]}", f"edgekd fetch {LOCK}") from None
            finally:
                timer.cancel()

    def _begin(self, said: Any) -> subprocess.Popen[str]:
        """A process, which ends with this object."""
        pipe = subprocess.PIPE
        command = [str(self.python), "-I", str(_SCRIPT)]
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=said, text=True)
        weakref.finalize(self, self._process.kill)
        return self._process


def _version() -> str:
    lock = find_lock(LOCK)
    assert isinstance(lock, Environment)
    return next(r.version for r in lock.requirements if r.name == "perceval-quandela")
