"""What is written is what is read back."""

import tomllib

from edgekd.schema.recipes import load_recipe
from edgekd.schema.write import to_toml
from edgekd.students.registry import find_recipe
from hypothesis import given
from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.one_of(TEXT, st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False))
TABLES = st.recursive(
    st.dictionaries(TEXT, VALUES | st.lists(VALUES | st.dictionaries(TEXT, VALUES, max_size=2)), max_size=4),
    lambda inner: st.dictionaries(TEXT, inner | VALUES, min_size=1, max_size=3),
    max_leaves=6,
)


def full(table):
    """Tables without anything in them are not written."""
    out = {k: full(v) if isinstance(v, dict) else v for k, v in table.items()}
    return {k: v for k, v in out.items() if v != {}}


@given(TABLES)
def test_any_table(table):
    assert full(tomllib.loads(to_toml(table))) == full(table)


def test_a_recipe(tmp_path):
    recipe = load_recipe(find_recipe("qdr"), {"quantize": {"keep": {"mid.0.*": "float", "head": 8}}})
    (tmp_path / "mine.toml").write_text(to_toml(recipe.model_dump(mode="json", by_alias=True)), encoding="utf-8")
    assert load_recipe(tmp_path / "mine.toml", {}) == recipe
