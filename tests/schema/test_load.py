"""Overrides, extending, and mistakes collected with the nearest name."""

import pytest
from edgekd.errors import ProblemsError, RequestError
from edgekd.schema.load import merge, nest, parse, parse_overrides
from edgekd.schema.recipe import Recipe
from edgekd.schema.recipes import arm_arithmetic, arm_recipe, load_recipe
from edgekd.schema.targets import boards, find_target, load_board
from edgekd.students.registry import find_recipe
from hypothesis import given
from hypothesis import strategies as st

KEYS = st.text("abc", min_size=1, max_size=2)
TABLES = st.recursive(st.integers(), lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=3), max_leaves=8)


def flatten(table, prefix=""):
    for key, value in table.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@given(st.dictionaries(KEYS, TABLES, min_size=1, max_size=3))
def test_nest_undoes_flatten(table):
    assert nest(dict(flatten(table))) == table


@given(st.dictionaries(KEYS, TABLES), st.dictionaries(KEYS, TABLES))
def test_merge_keeps_every_override(base, over):
    merged = merge(base, over)
    leaves = dict(flatten(merged))
    assert all(leaves[key] == value for key, value in flatten(over))
    assert set(merged) == set(base) | set(over)


def test_overrides_are_toml_or_bare_words():
    table, problems = parse_overrides(["a.b=3", "a.c=[1, 2]", "d=word", 'e="quoted"', "f=2e-3"])
    assert not problems
    assert table == {"a": {"b": 3, "c": [1, 2]}, "d": "word", "e": "quoted", "f": 0.002}
    assert [p.where for p in parse_overrides(["nothing", "=1", "a..b=1"])[1]] == ["--set"] * 3


def test_every_mistake_at_once():
    overrides = {"trian": {"steps": 1}, "train": {"steps": "many"}, "quantize": {"dfdd": 1}, "ship": "fp32"}
    with pytest.raises(ProblemsError) as error:
        load_recipe(find_recipe("qdr"), overrides)
    told = {p.where: p.hint for p in error.value.problems}
    assert told["recipe.toml: trian"] == "did you mean `train`?"
    assert "recipe.toml: train.steps" in told
    assert told["recipe.toml: quantize.dfdd"] == "did you mean `dfd`?"


@pytest.mark.parametrize("name", sorted(boards()))
def test_shipped_boards_are_whole(name):
    board = load_board(boards()[name])
    assert board.name == name
    for engine in board.engines:
        target = find_target(f"{name}:{engine}")
        assert target.arithmetic.placement.quantize
    cited = tuple(board.sources)
    for field in (
        "cost.memory_bytes",
        *(f"engines.{e}.{part}" for e in board.engines for part in ("opset", "arithmetic", "operators")),
    ):
        assert any(field.startswith(source) for source in cited), f"{field} has no source"


def test_aliases_engines_and_paths(tmp_path):
    assert find_target("jetson").name == "jetson-orin-nano"
    assert find_target("x86:onnxruntime").name == "x86:onnxruntime"
    mine = tmp_path / "mine.toml"
    mine.write_text(
        'extends = "jetson-orin-nano"\nschema = 1\nname = "mine"\ntitle = "Mine"\n[cost]\nmemory_bytes = 1000\n'
    )
    assert find_target(str(mine)).board.cost.memory_bytes == 1000
    assert find_target(str(mine)).arithmetic == find_target("jetson").arithmetic
    with pytest.raises(RequestError) as error:
        find_target("jetsen")
    assert error.value.hint == "did you mean `jetson`?"
    with pytest.raises(RequestError) as error:
        find_target("x86:openvin")
    assert error.value.hint == "did you mean `openvino`?"


def test_a_descriptor_that_extends_itself(tmp_path):
    (tmp_path / "a.toml").write_text('extends = "b"')
    (tmp_path / "b.toml").write_text('extends = "a"')
    with pytest.raises(RequestError, match="extends itself"):
        find_target(str(tmp_path / "a.toml"))


def with_arm(**arm) -> Recipe:
    table = load_recipe(find_recipe("qdr"), {}).model_dump(mode="json", by_alias=True)
    return parse(Recipe, merge(table, {"arms": {"mine": {"method": "qat"} | arm}}), "recipe")


def test_an_arm_may_have_its_own_arithmetic():
    engine = find_target("jetson").engine
    recipe = with_arm(arithmetic={"weights.bits": 4, "simulated": True, "activations": {"signed": False}})
    mine = arm_arithmetic(recipe, "mine", engine)
    assert (mine.weights.bits, mine.weights.per, mine.simulated, mine.activations.signed) == (4, "channel", True, False)
    assert mine.placement == engine.arithmetic.placement
    assert arm_arithmetic(recipe, "ptq", engine) == engine.arithmetic


@pytest.mark.parametrize(
    "arm",
    [
        {"arithmetic": {"weights.bits": 4}},
        {"arithmetic": {"activations.bits": 4}},
        {"set": {"quantize.keep": {"head": 2}}},
    ],
)
def test_bits_that_no_engine_runs_must_be_called_simulated(arm):
    recipe, engine = with_arm(**arm), find_target("jetson").engine
    own = arm_recipe(recipe, "mine")
    with pytest.raises(RequestError, match=r"no engine here runs [24]-bit (weights|activations)") as error:
        arm_arithmetic(own, "mine", engine)
    assert "arms.mine.arithmetic.simulated" in error.value.hint
    assert arm_arithmetic(own, "ptq", engine) if "set" not in arm else True
    packs = engine.model_copy(update={"sub_byte": (4, 2)})
    if "activations.bits" not in arm.get("arithmetic", {}):
        arm_arithmetic(own, "mine", packs)


def test_a_descriptor_whose_bits_run_nowhere_is_refused(tmp_path):
    text = 'extends = "jetson-orin-nano"\nschema = 1\nname = "mine"\ntitle = "Mine"\n[engines.tensorrt.arithmetic]\n'
    (tmp_path / "mine.toml").write_text(text + "weights = { bits = 4 }\n")
    with pytest.raises(ProblemsError, match="no engine here runs 4-bit weights"):
        find_target(str(tmp_path / "mine.toml"))
    (tmp_path / "mine.toml").write_text(text + "weights = { bits = 4 }\nsimulated = true\n")
    assert find_target(str(tmp_path / "mine.toml")).arithmetic.simulated
