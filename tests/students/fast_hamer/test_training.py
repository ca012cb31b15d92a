"""Fast-HaMeR's training side: batches by (seed, step), labels that are not used, a net that teaches another."""

import numpy as np
import pytest
import torch
from edgekd.errors import EdgekdError
from edgekd.students.base import Folds, Follows, Learns, deployed
from edgekd.students.fast_hamer.config import TeacherConfig
from edgekd.students.fast_hamer.crop import crop_of, labels_in
from edgekd.students.fast_hamer.hand.skinning import skin
from edgekd.students.fast_hamer.head import joined
from edgekd.students.fast_hamer.lesson import Taught
from edgekd.students.fast_hamer.losses import POWERS, distance
from edgekd.students.fast_hamer.teachers.base import Answer
from edgekd.students.fast_hamer.teachers.open import KINDS
from edgekd.students.fast_hamer.training import HandStudent
from edgekd.students.fast_hamer.upstream import from_student
from edgekd.students.sources import Kind
from edgekd.train.cache import fill

from tests.students.fast_hamer import authors
from tests.students.fast_hamer.authors import filled

MODEL = {"width": 0.25, "head": {"depth": 2, "width": 16, "heads": 2, "head_width": 8, "hidden": 16}}
DATA = {"side": 64, "rendered": 24, "tests": 2}


def student(model=(), data=(), teacher=(), seed=0):
    made = HandStudent(MODEL | dict(model), DATA | dict(data), seed)
    if teacher:
        made.follow(dict(teacher), frozen(made))
    return made


def frozen(made, seed=5):
    torch.manual_seed(seed)
    return deployed(made).eval().requires_grad_(False)


def test_a_batch_depends_on_seed_and_step_alone():
    one, again, other = student().batch(3, 4), student().batch(3, 4), student(seed=1).batch(3, 4)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["crop"], other["crop"])


def test_a_batch_holds_what_the_loss_reads():
    batch = student().batch(0, 3)
    assert batch["crop"].shape == (3, 3, 64, 64)
    assert {*POWERS, *(f"has_{name}" for name in POWERS)} <= batch.keys()


def test_labels_agree_with_each_other():
    """The labelled rotations and shape skin to the labelled landmarks and mesh, however the crop is turned."""
    made = student(data={"turn": 90.0, "scale": 0.3})
    batch = made.batch(0, 8)
    rotations, shape = (batch[name].numpy() for name in ("rotations", "shape"))
    vertices, landmarks = skin(made.task.hand, rotations, shape)
    assert np.allclose(landmarks - landmarks[:, :1], batch["joints"], atol=2e-5)
    assert np.allclose(vertices - landmarks[:, :1], batch["vertices"], atol=2e-5)


def test_the_labels_have_no_loss_and_what_is_said_is_read_as_they_are():
    made = student(model={"loss": {"pixels": 0.0}})
    batch = made.batch(1, 4)
    pose = torch.cat([batch["rotations"][..., 0], batch["rotations"][..., 1]], -1).flatten(1)
    loss = made.loss((pose, batch["shape"], torch.tensor([[0.9, 0, 0]]).repeat(4, 1)), batch)
    assert float(loss) < 1e-4


def test_without_labels_nothing_is_learnt_from_them():
    with pytest.raises(EdgekdError, match="nothing is left to train on"):
        student(data={"labelled": 0.0}).batch(0, 2)
    made = student(data={"labelled": 0.25}, teacher={"source": "arm:x", "outputs": 1.0})
    batch = made.batch(0, 16)
    known = {hand.id for hand in made.training}
    assert len(known) == 24
    shares = batch["has_joints"][:, 0]
    assert 0 < float(shares.mean()) < 1


def test_a_net_that_says_what_its_teacher_says_has_only_the_labels_loss():
    plain = student()
    taught = student(teacher={"source": "arm:x", "outputs": 1.0})
    net, batch = frozen(plain), plain.batch(0, 2)
    said = net(batch["crop"])
    assert float(taught.loss(said, batch)) == pytest.approx(float(plain.loss(said, batch)), rel=1e-5)
    alone = student(teacher={"source": "arm:x", "outputs": 1.0, "labels": 0.0})
    assert float(alone.loss(said, batch)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("adapter", ["student", "teacher"])
def test_maps_are_distilled_in_training_alone(adapter):
    made = student(teacher={"source": "arm:x", "features": 1.0, "adapter": adapter})
    net, batch = made.build(), made.batch(0, 2)
    outputs = net(*made.inputs(batch))
    assert len(outputs) == 4
    total, without = made.loss(outputs, batch), made.loss(outputs[:3], batch)
    assert float(total.detach()) > float(without.detach())
    total.backward()
    trained = {name for name, p in net.named_parameters() if p.grad is not None}
    assert any(name.startswith("adapter") for name in trained) == (adapter == "student")
    assert len(made.fold(net, None)(batch["crop"])) == 4


def test_the_deployed_form_answers_as_the_trained_one():
    made = student()
    net = made.build().eval()
    crop = made.batch(0, 2)["crop"]
    for one, other in zip(net(crop), joined(made.fold(net, None)(crop)), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_a_few_steps_on_one_batch_lessen_the_loss():
    torch.manual_seed(0)
    made = student()
    net, batch = made.build(), made.batch(0, 8)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = made.loss(net(*made.inputs(batch)), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]


class Knows:
    """A teacher made up here, which knows the hand of each plain crop by where it lies."""

    def __init__(self, task):
        self.hands = {crop_of(hand).matrix.tobytes(): hand for hand in task.hands.training}

    def __call__(self, picture, crops):
        said = [labels_in(crop, self.hands[crop.matrix.tobytes()]) for crop in crops]
        return [Answer(known["joints"], known["pixels"], 0.5) for known in said]


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A student with such a teacher's answers."""

    def make(data=(), **teacher):
        made, table = student(data=data), {"source": "mediapipe", **teacher}
        monkeypatch.setitem(KINDS, "mediapipe", Kind(lambda *_: Knows(made.task), find=lambda _: tmp_path))
        asked = made.lesson(table)
        fill(asked, asked.record({}, {}), tmp_path / "answers", lambda *_: None)
        made.learn(table, tmp_path / "answers")
        return made

    return make


def test_answers_of_a_teacher_outside_are_about_the_drawn_crops(outside):
    made = outside(outputs=1.0)
    batch = made.batch(0, 8)
    for name, most in (("joints", 2e-4), ("pixels", 2e-3)):
        assert torch.allclose(batch[f"taught_{name}"], batch[name], atol=most)
    assert batch["taught_score"].tolist() == [0.5] * 8
    plain, net = student(), frozen(made)
    said = net(batch["crop"])
    both, alone = float(made.loss(said, batch)), float(plain.loss(said, batch))
    kept = {name: (batch[f"taught_{name}"], torch.ones(8)) for name in ("joints", "pixels")}
    assert both == pytest.approx(alone + float(distance(made.read(*said), kept, made.config.loss)), rel=1e-5)


def test_a_teacher_outside_speaks_of_hands_without_labels(outside):
    made = outside(data={"labelled": 0.0}, outputs=1.0)
    batch = made.batch(0, 8)
    assert len(made.training) == 24
    assert not batch["has_joints"].any()
    said = frozen(made)(batch["crop"])
    assert float(made.loss(said, batch)) > 0


def test_no_teacher_outside_is_asked_where_an_arm_teaches():
    assert student().lesson({}) is None
    assert student().lesson({"source": "arm:big"}) is None
    with pytest.raises(EdgekdError, match="no teacher is called"):
        student().lesson({"source": "mediapip"})


def test_a_teacher_of_whom_nothing_is_learnt_is_refused():
    with pytest.raises(EdgekdError, match="so nothing is learnt"):
        student().lesson({"source": "mediapipe", "labels": 0.0})


def hamers(**teacher):
    """A student that learns from HaMeR's kept answers, and a batch whose answers are its labels."""
    made = student()
    made.taught = TeacherConfig(source="hamer:x", **teacher)
    plain = made.batch(0, 2)
    made.answers = Taught(made.taught, made.task.config, None)
    told = {name: plain[name] for name in ("joints", "pixels", "rotations", "shape")} | {"score": torch.ones(2)}
    return made, plain | {f"taught_{name}": value for name, value in told.items()}


def test_a_kept_mesh_is_skinned_from_its_pose():
    made, batch = hamers(outputs=1.0)
    told, _ = made.told(batch)
    assert torch.allclose(told["vertices"][0], batch["vertices"], atol=2e-5)
    assert set(told) == set(POWERS)


@pytest.mark.parametrize("align", [True, False])
def test_of_hamers_map_the_columns_that_both_see_count(align):
    made, batch = hamers(features=1.0, align=align)
    batch["taught_map"] = torch.randn(2, 1280, 16, 12, generator=torch.Generator().manual_seed(0))
    net = made.build()
    assert net.adapter.out_channels == 1280
    answers = net(*made.inputs(batch))[:3]
    mine = torch.zeros(2, 1280, 8, 8, requires_grad=True)
    made.loss((*answers, mine), batch).backward()
    used = mine.grad.abs().sum((0, 1, 2)) > 0
    assert used.tolist() == [not align, *[True] * 6, not align]


def test_it_folds_and_follows():
    assert isinstance(student(), Learns)
    assert isinstance(student(), Folds)
    assert isinstance(student(), Follows)


DECODER = {"depth": 2, "width": 32, "heads": 8, "head_width": 8, "hidden": 48}
THEIRS = {"width": 32, "inner": 64, "hidden": 48, "depth": 2}


def test_training_begins_with_a_student_s_checkpoint(tmp_path):
    path, state = tmp_path / "student.ckpt", filled(authors.student("mobilenet-v3-large", **THEIRS))
    torch.save(state, path)
    model = {"backbone": "mobilenet-v3-large", "head": DECODER, "places": 2, "start": str(path)}
    begun, wanted = HandStudent(model, DATA, 0).build().state_dict(), from_student(state).state_dict()
    assert all(torch.equal(begun[name], wanted[name]) for name in wanted)
    for wrong, message in (({"backbone": "nano"}, "is a student with `mobilenet"), ({"head": {}}, "other sizes")):
        with pytest.raises(EdgekdError, match=message):
            HandStudent(model | wrong, DATA, 0).build()


def test_training_begins_with_hamers_decoder(tmp_path):
    shapes = authors.under("backbone", authors.vit(64, 2)) | authors.under("mano_head", authors.head(64, **THEIRS))
    path, state = tmp_path / "hamer.ckpt", filled(shapes)
    torch.save(state, path)
    net = HandStudent(MODEL | {"head": DECODER, "start": str(path)}, DATA, 0).build()
    assert torch.equal(net.mano_head.decpose.weight, state["mano_head.decpose.weight"])


def test_what_a_checkpoint_holds_is_part_of_the_key(tmp_path):
    path = tmp_path / "some.ckpt"
    path.write_bytes(b"1")
    one = HandStudent({"start": str(path)}, DATA, 0).referred()
    path.write_bytes(b"2")
    assert HandStudent({"start": str(path)}, DATA, 0).referred() != one
    assert HandStudent({}, DATA, 0).referred() == {}
    with pytest.raises(EdgekdError, match="does not exist"):
        HandStudent({"start": "none.ckpt"}, DATA, 0)
