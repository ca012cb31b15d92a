"""Reading graphs, and what is wrong with those that are none."""

import onnx
import pytest
from edgekd.errors import MissingError, RequestError
from edgekd.graph.model import Graph, read_model


def test_damaged_and_missing_files(tmp_path):
    with pytest.raises(MissingError):
        read_model(tmp_path / "gone.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"not a graph")
    with pytest.raises(RequestError, match="damaged"):
        read_model(tmp_path / "bad.onnx")


def test_a_graph_without_io_record_is_told():
    with pytest.raises(RequestError, match="io record"):
        _ = Graph(onnx.ModelProto()).io
