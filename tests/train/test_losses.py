"""The distillation loss by its formula."""

import numpy as np
import pytest
import torch
from edgekd.train.losses import dfd


def test_dfd_by_formula_and_blind_to_width():
    rng = np.random.default_rng(0)
    s, t = rng.normal(0, 1, (2, 4, 5, 5)), rng.normal(1, 2, (2, 4, 5, 5))
    want = ((s - t) ** 2).mean() / (t.var(ddof=1) + 1e-6)
    assert float(dfd(torch.from_numpy(s), torch.from_numpy(t))) == pytest.approx(want)
    assert float(dfd(torch.from_numpy(10 * s), torch.from_numpy(10 * t))) == pytest.approx(want, rel=1e-5)


def test_dfd_does_not_train_the_teacher():
    s, t = torch.randn(4, requires_grad=True), torch.randn(4, requires_grad=True)
    dfd(s, t).backward()
    assert s.grad is not None
    assert t.grad is None
