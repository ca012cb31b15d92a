"""Linear blend skinning in numpy and torch, against loops over 4 x 4 matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from edgekd.students.fast_hamer.data.poses import rotations, shape
from edgekd.students.fast_hamer.hand.model import BONES, LANDMARKS, PARENTS, HandModel
from edgekd.students.fast_hamer.hand.rotations import around
from edgekd.students.fast_hamer.hand.skinning import skin
from edgekd.students.fast_hamer.hand.synthetic import synthetic_hand
from edgekd.students.fast_hamer.hand.torched import Skin


def random_model() -> HandModel:
    """Of few vertices, with every array dense: what no finger would be made of."""
    rng, count = np.random.default_rng(3), 30
    sums = [rng.random((count, 16)), rng.random((16, count))]
    weights, regressor = (a / a.sum(1, keepdims=True) for a in sums)
    arrays = [rng.normal(0, s, n) for s, n in ((0.05, (count, 3)), (0.005, (count, 3, 10)), (0.001, (count, 3, 135)))]
    faces = rng.integers(0, count, (9, 3)).astype(np.int32)
    floats = [a.astype(np.float32) for a in (*arrays, regressor, weights)]
    return HandModel("random", "", *floats, faces=faces, tips=(1, 5, 9, 20, 29))


MODELS = pytest.mark.parametrize("model", [random_model(), synthetic_hand()], ids=["random", "synthetic"])


def slow(model: HandModel, turns: np.ndarray, form: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One hand, a vertex at a time, in float64."""
    shaped = model.template.astype(float)
    for i in range(10):
        shaped = shaped + form[i] * model.shapedirs[:, :, i]
    joints = [sum(model.regressor[j, v] * shaped[v] for v in range(len(shaped))) for j in range(16)]
    bent = shaped.copy()
    for joint in range(1, 16):
        for row in range(3):
            for column in range(3):
                off = turns[joint][row, column] - (row == column)
                bent += off * model.posedirs[:, :, 9 * (joint - 1) + 3 * row + column]
    world = []
    for j, parent in enumerate(PARENTS):
        local = np.eye(4)
        local[:3, :3] = turns[j]
        local[:3, 3] = joints[j] - (joints[parent] if parent >= 0 else 0)
        world.append(world[parent] @ local if parent >= 0 else local)
    vertices = []
    for v in range(len(bent)):
        blend = np.zeros((4, 4))
        for j in range(16):
            back = np.eye(4)
            back[:3, 3] = -joints[j]
            blend += model.weights[v, j] * (world[j] @ back)
        vertices.append((blend @ [*bent[v], 1])[:3])
    known = [w[:3, 3] for w in world] + [vertices[tip] for tip in model.tips]
    return np.array(vertices), np.array([known[i] for i in LANDMARKS])


def posed(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return np.stack([rotations(rng) for _ in range(count)]), np.stack([shape(rng) for _ in range(count)])


@MODELS
def test_a_loop_over_vertices_says_the_same(model: HandModel) -> None:
    turns, forms = posed(0, 2)
    turns[0] = around(np.random.default_rng(1).normal(size=(16, 3)))
    vertices, landmarks = skin(model, turns, forms)
    for i in range(2):
        expected = slow(model, turns[i], forms[i])
        np.testing.assert_allclose(vertices[i], expected[0], atol=1e-6)
        np.testing.assert_allclose(landmarks[i], expected[1], atol=1e-6)


@MODELS
def test_torch_says_the_same(model: HandModel) -> None:
    turns, forms = posed(5, 7)
    tensors = [torch.from_numpy(a.astype(np.float32)) for a in (turns, forms)]
    for ours, theirs in zip(skin(model, turns, forms), Skin(model)(*tensors), strict=True):
        np.testing.assert_allclose(theirs.numpy(), ours, atol=1e-6)


def test_rest_is_the_template() -> None:
    model, still = synthetic_hand(), np.tile(np.eye(3), (1, 16, 1, 1))
    vertices, landmarks = skin(model, still, np.zeros((1, 10)))
    np.testing.assert_allclose(vertices[0], model.template, atol=1e-7)
    np.testing.assert_allclose(landmarks[0, 1], model.regressor[13] @ model.template, atol=1e-6)


def test_a_turned_hand_turns_around_its_wrist() -> None:
    model = synthetic_hand()
    turns, forms = posed(2, 1)
    turn = around(np.array([0.3, -1.2, 0.7]))
    still, moved = skin(model, turns, forms), skin(model, np.concatenate([turn @ turns[:, :1], turns[:, 1:]], 1), forms)
    wrist = still[1][0, 0]
    np.testing.assert_allclose(moved[0][0], (still[0][0] - wrist) @ turn.T + wrist, atol=1e-6)


def test_bones_keep_their_length_in_every_pose() -> None:
    turns, _ = posed(8, 20)
    _, landmarks = skin(synthetic_hand(), turns, np.zeros((20, 10)))
    lengths = np.array([np.linalg.norm(landmarks[:, a] - landmarks[:, b], axis=1) for a, b in BONES if b % 4 != 0])
    np.testing.assert_allclose(lengths, np.tile(lengths[:, :1], 20), atol=1e-6)


def test_no_array_of_the_model_is_saved_and_gradients_reach_what_is_asked() -> None:
    net = Skin(synthetic_hand())
    turns, forms = (torch.from_numpy(a.astype(np.float32)).requires_grad_() for a in posed(4, 3))
    vertices, landmarks = net(turns, forms)
    (vertices.square().sum() + landmarks.square().sum()).backward()
    assert net.state_dict() == {}
    assert turns.grad is not None
    assert (turns.grad.abs().sum((2, 3)) > 0).all()
    assert forms.grad is not None
    assert (forms.grad != 0).all()


def test_gradients_are_those_of_small_steps() -> None:
    net = Skin(random_model()).double()
    turns, forms = (torch.from_numpy(a).requires_grad_() for a in posed(6, 1))
    assert torch.autograd.gradcheck(lambda *given: net(*given)[1], (turns, forms), fast_mode=True)
