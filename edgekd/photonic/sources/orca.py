"""A time-bin interferometer behind HTTP, by the protocol that CUDA-Q's target `orca` speaks: hardware or a service."""

from __future__ import annotations

import os
import re
import time
from http.client import HTTPException, HTTPResponse
from json import JSONDecodeError, dumps, loads
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import numpy as np
from pydantic import Field

from edgekd.errors import MissingError, RequestError, last_line
from edgekd.photonic.base import Clicks
from edgekd.photonic.circuit import Floats
from edgekd.photonic.clicks import histogram
from edgekd.photonic.sampling import checked_shots
from edgekd.photonic.sources.registry import circuit_of
from edgekd.schema.base import Strict
from edgekd.schema.photonic import Photonic

URL, TOKEN = "ORCA_ACCESS_URL", "ORCA_AUTH_TOKEN"
ADDRESS = re.compile(r"https?://[\w.-]+(:\d+)?(/[!-~]*)?|https?://\[[0-9a-f:.]+\](:\d+)?(/[!-~]*)?", re.ASCII)
LONGEST = 8.0
"""Seconds between two looks at a job, at most."""

MOST = 1 << 28
"""Bytes of an answer, at most."""


class OrcaOptions(Strict):
    """Where the service is and how long it may take."""

    url: str = Field("", description=f"Address; empty: the environment variable `{URL}`.")
    machine: str = Field("PT-1", description="What the service calls the device.")
    timeout: float = Field(10.0, gt=0, description="Seconds an answer may take.")
    wait: float = Field(300.0, gt=0, description="Seconds a job may take.")
    retries: int = Field(3, ge=0, description="Tries after one that failed, with twice the pause before each.")
    pause: float = Field(0.5, gt=0, description="Seconds before the first of them, and between looks at a job.")


class OrcaRest:
    """POST /v1/submit gives a job; GET /v1/get_job/ID gives its state, then a string of photon numbers a shot.

    The seed stays here: what a device measures cannot be repeated.
    """

    Options = OrcaOptions
    remote = True
    """Its clicks are measured or computed by the service, and nothing in an answer tells which."""

    def __init__(self, device: Photonic, options: OrcaOptions) -> None:
        self.circuit, self.interleaved, self.options = circuit_of(device), device.interleaved, options
        self.tool = f"service `{options.machine}`"
        self.url = (options.url or os.environ.get(URL, "")).rstrip("/")
        if not self.url:
            raise MissingError("`orca-rest` has no address", f"set `options.orca-rest.url`, or {URL}")
        if not ADDRESS.fullmatch(self.url):
            raise RequestError(f"`{self.url}` is not the address of a service", "https://HOST, with a port and a path")

    def features(self, angles: Floats, shots: int, seed: tuple[int, ...]) -> Floats:
        """Two-half click histogram. Raises as `sample`."""
        return histogram(self.sample(angles, shots, seed), self.interleaved)

    def sample(self, angles: Floats, shots: int, seed: tuple[int, ...]) -> Clicks:
        """(shots, modes). Raises RequestError for a wrong request, MissingError for what the service does not do."""
        deadline = time.monotonic() + self.options.wait
        job = self._ask("/v1/submit", self._job(angles, checked_shots(shots, self.circuit.modes))).get("job_id")
        if not isinstance(job, str | int) or job == "":
            raise self._odd("tells no `job_id`")
        path, pause = f"/v1/get_job/{quote(str(job), safe='')}", self.options.pause
        while (answer := self._ask(path)).get("results") is None:
            self._running(answer)
            if time.monotonic() + pause > deadline:
                raise MissingError(f"job `{job}` of `{self.url}` is not done after {self.options.wait:g} s",
                                   "try again later, or raise `options.orca-rest.wait`")  # fmt: skip
            time.sleep(pause)
            pause = min(2 * pause, LONGEST)
        return self._clicks(answer["results"], shots)

    def _job(self, angles: Floats, shots: int) -> dict[str, Any]:
        given, splitters = self.circuit.checked(angles), self.circuit.splitters
        if given.ndim != 1:
            raise RequestError(f"one setting of angles at a time, not {list(given.shape)}", "one job each")
        return {
            "target": self.options.machine,
            "input_state": list(self.circuit.photons),
            "loop_lengths": list(self.circuit.loops),
            "bs_angles": given[:splitters].tolist(),
            "ps_angles": given[splitters:].tolist(),
            "n_samples": shots,
        }

    def _ask(self, path: str, job: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer to a request, asked again where the service is down for a moment."""
        for attempt in range(self.options.retries + 1):
            try:
                return self._once(path, job)
            except MissingError:
                if attempt == self.options.retries:
                    raise
            time.sleep(min(self.options.pause * 2**attempt, LONGEST))
        raise AssertionError("unreachable")

    def _once(self, path: str, job: dict[str, Any] | None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        request = Request(self.url + path, None if job is None else dumps(job).encode(), headers)
        if token := os.environ.get(TOKEN):
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        try:
            with urlopen(request, timeout=self.options.timeout) as response:
                answer = loads(self._read(response))
        except HTTPError as error:
            error.close()
            raise self._refused(error) from None
        except TimeoutError:
            raise self._late() from None
        except (JSONDecodeError, UnicodeDecodeError, RecursionError):
            raise self._odd("answers something else than JSON") from None
        except (URLError, HTTPException, OSError) as error:
            reason = error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error
            if isinstance(reason, TimeoutError):
                raise self._late() from None
            raise MissingError(f"`{self.url}` is not reached: {last_line(reason)}", "is it up?") from None
        except ValueError as error:
            raise RequestError(f"`{self.url}` cannot be asked: {last_line(error)}", f"look at {TOKEN}") from None
        if not isinstance(answer, dict):
            raise self._odd("answers something else than an object")
        return answer

    def _read(self, response: HTTPResponse) -> bytes:
        """All of an answer, within the time and the bytes one may take."""
        end, parts, size = time.monotonic() + self.options.timeout, [], 0
        while part := response.read1(MOST):
            parts.append(part)
            size += len(part)
            if time.monotonic() > end:
                raise TimeoutError
            if size > MOST:
                raise self._odd(f"answers with more than {MOST >> 20} MiB")
        return b"".join(parts)

    def _refused(self, error: HTTPError) -> MissingError | RequestError:
        said = f"`{self.url}` answers {error.code} {error.reason}".rstrip()
        if error.code in (401, 403):
            return RequestError(said, f"set {TOKEN} to your token")
        if error.code == 429 or error.code >= 500:
            return MissingError(said, "try again later")
        return RequestError(said, "is it the address of such a service, and the circuit one that it has?")

    def _late(self) -> MissingError:
        hint = "try again later, or raise `options.orca-rest.timeout`"
        return MissingError(f"`{self.url}` gives no answer within {self.options.timeout:g} s", hint)

    def _odd(self, what: str) -> RequestError:
        return RequestError(f"`{self.url}` {what}", "is it the address of such a service?")

    def _running(self, answer: dict[str, Any]) -> None:
        """Raises what a job that failed says; one that is not known yet is waited for."""
        error = answer.get("error_message")
        if error is not None and error != "Job can't be found":
            raise MissingError(f"`{self.url}` could not do the job: {' '.join(str(error).split())}", "ask its keeper")
        if error is None and answer.get("job_status") is None:
            raise self._odd("tells neither results nor a state of the job")

    def _clicks(self, results: Any, shots: int) -> Clicks:
        """Photon numbers as clicks. Raises RequestError for anything else than a row of digits a shot."""
        modes = self.circuit.modes
        if not isinstance(results, list) or not all(isinstance(r, str) for r in results):
            raise self._odd("gives results that are no list of strings")
        if wrong := [r for r in results if len(r) != modes or not (r.isascii() and r.isdigit())]:
            raise self._odd(f"gives `{wrong[0][:40]}`, which is no row of {modes} photon numbers")
        if len(results) != shots:
            raise self._odd(f"gives {len(results)} shots of {shots}")
        digits = np.frombuffer("".join(results).encode(), np.uint8).reshape(shots, modes)
        return np.not_equal(digits, ord("0"))
