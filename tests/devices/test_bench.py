"""Runs on devices: what is measured, judged, kept and shown."""

import json
import platform
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from edgekd.backends.base import read_artifact
from edgekd.devices import measure
from edgekd.devices.base import Probe, Timing, Work
from edgekd.devices.bench import is_such
from edgekd.devices.local import Local
from edgekd.devices.measure import figures, kind_of, measure_works
from edgekd.devices.state import parse
from edgekd.evidence import Bundle
from edgekd.graph.model import Graph, read_model
from edgekd.schema.targets import find_target
from edgekd.verify.check import read_probes
from edgekd.verify.engines import DeviceEngine
from edgekd.verify.search import check_engine

from tests.devices.jobs import IMAGES, model
from tests.devices.recorded import place, state
from tests.runners.boards import recorded_trtexec

SHORT = ("--runs", "20", "--no-power")


@pytest.fixture
def copy(tmp_path):
    """A run of one's own: its ledger and report are written to."""
    return lambda result: shutil.copytree(result.folder, tmp_path / "run")


def address(server) -> str:
    return f"{server.url}?python={server.python}&folder={server.base}&wait=600"


def test_stand_ins_answer_on_a_device_but_are_not_timed(jetson, server, cli, copy):
    run = copy(jetson)
    args = ("--device", address(server), "--ssh-config", server.config, "--engine", "onnxruntime", "--samples", "3")
    done = cli("bench", run, *args, *SHORT, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    here = {(f.name, f.subject): f for f in Bundle(run).ledger.read()}
    there = {f["name"]: f for f in told["figures"] if f["device"]}
    assert not {"latency", "peak memory"} & set(there)
    assert "is not a NVIDIA Jetson" in told["notes"][0]
    assert there["psnr"]["details"] == {k: here["psnr", "onnxruntime"].details[k] for k in there["psnr"]["details"]}
    assert there["psnr"]["n"] == 3
    assert told["notes"][1] == "scores are of the first 3 of 4 samples"
    assert there["parity"]["value"] > 0.9
    assert there["psnr"]["device"] == server.url
    assert not server.left()


def test_an_engine_that_does_not_run_there_costs_the_others_nothing(jetson, server, cli, copy):
    """Without TensorRT the stand-in's figures are kept, and what lacks is told."""
    run = copy(jetson)
    args = ("--device", address(server), "--ssh-config", server.config, "--samples", "2")
    done = cli("bench", run, *args, "--engine", "tensorrt", "--engine", "onnxruntime", *SHORT)
    assert done.returncode == 3
    assert "error: tensorrt: " in done.stderr
    assert "trtexec is not here" in done.stderr
    assert {"psnr", "parity"} <= {f.name for f in Bundle(run).ledger.read() if f.device == server.url}
    assert not server.left()


def test_two_devices_side_by_side_and_one_that_is_away(x86_run, server, cli, copy):
    if server.python != Path(sys.executable):
        pytest.skip("only our own Python has OpenVINO")
    run = copy(x86_run)
    devices = ("--device", "local", "--device", "ssh://nowhere.invalid", "--device", address(server))
    done = cli("bench", run, *devices, "--ssh-config", server.config, *SHORT)
    assert done.returncode == 3
    assert "`ssh://nowhere.invalid` has a name that is not known" in done.stderr
    assert done.stdout.count("short measurement") == 6  # two latencies and a speed-up on each
    found = [(f.name, f.device) for f in Bundle(run).ledger.read() if f.device]
    for device in ("local", server.url):
        assert {"latency", "peak memory", "speed-up over fp32", "state", "psnr"} <= {n for n, d in found if d == device}
    page = (run / "report.html").read_text()
    assert f'<th class="n">{server.url}</th>' in page
    assert page.count("short measurement") > 6


def test_worse_answers_than_the_reference_fail_a_gate(jetson, cli, copy):
    """The ledger's scores of the shipped graph are raised by 1 dB, so those of the device are lower by as much."""
    run = copy(jetson)
    ledger = run / "ledger.jsonl"
    figures = [json.loads(line) for line in ledger.read_text().splitlines()]
    for figure in figures:
        if (figure["name"], figure["subject"]) == ("psnr", jetson.bundle.manifest.recipe.ship):
            figure["details"] = {sample: value + 1 for sample, value in figure["details"].items()}
    ledger.write_text("".join(json.dumps(figure) + "\n" for figure in figures))
    away = ("--device", "local", "--device", "ssh://nowhere.invalid")
    done = cli("bench", run, "--engine", "onnxruntime", *away, *SHORT)
    assert done.returncode == 1
    assert "has a name that is not known" in done.stderr
    assert re.search(r"onnxruntime on local: change from the integer reference, mean: -(0\.99|1\.0)", done.stderr)


def test_an_engine_on_a_device_is_verified_like_one_here(x86_run):
    bundle = x86_run.bundle
    folder, graph = bundle.path / "artifacts/openvino", Graph(read_model(bundle.path / "graph.onnx"))
    artifact = read_artifact(folder).model_copy(update={"observe": "all"})  # one job, not one for each tensor
    inputs = read_probes(bundle.path / "probes.npz")[0]
    hop = check_engine("there", DeviceEngine("openvino", artifact, folder, Local()), graph, inputs, "rne_f32")
    assert hop.equal > 0.9
    assert len(hop.tensors) > 30
    assert all(t.largest < 10**6 for t in hop.tensors)


LINE = "RAM 1488/7620MB (lfb 105x4MB) CPU [0%@1036] GR3D_FREQ 0% cpu@47.875C VDD_IN {}mW/4654mW VDD_SOC 1484mW/1484mW"


def test_energy_where_a_program_tells_power(tmp_path, monkeypatch):
    """A module that draws 4 W idle and 9 W from three seconds on: 5 W are the runs'."""
    program = tmp_path / "bin" / "tegrastats"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport time\nbegin = time.monotonic()\nwhile True:\n"
        f"    watts = 4 if time.monotonic() - begin < 3 else 9\n"
        f"    print({LINE!r}.format(watts * 1000), flush=True)\n    time.sleep(0.05)\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setattr(measure, "IDLE", 3.0)
    monkeypatch.setattr(measure, "LOAD", 4.0)
    work = Work("net", *[getattr(model(tmp_path)[1], part) for part in ("runner", "model", "options")])
    assert Local().probe().power
    measured = measure_works(Local(), [work], IMAGES, Timing(1, 10), power=True)
    found = {f.name: f for f in figures(measured)}
    energy = found["energy"]
    assert energy.unit == "J"
    assert energy.details["rail"] == "VDD_IN"
    assert energy.details["load_watts"] == pytest.approx(9, abs=0.3)
    assert energy.value == pytest.approx(5 * energy.details["load_window"] / energy.details["inferences"], rel=0.1)
    assert "energy on VDD_SOC" in found


def test_a_kit_on_a_board_that_replays_recordings_is_simulated(jetson, cli, copy, tmp_path, monkeypatch):
    """This host passes for the board and its trtexec replays recordings: the whole way is gone, nothing is measured."""
    run = copy(jetson)
    manifest = run / "bundle/manifest.json"
    told = json.loads(manifest.read_text())
    told["target"]["board"]["reach"] = {"transport": "local", "machines": [platform.machine()]}
    manifest.write_text(json.dumps(told))
    graph = Graph(read_model(run / "bundle/graph.onnx"))
    answer = {name: np.zeros(graph.shapes[name], np.float32) for name in graph.outputs}
    monkeypatch.setenv("TRTEXEC", str(recorded_trtexec(tmp_path, "10", **answer)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    done = cli("bench", run, *SHORT, "--json")
    assert done.returncode == 1  # its answers are black pictures
    assert "change from the integer reference" in done.stderr
    found = [f for f in json.loads(done.stdout)["figures"] if f["device"]]
    assert {f["kind"] for f in found} == {"simulated"}
    names = {(f["name"], f["subject"]) for f in found}
    assert {("latency", "fp32"), ("latency", "float-fp16"), ("latency", "tensorrt")} <= names
    assert ("speed-up over fp32", "tensorrt") in names
    assert not any(name == "peak memory" for name, _ in names)
    assert "simulated" in (run / "report.html").read_text()


@pytest.mark.parametrize(
    ("board", "recording"), [("raspberry-pi-5", "raspberry-pi-5"), ("jetson", "orin-nano-jetpack-6")]
)
def test_speed_is_that_of_the_named_board_alone(tmp_path, monkeypatch, board, recording):
    """What is an aarch64 machine too, but another board, or tells nothing of itself, is not the target."""
    reach = find_target(board).board.reach
    others = {"raspberry-pi-5", "orin-nano-jetpack-6", "agx-orin-jetpack-7"} - {recording}
    for name in (recording, *others):
        place(tmp_path / name, name, monkeypatch)
        probe = Probe("", "aarch64", state(tmp_path / name), power=False)
        assert is_such(reach, probe) is (name == recording)
    assert not is_such(reach, Probe("", "aarch64", parse({}), power=False))
    assert not is_such(reach, Probe("", "x86_64", state(tmp_path / recording), power=False))


def test_what_replays_recordings_measures_nothing():
    assert kind_of("TensorRT 10.3.0, trtexec, recorded outputs") == "simulated"
    assert kind_of("ONNX Runtime 1.32.0, CPU") == "measured"
