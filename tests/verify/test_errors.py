"""Where the metric is an error, less is better: in gates, losses, shares and pictures of runs beside each other."""

import pytest
from edgekd.students.base import Errs, sign_of
from edgekd.students.simple import SimpleTask
from edgekd.verify.gates import group_gates, score_gates
from edgekd.verify.scores import Scores, retained
from edgekd.verify.worst import group_losses, sample_losses

from tests.verify.test_gates import recipe  # noqa: F401


class Millimetres(SimpleTask):
    metric, unit, baseline, errors = "mm", "mm", "mean pose", ("mm",)

    def evalset(self):
        return []

    def score(self, prediction, truth):
        return {"mm": 0.0}


TASK = Millimetres({}, 0)


def scores(**means: float) -> dict[str, Scores]:
    names = {name: name.replace("_", " ").replace("qat dfd", "qat-dfd") for name in means}
    return {new: Scores(new, ("a", "b"), {"mm": (means[old], means[old] + 1)}, ()) for old, new in names.items()}


def failed(recipe, **means):  # noqa: F811
    return [gate.rule for gate in score_gates(recipe, TASK, scores(**means)) if not gate.held]


def test_the_sign_is_the_metrics():
    assert isinstance(TASK, Errs)
    assert [sign_of(TASK, "mm"), sign_of(TASK, "auc")] == [-1, 1]


def test_a_smaller_error_is_a_gain(recipe):  # noqa: F811
    assert failed(recipe, mean_pose=26, fp32=12, qat_dfd=12.1, openvino=12.11) == []
    assert failed(recipe, mean_pose=26, fp32=12, qat_dfd=18) == ["gain over the mean pose", "share of the FP32 gain"]


def test_an_engine_that_errs_more_loses_and_one_that_errs_less_does_not(recipe):  # noqa: F811
    rules = failed(recipe, mean_pose=26, fp32=12, qat_dfd=12, openvino=12.1)
    assert rules == ["change from the integer reference, mean"]
    assert failed(recipe, mean_pose=26, fp32=12, qat_dfd=12, openvino=11) == []
    found = scores(mean_pose=26, fp32=12, qat_dfd=12, openvino=12.1)
    gate = next(g for g in score_gates(recipe, TASK, found) if not g.held)
    assert (gate.found, gate.limit) == ("+0.100 mm", "at most +0.05 mm")


def test_what_is_kept_by_formula():
    s = scores(base=26, fp32=12, ours=13)
    assert retained(s["base"], s["fp32"], s["ours"], "mm", -1)[0] == pytest.approx(13 / 14)
    assert retained(s["base"], scores(fp32=27)["fp32"], scores(o=28)["o"], "mm", -1)[0] == 0.0


def test_an_error_has_no_share_without_a_baseline():
    s = scores(fp32=12, ours=13)
    assert retained(None, s["fp32"], s["ours"], "mm", -1) is None


def test_the_worst_are_those_that_err_more(recipe):  # noqa: F811
    full = Scores("fp32", ("a", "b"), {"mm": (1.0, 5.0)}, ())
    ours = Scores("x", ("a", "b"), {"mm": (4.0, 3.0)}, ())
    assert [loss.name for loss in sample_losses(full, ours, "mm", -1)] == ["a", "b"]
    losses = group_losses({"one": [0], "other": [1]}, full, ours, "mm", -1)
    assert [(loss.name, loss.drop) for loss in losses] == [("one", 3.0), ("other", -2.0)]
    limited = recipe.model_copy(update={"gates": recipe.gates.model_copy(update={"max_group_drop": 2.5})})
    (gate,) = group_gates(limited, TASK, {"x": losses})
    assert (gate.held, gate.found, gate.limit) == (False, "`one` +3.00 mm", "at most +2.5 mm")
