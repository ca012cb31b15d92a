"""The hop before the network: are samples still encoded, and answers read, as training did?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.graph.model import Array
from edgekd.schema.io import IoRecord
from edgekd.students.base import Sample, Task
from edgekd.verify.gates import Gate

IO_FILE = "io.json"
"""The io record beside an artifact."""
CLOSE = 1e-5
"""Share of an input's range by which two encodings may differ: float32's rounding. Ours."""


def record_gate(subject: str, trained: IoRecord, found: IoRecord | None) -> Gate:
    """The io record that travels with a graph or an artifact is that of training, or the first field is named."""
    wrong = "it is gone or damaged" if found is None else next(differences(trained.plain(), found.plain()), "")
    hint = "a converter or a hand changed it: make the run again, or restore that file"
    return Gate(subject, "io record as trained", wrong or "the same", "every field", not wrong, hint)


def read_record(folder: Path) -> IoRecord | None:
    """The record beside an artifact; None where it cannot be read."""
    try:
        return IoRecord.model_validate_json((folder / IO_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def differences(want: Any, have: Any, path: str = "") -> Iterator[str]:
    """Fields that differ, as "`inputs.image.color` is L, trained with RGB"; list entries with a name go by it."""
    if isinstance(want, dict) and isinstance(have, dict):
        for key in dict.fromkeys([*want, *have]):
            yield from differences(want.get(key), have.get(key), f"{path}.{key}".strip("."))
    elif isinstance(want, list | tuple) and isinstance(have, list | tuple) and len(want) == len(have):
        for i, (a, b) in enumerate(zip(want, have, strict=True)):
            yield from differences(a, b, f"{path}.{a['name'] if isinstance(a, dict) and 'name' in a else i}")
    elif want != have:
        yield f"`{path}` is {have}, trained with {want}"


def encoding_gate(task: Task, io: IoRecord, samples: Sequence[Sample], probes: Sequence[dict[str, Array]]) -> Gate:
    """The probes' samples, encoded anew, are the inputs training saw; the first input that is not is named."""
    wrong = ""
    for sample, probe in zip(samples, probes, strict=False):
        encoded = task.encode(sample.raw, io)
        wrong = wrong or next((told for spec in io.inputs if (told := _apart(spec.name, encoded, probe))), "")
    hint = "the task's `encode`, or its data, changed since the run: make the run again"
    return Gate("inputs", "encoded as training saw them", wrong or "the same", "float32's rounding", not wrong, hint)


def _apart(name: str, encoded: dict[str, Array], probe: dict[str, Array]) -> str:
    have, want = encoded.get(name), probe[name]
    if have is None or have.shape != want.shape:
        return f"`{name}` is missing or of another shape"
    allowed = CLOSE * max(1.0, float(np.ptp(want)))
    far = np.abs(have.astype(np.float64) - want) > allowed
    return f"`{name}` differs in {np.count_nonzero(far)} of {far.size} values" if far.any() else ""
