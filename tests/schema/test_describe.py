"""The documented fields are the schema's."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from edgekd.schema.describe import fields
from edgekd.schema.recipe import Recipe
from edgekd.schema.target import Board

DOCS = Path(__file__).parents[2] / "docs"


def test_the_pages_are_up_to_date():
    spec = spec_from_file_location("build", DOCS / "build.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, page in module.pages().items():
        assert (DOCS / name).read_text(encoding="utf-8") == page, "run: python docs/build.py"


@pytest.mark.parametrize("model", [Board, Recipe])
def test_every_field_has_a_meaning(model):
    assert [path for path, _, _, about in fields(model) if not about] == []
