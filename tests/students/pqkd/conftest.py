"""A circuit of four modes, and students on 60 digits."""

from pathlib import Path

import pytest
from edgekd.schema.recipe import Recipe
from edgekd.schema.recipes import load_recipe

DEVICE = """
schema = 1
kind = "photonic"
name = "tiny"
title = "four modes"
validated = "simulator"
shots = 50
source = "simulator"
circuit = { photons = [1, 0, 1, 0], loops = [1, 1] }
clock = { bins_per_second = 1e6, setup_seconds = 0 }
sources = { circuit = "none" }
"""

RECIPE = """
schema = 1
student = "pqkd"
ship = "ptq"
threads = 1
data = { source = "edgekd:digits", tests = 20, flip = false }
teacher = { source = "arm:big" }
train = { steps = 9, batch = 8, lr = 2e-2 }
quantize = { steps = 2, batch = 8, lr = 1e-3, calibration = { batches = 1 } }
deploy = { shape = [28, 28] }
gates = { min_retained = 0, max_engine_drop = 100 }
profile = { runs = 10, warmup = 1 }

[model]
widths = [4, 8]
rank = 2
settle = 2
photonic = { source = "DEVICE", refresh = 2 }
spsa = { updates = 2, proxy = 16 }

[arms]
small = { method = "teach" }
ptq = { method = "ptq" }
big = { method = "control", set = { "model.kind" = "plain", "model.widths" = [8, 8], "teacher.source" = "" } }
"""


@pytest.fixture(scope="session")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its descriptor."""
    path = tmp_path_factory.mktemp("device") / "tiny.toml"
    path.write_text(DEVICE, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def recipe(device: Path) -> Recipe:
    """Two steps of everything."""
    path = device.parent / "recipe.toml"
    path.write_text(RECIPE.replace("DEVICE", str(device)), encoding="utf-8")
    return load_recipe(path, {})
