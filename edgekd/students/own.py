"""A student from a person's own file, `FILE.py:CLASS`: loaded, checked, its files listed, its mistakes told.

The file and the modules beside it that it imports run under the private package of their content, whenever they are
imported: two students never see each other's modules, and what runs is what was read when the student was loaded.
`sys.path` is left as it was. Nothing is written there, not even bytecode.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from pydantic import ValidationError

from edgekd.errors import EdgekdError, MissingError, RequestError, nearest

PREFIX = "edgekd_own_"
PAGE = "docs/your-own-student.md"
TASK = ("metric", "unit", "baseline", "about", "folders", "io", "evalset", "encode", "decode", "score")
STUDENT = ("taps", "build", "batch", "inputs", "loss")
STACKING = "edgekd.students.simple"
"""The module whose `batch` stacks what `sample` gives; it imports torch, so it is not imported here."""


def load_class(name: str, parts: tuple[str, ...]) -> Any:
    """The class that `FILE.py:CLASS` names, which has all `parts`. Raises MissingError or RequestError."""
    file, _, wanted = name.rpartition(":")
    module = _load(Path(file))
    cls = getattr(module, wanted, None)
    if not isinstance(cls, type):
        own = [n for n, v in vars(module).items() if isinstance(v, type) and v.__module__ == module.__name__]
        raise RequestError(f"`{Path(file).name}` has no class `{wanted}`", nearest(wanted, own) if own else "write it")
    stacks = "batch" in parts and getattr(getattr(cls, "batch", None), "__module__", "") == STACKING
    if missing := [part for part in (*parts, *(["sample"] if stacks else [])) if not hasattr(cls, part)]:
        message = f"`{wanted}` in `{Path(file).name}` has no `{missing[0]}`"
        raise RequestError(message, f"`{PAGE}` shows what a student has")
    return cls


def local_files(file: Path) -> dict[str, Path]:
    """The file and every module beside it that it imports, directly or not: name below its folder to path."""
    folder = file.resolve().parent
    found: dict[str, Path] = {}
    todo = [file.resolve()]
    while todo:
        path = todo.pop()
        name = path.relative_to(folder).as_posix()
        if name not in found:
            found[name] = path
            package = path.relative_to(folder).parent.parts
            todo += [p for module in _imported(path, package) for p in _beside(folder, module)]
    return dict(sorted(found.items()))


def edgekd_modules(files: dict[str, Path]) -> list[str]:
    """The modules of edgekd that these files import."""
    named = {module for path in files.values() for module in _imported(path) if module.split(".")[0] == "edgekd"}
    return sorted(named)


def blame(error: BaseException) -> EdgekdError | None:
    """An error that came out of a person's own file, as a sentence with file and line; None for any other."""
    frames = [(f.f_globals.get("__name__", ""), f.f_code, line) for f, line in traceback.walk_tb(error.__traceback__)]
    own = [(code, line) for name, code, line in frames if name.startswith(PREFIX)]
    if not own or isinstance(error, EdgekdError):
        return None
    code, line = own[-1]
    return RequestError(f"`{Path(code.co_filename).name}` line {line}: {_reason(error)}", "mend that line")


def _load(path: Path) -> ModuleType:
    """The file's module; the same one while its files and place stay the same."""
    if not path.is_file():
        raise MissingError(f"student file `{path}` does not exist", "its path is relative to the recipe's folder")
    files = {name: (file, file.read_bytes()) for name, file in local_files(path).items()}
    content = b"\0".join([str(path.resolve()).encode(), *(source for _, source in files.values())])
    package = ModuleType(PREFIX + hashlib.sha256(content).hexdigest()[:16])
    package.__path__ = []
    sys.modules.setdefault(package.__name__, package)
    FINDER.packages.setdefault(package.__name__, {_module(name): file for name, file in files.items()})
    if FINDER not in sys.meta_path:
        sys.meta_path.insert(0, FINDER)
    try:
        return import_module(f"{package.__name__}.{_module(path.resolve().name)}")
    except Exception as error:
        raise _told(error, path) from None


class _Source(SourceFileLoader):
    """A module from what its file held; no bytecode is read or left there: that may be a bundle."""

    def __init__(self, fullname: str, path: str, source: bytes, names: dict[str, Any]) -> None:
        super().__init__(fullname, path)
        self.source, self.names = source, names

    def get_code(self, fullname: str) -> CodeType:
        """Compiled anew."""
        return self.source_to_code(self.source, self.path)

    def exec_module(self, module: ModuleType) -> None:
        """Run with the student's own `import`."""
        module.__dict__["__builtins__"] = self.names
        super().exec_module(module)


class _Finder(MetaPathFinder):
    """Finds what lies beside a student, by its place in the private package of that student."""

    def __init__(self) -> None:
        self.packages: dict[str, dict[str, tuple[Path, bytes]]] = {}

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """A file's module, or the folder of one that has no `__init__.py`."""
        package, _, name = fullname.partition(".")
        files = self.packages.get(package, {})
        if name in files:
            file, source = files[name]
            names = vars(builtins) | {"__import__": _importer(package, files)}
            return spec_from_file_location(fullname, file, loader=_Source(fullname, str(file), source, names))
        inside = any(other.startswith(f"{name}.") for other in files)
        return ModuleSpec(fullname, None, is_package=True) if inside else None


FINDER = _Finder()


def _importer(package: str, files: dict[str, tuple[Path, bytes]]) -> Callable[..., ModuleType]:
    """`__import__` that looks beside the student first, as for a script; a file does not find itself."""
    roots = {name.partition(".")[0] for name in files} - set(sys.stdlib_module_names)

    def find(name: str, scope: Any = None, local: Any = None, wanted: Any = (), level: int = 0) -> ModuleType:
        root = name.partition(".")[0]
        itself = scope and scope["__name__"] == f"{package}.{root}" and "__path__" not in scope
        if level or root not in roots or itself:
            return builtins.__import__(name, scope, local, wanted, level)
        if wanted:
            return builtins.__import__(f"{package}.{name}", scope, local, wanted)
        import_module(f"{package}.{name}")
        return sys.modules[f"{package}.{root}"]

    return find


def _module(file: str) -> str:
    """`a/b.py` as `a.b`, `a/__init__.py` as `a`."""
    return file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def _told(error: Exception, path: Path) -> Exception:
    if isinstance(error, ModuleNotFoundError) and error.name:
        name = _public(error.name)
        root = path.parent / name.partition(".")[0]
        if root.is_dir() or root.with_suffix(".py").is_file():
            return RequestError(f"`{path.name}` needs `{name}`, which is not beside it", "write it, or mend its name")
        extra = "'edgekd[train]'" if root.name == "torch" else root.name
        return MissingError(f"`{path.name}` needs `{name}`", f"pip install {extra}")
    if isinstance(error, SyntaxError):
        return _syntax(Path(error.filename or path), error)
    return blame(error) or error


def _public(text: str) -> str:
    """Module names as the person wrote them."""
    return re.sub(PREFIX + r"[0-9a-f]{16}\.", "", text)


def _syntax(path: Path, error: SyntaxError) -> RequestError:
    return RequestError(f"`{path.name}` line {error.lineno}: {error.msg}", "mend that line")


def _reason(error: BaseException) -> str:
    if isinstance(error, ValidationError):  # pydantic's, of an io record for example
        return "; ".join(e["msg"].removeprefix("Value error, ") for e in error.errors())
    text = _public(str(error).strip())
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


def _imported(path: Path, package: tuple[str, ...] = ()) -> list[str]:
    """Names of the modules that a file in `package` imports; `from a import b` may mean the module `a.b`."""
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise _syntax(path, error) from None
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            names += [module, *(f"{module}.{alias.name}".lstrip(".") for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


def _beside(folder: Path, module: str) -> Iterator[Path]:
    """The files in `folder` that importing `module` runs; folders need no `__init__.py`."""
    parts = module.split(".")
    if parts[0] in sys.stdlib_module_names or parts[0] in ("", "edgekd"):
        return
    for i in range(len(parts)):
        stem = folder.joinpath(*parts[: i + 1])
        files = [p for p in (stem / "__init__.py", stem.with_suffix(".py")) if p.is_file()][:1]
        yield from files
        if not stem.is_dir() or files == [stem.with_suffix(".py")]:
            return
