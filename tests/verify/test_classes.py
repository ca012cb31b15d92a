"""A run whose answers are classes: scored from zero, gated in percent, shown in words."""

import json

import numpy as np
import pytest
from edgekd.graph.model import Graph, read_model
from edgekd.students.classifier.task import ClassifyTask


def test_gates_and_hops_hold(classified):
    assert classified.verification.failures == []
    rules = [gate.rule for gate in classified.verification.gates if gate.subject == "qat-dfd"]
    assert rules == ["accuracy", "share of the FP32 accuracy", "worst group against FP32"]
    assert all(hop.equal > 0.99 for hop in classified.verification.hops)


def test_there_is_no_baseline(classified):
    scores = classified.verification.scores
    assert list(scores) == ["fp32", "fp32-tuned", "ptq", "qat-dfd", "openvino"]
    figures = {(f.name, f.subject): f for f in classified.figures}
    kept = figures["retained", "qat-dfd"]
    assert kept.value == scores["qat-dfd"].mean("accuracy") / scores["fp32"].mean("accuracy")
    assert kept.method.startswith("it / FP32")
    assert figures["accuracy", "qat-dfd"].unit == "%"


def test_accuracy_is_that_of_the_predictions(classified):
    truth = [s.truth for s in ClassifyTask({"tests": 60}, 0).evalset()]
    for s in classified.verification.scores.values():
        right = [int(np.argmax(p)) == t for p, t in zip(s.predictions, truth, strict=True)]
        assert s.mean("accuracy") == pytest.approx(100 * np.mean(right))


def test_the_record_travels_with_the_graph(classified):
    io = Graph(read_model(classified.bundle.path / "graph.onnx")).io
    assert io.inputs[0].color == "L"
    assert len(io.outputs[0].labels) == 10


def test_samples_are_kept_with_their_answers_and_shown(classified):
    told = json.loads((classified.folder / "pictures/answers.json").read_text())
    scores = classified.verification.scores["qat-dfd"]
    worst = [entry["value"] for entry in told if entry["group"] == "worst"]
    assert worst == sorted(scores.values["accuracy"])[: len(worst)]
    page = classified.report.read_text(encoding="utf-8")
    for entry in told:
        assert entry["id"].startswith(entry["truth"])
        assert f"int8, QAT + DFD: {entry['answers']['qat-dfd']}" in page
    assert page.count("data:image/webp") == len(told)
    assert "of FP32 gain" not in page
    assert f"{scores.mean('accuracy'):.3f}" in page
    assert "noisy" not in page


def test_what_is_lost_in_each_class_is_told(classified, cli):
    scores = classified.verification.scores
    truth = np.array([s.truth for s in ClassifyTask({"tests": 60}, 0).evalset()])
    full, ours = (np.array(scores[name].values["accuracy"]) for name in ("fp32", "qat-dfd"))
    drops = [full[truth == c].mean() - ours[truth == c].mean() for c in range(10)]
    figure = next(f for f in classified.figures if (f.name, f.subject) == ("worst group drop", "qat-dfd"))
    assert figure.value == pytest.approx(max(drops))
    assert len(figure.details["losses"]) == 10
    assert "Where it loses most" in classified.report.read_text(encoding="utf-8")
    shown = cli("verify", classified.folder).stdout
    assert figure.details["losses"][0]["name"] in shown
