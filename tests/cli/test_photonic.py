"""`edgekd photonic` as a person uses it."""

import json
from typing import NamedTuple

import numpy as np
import pytest
from edgekd.cli import main
from edgekd.photonic.sources.registry import open_source
from edgekd.schema.photonic import find_photonic

from tests.cli.test_verbs import modules_after
from tests.photonic.service import expected, service

ANGLES = np.linspace(0, 3, 30)


class Told(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    """The command line in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*args: str) -> Told:
        monkeypatch.setattr("sys.argv", ["edgekd", *args])
        with pytest.raises(SystemExit) as left:
            main()
        return Told(left.value.code, *capsys.readouterr())

    return call


GOOD = ("photonic", "features", "--random", "0")


@pytest.mark.parametrize(
    "args", [("targets", "photonic-tbi"), (*GOOD, "--shots", "5"), ("photonic", "profile", "--seconds", "0")]
)
def test_photons_need_no_torch(args):
    assert not {"torch", "onnxruntime", "openvino", "matplotlib", "onnx"} & modules_after(*args)


def test_clicks_are_those_of_the_source(here, tmp_path):
    np.save(tmp_path / "angles.npy", ANGLES)
    printed = here("photonic", "sample", "angles.npy", "--shots", "5", "--seed", "7")
    want = open_source(find_photonic("photonic-tbi")).sample(ANGLES, 5, (7,))
    assert printed.out.split() == ["".join("01"[int(c)] for c in row) for row in want]
    told = json.loads(here("photonic", "sample", "angles.npy", "--shots", "5", "--seed", "7", "--json").out)
    assert told["clicks"] == printed.out.split()
    assert (told["kind"], told["validated"], told["shots"], told["seed"]) == ("simulated", "simulator", 5, 7)
    assert told["host"]
    assert told["tool"].startswith("edgekd ")
    assert np.array_equal(told["angles"], ANGLES)
    assert here("photonic", "sample", "angles.npy", "--shots", "5", "--seed", "7", "--out", "c.npy").out == "c.npy\n"
    assert np.array_equal(np.load(tmp_path / "c.npy"), want)


def test_features_go_to_a_file_or_to_people(here, tmp_path):
    (tmp_path / "angles.json").write_text(json.dumps(ANGLES.tolist()))
    printed = here("photonic", "features", "angles.json", "--device", "photonic-tbi:exact", "--out", "f.json")
    vector = np.array(json.loads((tmp_path / "f.json").read_text()))
    assert vector.shape == (512,)
    assert vector.reshape(2, -1).sum(1) == pytest.approx([1, 1])
    assert "validated: simulator" in printed.out
    first, second = vector.reshape(2, -1)
    largest = [f"{first.argmax():08b}", f"{first.max():.4f}", f"{second.argmax():08b}", f"{second.max():.4f}"]
    assert largest in [line.split() for line in printed.out.splitlines()]
    told = json.loads(here("photonic", "features", "angles.json", "--device", "photonic-tbi:exact", "--json").out)
    assert np.array_equal(told["features"], vector)
    assert told["shots"] is None


@pytest.mark.parametrize(
    ("source", "told"), [("simulator", "7 shots"), ("exact", "without noise of shots"), ("constant", "without noise")]
)
def test_shots_are_told_where_there_are_some(here, source, told):
    assert told in here(*GOOD, "--shots", "7", "--device", f"photonic-tbi:{source}").out


def test_more_shots_than_fit_the_memory_are_refused_with_the_number(here):
    for verb in ("sample", "features"):
        code, _, err = here("photonic", verb, "--random", "0", "--shots", str(10**13))
        assert code == 2
        assert "a sample of 10,000,000,000,000 shots needs about 3.58e+06 GiB" in err


def test_what_a_service_gives_is_no_simulation_of_ours(here):
    with service() as server:
        where = f"options.orca-rest.url='{server.url}'"
        done = here("photonic", "sample", "--random", "1", "--shots", "2", "--device", "photonic-tbi:orca-rest",
                   "--set", where, "--json")  # fmt: skip
    told = json.loads(done.out)
    assert told["kind"] == "unknown"
    assert told["clicks"] == ["".join("01"[int(c)] for c in row) for row in expected([1, 0] * 8, 2)]


def test_profile_measures_here_and_estimates_there(here):
    figures = json.loads(here("photonic", "profile", "--seconds", "0", "--shots", "50", "--json").out)
    assert {f["kind"] for f in figures if f["name"] in ("features", "shots", "memory")} == {"measured"}
    assert {f["kind"] for f in figures if f["name"] in ("device time", "states")} == {"estimated"}
    assert all(f["host"] and f["tool"] and f["when"] and f["method"] for f in figures)
    assert [f["value"] for f in figures if f["name"] == "states"] == [10, 330, 12376, 490314]
    assert figures[-1]["value"] == pytest.approx(1000 + 50 * 18e-3)
    assert all("load" in f["details"] for f in figures if f["name"] == "features")
    table = here("photonic", "profile", "--seconds", "0", "--set", "circuit.photons=[1,0,1,0,1,0]").out
    assert [line.split()[:3] for line in table.splitlines() if line[:5].strip().isdigit()] == [
        ["4", "2", "10"],
        ["6", "3", "56"],
    ]


def test_a_service_is_timed_with_few_jobs(here):
    with service() as server:
        where = f"options.orca-rest.url='{server.url}'"
        done = here("photonic", "profile", "--device", "photonic-tbi:orca-rest", "--set", where, "--json")
        assert len(server.jobs) == 4  # the first, features, shots, memory
    figures = json.loads(done.out)
    assert {f["subject"] for f in figures} == {"photonic-tbi:orca-rest, 16 modes, 8 photons"}
    assert figures[0]["tool"] == "service `PT-1`"


OWN = """
class Lab:
    def __init__(self, device, options):
        pass

    def features(self, angles, shots, seed):
        return [1 / shots] * 511

class Broken:
    def __init__(self, device):
        pass

    def features(self, angles, shots, seed):
        pass

class Fails(Lab):
    def features(self, angles, shots, seed):
        return 1 / 0
"""


@pytest.mark.parametrize("name", ["Lab", "Broken", "Fails", "Gone"])
def test_mistakes_in_a_source_of_ones_own(name, here, tmp_path, snapshot):
    (tmp_path / "lab.py").write_text(OWN)
    code, out, err = here(*GOOD, "--device", f"photonic-tbi:lab.py:{name}")
    assert f"exit code {code}\n{out}{err}" == snapshot


def test_targets_lists_devices_apart(here):
    listed = here("targets").out
    assert listed.index("No boards") < listed.index("photonic-tbi")
    assert "photonic-tbi" not in here("targets", "--kind", "board").out
    (device,) = json.loads(here("targets", "--kind", "photonic", "--json").out)
    assert (device["name"], device["kind"]) == ("photonic-tbi", "photonic")
    assert json.loads(here("targets", "photonic-tbi", "--json").out) == device
    assert "| `circuit.photons` |" in here("targets", "--kind", "photonic", "--fields").out


@pytest.mark.parametrize(
    "args",
    [
        ["compress", "--target", "photonic-tbi"],
        ["photonic", "features"],
        ["photonic", "features", "gone.npy"],
        ["photonic", "features", "angles.npy", "--random", "1"],
        ["photonic", "features", "angles.txt"],
        ["photonic", "features", "words.json"],
        ["photonic", "features", "table.json"],
        ["photonic", "features", "short.json"],
        ["photonic", "features", "nan.json"],
        ["photonic", "features", "huge.json"],
        ["photonic", "features", "deep.json"],
        ["photonic", "features", "zip.npy"],
        ["photonic", "features", "complex.npy"],
        [*GOOD, "--device", "photonic-tib"],
        [*GOOD, "--device", "x86"],
        [*GOOD, "--device", "photonic-tbi:gausian"],
        [*GOOD, "--device", "photonic-tbi:orca-rest"],
        [*GOOD, "--device", "photonic-tbi:orca-rest", "--set", "options.orca-rest.url=host"],
        [*GOOD, "--set", "circuit.photons=[1,0,1]"],
        [*GOOD, "--set", "circuit.loops=[1,16]"],
        [*GOOD, "--set", "shots"],
        [*GOOD, "--set", "shotts=3", "--set", "imperfections.efficiency=2"],
        [*GOOD, "--shots", "0"],
        [*GOOD, "--out", "features.csv"],
        ["photonic", "sample", "--random", "0", "--device", "photonic-tbi:constant"],
        ["photonic", "simulate"],
        ["targets", "photonic-tbi:gausian"],
    ],
    ids=lambda args: " ".join(args),
)
def test_mistakes(args, here, tmp_path, monkeypatch, snapshot):
    files = {"words": '["a"]', "table": "[[1, 2], [3, 4]]", "short": "[1, 2]", "nan": f"[{'NaN,' * 29} 1]",
             "huge": f"[1{'0' * 400}]", "deep": "[" * 100_000}  # fmt: skip
    for name, text in files.items():
        (tmp_path / f"{name}.json").write_text(text)
    (tmp_path / "zip.npy").write_bytes(b"PK\x03\x04 cut off")
    np.save(tmp_path / "complex.npy", ANGLES * 1j)
    monkeypatch.delenv("ORCA_ACCESS_URL", raising=False)
    code, out, err = here(*args)
    assert f"exit code {code}\n{out}{err}" == snapshot
