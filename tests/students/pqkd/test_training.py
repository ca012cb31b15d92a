"""The outer loop, the loss, folding, and a run that is cut off."""

from pathlib import Path

import numpy as np
import pytest
import torch
from edgekd.errors import EdgekdError, ProblemsError, RequestError
from edgekd.pipeline import resolve
from edgekd.plan import make_plan
from edgekd.schema.load import merge, nest
from edgekd.schema.recipe import Recipe
from edgekd.steps import teach
from edgekd.students.base import STORED, deployed
from edgekd.students.pqkd.config import TeacherConfig
from edgekd.students.pqkd.losses import blended
from edgekd.students.pqkd.mixing import direction, mixing
from edgekd.students.pqkd.network import dictionaries
from edgekd.students.pqkd.stored import load_stored
from edgekd.students.pqkd.training import PqkdStudent
from edgekd.train import loop
from edgekd.train.teach import TRAINING, WEIGHTS, load_weights
from safetensors.torch import load_file
from torch import nn


class CutOffError(Exception):
    pass


def student(recipe: Recipe, **settings) -> PqkdStudent:
    return PqkdStudent(merge(recipe.model, nest(settings)), recipe.data, recipe.seed)


def trained(recipe: Recipe, folder: Path, tick=lambda *args: None, **settings) -> PqkdStudent:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(recipe.seed)
    made = student(recipe, **settings)
    teach(made, recipe, folder, tick)
    return made


FORMS = {
    "pqkd": {},
    "exact": {"photonic.evaluate": "exact"},
    "shots": {"photonic.evaluate": "shots"},
    "fixed": {"spsa.updates": 0},
    "some": {"compressed": [0], "form": "factorised"},
    "dictionary": {"kind": "dictionary", "form": "factorised"},
    "plain": {"kind": "plain"},
}


@pytest.mark.parametrize("name", FORMS)
def test_the_folded_net_is_the_trained_one(recipe, tmp_path, name):
    made = trained(recipe, tmp_path, **FORMS[name])
    final = load_weights(deployed(made), tmp_path).eval()
    before = made.build()
    before.load_state_dict(load_file(tmp_path / TRAINING))
    image = made.batch(99, 16)["image"]
    with torch.no_grad():
        wanted = before.eval()(image)
        torch.testing.assert_close(final(image), wanted, rtol=1e-5, atol=1e-6 * wanted.abs().max().item())
    stored, kept = load_stored(tmp_path / STORED).state_dict(), final.state_dict()
    assert all(torch.equal(stored[key], kept[key]) for key in kept)


def test_a_run_that_was_cut_off_ends_the_same(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)

    def cut(done, total, text):
        if done == 6:
            raise CutOffError

    trained(recipe, tmp_path / "whole")
    with pytest.raises(CutOffError):
        trained(recipe, tmp_path / "cut", cut)
    trained(recipe, tmp_path / "cut")
    for file in (WEIGHTS, TRAINING, STORED):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "cut" / file).read_bytes()


def test_angles_and_features_change_when_it_is_time(recipe):
    made = student(recipe)
    net = made.build()
    angles, mixed = net.photonic.angles.clone(), []
    for step in range(5):
        made.steer(net, step, 9)
        mixed.append(dictionaries(net)["blocks.1.conv"].mixing.clone())
    assert torch.equal(mixed[0], mixed[1])
    assert torch.equal(mixed[2], mixed[3])
    assert not torch.equal(mixed[1], mixed[2])
    assert not torch.equal(angles, net.photonic.angles)
    features = net.photonic.features.numpy()
    np.testing.assert_allclose(features.reshape(2, -1).sum(1), 1)
    wanted = mixing(direction(features), 0, 1, (8, 4, 2))
    np.testing.assert_array_equal(mixed[4].numpy(), wanted)
    assert net.training


def test_the_moving_average(recipe):
    """With angles that stay: the average of the source's own vectors, the first with all the weight that is left."""
    made = student(recipe, **{"spsa.updates": 0, "photonic.beta": 0.75})
    net = made.build()
    for step in range(5):
        made.steer(net, step, 9)
    angles = net.photonic.angles.numpy()
    a, b, c = (made.device.features(angles, 50, (0, 1, number)) for number in range(3))
    wanted = 0.75 * (0.75 * a + 0.25 * b) + 0.25 * c
    np.testing.assert_allclose(net.photonic.features.numpy(), wanted, rtol=1e-12)
    assert not np.array_equal(a, b)


@pytest.mark.parametrize("source", ["simulator", "exact", "gaussian", "constant"])
def test_exact_evaluation_keeps_a_control_the_control_that_it_is(recipe, device, source):
    made = student(recipe, **{"photonic.source": f"{device}:{source}", "photonic.evaluate": "exact"})
    net = made.build()
    made.steer(net, 0, 9)
    before = net.photonic.features.clone()
    made.steering.finish(net)
    assert torch.equal(before, net.photonic.features) == (source != "simulator")


def test_features_of_another_length_are_told(recipe, device, tmp_path):
    """From a source of a person's own, before they mix anything."""
    (tmp_path / "short.py").write_text(
        "class Short:\n    def __init__(self, device, options):\n        self.circuit = None\n"
        "    def features(self, angles, shots, seed):\n        return [1.0] * 5\n"
    )
    made = student(recipe, **{"photonic.source": f"{device}:{tmp_path / 'short.py'}:Short"})
    with pytest.raises(RequestError, match=r"gives \[5\] features of 8"):
        made.steer(made.build(), 0, 9)


def variance_ratio(beta: float, length: int, before: int) -> float:
    """Mean sample variance of a moving average over that of its independent inputs: tr(C L L') / (T - 1).

    y = L x with L the average's weights, the first input's what is left; of y the last T count, after `before` others;
    C takes their mean off.
    """
    t = np.arange(before + length)
    weights = np.where(t[:, None] >= t, (1 - beta) * beta ** (t[:, None] - t).clip(0), 0.0)
    weights[:, 0] = beta**t
    seen = weights[before:]
    return float(((seen - seen.mean(0)) * seen).sum() / (length - 1))


@pytest.mark.parametrize(("length", "before"), [(30, 0), (30, 100), (300, 0), (300, 100)])
def test_the_variance_that_averaging_leaves(length, before):
    """Of real features, summed over bins: by four standard errors of the traces what theory says of this length."""
    shots, traces = 50, 40
    chances = np.random.default_rng(1).dirichlet(np.ones(16))
    rng = np.random.default_rng(0)
    x = rng.multinomial(shots, chances, (before + length, traces)) / shots
    y = x.copy()
    for t in range(1, len(x)):
        y[t] = 0.9 * y[t - 1] + 0.1 * x[t]
    one = (chances * (1 - chances)).sum() / shots
    found = y[before:].var(0, ddof=1).sum(-1) / one
    assert abs(found.mean() - variance_ratio(0.9, length, before)) < 4 * found.std(ddof=1) / traces**0.5


def test_long_traces_leave_what_the_textbook_says():
    """(1 - b) / (1 + b), times what a trace of T correlated values, b^k apart in time by k, misses of its variance.

    A trace that begins with its first input keeps more, up to twice the textbook's at 30 steps; one that has forgotten
    its beginning less, 0.030 of 0.053.
    """
    limit = 0.1 / 1.9
    for length in (30, 100, 500):
        k = np.arange(1, length)
        missed = 2 / (length * (length - 1)) * ((length - k) * 0.9**k).sum()
        assert variance_ratio(0.9, length, 200) == pytest.approx(limit * (1 - missed), rel=1e-6)
        assert variance_ratio(0.9, length, 0) > limit
    assert variance_ratio(0.9, 30, 0) == pytest.approx(0.1022, abs=1e-4)
    assert variance_ratio(0.9, 2000, 200) == pytest.approx(limit, rel=0.01)


def test_spsa_lowers_the_loss_that_it_sees(recipe):
    """Of an untrained net, whose weights stay: the angles alone are trained, by exact features."""
    exact = f"{recipe.model['photonic']['source']}:exact"
    losses = []
    for updates in (0, 40):
        torch.manual_seed(0)
        made = student(recipe, **{"spsa.updates": updates, "spsa.a": 0.5, "spsa.proxy": 48, "photonic.source": exact})
        net = made.build()
        made.steer(net, 0, 2)
        losses.append(np.mean([made.proxy(net, 1000 + i) for i in range(10)]))
    assert losses[1] < losses[0]


def test_the_loss_blends_labels_and_teacher():
    z, t = torch.randn(6, 4), torch.randn(6, 4)
    y = torch.tensor([0, 1, 2, 3, 0, 1])
    config = TeacherConfig(source="arm:x", hard=0.3, temperature=2.0)
    p, q = (t / 2).softmax(1), (z / 2).softmax(1)
    apart = (p * (p / q).log()).sum(1).mean()
    labels = -z.log_softmax(1)[torch.arange(6), y].mean()
    torch.testing.assert_close(blended(z, y, t, config), 0.3 * labels + 0.7 * 4 * apart)
    torch.testing.assert_close(blended(z, y, z, config), 0.3 * labels, rtol=1e-5, atol=1e-6)


def test_a_teacher_is_followed(recipe):
    made, net = student(recipe), nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    batch = made.batch(0, 4)
    z = torch.zeros(4, 10)
    alone = made.loss(z, batch)
    torch.testing.assert_close(alone, nn.functional.cross_entropy(z, batch["class"]))
    made.follow({"source": "arm:x", "temperature": 1.0}, net)
    torch.testing.assert_close(
        made.loss(z, batch), blended(z, batch["class"], net(batch["image"]), TeacherConfig(temperature=1.0))
    )


def test_proxy_pictures_are_other_than_the_batches(recipe):
    made = student(recipe)
    assert not torch.equal(made.batch(3, 4)["image"], made.batch(3, 4, 1)["image"])
    assert torch.equal(made.batch(3, 4, 1)["image"], student(recipe).batch(3, 4, 1)["image"])


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("model.rank=0", "model: rank"),
        ("model.rank=10", "model: rank"),
        ("model.compressed=[0, 3]", "there is no convolution 3"),
        ("model.compressed=some", "model: compressed"),
        ("model.photonic.source=nowhere", "nowhere"),
        ("model.photonic.source=x86", "x86"),
        ("model.photonic.source=photonic-tbi:lamp", "unknown source of features `lamp`"),
        ("model.photonic.shots=0", "shots"),
        ("model.photonic.evaluate=best", "evaluate"),
        ("model.photonic.beta=1", "beta"),
        ("model.mixing=18446744073709551616", "model: mixing"),
        ("model.spsa.a=0", "spsa.a"),
        ("model.spsa.gain=1", "unknown key"),
        ("model.widths=[]", "widths"),
        ("model.kind=quantum", "kind"),
        ("teacher.hard=2", "hard"),
        ("teacher.source=litemedsam", "the student `pqkd` learns from no teacher outside"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_trained(setting, words):
    with pytest.raises(EdgekdError) as caught:
        make_plan(*resolve("pqkd", "x86:onnxruntime", (setting,)))
    problems = caught.value.problems if isinstance(caught.value, ProblemsError) else [caught.value.message]
    assert any(words in str(problem) for problem in problems)


@pytest.mark.parametrize(
    ("changed", "model", "words"),
    [
        (("photons = [1, 0, 1, 0]", "photons = [1, 0, 1]"), "", "3 modes have no two halves"),
        (("photons = [1, 0, 1, 0]", f"photons = [1{', 0' * 79}]"), "", "two halves of 40 modes needs about"),
        (("shots = 50", "imperfections = { jitter = 0.1 }\nshots = 50"), "model.photonic.evaluate=exact", "jitter"),
    ],
)
def test_a_device_that_does_not_do_is_told_before_anything_is_trained(changed, model, words, device, tmp_path):
    file = tmp_path / "tiny.toml"
    file.write_text(device.read_text(encoding="utf-8").replace(*changed), encoding="utf-8")
    settings = (f"model.photonic.source={file}", *([model] if model else []))
    with pytest.raises(ProblemsError) as caught:
        make_plan(*resolve("pqkd", "x86:onnxruntime", settings))
    assert any(words in str(problem) for problem in caught.value.problems)
