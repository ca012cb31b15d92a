"""Tables of states against plain enumeration."""

import numpy as np
import pytest
from edgekd.photonic import basis

from tests.photonic.brute import all_states


@pytest.mark.parametrize(("modes", "photons"), [(0, 0), (0, 2), (1, 0), (1, 5), (4, 0), (4, 3), (6, 4)])
def test_states_are_all_there_in_order(modes, photons):
    table = basis.states(modes, photons)
    assert [tuple(row) for row in table.tolist()] == (all_states(modes, photons) if modes or not photons else [])
    assert basis.count(modes, photons) == len(table)
    np.testing.assert_array_equal(basis.rank(table), np.arange(len(table)))


def test_a_photon_less_is_found_for_every_lit_mode():
    table, fewer = basis.states(5, 4), basis.states(5, 3)
    columns, sources = basis.growth(5, 4)
    for row, state in enumerate(table):
        found = [(c[row], tuple(fewer[s[row]])) for c, s in zip(columns, sources, strict=True) if c[row] < 5]
        assert found == [(i, tuple(state - np.eye(5, dtype=int)[i])) for i in range(5) if state[i]]


def test_states_of_a_prefix_lie_together():
    where, whole = basis.starts(2, 3, 2, 1), basis.states(5, 3)
    for prefix, start in zip(basis.states(2, 2), where, strict=True):
        np.testing.assert_array_equal(whole[start : start + 3, :2], np.tile(prefix, (3, 1)))
        np.testing.assert_array_equal(whole[start : start + 3, 2:], basis.states(3, 1))
