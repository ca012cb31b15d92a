"""A teacher outside in a run: what is shared, what a key holds, what training sees."""

from pathlib import Path

import numpy as np
import pytest
import torch
from edgekd.asking import teach
from edgekd.errors import MissingError, ProblemsError
from edgekd.pipeline import resolve, run
from edgekd.plan import make_plan
from edgekd.schema.recipe import Recipe
from edgekd.steps import build
from edgekd.store import Store
from edgekd.students.picosam3.losses import AREA, area_loss, combined, label_loss
from edgekd.students.picosam3.training import SegmentStudent
from edgekd.train.teach import WEIGHTS

from tests.shapes import write_shapes

RECIPE = """
schema = 1
student = "picosam3"
ship = "ptq"
threads = 1
model = { encoder = [4, 4, 8, 8], neck = 8, decoder = [8, 4, 4, 4], dilated_neck = false }
data = { source = "DATA", side = 32, tests = 4 }
teacher = { source = "masks:TEACHER" }
train = { steps = 4, batch = 4, lr = 1e-3 }
quantize = { steps = 2, batch = 4, lr = 1e-4, calibration = { batches = 1 } }
deploy = { shape = [32, 32] }
gates = { min_retained = 0, max_engine_drop = 100, max_engine_drop_worst = 100 }
profile = { runs = 10, warmup = 1 }

[arms]
fp32 = { method = "teach" }
ptq = { method = "ptq" }
labels = { method = "tune", set = { "teacher.source" = "" } }
wholly = { method = "tune", set = { "teacher.trust" = 1.0 } }
fewer = { method = "tune", set = { "data.labelled" = 0.3 } }
views = { method = "tune", set = { "teacher.views" = 2 } }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Data, a teacher that sees everything larger, and the recipe."""
    base = tmp_path_factory.mktemp("taught")
    data, teacher = write_shapes(base / "data"), write_shapes(base / "teacher", grown=1.3)
    text = RECIPE.replace("DATA", str(data)).replace("TEACHER", str(teacher))
    (base / "recipe.toml").write_text(text, encoding="utf-8")
    return base


def planned(folder, *overrides):
    return make_plan(*resolve(folder / "recipe.toml", "x86:onnxruntime", overrides))


def key(plan, name):
    return plan.steps[name].key


def test_arms_share_what_they_ask_and_nothing_else(folder):
    plan = planned(folder)
    asked = {name: step.needs for name, step in plan.steps.items() if name.startswith(("ask", "teach", "tune", "ptq"))}
    assert asked == {
        "ask fp32": (),
        "teach fp32": ("ask fp32",),
        "ptq ptq": ("teach fp32", "ask fp32"),
        "teach labels": (),
        "tune labels": ("teach labels",),
        "teach wholly": ("ask fp32",),
        "tune wholly": ("teach wholly", "ask fp32"),
        "teach fewer": ("ask fp32",),
        "tune fewer": ("teach fewer", "ask fp32"),
        "ask views": (),
        "teach views": ("ask views",),
        "tune views": ("teach views", "ask views"),
    }
    keys = [step.key for step in plan.steps.values()]
    assert len(set(keys)) == len(keys)


def test_labels_alone_are_a_run_without_a_teacher(folder):
    without = planned(folder, "teacher={source=''}")
    assert "ask fp32" not in without.steps
    assert key(without, "teach fp32") == key(planned(folder), "teach labels")


def test_what_counts_for_a_key(folder):
    base = planned(folder)
    other = planned(folder, "teacher.trust=0.5", "seed=1")
    assert key(other, "ask fp32") == key(base, "ask fp32")
    assert key(other, "teach fp32") != key(base, "teach fp32")
    for setting in ("data.split=1", "data.expose=true"):
        assert key(planned(folder, setting), "ask fp32") != key(base, "ask fp32")
    assert key(planned(folder, "data.jitter=0.2", "data.labelled=0.5"), "ask fp32") == key(base, "ask fp32")
    mask = folder / "teacher" / "shapes-0.mask.png"
    kept = mask.read_bytes()
    try:
        mask.write_bytes((folder / "teacher" / "shapes-1.mask.png").read_bytes())
        changed = planned(folder)
    finally:
        mask.write_bytes(kept)
    assert key(changed, "ask fp32") != key(base, "ask fp32")
    assert key(changed, "teach fp32") != key(base, "teach fp32")
    assert key(changed, "teach labels") == key(base, "teach labels")


def test_what_is_wrong_with_a_teacher_is_told_once(folder):
    cases = [
        (("teacher.vews=2",), "unknown key"),
        (("teacher={source='', sorce='litemedsam'}",), "unknown key"),
        (("teacher.trust=7",), "trust"),
        (("teacher.source=masks:gone",), "does not exist"),
        (("teacher.source=nobody",), "nobody"),
    ]
    for overrides, words in cases:
        with pytest.raises(ProblemsError, match=words) as caught:
            planned(folder, *overrides, "arms.views.set={}")
        assert len({(p.where, p.message) for p in caught.value.problems}) == len(caught.value.problems)
        assert {p.where.partition(":")[0] for p in caught.value.problems} == {"teacher"}


def test_a_student_that_learns_from_none_says_so():
    with pytest.raises(ProblemsError, match="the student `qdr` learns from no teacher outside") as caught:
        make_plan(*resolve("qdr", "jetson", ("teacher.source=litemedsam",)))
    assert [(p.where, p.hint) for p in caught.value.problems] == [("teacher", "leave the table `teacher` out")]


def recipe(folder, *overrides) -> Recipe:
    return resolve(folder / "recipe.toml", "x86:onnxruntime", overrides)[0]


@pytest.fixture(scope="module")
def cache(folder) -> Path:
    """Filled outside a run, by two machines."""
    for first in (0, 1):
        teach(recipe(folder, "teacher.views=2"), folder / "cache", (first, 2), lambda *args: None)
    return folder / "cache"


def student(folder, cache=None, **settings) -> SegmentStudent:
    data = recipe(folder).data | settings.pop("data", {})
    made = SegmentStudent({}, data, 0)
    if cache:
        made.learn({"source": "masks:x", "views": 2} | settings, cache)
    return made


def test_a_taught_batch_is_the_untaught_with_answers(folder, cache):
    plain, taught = student(folder).batch(3, 6), student(folder, cache).batch(3, 6)
    assert set(taught) - set(plain) == {"taught", "score", "labelled"}
    assert all(torch.equal(plain[name], taught[name]) for name in plain)
    assert taught["taught"].shape == taught["mask"].shape
    assert taught["taught"].dtype == taught["score"].dtype == torch.float32
    assert torch.all(taught["labelled"] == 1)
    assert torch.all(taught["score"] == 1)
    again = student(folder, cache).batch(3, 6)
    assert all(torch.equal(taught[name], again[name]) for name in taught)


def test_answers_lie_where_the_crop_shows_them(folder, cache):
    """The teacher sees each ellipse 1.3 times as large: its mask holds the true one, in the same flip and stretch."""
    batch = student(folder, cache, data={"jitter": 0.3, "aspect": 0.3}).batch(0, 48)
    inside, mask = batch["taught"] > 0, batch["mask"] > 0
    assert (inside & mask).sum() / mask.sum() > 0.97
    assert inside.sum() > 1.3 * mask.sum()


def test_without_its_mask_an_instance_is_drawn_for_its_answer(folder, cache):
    data = {"labelled": 0.3}
    made, plain = student(folder, cache, data=data), student(folder, data=data)
    assert len(made.training) == len(made.task.parts[0]) > len(plain.training)
    batch = made.batch(0, 32)
    unknown = batch["labelled"] == 0
    assert 0 < unknown.sum() < 32
    assert torch.all(batch["mask"][unknown] == 0)
    assert torch.all(batch["mask"][~unknown].amax((1, 2, 3)) == 1)
    assert torch.all((batch["taught"] > 0).any(-1).any(-1))


def test_how_far_a_teacher_is_trusted(folder, cache):
    batch = student(folder, cache).batch(0, 4) | {"score": torch.tensor([1.0, 0.5, 0.25, 0.0])}
    z = torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    answers, known = batch["taught"], torch.ones(4)
    each = student(folder, cache).loss(z, batch)
    torch.testing.assert_close(each, combined(z, batch["mask"], answers, batch["score"], known))
    mean = student(folder, cache, per="batch").loss(z, batch)
    silent = torch.tensor([1.75 / 3] * 3 + [0.0])  # a score of 0 says nothing, so no mean is laid on it
    torch.testing.assert_close(mean, combined(z, batch["mask"], answers, silent, known))
    assert each != mean
    assert torch.all(student(folder, cache, trust=0.3).batch(0, 4)["score"] == 0.3)
    plain = student(folder)
    torch.testing.assert_close(
        plain.loss(z, plain.batch(0, 4)), (label_loss(z, batch["mask"]) + AREA * area_loss(z, batch["mask"])).mean()
    )


def test_a_mask_that_a_teacher_does_not_find_is_not_trusted(folder, tmp_path):
    """Its folder lacks an object: a labelled instance keeps its label alone, an unlabelled one is not drawn."""
    from PIL import Image

    teacher = write_shapes(tmp_path / "teacher", grown=1.3)
    for path in teacher.glob("*.mask.png"):
        labels = np.array(Image.open(path))
        labels[labels == 1] = 0
        Image.fromarray(labels).save(path)
    asked = recipe(folder, f"teacher.source=masks:{teacher}")
    teach(asked, tmp_path / "cache", (0, 1), lambda *args: None)
    made = student(folder, tmp_path / "cache", views=1, trust=1.0)
    lost = {i.id for i in made.task.parts[0] if i.number == 1}
    assert {i.id for i in made.training if not made.taught.views(i)} == lost
    assert set(made.batch(0, 48)["score"].tolist()) == {0.0, 1.0}
    fewer = student(folder, tmp_path / "cache", views=1, data={"labelled": 0.3})
    drawn = {i.id for i in fewer.training}
    assert {i.id for i in fewer.task.parts[0]} - drawn == {
        i.id for i in fewer.task.parts[0] if i.number == 1 and i.picture not in fewer.task.labelled
    }


def built(plan, out, wanted):
    """The folder of a step and of all it needs."""
    store, at = Store(out), {}
    for step in plan.steps.values():
        if step.name in (wanted, *plan.steps[wanted].needs):
            given = step.ask.given if step.ask else None
            at[step.name] = given or store.get(step.key, lambda part, s=step: build(plan, s, at, part, lambda *a: None))
    return at[wanted]


def test_a_named_cache_trains_the_same_net(folder, cache, tmp_path):
    """Whether the run asks by itself or uses a folder that two machines filled: the same weights."""
    own, named = planned(folder, "teacher.views=2"), planned(folder, "teacher.views=2", f"teacher.cache={cache}")
    assert named.steps["ask fp32"].ask.given == cache
    weights = [(built(plan, tmp_path, "teach fp32") / WEIGHTS).read_bytes() for plan in (own, named)]
    assert weights[0] == weights[1]
    plain = planned(folder, "teacher.views=2", "teacher.source=''")
    assert (built(plain, tmp_path, "teach fp32") / WEIGHTS).read_bytes() != weights[0]


def test_a_named_cache_must_answer_what_is_asked(folder, cache, tmp_path):
    named = f"teacher.cache={cache}"
    with pytest.raises(ProblemsError, match="`views` is `2` there, `1` here"):
        planned(folder, named, "arms.views.set={}")
    with pytest.raises(ProblemsError, match="`questions` is"):
        planned(folder, named, "teacher.views=2", "data.split=1", "arms.views.set={}")
    with pytest.raises(ProblemsError, match="the teacher's files differ"):
        planned(folder, named, "teacher.views=2", f"teacher.source=masks:{folder / 'data'}")
    gone = planned(folder, named, "teacher.views=2", f"teacher.source=masks:{tmp_path / 'gone'}")
    assert key(gone, "ask fp32") == key(planned(folder, named, "teacher.views=2"), "ask fp32")
    with pytest.raises(ProblemsError, match="holds no answers") as caught:
        planned(folder, f"teacher.cache={tmp_path}")
    assert caught.value.exit_code == MissingError.exit_code


def test_a_whole_run_tells_of_its_teacher(folder, tmp_path):
    text = (folder / "recipe.toml").read_text(encoding="utf-8")
    (folder / "short.toml").write_text(text[: text.index("labels = {")], encoding="utf-8")
    result = run(*resolve(folder / "short.toml", "x86:onnxruntime", ()), tmp_path)
    manifest = result.bundle.manifest
    assert set(manifest.teachers) == {"ask fp32"}
    asked = manifest.teachers["ask fp32"]
    assert asked["asked"]["source"] == "masks"
    assert asked["answers"] == len(student(folder).task.parts[0])
    assert f"Teacher outside: masks, {asked['answers']} answers, SHA-256 {asked['sha256'][:16]}" in (
        result.report.read_text(encoding="utf-8")
    )
