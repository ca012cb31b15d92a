"""Fast-HaMeR's training side: batches by (seed, step), labels that are not used, a net that teaches another."""

import numpy as np
import pytest
import torch
from edgekd.errors import EdgekdError
from edgekd.students.base import Folds, Follows, deployed
from edgekd.students.fast_hamer.hand.skinning import skin
from edgekd.students.fast_hamer.losses import POWERS
from edgekd.students.fast_hamer.training import HandStudent

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
    assert float(total) > float(without)
    total.backward()
    trained = {name for name, p in net.named_parameters() if p.grad is not None}
    assert any(name.startswith("adapter") for name in trained) == (adapter == "student")
    assert len(made.fold(net, None)(batch["crop"])) == 3


def test_the_deployed_form_answers_as_the_trained_one():
    made = student()
    net = made.build().eval()
    crop = made.batch(0, 2)["crop"]
    for one, other in zip(net(crop), made.fold(net, None)(crop), strict=True):
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


def test_it_folds_and_follows():
    assert isinstance(student(), Folds)
    assert isinstance(student(), Follows)
