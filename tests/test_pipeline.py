"""The whole chain: shared steps, and the same result after being killed."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import edgekd
import numpy as np
import pytest
from edgekd.errors import GateFailedError, RequestError
from edgekd.graph.model import Graph, read_model
from edgekd.pipeline import Result, resolve
from edgekd.plan import make_plan

from tests.conftest import TINY, TINY_CLASSIFIER, command, shortened


def test_a_second_target_reuses_the_teacher(jetson: Result, x86_run: Result):
    """Every float step is shared, nothing of the arithmetic is; a run without some arms has the same steps."""
    whole = make_plan(*resolve("qdr", "x86", TINY))
    a, b = jetson.bundle.manifest.steps, {name: str(step.key) for name, step in whole.steps.items()}
    assert x86_run.bundle.manifest.steps.items() < b.items()
    for step in ("teach fp32", "tune fp32-tuned", "export fp32", "export fp32-tuned"):
        assert a[step] == b[step]
    for step in ("ptq ptq", "qat qat-dfd", "export qat-dfd", "compile openvino"):
        assert a[step] != b[step]
    assert x86_run.verification.failures == []


def test_a_second_run_trains_nothing(classified: Result, store: Path):
    """Same request, from Python: every step is in the store, and the bundle stays as it is."""
    before = {p: p.stat().st_mtime_ns for p in classified.bundle.path.rglob("*")}
    again = edgekd.compress("classifier", "x86", overrides=TINY_CLASSIFIER, out=store)
    assert again.folder == classified.folder
    assert {p: p.stat().st_mtime_ns for p in classified.bundle.path.rglob("*")} == before


def test_an_arm_in_other_bits_is_called_simulated_everywhere(classified: Result, store: Path):
    """An arm more, calibrated alone: the teacher comes from the store, every table has the word beside its title."""
    few = "arms.w4.arithmetic={weights = {bits = 4, per = 'tensor'}, simulated = true}"
    arm = ("arms.w4.method=ptq", "arms.w4.title=W4A8", few)
    result = edgekd.compress("classifier", "x86", overrides=(*TINY_CLASSIFIER, *arm), out=store)
    manifest = result.bundle.manifest
    assert manifest.steps["teach fp32"] == classified.bundle.manifest.steps["teach fp32"]
    assert manifest.arms["w4"].title == "W4A8, simulated"
    assert manifest.arms["ptq"].title == "int8, PTQ"
    assert "W4A8, simulated" in result.report.read_text(encoding="utf-8")
    codes = {
        name: np.abs(array.astype(int)).max()
        for name, array in Graph(read_model(result.bundle.path / "arms/w4.onnx")).constants.items()
        if name.endswith("weight_codes")
    }
    assert max(codes.values()) == 7
    scores = result.verification.scores
    assert scores["w4"].mean("accuracy") < scores["ptq"].mean("accuracy") - 5


def test_a_tap_that_is_no_module_is_told_before_anything_is_trained(tmp_path: Path):
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from edgekd.students.qdr.task import DenoiseTask\n"
        "from edgekd.students.qdr.training import RestorationStudent\n"
        "class Mistaken(RestorationStudent):\n    taps = ('nowhere',)\n"
    )
    own = (f"student={mine}:Mistaken", f"task={mine}:DenoiseTask")
    with pytest.raises(RequestError, match="no module `nowhere` to tap"):
        edgekd.compress("qdr", "jetson", overrides=(*TINY, *own), out=tmp_path / "runs")
    assert not list((tmp_path / "runs/.store").glob("teach-*"))


def test_a_failed_gate_raises_from_python(classified: Result, store: Path):
    with pytest.raises(GateFailedError, match=r"openvino: accuracy: .* %, limit at least 101 %"):
        edgekd.compress("classifier", "x86", overrides=(*TINY_CLASSIFIER, "gates.min_gain=101"), out=store)


def kill_when(args: list[str], appears: str, out: Path) -> None:
    """Start the command, wait until a file appears in the store, then kill -9 its whole process group."""
    process = subprocess.Popen(
        command(*args), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    deadline = time.monotonic() + 240
    try:
        while not list((out / ".store").glob(appears)):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline, f"`{appears}` never appeared"
            time.sleep(0.01)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_killed_in_training_and_in_compile_ends_the_same(tmp_path: Path):
    """kill -9 while the teacher trains, again while an engine is compiled: every file equals the undisturbed run's."""
    short = [pair for pair in TINY_CLASSIFIER if not pair.startswith("train.steps")]
    overrides = (*short, "train.steps=300")  # some seconds, so that there is a checkpoint
    recipe = shortened(tmp_path, "classifier")
    whole = edgekd.compress(recipe, "x86:onnxruntime", overrides=overrides, out=tmp_path / "whole")
    out = tmp_path / "killed"
    args = ["compress", recipe, "--target", "x86:onnxruntime", "--out", str(out)]
    args += [part for pair in overrides for part in ("--set", pair)]
    kill_when(args, "teach-*.part/checkpoint.pt", out)
    assert not list((out / ".store").glob("teach-*/weights.safetensors")) or list(out.glob(".store/teach-*.part"))
    kill_when(args, "compile-*.part/*", out)
    assert not list(out.glob("classifier-*"))
    done = subprocess.run(command(*args, "--json"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    folder = Path(json.loads(done.stdout)["run"])
    files = json.loads((folder / "bundle/manifest.json").read_text())["files"]
    assert files == whole.bundle.manifest.files
    found = {
        (f["name"], f["subject"]): f["value"] for f in json.loads(done.stdout)["figures"] if f["name"] == "accuracy"
    }
    assert found == {(f.name, f.subject): f.value for f in whole.figures if f.name == "accuracy"}
