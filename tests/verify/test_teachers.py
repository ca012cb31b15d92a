"""Arms that teach, and whether they are worth it."""

import pytest
from edgekd.evidence import Figure
from edgekd.pipeline import resolve
from edgekd.students.registry import find_student
from edgekd.verify.teachers import poor_teachers

RECIPE = resolve("fast-hamer", "x86", ())[0]
TASK = find_student(RECIPE.student, RECIPE.task).make_task(RECIPE.model, RECIPE.data, RECIPE.seed)


def figures(**errors):
    told = {
        "name": "pa_mpjpe",
        "unit": "mm",
        "kind": "measured",
        "method": "m",
        "tool": "t",
        "host": "h",
        "when": "now",
    }
    return [Figure(subject=arm, value=value, **told) for arm, value in errors.items()]


@pytest.mark.parametrize(("teacher", "told"), [(14.6, []), (15.4, ["outputs"]), (17.9, ["outputs", "hybrid"])])
def test_a_teacher_that_is_no_better_than_what_it_taught_is_told(teacher, told):
    found = poor_teachers(RECIPE, TASK, figures(teacher=teacher, outputs=15.4, hybrid=16.5, labels=14.0, qat=14.0))
    assert len(found) == bool(told)
    assert all(f"`{arm}`" in found[0] for arm in told)
    assert "labels" not in "".join(found)
