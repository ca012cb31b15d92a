"""Arms that train other float nets, and arms that teach."""

from pathlib import Path

import pytest
from edgekd.errors import ProblemsError
from edgekd.pipeline import resolve, run
from edgekd.plan import make_plan
from edgekd.schema.recipe import Recipe
from edgekd.students.base import STORED
from edgekd.students.pqkd.stored import load_stored

from tests.students.pqkd.conftest import DEVICE, RECIPE

MORE = """
exact = { method = "control", set = { "model.photonic.source" = "DEVICE:exact" } }
same = { method = "control", title = "the same net again" }
qat = { method = "qat" }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    base = tmp_path_factory.mktemp("arms")
    (base / "tiny.toml").write_text(DEVICE, encoding="utf-8")
    (base / "recipe.toml").write_text((RECIPE + MORE).replace("DEVICE", str(base / "tiny.toml")), encoding="utf-8")
    return base


def planned(folder, *overrides):
    return make_plan(*resolve(folder / "recipe.toml", "x86:onnxruntime", overrides))


def test_the_arm_that_teaches_is_trained_first(folder):
    plan = planned(folder)
    needs = {name: step.needs for name, step in plan.steps.items() if not name.startswith(("export", "compile"))}
    assert list(needs.items()) == [
        ("teach big", ()),
        ("teach small", ("teach big",)),
        ("ptq ptq", ("teach small", "teach big")),
        ("teach exact", ("teach big",)),
        ("qat qat", ("teach small", "teach big")),
    ]
    assert plan.trained["same"] == "teach small"
    assert plan.exported["same"] == plan.exported["small"]
    learning = {name: step.learns for name, step in plan.steps.items() if step.learns}
    assert learning == dict.fromkeys(("teach small", "ptq ptq", "teach exact", "qat qat"), "teach big")


def test_what_the_teacher_is_counts_for_who_learns(folder):
    base, other = planned(folder), planned(folder, "arms.big.set={model={widths=[12, 12]}}")
    for name in ("teach big", "teach small", "qat qat"):
        assert base.steps[name].key != other.steps[name].key
    alone = planned(folder, "teacher.source=''")
    assert alone.steps["teach small"].needs == ()


def test_what_the_device_is_counts_too(folder):
    base = planned(folder)
    path = folder / "tiny.toml"
    try:
        path.write_text(DEVICE.replace("shots = 50", "shots = 51"), encoding="utf-8")
        changed = planned(folder)
    finally:
        path.write_text(DEVICE, encoding="utf-8")
    assert changed.steps["teach small"].key != base.steps["teach small"].key
    assert changed.steps["teach big"].key == base.steps["teach big"].key


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("teacher.source=arm:bog",), "`source` names the arm `bog`, which is none"),
        (("teacher.source=arm:",), "`source` names the arm ``, which is none"),
        (("teacher.source=arm:ptq",), "`source` names the arm `ptq`, which is `ptq`"),
        (("teacher.source=arm:small",), "the arm `small` would teach itself"),
        (("arms.big.set={teacher={source='arm:exact'}}",), "would teach itself"),
    ],
)
def test_arms_that_cannot_teach(folder, overrides, words):
    with pytest.raises(ProblemsError) as caught:
        planned(folder, *overrides)
    assert [p.where for p in caught.value.problems] == ["teacher"]
    assert words in caught.value.problems[0].message


def test_a_line_of_teachers(folder):
    plan = planned(folder, "arms.exact.set={teacher={source='arm:small'}, model={rank=1}}")
    assert plan.steps["teach exact"].needs == ("teach small",)


def test_a_student_that_learns_from_no_arm_says_so():
    big = "arms.big={method='control', set={teacher={source=''}}}"
    with pytest.raises(ProblemsError, match=r"the student `qdr` learns from no arm"):
        make_plan(*resolve("qdr", "jetson", ("teacher.source=arm:big", big)))


def test_one_arm_is_the_reference():
    with pytest.raises(ProblemsError, match=r"exactly one arm with method `teach`"):
        resolve("pqkd", "x86", ("arms.exact.method=teach",))
    with pytest.raises(ProblemsError, match=r"`ship` names `exact`, which is not quantized"):
        resolve("pqkd", "x86", ("ship=exact",))


def test_a_whole_run(folder, tmp_path):
    result = run(*resolve(folder / "recipe.toml", "x86:onnxruntime", ()), tmp_path)
    manifest = result.bundle.manifest
    assert {arm: record.method for arm, record in manifest.arms.items()} == {
        "small": "teach", "ptq": "ptq", "big": "control", "exact": "control", "same": "control", "qat": "qat",
    }  # fmt: skip
    assert isinstance(manifest.recipe, Recipe)
    scored = {f.subject for f in result.figures if f.name == "accuracy"}
    assert {"small", "big", "exact", "same", "ptq", "qat", "onnxruntime"} <= scored
    assert "the same net again" in result.report.read_text(encoding="utf-8")
    stored = result.bundle.path / "arms" / f"small.{STORED}"
    assert f"arms/{stored.name}" in manifest.files
    assert load_stored(stored)(load_stored(stored).head.weight.new_zeros(1, 1, 28, 28)).shape == (1, 10)
