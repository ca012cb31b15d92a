"""Distances that hands are taught by: weights, trust, sums and means, maps of other sides."""

import numpy as np
import pytest
import torch
from edgekd.students.fast_hamer.config import LossConfig
from edgekd.students.fast_hamer.losses import POWERS, apart, distance, middle, misplaced

SHAPES = {"joints": (21, 3), "pixels": (21, 2), "rotations": (16, 3, 3), "shape": (10,), "vertices": (7, 3)}
NONE = dict.fromkeys(POWERS, 0.0)


def hands(count, seed):
    torch.manual_seed(seed)
    return {name: torch.randn(count, *shape) for name, shape in SHAPES.items()}


def wanted(target, trust=None):
    sure = {name: torch.ones(len(value)) for name, value in target.items()}
    return {name: (value, (trust or {}).get(name, sure[name])) for name, value in target.items()}


@pytest.mark.parametrize("name", POWERS)
@pytest.mark.parametrize("reduce", ["mean", "sum"])
def test_each_part_by_its_formula(name, reduce):
    said, target = hands(4, 0), hands(4, 1)
    found = float(distance(said, wanted(target), LossConfig(**{**NONE, name: 2.0, "reduce": reduce})))
    off = np.abs(said[name].numpy() - target[name].numpy()) ** POWERS[name]
    assert found == pytest.approx(2 * (off.mean() if reduce == "mean" else off.sum()), rel=1e-5)


def test_what_is_not_trusted_does_not_count_and_what_is_half_known_counts_half():
    said, target = hands(3, 0), hands(3, 1)
    trust = torch.zeros(3, 21)
    trust[0, :5], trust[2, 7] = 1.0, 0.5
    found = float(distance(said, wanted(target, {"joints": trust}), LossConfig(**{**NONE, "joints": 1.0})))
    off = (said["joints"] - target["joints"]).abs().mean(2).numpy()
    assert found == pytest.approx((off[0, :5].sum() + 0.5 * off[2, 7]) / 5.5, rel=1e-5)


def test_without_trust_there_is_no_loss_and_its_gradient_is_zero():
    said, target = hands(2, 0), hands(2, 1)
    said["joints"].requires_grad_()
    none = {name: torch.zeros(2) for name in POWERS}
    loss = distance(said, wanted(target, none), LossConfig())
    loss.backward()
    assert float(loss) == 0
    assert float(said["joints"].grad.abs().sum()) == 0


def test_the_mean_does_not_know_the_batch_and_the_sum_does():
    said, target = hands(4, 0), hands(4, 1)
    twice = [{name: torch.cat([value, value]) for name, value in part.items()} for part in (said, target)]
    mean, summed = LossConfig(), LossConfig(reduce="sum")
    assert float(distance(twice[0], wanted(twice[1]), mean)) == pytest.approx(
        float(distance(said, wanted(target), mean)), rel=1e-5
    )
    assert float(distance(twice[0], wanted(twice[1]), summed)) == pytest.approx(
        2 * float(distance(said, wanted(target), summed)), rel=1e-5
    )


def test_maps_of_other_sides_are_stretched_to_the_students():
    seen = torch.zeros(2, 3, 8, 8)
    assert float(apart(seen, torch.full((2, 3, 16, 12), 2.0), scaled=False)) == pytest.approx(4.0)


def test_scaled_one_weight_fits_every_teacher():
    seen, taught = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8)
    assert float(apart(10 * seen, 10 * taught, True)) == pytest.approx(float(apart(seen, taught, True)), rel=1e-4)


def test_the_teacher_gets_no_gradient():
    seen, taught = torch.randn(1, 2, 4, 4, requires_grad=True), torch.randn(1, 2, 4, 4, requires_grad=True)
    apart(seen, taught, False).backward()
    assert taught.grad is None
    assert seen.grad is not None


def test_the_middle_of_a_map_where_it_ends_at_columns():
    seen = torch.arange(8.0).expand(1, 1, 2, 8)
    assert middle(seen, 0.75)[0, 0, 0].tolist() == [1, 2, 3, 4, 5, 6]


def test_the_middle_of_a_map_where_it_does_not():
    """Of 4 columns, whose middles lie at 0.5 to 3.5, the middle half ends at 1 and 3: as two columns at 1.5 and 2.5;
    three quarters as three, at 1, 2 and 3."""
    seen = (torch.arange(4.0) + 0.5).expand(1, 1, 2, 4)
    assert middle(seen, 0.5)[0, 0, 0].tolist() == [1.5, 2.5]
    assert torch.allclose(middle(seen, 0.75)[0, 0, 0], torch.tensor([1.0, 2.0, 3.0]), atol=1e-5)


def test_a_landmark_lies_on_the_places_around_it():
    """At a quarter of the way from one place's middle to the next: three quarters there, one quarter here."""
    pixels = torch.tensor([[[(1.5 + 0.25) / 4 - 0.5, 0.5 / 4 - 0.5]]])
    heat = torch.randn(1, 1, 4, 4, dtype=torch.float64)
    log = heat.flatten(2).log_softmax(2).unflatten(2, (4, 4))[0, 0]
    expected = -(0.75 * log[0, 1] + 0.25 * log[0, 2])
    assert float(misplaced(heat, pixels, torch.ones(1, 1))) == pytest.approx(float(expected), rel=1e-6)


def test_landmarks_beyond_the_crop_or_not_trusted_are_nowhere():
    pixels = torch.tensor([[[0.9, 0.0], [0.1, 0.1], [0.1, 0.1]]])
    heat = torch.randn(1, 3, 4, 4)
    found = misplaced(heat, pixels, torch.tensor([[1.0, 0.0, 1.0]]))
    alone = misplaced(heat[:, 2:], pixels[:, 2:], torch.ones(1))
    assert float(found) == pytest.approx(float(alone), rel=1e-6)
