"""What runs on a device is alone there: old Pythons read it, and it imports nothing of ours."""

import ast
import sys
from pathlib import Path

import pytest
from edgekd.devices.job import RUNNERS

FILES = sorted(RUNNERS.glob("[a-z]*.py"))
RUNTIMES = {"onnxruntime", "openvino", "ai_edge_litert", "tflite_runtime", "tensorflow", "picamera2"}
LATER = {"graphlib", "tomllib", "zoneinfo"}
"""Of the standard library only after 3.8."""


def imported(tree: ast.Module) -> set[str]:
    """Packages that a file imports, wherever it does."""
    names = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_runner_file_stands_alone(path: Path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text, feature_version=(3, 8))
    assert "from __future__ import annotations" in text
    foreign = imported(tree) - set(sys.stdlib_module_names) - {"numpy"}
    assert foreign <= RUNTIMES
    assert not imported(tree) & LATER


def test_the_agent_needs_no_numpy():
    assert "numpy" not in imported(ast.parse((RUNNERS / "agent.py").read_text(encoding="utf-8")))
