"""Data that are the same every time, and are what they say."""

import numpy as np
import pytest
from edgekd.errors import ProblemsError
from edgekd.students.qdr.task import DenoiseTask
from edgekd.students.qdr.training import RestorationStudent


def test_the_evaluation_set():
    samples = DenoiseTask({}, 0).evalset()
    assert len(samples) == 12
    assert {s.raw.shape for s in samples} == {(256, 256, 3)}
    noise = np.stack([s.raw.astype(float) - s.truth for s in samples])
    assert 20 < noise.std() < 25.5  # 25 before clipping
    again = DenoiseTask({}, 0).evalset()
    assert all(np.array_equal(a.raw, b.raw) for a, b in zip(samples, again, strict=True))
    assert not np.array_equal(samples[0].raw, DenoiseTask({}, 1).evalset()[0].raw)


def test_batches_depend_on_seed_step_and_sample_alone():
    a, b = RestorationStudent({}, {"patch": 32}, 0), RestorationStudent({}, {"patch": 32}, 0)
    a.batch(0, 4)
    assert all((a.batch(5, 4)[k] == b.batch(5, 4)[k]).all() for k in ("noisy", "clean"))
    assert (a.batch(5, 4)["noisy"][:2] == b.batch(5, 2)["noisy"]).all()
    assert not (a.batch(5, 4)["clean"] == a.batch(6, 4)["clean"]).all()
    noisy, clean = a.batch(0, 64).values()
    assert noisy.shape == clean.shape == (64, 3, 32, 32)
    assert clean.min() >= -1
    assert clean.max() <= 1


def test_training_and_evaluation_pictures_differ():
    folders = DenoiseTask({}, 0).folders()
    assert len(set(folders)) == 2


def test_settings_are_checked():
    with pytest.raises(ProblemsError) as error:
        DenoiseTask({"sigm": 3, "patch": 63}, 0)
    told = {p.where: p.hint for p in error.value.problems}
    assert told["data: sigm"] == "did you mean `sigma`?"
    assert "data: patch" in told
