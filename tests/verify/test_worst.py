"""Means hide a class that is lost; groups and samples do not."""

import numpy as np
from edgekd.pipeline import resolve
from edgekd.students.base import Sample
from edgekd.students.classifier.task import ClassifyTask
from edgekd.students.qdr.task import DenoiseTask
from edgekd.verify.gates import group_gates
from edgekd.verify.scores import Scores
from edgekd.verify.worst import group_losses, groups, sample_losses

from tests.conftest import TINY_CLASSIFIER

TASK = ClassifyTask({}, 0)
IO = TASK.io((28, 28))
SAMPLES = [
    Sample(f"{IO.outputs[0].labels[c]}-{i}", np.zeros((28, 28), np.uint8), c) for c in range(10) for i in range(10)
]
FULL = Scores("fp32", tuple(s.id for s in SAMPLES), {"accuracy": (100.0,) * 100}, ())
LOST = Scores("x", FULL.ids, {"accuracy": tuple(0.0 if s.truth == 3 else 100.0 for s in SAMPLES)}, ())


def test_one_class_at_zero_is_named_though_the_mean_keeps_nine_tenths():
    assert LOST.mean("accuracy") == 90
    worst, *others = group_losses(groups(TASK, IO, SAMPLES), FULL, LOST, "accuracy")
    assert (worst.name, worst.drop, worst.n) == (IO.outputs[0].labels[3], 100.0, 10)
    assert all(loss.drop == 0 for loss in others)
    assert [loss.name for loss in sample_losses(FULL, LOST, "accuracy")] == [s.id for s in SAMPLES if s.truth == 3][:5]


def test_a_limit_makes_it_a_gate():
    losses = {"x": group_losses(groups(TASK, IO, SAMPLES), FULL, LOST, "accuracy")}
    recipe, _ = resolve("classifier", "x86", (*TINY_CLASSIFIER, "gates.max_group_drop=20"))
    (gate,) = group_gates(recipe, TASK, losses)
    assert not gate.held
    assert IO.outputs[0].labels[3] in gate.problem.message
    unasked = recipe.model_copy(update={"gates": recipe.gates.model_copy(update={"max_group_drop": None})})
    assert list(group_gates(unasked, TASK, losses)) == []


def test_a_task_may_name_its_own_groups_and_pictures_have_none():
    pictures = DenoiseTask({"crop": 64}, 0)
    samples = pictures.evalset()
    assert groups(pictures, pictures.io((64, 64)), samples) == {}

    class Grouped(DenoiseTask):
        def group(self, sample):
            return sample.id.partition("@")[0]

    assert set(groups(Grouped({"crop": 64}, 0), pictures.io((64, 64)), samples)) == {"kodim03", "kodim11"}
