"""A rewrite changes the form, never the integers."""

import numpy as np
from edgekd.graph import golden
from edgekd.graph.model import Graph
from edgekd.graph.rewrite import float_biases

from tests.graph.graphs import conv_graph


def test_float_biases_keep_every_code():
    rng = np.random.default_rng(3)
    graph = conv_graph(rng)
    rewritten = Graph(float_biases(graph))
    assert not [a for a in rewritten.constants.values() if a.dtype == np.int32]
    image = rng.normal(0, 1, (1, 4, 8, 8)).astype(np.float32)
    a, b = (golden.run(g, {"image": image}) for g in (graph, rewritten))
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
