"""Losses against their equations in numpy; batches repeat, and come from labelled training pictures alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from edgekd.graph.roi import Roi
from edgekd.students.picosam3.losses import area_loss, combined, dice, label_loss, teacher_loss
from edgekd.students.picosam3.training import SegmentStudent, stretched
from hypothesis import given
from hypothesis import strategies as st

SMALL = {"encoder": [4, 4, 8, 8], "neck": 8, "decoder": [8, 8, 4, 4]}


def student(**data):
    return SegmentStudent(SMALL, {"side": 32, **data}, 0)


def drawn(seed=0, n=3):
    rng = np.random.default_rng(seed)
    z, t = rng.normal(0, 0.5, (2, n, 1, 5, 7))
    m = (rng.random((n, 1, 5, 7)) < 0.4).astype(float)
    return z, t, m


def tensors(*arrays):
    return [torch.from_numpy(np.asarray(a, np.float64)) for a in arrays]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def np_dice(p, q):
    return np.array([1 - (2 * (a * b).sum() + 1e-6) / (a.sum() + b.sum() + 1e-6) for a, b in zip(p, q, strict=True)])


def np_label(z, m):
    p = sigmoid(5 * z)
    entropy = -(m * np.log(p) + (1 - m) * np.log(1 - p))
    return entropy.mean((1, 2, 3)) + np_dice(p, m)


def np_teacher(z, t):
    p, q = sigmoid(5 * z), sigmoid(5 * t)
    return ((p - q) ** 2).mean((1, 2, 3)) + np_dice(p, q)


def np_area(z, m):
    return np.maximum(0, 0.4 - sigmoid(5 * z).sum((1, 2, 3)) / (m.sum((1, 2, 3)) + 1e-6))


def test_each_loss_is_its_equation():
    z, t, m = drawn()
    z[0] -= 2  # falls short of its area
    a, b, c = tensors(z, t, m)
    np.testing.assert_allclose(label_loss(a, c), np_label(z, m), rtol=1e-9)
    np.testing.assert_allclose(teacher_loss(a, b), np_teacher(z, t), rtol=1e-9)
    np.testing.assert_allclose(area_loss(a, c), np_area(z, m), rtol=1e-9)
    assert np_area(z, m)[0] > 0.2


def test_both_together_and_an_instance_without_a_label():
    z, t, m = drawn(1)
    trust, known = np.array([0.9, 0.3, 0.5]), np.array([1.0, 1.0, 0.0])
    got = combined(*tensors(z, m, t, trust, known))
    unlabelled = (t > 0).astype(float)
    parts = trust * np_teacher(z, t) + (1 - trust) * np_label(z, m) + 0.4 * np_area(z, m)
    parts[2] = np_teacher(z, t)[2] + 0.4 * np_area(z, unlabelled)[2]
    assert float(got) == pytest.approx(parts.mean(), rel=1e-9)
    other = m.copy()
    other[2] = 1 - other[2]
    assert float(combined(*tensors(z, other, t, trust, known))) == float(got)  # an unknown mask is not read


def test_a_perfect_answer_costs_nothing_and_large_logits_are_finite():
    _, _, m = drawn()
    z = np.where(m > 0, 1e3, -1e3)
    a, b = tensors(z, m)
    for loss in (label_loss(a, b), teacher_loss(a, a), area_loss(a, b)):
        np.testing.assert_allclose(loss, 0, atol=1e-6)
    wrong = (-a).requires_grad_()
    label_loss(wrong, b).sum().backward()
    assert torch.isfinite(wrong.grad).all()
    assert float(dice(*tensors(np.zeros((1, 1, 2, 2)), np.zeros((1, 1, 2, 2))))) == pytest.approx(0)


def test_the_student_s_loss_has_no_teacher():
    z, _, m = drawn(2)
    got = student().loss(tensors(z)[0], {"mask": tensors(m)[0]})
    assert float(got) == pytest.approx((np_label(z, m) + 0.4 * np_area(z, m)).mean(), rel=1e-9)


def test_batches_come_from_seed_and_step_alone():
    one, two = student(), student()
    two.batch(0, 3)
    a, b = one.batch(5, 3), two.batch(5, 3)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert a["crop"].shape == (3, 3, 32, 32)
    assert a["mask"].shape == (3, 1, 32, 32)
    assert set(a["mask"].unique().tolist()) == {0.0, 1.0}
    assert -1 <= float(a["crop"].min()) < float(a["crop"].max()) <= 127 / 128
    assert not torch.equal(a["crop"], one.batch(6, 3)["crop"])
    assert torch.equal(a["crop"][:2], one.batch(5, 2)["crop"])  # a sample does not depend on the batch's size
    other = SegmentStudent(SMALL, {"side": 32}, 1)
    assert not torch.equal(a["crop"], other.batch(5, 3)["crop"])


def test_only_labelled_training_pictures_are_read():
    few = student(labelled=0.05)
    read, known = set(), few.task.instances
    few.task.instances = replace(known, picture=lambda i: (read.add(i), known.picture(i))[1])
    few.batch(0, 40)
    assert read == few.task.labelled
    assert not read & {i.picture for i in few.task.parts[1]}


def test_without_augmentation_a_crop_is_what_evaluation_sees():
    plain = student(jitter=0, aspect=0, flip=False)
    task = plain.task
    seen = {
        s.id: task.encode(s.raw, task.io((32, 32)))["crop"][0] for s in map(task.sample_of, task.parts[0], range(2000))
    }
    batch = plain.batch(0, 4)
    for crop, mask in zip(batch["crop"].numpy(), batch["mask"].numpy(), strict=True):
        match = [i for i, other in seen.items() if np.array_equal(crop, other)]
        assert match
        instance = next(i for i in task.parts[0] if i.id == match[0])
        assert 0.05 < mask.mean() < 1
        assert task.sample_of(instance, 0).truth.inside.mean() == pytest.approx(mask.mean(), abs=0.1)


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.9), st.integers(4, 60), st.integers(4, 60))
def test_stretched_regions_stay_inside(seed, aspect, height, width):
    rng = np.random.default_rng(seed)
    h, w = int(rng.integers(4, height + 1)), int(rng.integers(4, width + 1))
    roi = Roi(int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1)), w, h)
    got = stretched(roi, aspect, (height, width), rng)
    assert 0 <= got.x <= got.x + got.width <= width
    assert 0 <= got.y <= got.y + got.height <= height
    assert got.width <= max(4, round(w * (1 + aspect)))
