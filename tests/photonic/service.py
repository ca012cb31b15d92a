"""A service that speaks the submit and poll protocol, on the loopback interface, and the ways in which it may fail."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np


class Service(ThreadingHTTPServer):
    """Gives each shot the photons that went in, in the same modes, one of them lost in every second shot."""

    daemon_threads = True

    def __init__(self, mood: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.mood, self.jobs, self.asked, self.tokens, self.moved = mood, [], 0, [], ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def results(self, job) -> list[str]:
        photons = job["input_state"]
        lost = [*photons[:-1], 0] if photons[-1] else [0, *photons[1:]]
        return ["".join(map(str, lost if i % 2 else photons)) for i in range(job["n_samples"])]


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_POST(self):
        self.server.asked += 1
        self.server.tokens.append(self.headers.get("Authorization"))
        job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.mood == "500 once" and self.server.asked == 1:
            return self.send_error(500)
        if isinstance(self.server.mood, int):
            return self.send_error(self.server.mood)
        if self.server.mood == "slow":
            time.sleep(1.0)
        if self.server.mood == "garbage":
            return self.say(b"<html>")
        if self.server.mood == "list":
            return self.say(b"[]")
        if self.server.mood == "no id":
            return self.tell({})
        self.server.jobs.append(job)
        return self.tell({"job_id": f"job/{len(self.server.jobs)}"})

    def do_GET(self):
        self.server.asked += 1
        self.server.tokens.append(self.headers.get("Authorization"))
        if self.server.moved:
            self.send_response(302)
            self.send_header("Location", self.server.moved + self.path)
            return self.end_headers()
        mood, job = self.server.mood, self.server.jobs[-1]
        assert self.path == f"/v1/get_job/job%2F{len(self.server.jobs)}"
        results = self.server.results(job)
        answers = {
            "failed": {"error_message": "laser is\noff"},
            "never": {"job_status": "running"},
            "silent": {},
            "short": {"results": results[:-1]},
            "narrow": {"results": [r[:-1] for r in results]},
            "letters": {"results": ["x" * len(r) for r in results]},
            "counts": {"results": {results[0]: len(results)}},
        }
        if mood == "queued" and self.server.asked < 4:
            return self.tell([{"error_message": "Job can't be found"}, {"job_status": "queued"}][self.server.asked - 2])
        if mood == "drip":
            return self.drip()
        return self.tell(answers.get(mood, {"results": results}))

    def tell(self, answer):
        self.say(json.dumps(answer).encode())

    def say(self, data: bytes):
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def drip(self):
        self.send_response(200)
        self.end_headers()
        for _ in range(20):
            self.wfile.write(b" ")
            self.wfile.flush()
            time.sleep(0.05)


@contextmanager
def service(mood: str | int = "well") -> Iterator[Service]:
    server = Service(mood)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def expected(photons, shots) -> np.ndarray:
    lost = [*photons[:-1], 0] if photons[-1] else [0, *photons[1:]]
    return np.array([np.array(lost if i % 2 else photons) > 0 for i in range(shots)])
