"""Hands as a task: io record, samples, decoding, metrics, the mean pose, drawings."""

import numpy as np
import pytest
from edgekd.errors import MissingError
from edgekd.students.base import Controlled, Draws, DrawsTruth, Errs
from edgekd.students.fast_hamer import metrics
from edgekd.students.fast_hamer.hand.rotations import to_6d
from edgekd.students.fast_hamer.hand.skinning import skin
from edgekd.students.fast_hamer.hand.synthetic import synthetic_hand
from edgekd.students.fast_hamer.task import HandTask, mean_of

TINY = {"side": 64, "rendered": 24, "tests": 6}
TASK = HandTask(TINY, 0)
IO = TASK.io((64, 64))


@pytest.fixture(scope="module")
def samples():
    return TASK.evalset()


def answer(hand):
    """Outputs that mean a hand's own rotations and shape; seen from anywhere."""
    return {
        "pose": to_6d(hand.rotations).reshape(1, 96), "shape": hand.shape[None],
        "scale": np.array([[0.9]], np.float32), "place": np.zeros((1, 2), np.float32),
    }  # fmt: skip


def test_it_is_all_that_a_task_can_be():
    assert all(isinstance(TASK, part) for part in (Controlled, Draws, DrawsTruth, Errs))


def test_nothing_of_a_hand_model_is_in_the_graph():
    assert [(s.name, s.shape) for s in IO.inputs] == [("crop", (1, 3, 64, 64))]
    assert [s.name for s in IO.outputs] == ["pose", "shape", "scale", "place"]


def test_samples_are_crops_of_the_test_hands(samples):
    assert [s.id for s in samples] == [hand.id for hand in TASK.hands.test]
    assert {s.raw.shape for s in samples} == {(64, 64, 3)}
    assert not {s.id for s in samples} & {hand.id for hand in TASK.hands.training}


def test_the_true_rotations_and_shape_have_no_error(samples):
    hand, sample = TASK.hands.test[0], samples[0]
    scores = TASK.score(TASK.decode(answer(hand), IO), sample.truth)
    assert max(scores[name] for name in ("pa_mpjpe", "mpjpe", "pa_mpvpe")) < 1e-3
    assert [scores["auc"], scores["f_5"], scores["f_15"]] == pytest.approx(
        [1, 1, 1], abs=0.01
    )  # the first threshold is zero


def test_decoding_is_skinning_from_the_wrist_on():
    hand = TASK.hands.test[1]
    found = TASK.decode(answer(hand), IO)
    (vertices,), (landmarks,) = skin(synthetic_hand(), hand.rotations[None], hand.shape[None])
    assert np.allclose(found["landmarks"], landmarks - landmarks[0], atol=1e-6)
    assert np.allclose(found["vertices"], vertices - landmarks[0], atol=1e-6)
    assert {"pose", "shape", "scale", "place"} <= found.keys()


def test_the_camera_places_the_hand(samples):
    """HaMeR's weak perspective: about half a scale of the offset in metres, of the crop's side."""
    hand = TASK.hands.test[0]
    moved = answer(hand) | {"place": np.array([[0.02, 0.0]], np.float32)}
    shift = TASK.decode(moved, IO)["pixels"] - TASK.decode(answer(hand), IO)["pixels"]
    assert np.allclose(shift, [0.5 * 0.9 * 0.02, 0], atol=2e-4)


def test_the_mean_pose_is_a_control_that_errs(samples):
    (name,) = TASK.controls()
    assert name == TASK.baseline
    errors = [TASK.score(TASK.controls()[name](s), s.truth)["pa_mpjpe"] for s in samples]
    assert 5 < np.mean(errors) < 60


def test_rows_have_the_same_metrics_for_controls_and_answers(samples):
    sample, hand = samples[0], TASK.hands.test[0]
    rows = [TASK.score(p, sample.truth).keys() for p in (TASK.decode(answer(hand), IO), TASK.mean)]
    assert rows[0] == rows[1]


def test_without_labels_the_control_is_where_decoding_begins(samples):
    task = HandTask({**TINY, "labelled": 0.0}, 0)
    scores = [TASK.score(mean, samples[0].truth) for mean in (task.mean, TASK.mean)]
    assert scores[0].keys() == scores[1].keys()
    flat = skin(synthetic_hand(), np.tile(np.eye(3), (1, 16, 1, 1)), np.zeros((1, 10)))[1][0]
    assert np.allclose(task.mean["landmarks"], flat - flat[0], atol=1e-6)


def test_places_that_nobody_knows_do_not_count_in_the_mean():
    task = HandTask(TINY, 0)
    one, other = ({name: value.copy() for name, value in truth.items()} for truth in task.known[:2])
    other["pixels"][3], other["has_pixels"][3] = 0, 0
    task.known = [one, other]
    assert task.mean["pixels"][3] == pytest.approx(one["pixels"][3])
    assert task.mean["pixels"][4] == pytest.approx((one["pixels"][4] + other["pixels"][4]) / 2)


def test_the_mean_of_one_form_turned_and_grown_is_that_form():
    rng = np.random.default_rng(0)
    form = rng.normal(size=(21, 3))
    turns = np.linalg.qr(rng.normal(size=(8, 3, 3)))[0]
    turns *= np.linalg.det(turns)[:, None, None]
    hands = rng.uniform(0.8, 1.2, (8, 1, 1)) * (form @ turns) + rng.normal(size=(8, 1, 3))
    assert float(metrics.aligned_error(mean_of(hands.astype(np.float32)), form)) < 1e-2


def test_drawings_are_large_enough_to_look_at_and_show_the_answer(samples):
    sample, hand = samples[0], TASK.hands.test[0]
    drawn, truth = TASK.draw(sample.raw, TASK.decode(answer(hand), IO)), TASK.draw_truth(sample)
    assert drawn.shape == truth.shape == (256, 256, 3)
    assert (drawn != truth).any()


@pytest.mark.parametrize("read", [lambda task: task.hand, lambda task: task.folders()])
def test_an_absent_hand_model_is_told(read):
    with pytest.raises(MissingError, match=r"hand model `MANO_RIGHT.pkl`") as told:
        read(HandTask({**TINY, "hand": "MANO_RIGHT.pkl"}, 0))
    assert "register at mano.is.tue.mpg.de" in told.value.hint
