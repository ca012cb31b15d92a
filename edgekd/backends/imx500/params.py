"""`dnnParams.xml`, which the vendor's converter writes: scales, signs and sizes of what goes in and out, exact bytes.

Names of elements are read tolerantly: an element that has `scale` and `format` is a tensor, an input or an output by
the name of it or of the nearest around it; what it holds with a `size` are its dimensions; keys may be attributes or
elements, written in any case. A document type, and so every entity, is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from edgekd.backends.imx500.tensors import Tensor
from edgekd.errors import Problem, RequestError

MOST_BYTES = 2**20
FILE = "dnnParams.xml"


@dataclass(frozen=True)
class Placed:
    """A tensor as the converter placed it; `dims` in the order of their ordinals."""

    name: str
    scale: float
    signed: bool
    bits: int
    shift: int
    dims: tuple[int, ...]
    padding: int
    """The largest of all dimensions."""


@dataclass(frozen=True)
class Params:
    """Inputs, outputs, and exact bytes by what they are for: `total`, `reserved`, `runtime`, `coefficients`."""

    inputs: tuple[Placed, ...]
    outputs: tuple[Placed, ...]
    memory: dict[str, int] = field(default_factory=dict)


def parse_params(data: bytes) -> Params:
    """The file. Raises RequestError where it is not understood."""
    try:
        return _read(_tree(data))
    except (ValueError, KeyError, OverflowError) as error:
        raise RequestError(f"`{FILE}` is not understood: {error}") from None


def _tree(data: bytes) -> Element:
    """The document. Raises RequestError for one that declares a type, or that is no XML."""
    if len(data) > MOST_BYTES:
        raise RequestError(f"`{FILE}` is larger than {MOST_BYTES >> 20} MiB")
    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise RequestError(f"`{FILE}` is no XML: {error}") from None
    return builder.close()


def _refuse(*declared: object) -> None:
    raise RequestError(f"`{FILE}` declares a document type, which may hide entities: it is not read")


def _read(root: Element) -> Params:
    found: dict[str, list[tuple[int, Placed]]] = {"input": [], "output": []}
    memory = dict[str, int]()
    for path, element in _walk(root):
        told = _told(element)
        kind = next((k for tag in path for k in found if tag.startswith(k)), None)
        if kind and {"scale", "format"} <= {*told}:
            found[kind].append((int(told.get("ordinal", 0)), _placed(element, told)))
        if "totalsize" in told:
            sizes = {key: value for key, value in told.items() if key.endswith("size")}
            memory |= {re.sub(r"networks|memory|size", "", key): int(value) for key, value in sizes.items()}
    order = {kind: tuple(p for _, p in sorted(rows, key=lambda row: row[0])) for kind, rows in found.items()}
    if not order["input"] or not order["output"]:
        raise RequestError(f"`{FILE}` tells of {len(order['input'])} inputs and {len(order['output'])} outputs")
    return Params(order["input"], order["output"], memory)


def _walk(root: Element) -> Iterator[tuple[tuple[str, ...], Element]]:
    """Every element with the names of those around it and its own, the innermost first."""
    waiting: list[tuple[tuple[str, ...], Element]] = [((_plain(root.tag),), root)]
    while waiting:
        path, element = waiting.pop()
        yield path, element
        waiting += [((_plain(child.tag), *path[:3]), child) for child in reversed(element)]


def _told(element: Element) -> dict[str, str]:
    """What an element says of itself: its attributes, and its children that hold nothing but text."""
    texts = {_plain(child.tag): child.text.strip() for child in element if child.text and not len(child)}
    return texts | {_plain(key): value for key, value in element.attrib.items()}


def _plain(name: str) -> str:
    """A name without prefix, in lower case, letters and digits alone."""
    return re.sub(r"[^a-z0-9]", "", name.rpartition(":")[2].lower())


def _placed(element: Element, told: dict[str, str]) -> Placed:
    sizes = [t for child in element.iter() if child is not element and "size" in (t := _told(child))]
    sizes.sort(key=lambda t: int(t.get("ordinal", 0)))
    form = told["format"].lower()
    if form not in ("signed", "unsigned"):
        raise RequestError(f"`{FILE}` has the format `{told['format'][:20]}`, neither signed nor unsigned")
    return Placed(
        told.get("name", ""),
        float(told["scale"]),
        form == "signed",
        int(told.get("bitsperelement", 8)),
        int(told.get("shift", 0)),
        tuple(int(t["size"]) for t in sizes),
        max((int(t.get("padding", 0)) for t in sizes), default=0),
    )


def compare(params: Params, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Problem]:
    """Every way in which the converter's tensors are not the graph's."""
    problems = []
    for kind, found, wanted in (("input", params.inputs, inputs), ("output", params.outputs, outputs)):
        if len(found) != len(wanted):
            problems.append(Problem(FILE, f"the converter has {len(found)} {kind}s, the graph {len(wanted)}"))
            continue
        problems += [Problem(want.name, told) for got, want in zip(found, wanted, strict=True)
                     for told in _differences(got, want)]  # fmt: skip
    problems += [Problem(w.name, "is padded on the chip, and libcamera does not pass on such an output")
                 for g, w in zip(params.outputs, outputs, strict=False) if g.padding]  # fmt: skip
    return problems


def _differences(got: Placed, want: Tensor) -> Iterator[str]:
    """Sizes are compared without their order, which the form leaves to the network's framework."""
    if not math.isclose(got.scale, want.step, rel_tol=1e-6):
        yield f"the converter has the scale {got.scale:g}, the graph {want.step:g}"
    if got.signed != want.signed:
        names = {True: "signed", False: "unsigned"}
        yield f"the converter's codes are {names[got.signed]}, the graph's {names[want.signed]}"
    if got.bits != want.bits:
        yield f"the converter's codes have {got.bits} bits, the graph's {want.bits}"
    if got.shift:
        yield f"the converter shifts its codes by {got.shift}"
    if sorted(s for s in got.dims if s != 1) != sorted(s for s in want.dims if s != 1):
        yield f"the converter has the sizes {list(got.dims)}, the graph {list(want.dims)}"
