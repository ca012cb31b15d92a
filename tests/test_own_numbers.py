"""A student of numbers alone, with an answer, a metric and settings of its own, through a whole run."""

import json
from pathlib import Path

import pytest
from edgekd.apply.run import Outcome
from edgekd.cli.run import show
from edgekd.pipeline import Result, resolve, run
from edgekd.students.registry import bundled_task

DRAW = """
import numpy as np


def draw(rng):
    x = rng.uniform(-1, 1, 6).astype(np.float32)
    return x, np.array([x[:3].sum(), x[3:].sum()], np.float32)
"""
NET = """
import numpy as np
from edgekd.schema.io import IoRecord, TensorInput, TensorOutput
from edgekd.students.base import Sample
from edgekd.students.simple import SimpleStudent
from torch import nn


class Sums(SimpleStudent):
    "Two sums of three numbers each, told in words; minus the squared error."

    metric = "likeness"

    def io(self, shape):
        inputs = (TensorInput(name="x", shape=(1, self.model["numbers"]), ends=(-1, 1)),)
        return IoRecord(inputs=inputs, outputs=(TensorOutput(name="sums"),))

    def evalset(self):
        from parts.data import draw

        rows = [draw(np.random.default_rng([5, i])) for i in range(12)]
        return [Sample(id=str(i), raw=x, truth=y) for i, (x, y) in enumerate(rows)]

    def decode(self, outputs, io):
        return " and ".join(f"{v:.4f}" for v in outputs["sums"][0])

    def score(self, prediction, truth):
        found = np.array([float(v) for v in prediction.split(" and ")])
        return {"likeness": -float(np.square(found - truth).mean())}

    def build(self):
        return nn.Sequential(nn.Linear(self.model["numbers"], 16), nn.ReLU(), nn.Linear(16, 2))

    def sample(self, rng):
        from parts.data import draw

        x, y = draw(rng)
        return {"x": x, "y": y}

    def loss(self, outputs, batch):
        return (outputs - batch["y"]).square().mean()
"""
RECIPE = """
schema = 1
student = "sums.py:Sums"
ship = "small"
threads = 1
model = { numbers = 6 }
train = { steps = 60, lr = 1e-2 }
quantize = { steps = 10, lr = 1e-3 }
deploy = { shape = [1, 1], probes = 2 }
arms = { fp32 = { method = "teach" }, small = { method = "qat", title = "the small one" } }
gates = { min_retained = 0.5, max_engine_drop = 0.5, max_engine_drop_worst = 2.0 }
profile = { runs = 20, warmup = 2 }
"""


@pytest.fixture(scope="module")
def sums(tmp_path_factory) -> Result:
    folder: Path = tmp_path_factory.mktemp("sums")
    (folder / "parts").mkdir()
    (folder / "parts/data.py").write_text(DRAW)
    (folder / "sums.py").write_text(NET)
    (folder / "sums.toml").write_text(RECIPE)
    return run(*resolve(folder / "sums.toml", "x86:onnxruntime", ()), folder / "runs")


def test_only_the_share_is_refused(sums):
    assert sums.verification.scores["fp32"].mean("likeness") < 0
    rules = {(p.where, p.message.split(":")[0], p.hint) for p in sums.verification.failures}
    hint = "give the task a `baseline`, or a metric that counts from zero"
    assert rules == {(name, "share of the FP32 likeness", hint) for name in ("small", "onnxruntime")}
    assert not [f for f in sums.figures if f.name == "retained"]


def test_the_report_tells_answers_without_pictures(sums):
    told = json.loads((sums.folder / "pictures/answers.json").read_text())
    page = sums.report.read_text(encoding="utf-8")
    assert {entry["picture"] for entry in told} == {""}
    assert all(entry["answers"]["small"] in page for entry in told)
    assert "<img" not in page


def test_the_report_calls_what_ships_by_its_title(sums):
    page = sums.report.read_text(encoding="utf-8")
    assert "likeness of the small one" in page
    assert "Worst answers of the small one" in page
    assert '<th class="n">the small one</th>' in page
    assert "int8 net" not in page
    assert ">int8<" not in page


def test_the_bundle_holds_what_functions_import(sums):
    assert {"student/sums.py", "student/parts/data.py"} <= set(sums.bundle.manifest.files)


def test_the_bundles_task_has_its_model_table(sums):
    assert bundled_task(sums.bundle).model == {"numbers": 6}


def test_an_answer_of_its_own_is_printed(sums, capsys):
    answer = "0.1 and 0.2"
    show(Outcome("numbers", answer, None, 1, 0.0, answer), bundled_task(sums.bundle).io((1, 1)))
    assert capsys.readouterr().out == "sums  0.1 and 0.2\n"
