"""The second opinion: how its answers are told (recorded), and what it really says where it was fetched."""

from __future__ import annotations

import json
import sys

import onnx
import pytest
from edgekd.backends.tensorrt import opinion
from edgekd.backends.tensorrt.opinion import second_opinion
from edgekd.toolchains.cache import WHOLE, is_fetched, place
from edgekd.toolchains.lock import find_lock

from tests.backends.tensorrt.test_rules import NOTED, REFUSED

LOCK = find_lock(opinion.LOCK)


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """An environment whose Python prints what it is given, as the fetched one printed it."""
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path))
    python = place(LOCK) / "bin" / "python"
    python.parent.mkdir(parents=True)
    (place(LOCK) / WHOLE).touch()

    def answer(text: str) -> None:
        python.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
        python.chmod(0o755)

    return answer


def test_without_it_nothing_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path))
    assert second_opinion([tmp_path / "int8.onnx"]) == ({}, [])


def test_errors_name_file_and_node_and_who_says_so(recorded, tmp_path):
    text = "input has type Int32 but must have type FP8, FP4, Int4, Int8, or UInt8."
    good = {"layers": 396, "errors": [], "built": True, "logged": []}
    bad = {
        "layers": 3,
        "errors": [{"node": "", "operator": "DequantizeLinear", "text": text}],
        "built": False,
        "logged": [],
    }
    late = {
        "layers": 3,
        "errors": [],
        "built": False,
        "logged": ["Quantized constant (flat) is only\n allowed before DQ"],
    }
    files = {"/x/int8.onnx": good, "/x/float.onnx": bad, "/x/late.onnx": late}
    recorded(json.dumps({"version": "1.7.1.116", "files": files}))
    facts, problems = second_opinion([])
    tool = "TensorRT-RTX 1.7.1.116 parser, not the device"
    assert facts == {"second opinion": {"tool": tool, "int8.onnx": "accepted, 396 layers"}}
    assert [str(problem) for problem in problems] == [
        f"float.onnx: DequantizeLinear: {tool}: {text}",
        f"late.onnx: {tool}: Quantized constant (flat) is only allowed before DQ",
    ]


def test_a_crash_is_no_opinion(recorded):
    recorded("Segmentation fault")
    assert second_opinion([]) == ({"second opinion": "TensorRT-RTX: it crashed"}, [])


@pytest.mark.skipif(not is_fetched(LOCK) or sys.platform != "linux", reason="needs edgekd fetch tensorrt-rtx")
def test_it_agrees_with_the_rules(tmp_path):
    """It takes every graph that is only noted, and refuses what `rules/refusals.py` says that it refuses."""
    paths = []
    for name, (broken, *_) in [(f"noted-{i}", row) for i, row in enumerate(NOTED)]:
        onnx.save(broken.model, tmp_path / f"{name}.onnx")
        paths.append(tmp_path / f"{name}.onnx")
    facts, problems = second_opinion(paths)
    assert problems == []
    assert len(facts["second opinion"]) == 1 + len(NOTED)
    words = ("other than 0", "int32 bias", "stands between integer weights", "not static", "`int16` codes")
    for word in words:
        (broken,) = (graph for graph, _, what in REFUSED if word in what)
        onnx.save(broken.model, tmp_path / "refused.onnx")
        assert second_opinion([tmp_path / "refused.onnx"])[1], word
