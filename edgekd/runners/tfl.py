"""Run a .tflite file with LiteRT, or with the older tflite-runtime, on the CPU.

More outputs and single operators are had by changing the file as it lies in memory, without a schema (FlatBuffers
internals: a table's first word leads back to its vtable, offsets lead forwards, a vector begins with its length).
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

try:
    import ai_edge_litert as package
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    TOOL = f"LiteRT {package.__version__}, CPU"
except ImportError as missing:
    try:  # boards that have only the package before it
        import tflite_runtime as package
        from tflite_runtime.interpreter import Interpreter, OpResolverType
    except ImportError:
        raise missing from None

    TOOL = f"tflite-runtime {package.__version__}, CPU"

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

KERNELS = {"xnnpack": OpResolverType.AUTO, "reference": OpResolverType.BUILTIN_REF}


class Session:
    """A loaded model that also gives out the tensors in `expose`.

    `kernels`: `xnnpack` or `reference`. `layouts`: the graph's axis at each axis of the file, of tensors where these
    differ; `names`: the name in the file, likewise. `outputs`: the graph's outputs.
    """

    def __init__(
        self,
        model: Path,
        expose: Sequence[str] = (),
        threads: int = 1,
        kernels: str = "xnnpack",
        layouts: Any = None,
        names: Any = None,
        outputs: Sequence[str] = (),
    ) -> None:
        self._kernels, self._threads, self._layouts, self._names = kernels, threads, layouts or {}, names or {}
        self._data = Path(model).read_bytes()
        self._session = self._open(self._data)
        known = [d["index"] for d in self._session.get_output_details()]
        places = {d["name"]: d["index"] for d in self._session.get_tensor_details()}
        found = {name: places[self._names.get(name, name)] for name in (*outputs, *expose)}
        if more := [index for index in dict.fromkeys(found.values()) if index not in known]:
            self._session = self._open(File(self._data).cut(outputs=known + more))
        self._read = found or {d["name"]: d["index"] for d in self._session.get_output_details()}
        self._outputs = {d["index"]: d for d in self._session.get_output_details()}
        self._inputs = {d["name"]: d for d in self._session.get_input_details()}
        self._float = set(outputs)

    def _open(self, data: bytes) -> Any:
        kernels = KERNELS[self._kernels]
        with quiet():
            session = Interpreter(model_content=data, num_threads=self._threads, experimental_op_resolver_type=kernels)
            session.allocate_tensors()
        return session

    def feed(self, inputs: Arrays) -> Any:
        """Inputs in the file's layout, as codes where it takes codes."""
        fed = []
        for name, value in inputs.items():
            detail = self._inputs[self._names.get(name, name)]
            if np.dtype(detail["dtype"]).kind in "iu" and value.dtype.kind == "f":
                scale, zero = detail["quantization"]
                value = quantize(value, detail["dtype"], scale, zero, self._kernels == "reference")
            layout = self._layouts.get(name)
            fed.append((detail["index"], np.ascontiguousarray(value if layout is None else value.transpose(layout))))
        return fed

    def call(self, fed: Any) -> Any:
        """One inference."""
        for index, value in fed:
            self._session.set_tensor(index, value)
        self._session.invoke()
        return self._session

    def read(self, raw: Any) -> Arrays:
        """Outputs by the graph's names in its layout; the graph's own outputs as real values, others as they are."""
        out = {}
        for name, index in self._read.items():
            value, detail = raw.get_tensor(index), self._outputs[index]
            if name in self._float and value.dtype.kind in "iu":
                scale, zero = detail["quantization"]
                value = (value.astype(np.float32) - np.float32(zero)) * np.float32(scale)
            layout = self._layouts.get(name)
            out[name] = value if layout is None else value.transpose(np.argsort(layout))
        return out

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs by name."""
        return self.read(self.call(self.feed(inputs)))

    def delegated(self) -> dict[str, int]:
        """How many operators the file has, and how many of them XNNPACK took."""
        operators, taken = File(self._data).operators, set()
        maker = {index: i for i, (_, makes) in enumerate(operators) for index in makes}
        for op in self._session._get_ops_details()[len(operators) :]:
            ahead, given = list(op["outputs"]), set(op["inputs"])
            while ahead:
                index = ahead.pop()
                if index in maker and index not in given and maker[index] not in taken:
                    taken.add(maker[index])
                    ahead += operators[maker[index]][0]
        return {"operators": len(operators), "of them in XNNPACK": len(taken)}

    def layers(self, inputs: Arrays, runs: int) -> list[dict[str, Any]]:
        """Each operator alone, on zeros, as the file has it; milliseconds are the median of `runs`."""
        file, out = File(self._data), []
        made = set(file.inputs).union(*(outputs for _, outputs in file.operators))
        back = {real: name for name, real in self._names.items()}
        tensors = {d["index"]: d for d in self._session.get_tensor_details()}
        kinds = [op["op_name"] for op in self._session._get_ops_details()]
        for i, (reads, makes) in enumerate(file.operators):
            session = self._open(file.cut([n for n in dict.fromkeys(reads) if n in made], makes, i))
            for detail in session.get_input_details():
                session.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
            names = [tensors[n]["name"] for n in makes]
            precision = _precision(tensors[makes[0]]["dtype"])
            layer = {"name": names[0], "type": kinds[i], "precision": precision, "ms": median_ms(session.invoke, runs)}
            out.append({**layer, "nodes": [back.get(name, name) for name in names]})
        return out


@contextmanager
def quiet() -> Iterator[None]:
    """Keep off standard error what the runtime tells about its delegates."""
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _precision(dtype: Any) -> str:
    """A type in short, as the other runners tell it: `i8`, `u8`, `f32`."""
    kind = np.dtype(dtype)
    return f"{kind.kind}{8 * kind.itemsize}"


def quantize(values: NDArray[Any], dtype: Any, scale: float, zero: int, away: bool = False) -> NDArray[Any]:
    """Codes of a type: divided by the scale, saturated; ties to even, or away from zero as reference kernels do."""
    scaled = (values.astype(np.float32) / np.float32(scale)).astype(np.float64)
    codes = (np.sign(scaled) * np.floor(np.abs(scaled) + 0.5) if away else np.rint(scaled)) + zero
    out: NDArray[Any] = np.clip(codes, np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)
    return out


def median_ms(call: Any, runs: int) -> float:
    """Milliseconds of a call, the first one left out."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times[1:]))


class File:
    """The first subgraph of a .tflite file. Fields by number, as the schema counts them."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._graph = self._items(self._follow(0), 2)[0]
        self.inputs = self._ints(self._graph, 1)
        self._operators = self._items(self._graph, 3)
        self.operators = [(self._ints(table, 1), self._ints(table, 2)) for table in self._operators]

    def cut(self, inputs: Sequence[int] = (), outputs: Sequence[int] = (), operator: int = -1) -> bytes:
        """The file with other inputs and outputs, where given, and one operator alone."""
        data = bytearray(self.data)
        data += bytes(-len(data) % 4)
        for number, values in ((1, inputs), (2, outputs)):
            if values:
                at = self._field(self._graph, number)
                struct.pack_into("<I", data, at, len(data) - at)
                data += struct.pack(f"<{len(values) + 1}i", len(values), *values)
        if operator >= 0:
            vector = self._follow(self._field(self._graph, 3))
            struct.pack_into("<II", data, vector, 1, self._operators[operator] - vector - 4)
        return bytes(data)

    def _at(self, kind: str, place: int) -> int:
        value: int = struct.unpack_from("<" + kind, self.data, place)[0]
        return value

    def _follow(self, place: int) -> int:
        return place + self._at("I", place)

    def _field(self, table: int, number: int) -> int:
        """Where a field of a table lies; 0 where it is left out."""
        vtable, entry = table - self._at("i", table), 4 + 2 * number
        offset = self._at("H", vtable + entry) if entry < self._at("H", vtable) else 0
        return table + offset if offset else 0

    def _items(self, table: int, number: int) -> list[int]:
        """The tables of a vector."""
        vector = self._follow(self._field(table, number))
        return [self._follow(vector + 4 + 4 * i) for i in range(self._at("I", vector))]

    def _ints(self, table: int, number: int) -> list[int]:
        field = self._field(table, number)
        if not field:
            return []
        vector = self._follow(field)
        return list(struct.unpack_from(f"<{self._at('I', vector)}i", self.data, vector + 4))
