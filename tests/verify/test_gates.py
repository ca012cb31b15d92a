"""Gates fail when they should, and say by how much."""

import pytest
from edgekd.evidence import Figure
from edgekd.students.classifier.task import ClassifyTask
from edgekd.students.qdr.task import DenoiseTask
from edgekd.verify.gates import latency_gates, score_gates, size_gates
from edgekd.verify.scores import Scores, retained

from tests.conftest import TINY


def scores(**means: float) -> dict[str, Scores]:
    return {name.replace("_", " ").replace("qat dfd", "qat-dfd"): Scores(
        name.replace("_", " ").replace("qat dfd", "qat-dfd"), ("a", "b"), {"psnr": (mean, mean + 1)}, ()
    ) for name, mean in means.items()}  # fmt: skip


@pytest.fixture
def recipe():
    from edgekd.pipeline import resolve

    return resolve("qdr", "jetson", (*TINY, "gates.min_gain=9", "gates.min_retained=0.985"))[0]


def failed(recipe, **means):
    return [gate.rule for gate in score_gates(recipe, DenoiseTask({}, 0), scores(**means)) if not gate.held]


def test_all_hold(recipe):
    assert failed(recipe, noisy_input=20, fp32=30, qat_dfd=29.99, openvino=29.98) == []


def test_too_little_gain_and_too_little_kept(recipe):
    rules = failed(recipe, noisy_input=20, fp32=30, qat_dfd=28.9)
    assert rules == ["gain over the noisy input", "share of the FP32 gain"]


def test_an_engine_that_loses(recipe):
    rules = failed(recipe, noisy_input=20, fp32=30, qat_dfd=30, openvino=29.9)
    assert rules == ["change from the integer reference, mean"]


def test_without_a_baseline_gains_count_from_zero(recipe):
    """Accuracy in %: 80 of FP32's 90 is 88.9 %; the least gain is a least accuracy."""
    task = ClassifyTask({}, 0)
    found = {
        name: Scores(name, ("a", "b"), {"accuracy": (mean, mean)}, ())
        for name, mean in (("fp32", 90.0), ("qat-dfd", 80.0))
    }
    gates = list(score_gates(recipe, task, found))
    assert [(g.rule, g.found, g.held) for g in gates] == [
        ("accuracy", "80.00 %", True), ("share of the FP32 accuracy", "88.89%", False),
    ]  # fmt: skip
    unasked = recipe.model_copy(update={"gates": recipe.gates.model_copy(update={"min_gain": None})})
    assert [g.rule for g in score_gates(unasked, task, found)] == ["share of the FP32 accuracy"]


def test_where_fp32_gains_nothing_only_what_is_no_worse_keeps_it():
    s = scores(noisy_input=20, fp32=20, same=20, worse=19)
    assert retained(s["noisy input"], s["fp32"], s["same"], "psnr")[0] == 1.0
    lost = scores(noisy_input=20, fp32=19, same=19, worse=18)
    assert retained(lost["noisy input"], lost["fp32"], lost["same"], "psnr")[0] == 1.0
    assert retained(lost["noisy input"], lost["fp32"], lost["worse"], "psnr")[0] == 0.0
    assert retained(s["noisy input"], s["fp32"], s["worse"], "psnr")[0] == 0.0


@pytest.mark.parametrize("full", [-1.0, 0.0])
def test_a_metric_that_does_not_count_from_zero_has_no_share(recipe, full):
    """An error of -1.0 tripled is no 300 % kept."""
    found = {
        name: Scores(name, ("a", "b"), {"accuracy": (mean, mean)}, ())
        for name, mean in (("fp32", full), ("qat-dfd", -3.0))
    }
    gate = next(g for g in score_gates(recipe, ClassifyTask({}, 0), found) if g.rule == "share of the FP32 accuracy")
    assert not gate.held
    assert gate.problem.hint == "give the task a `baseline`, or a metric that counts from zero"


def test_retained_by_formula():
    s = scores(noisy_input=20, fp32=30, qat_dfd=29.5)
    value, (low, high) = retained(s["noisy input"], s["fp32"], s["qat-dfd"], "psnr")
    assert value == pytest.approx(0.95)
    assert low == pytest.approx(high) == pytest.approx(0.95)  # both samples say the same


def test_budgets_of_bytes_and_of_latency(recipe):
    gates = recipe.gates.model_copy(update={"max_weight_bytes": 1000, "max_latency_ms": 5.0})
    limited = recipe.model_copy(update={"gates": gates})
    assert [g.held for n in (1000, 1001) for g in size_gates(limited, n)] == [True, False]
    common = {"name": "latency", "unit": "ms", "kind": "measured", "method": "", "tool": "", "host": "", "when": ""}
    figures = [
        Figure(subject=subject, value=value, device="local", **common)
        for subject, value in (("fp32", 9.0), ("openvino", 4.9), ("litert", 5.1))
    ]
    found = list(latency_gates(limited, ["openvino", "litert"], figures))
    assert [(g.subject, g.held) for g in found] == [("openvino on local", True), ("litert on local", False)]
    assert list(latency_gates(recipe, ["litert"], figures)) == list(size_gates(recipe, 10**9)) == []
