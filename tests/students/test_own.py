"""A student in a person's own file: found, kept apart, counted in keys, its mistakes told."""

import sys
from pathlib import Path

import pytest
from edgekd.errors import EdgekdError, MissingError
from edgekd.schema.recipes import beside, bundled, is_own
from edgekd.students import own
from edgekd.students.registry import find_recipe, find_student

PARTS = ("build", "loss")
NET = "from parts.layer import WIDTH\nimport helper\n\nclass Net:\n    width = WIDTH\n    build = loss = helper.twice\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A student with a module and a package beside it, and a module that it does not import."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/__init__.py").write_text("")
    (tmp_path / "parts/layer.py").write_text("WIDTH = 3\n")
    (tmp_path / "helper.py").write_text("import json\n\ndef twice(x):\n    return 2 * x\n")
    (tmp_path / "other.py").write_text("")
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


def test_what_is_beside_the_file_is_imported_and_nothing_is_left_there(folder):
    before = list(sys.path)
    cls = own.load_class(f"{folder}/net.py:Net", PARTS)
    assert (cls.width, cls.build(4)) == (3, 8)
    assert sys.path == before
    assert "net" not in sys.modules
    assert not list(folder.rglob("*.pyc"))
    assert own.load_class(f"{folder}/net.py:Net", PARTS) is cls


def test_two_students_with_modules_of_the_same_name(folder, tmp_path):
    first = own.load_class(f"{folder}/net.py:Net", PARTS)
    other = tmp_path / "second"
    other.mkdir()
    (other / "helper.py").write_text("def twice(x):\n    return x + x + 1\n")
    (other / "net.py").write_text("import helper\n\nclass Net:\n    build = loss = helper.twice\n")
    second = own.load_class(f"{other}/net.py:Net", PARTS)
    assert (first.build(4), second.build(4)) == (8, 9)


def test_a_changed_file_is_loaded_anew(folder):
    own.load_class(f"{folder}/net.py:Net", PARTS)
    (folder / "parts/layer.py").write_text("WIDTH = 5\n")
    assert own.load_class(f"{folder}/net.py:Net", PARTS).width == 5


def test_the_files_that_count(folder):
    assert list(own.local_files(folder / "net.py")) == ["helper.py", "net.py", "parts/__init__.py", "parts/layer.py"]
    (folder / "helper.py").write_text("from edgekd.graph.images import psnr\nimport edgekd.errors\n")
    assert set(own.edgekd_modules(own.local_files(folder / "net.py"))) >= {"edgekd.graph.images", "edgekd.errors"}


def test_names_seen_from_the_recipe_and_from_the_bundle(tmp_path):
    assert not is_own("qdr")
    assert beside("qdr", tmp_path) == "qdr"
    assert beside("nets/a.py:A", tmp_path) == f"{tmp_path}/nets/a.py:A"
    assert beside("/b/a.py:A", tmp_path) == "/b/a.py:A"
    from edgekd.pipeline import resolve

    recipe = resolve("qdr", "x86", (f"student={tmp_path}/nets/a.py:A", "task=b.py:B"))[0]
    assert (bundled(recipe).student, bundled(recipe).task) == ("student/a.py:A", "task/b.py:B")
    assert recipe.name == "a"


def test_an_import_inside_a_function_finds_its_own_student(folder, tmp_path):
    """Whatever was loaded, or removed, since."""
    late = "class Net:\n    loss = 1\n    def build(self, x):\n        from parts import layer\n        import helper\n"
    (folder / "net.py").write_text(late + "        return helper.twice(x) + layer.WIDTH\n")
    first = own.load_class(f"{folder}/net.py:Net", PARTS)
    other = tmp_path / "second"
    other.mkdir()
    (other / "helper.py").write_text("def twice(x):\n    return -1\n")
    (other / "net.py").write_text("import helper\n\nclass Net:\n    build = loss = helper.twice\n")
    assert own.load_class(f"{other}/net.py:Net", PARTS).build(4) == -1
    (folder / "helper.py").unlink()
    assert first().build(4) == 8 + 3


def test_folders_without_init_and_relative_imports(folder):
    (folder / "models/deep").mkdir(parents=True)
    (folder / "models/deep/net.py").write_text("from ..size import SIZE\nfrom . import more\n")
    (folder / "models/deep/more.py").write_text("import models.size as size\nMORE = size.SIZE + 1\n")
    (folder / "models/size.py").write_text("SIZE = 6\n")
    text = "import models.deep.net\nfrom models.deep import more\nclass Net:\n"
    (folder / "net.py").write_text(text + "    build = loss = models.deep.net.SIZE, more.MORE\n")
    assert own.load_class(f"{folder}/net.py:Net", PARTS).build == (6, 7)
    found = ["models/deep/more.py", "models/deep/net.py", "models/size.py", "net.py"]
    assert list(own.local_files(folder / "net.py")) == found
    assert not list(folder.rglob("*.pyc"))


def test_a_file_named_like_what_it_imports(folder):
    """It does not find itself; a module beside it does find it."""
    (folder / "numpy.py").write_text("import numpy\n\nclass Net:\n    build = loss = numpy.pi\n")
    assert 3.14 < own.load_class(f"{folder}/numpy.py:Net", PARTS).build < 3.15
    (folder / "helper.py").write_text("import net\n\ndef twice(x):\n    return net.Net\n")
    cls = own.load_class(f"{folder}/net.py:Net", PARTS)
    assert cls.loss(0) is cls


def test_a_name_that_lies_beside_the_file_is_no_package_to_install(folder):
    (folder / "models").mkdir()
    for text in ("import models.gone\n", "import parts.gone\n"):
        (folder / "net.py").write_text(text)
        # a `models` elsewhere on the path makes Python name `models.gone`, none makes it name `models`
        with pytest.raises(EdgekdError, match=r"(models|gone)`, which is not beside it") as error:
            own.load_class(f"{folder}/net.py:Net", PARTS)
        assert "pip" not in error.value.hint
    (folder / "net.py").write_text("from helper import gone\n")
    with pytest.raises(EdgekdError, match="cannot import name 'gone' from 'helper'"):
        own.load_class(f"{folder}/net.py:Net", PARTS)


def test_a_file_is_compiled_by_its_own_future_alone(folder):
    """Without `from __future__ import annotations` in the file, annotations are objects."""
    (folder / "net.py").write_text("class Net:\n    width: int\n    build = loss = 1\n")
    assert own.load_class(f"{folder}/net.py:Net", PARTS).__annotations__ == {"width": int}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\ndef broken(:\n", "`net.py` line 2: invalid syntax"),
        ("x = 1\ny = x.gone\n", "`net.py` line 2: AttributeError: 'int' object has no attribute 'gone'"),
        ("import helper\nhelper.twice()\n", "`net.py` line 2: TypeError"),
        ("class Nat:\n    pass\n", "`net.py` has no class `Net`"),
        ("class Net:\n    build = 1\n", "`Net` in `net.py` has no `loss`"),
        ("import a_package_that_is_not_there\n", "`net.py` needs `a_package_that_is_not_there`"),
    ],
)
def test_mistakes_are_told(folder, text, words):
    (folder / "net.py").write_text(text)
    with pytest.raises(EdgekdError) as error:
        own.load_class(f"{folder}/net.py:Net", PARTS)
    assert error.value.message.startswith(words)
    assert error.value.hint


def test_a_simple_student_needs_samples_unless_it_makes_batches(folder):
    head = "from edgekd.students.simple import SimpleStudent\nclass Net(SimpleStudent):\n    build = loss = io = 1\n"
    (folder / "net.py").write_text(head)
    with pytest.raises(EdgekdError, match="has no `sample`"):
        own.load_class(f"{folder}/net.py:Net", own.STUDENT)
    (folder / "net.py").write_text(head + "    batch = 1\n")
    own.load_class(f"{folder}/net.py:Net", own.STUDENT)


def test_what_is_not_there(tmp_path):
    with pytest.raises(MissingError, match="does not exist"):
        own.load_class(f"{tmp_path}/gone.py:Net", PARTS)
    with pytest.raises(EdgekdError, match="names a file"):
        find_student("net.py")
    with pytest.raises(EdgekdError, match="no default recipe"):
        _ = find_recipe("net.py:Net")


def test_blame_finds_the_line_in_the_persons_file_and_only_there(folder):
    cls = own.load_class(f"{folder}/net.py:Net", PARTS)
    with pytest.raises(TypeError) as error:
        cls.build(None)
    told = own.blame(error.value)
    assert told.message.startswith("`helper.py` line 4: TypeError: unsupported operand")
    with pytest.raises(ZeroDivisionError) as error:
        _ = 1 / 0
    assert own.blame(error.value) is None
