"""The client of ORCA's protocol against a server that speaks it, and that does not."""

import socket

import numpy as np
import pytest
from edgekd.errors import MissingError, ProblemsError, RequestError
from edgekd.photonic.base import ClickSource
from edgekd.photonic.sources.registry import open_source
from edgekd.schema.photonic import find_photonic

from tests.photonic.service import expected, service

PHOTONS = (1, 0, 2, 0, 1, 1)
ANGLES = np.linspace(0.1, 1, 20)


def client(url, **options):
    quick = {"url": url, "timeout": 0.3, "wait": 0.4, "retries": 1, "pause": 0.01}
    circuit = {"photons": PHOTONS, "loops": (1, 1), "phases": True}
    return open_source(
        find_photonic("photonic-tbi:orca-rest", {"circuit": circuit, "options": {"orca-rest": quick | options}})
    )


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    monkeypatch.delenv("ORCA_ACCESS_URL", raising=False)
    monkeypatch.delenv("ORCA_AUTH_TOKEN", raising=False)


@pytest.mark.parametrize("mood", ["well", "500 once", "queued"])
def test_clicks_come_and_more_than_one_photon_is_one_click(mood):
    with service(mood) as server:
        source = client(server.url + "/")
        clicks = source.sample(ANGLES, 7, (0,))
        features = source.features(ANGLES, 7, (0,))
    assert isinstance(source, ClickSource)
    assert clicks.dtype == bool
    assert np.array_equal(clicks, expected(PHOTONS, 7))
    halves = features.reshape(2, 8)
    assert halves[0, 0b101] == 1
    assert halves[1, 0b011] == pytest.approx(4 / 7)
    assert halves[1, 0b010] == pytest.approx(3 / 7)


def test_what_is_sent(monkeypatch):
    monkeypatch.setenv("ORCA_AUTH_TOKEN", "secret")
    with service() as server:
        client(server.url, machine="PT-2").sample(ANGLES, 3, (0,))
        client(server.url).sample(ANGLES, 3, (0,))
    job = server.jobs[0]
    assert job["target"] == "PT-2"
    assert job["input_state"] == list(PHOTONS)
    assert job["loop_lengths"] == [1, 1]
    assert job["bs_angles"] == ANGLES[:10].tolist()
    assert job["ps_angles"] == ANGLES[10:].tolist()
    assert job["n_samples"] == 3
    assert server.tokens == ["Bearer secret"] * 4


def test_the_token_stays_with_the_service_it_is_for(monkeypatch):
    monkeypatch.setenv("ORCA_AUTH_TOKEN", "secret")
    with service() as first, service() as other:
        first.moved = other.url
        other.jobs = first.jobs
        assert np.array_equal(client(first.url).sample(ANGLES, 3, (0,)), expected(PHOTONS, 3))
    assert first.tokens == ["Bearer secret"] * 2
    assert other.tokens == [None]


@pytest.mark.parametrize(
    ("mood", "kind", "message"),
    [
        ("slow", MissingError, r"no answer within 0\.3 s"),
        ("drip", MissingError, r"no answer within 0\.3 s"),
        (503, MissingError, "answers 503 Service Unavailable"),
        (429, MissingError, "answers 429"),
        (401, RequestError, "answers 401 Unauthorized"),
        (404, RequestError, "answers 404 Not Found"),
        ("garbage", RequestError, "something else than JSON"),
        ("list", RequestError, "something else than an object"),
        ("no id", RequestError, "tells no `job_id`"),
        ("failed", MissingError, "could not do the job: laser is off"),
        ("never", MissingError, r"job `job/1` .* is not done after 0\.4 s"),
        ("silent", RequestError, "tells neither results nor a state"),
        ("short", RequestError, "gives 4 shots of 5"),
        ("narrow", RequestError, "gives `10201`, which is no row of 6 photon numbers"),
        ("letters", RequestError, "gives `xxxxxx`"),
        ("counts", RequestError, "no list of strings"),
    ],
)
def test_what_goes_wrong_is_told_in_a_sentence(mood, kind, message):
    with service(mood) as server, pytest.raises(kind, match=message) as error:
        client(server.url).sample(ANGLES, 5, (0,))
    assert "\n" not in error.value.message
    assert error.value.hint


def test_one_that_is_down_is_asked_again_and_one_that_refuses_is_not():
    for mood, times in ((500, 3), (401, 1), ("garbage", 1)):
        with service(mood) as server, pytest.raises((MissingError, RequestError)):
            client(server.url, retries=2).sample(ANGLES, 5, (0,))
        assert server.asked == times


def test_nobody_is_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(MissingError, match="is not reached"):
            client(f"http://127.0.0.1:{free.getsockname()[1]}").sample(ANGLES, 5, (0,))


def test_the_address(monkeypatch):
    with pytest.raises(MissingError, match="has no address"):
        client("")
    for wrong in (
        "file:///etc/passwd",
        "localhost:8080",
        "http://",
        "http://a b",
        "http://me:word@host",
        "http://[::1",
    ):
        with pytest.raises(RequestError, match="not the address of a service"):
            client(wrong)
    for right in ("http://localhost:8080", "https://10.0.0.1/api/v2", "http://[::1]:80"):
        assert client(right).url == right
    monkeypatch.setenv("ORCA_ACCESS_URL", "http://localhost:1/")
    assert client("").url == "http://localhost:1"


def test_a_token_that_cannot_be_sent(monkeypatch):
    monkeypatch.setenv("ORCA_AUTH_TOKEN", "two\nlines")
    with service() as server, pytest.raises(RequestError, match="cannot be asked") as error:
        client(server.url).sample(ANGLES, 5, (0,))
    assert "ORCA_AUTH_TOKEN" in error.value.hint


def test_wrong_requests_never_reach_the_service():
    with service() as server:
        source = client(server.url)
        for angles, shots in ((ANGLES[:-1], 5), (ANGLES * np.nan, 5), (ANGLES[None], 5), (ANGLES, 0)):
            with pytest.raises(RequestError):
                source.sample(angles, shots, (0,))
        assert server.asked == 0
    with pytest.raises(ProblemsError, match=r"options\.orca-rest: retry: unknown key"):
        client(server.url, retry=3)
