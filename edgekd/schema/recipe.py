"""A recipe: what is trained, how, in which arms, and what must hold (schema version 1)."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, Literal

from pydantic import Field, model_validator

from edgekd.schema.base import Strict

TAUGHT = ("teach", "control")
"""Methods of arms that train an FP32 net of their own."""
FLOAT = (*TAUGHT, "tune")
"""Methods of arms whose nets stay float."""


class Train(Strict):
    """A float training phase."""

    steps: int = Field(ge=1, description="Optimiser steps.")
    batch: int = Field(8, ge=1, description="Samples per step.")
    lr: float = Field(gt=0, description="Peak learning rate of AdamW; cosine to zero.")
    warmup: float = Field(0.05, ge=0, lt=1, description="Share of the steps with a rising learning rate.")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay.")
    precision: Literal["float32", "bf16"] = Field(
        "float32", description="`bf16`: autocast; weights and losses stay float32."
    )


class Calibration(Strict):
    """How the first ranges are set from observed activations."""

    method: Literal["minmax", "percentile", "mse"] = Field(
        "minmax", description="Mean of the batches' extremes; a share of the values; the least squared error."
    )
    percentile: float = Field(99.99, gt=50, le=100, description="Share of the values inside, for `percentile`, in %.")
    batches: int = Field(8, ge=1, description="Batches that are observed.")


class Quantize(Strict):
    """Quantization-aware training, and the PTQ control's calibration."""

    steps: int = Field(ge=1, description="Optimiser steps; the arm `tune` gets as many.")
    batch: int = Field(8, ge=1, description="Samples per step.")
    lr: float = Field(gt=0, description="Peak learning rate of Adam; cosine to zero.")
    calibration: Calibration = Field(default_factory=Calibration, description="The first ranges.")
    freeze: float = Field(0.8, gt=0, le=1, description="Share of the steps after which ranges stay fixed.")
    dfd: float = Field(0.02, ge=0, description="Weight of the bottleneck distillation loss.")
    keep: dict[str, Literal["float", 8, 4, 2]] = Field(
        default_factory=dict,
        description="Layers, by key or pattern, that keep other weight bits, or `float`; see `edgekd sensitivity`.",
    )


class Arm(Strict):
    """A named variation. Steps that do not differ are shared with the other arms."""

    method: Literal["teach", "control", "tune", "ptq", "qat", "ptq-nncf", "ptq-onnxruntime"] = Field(
        description="`teach`: the FP32 net, to which the others are compared; `control`: another FP32 net, trained as "
        "its `set` says; `tune`: FP32 trained as long as QAT; `ptq`: calibrated only; `qat`; "
        "`ptq-nncf`, `ptq-onnxruntime`: quantized by that tool, a control where it is installed."
    )
    title: str = Field("", description="Name shown in tables.")
    set: dict[str, Any] = Field(default_factory=dict, description="Overrides of this recipe for this arm only.")
    arithmetic: dict[str, Any] = Field(
        default_factory=dict, description="Overrides of the target's arithmetic for this arm only."
    )


class Deploy(Strict):
    """The shape that ships."""

    shape: tuple[int, int] = Field(description="Height and width of the deployed input, in pixels.")
    probes: int = Field(1, ge=1, le=16, description="Inputs on which every tensor is compared in every hop.")


class Gates(Strict):
    """What must hold; a gate that does not ends the run with exit code 1."""

    min_gain: float | None = Field(
        None, description="Least gain of the shipped artifact's mean metric over the baseline; none: not asked."
    )
    min_retained: float = Field(
        ge=0, le=1, description="Least (artifact - baseline) / (FP32 - baseline) of the metric's means."
    )
    max_engine_drop: float = Field(
        0.05, ge=0, description="Largest mean drop of the metric from the golden interpreter to an engine."
    )
    max_engine_drop_worst: float = Field(0.2, ge=0, description="The same for the worst sample.")
    max_latency_ms: float | None = Field(
        None, gt=0, description="Largest median latency of the target's engine where it is measured; none: not asked."
    )
    max_weight_bytes: int | None = Field(
        None, gt=0, description="Most bytes of the shipped graph's weights and biases; none: not asked."
    )
    max_group_drop: float | None = Field(
        None,
        ge=0,
        description="Largest drop of the metric's mean in any group of samples, a class for example, from FP32 to the "
        "shipped graph and its artifacts; none: not asked.",
    )


class Profile(Strict):
    """How latency is measured where the engine is meant for this host."""

    runs: int = Field(1024, ge=10, description="Timed runs, unless `seconds` are over first.")
    seconds: float = Field(60, gt=0, description="Seconds of timed runs, unless `runs` are done first.")
    warmup: int = Field(20, ge=0, description="Runs before them that are not counted.")
    threads: int = Field(1, ge=1, description="Threads of the engine.")


class Recipe(Strict):
    """One declared run."""

    schema_version: Literal[1] = Field(alias="schema", description="Version of this schema.")
    student: str = Field(
        description="A student of `edgekd students`, or `FILE.py:CLASS`, the file seen from the recipe's folder."
    )
    task: str = Field("", description="`FILE.py:CLASS` where the task is a class of its own; else the student's.")
    seed: int = Field(0, ge=0, description="Seed of weights, sampling and noise.")
    threads: int = Field(2, ge=1, description="CPU threads for training; part of what makes a run repeatable.")
    model: dict[str, Any] = Field(default_factory=dict, description="The student's own settings.")
    data: dict[str, Any] = Field(default_factory=dict, description="The task's own settings.")
    teacher: dict[str, Any] = Field(
        default_factory=dict,
        description='The student\'s own settings of a teacher; without a `source`: none. `source = "arm:NAME"` is the '
        "FP32 net of another arm, others lie outside: a `cache` is a folder that `edgekd teach` filled.",
    )
    train: Train = Field(description="The FP32 net; its frozen copy teaches the quantized one.")
    quantize: Quantize = Field(description="Training in the target's arithmetic, and the PTQ control.")
    deploy: Deploy = Field(description="The shape that ships.")
    arms: dict[str, Arm] = Field(min_length=1, description="Named variations; exactly one has the method `teach`.")
    ship: str = Field(description="The arm whose graph is compiled.")
    gates: Gates = Field(description="What must hold; else the run ends with exit code 1.")
    profile: Profile = Field(default_factory=lambda: Profile(), description="How latency is measured.")

    @model_validator(mode="after")
    def _arms_make_a_run(self) -> Recipe:
        methods = [arm.method for arm in self.arms.values()]
        if methods.count("teach") != 1:
            raise ValueError("`arms` needs exactly one arm with method `teach`: its net is the reference")
        if self.ship not in self.arms:
            raise ValueError(f"`ship` names `{self.ship}`, which is not among the arms")
        if self.arms[self.ship].method not in ("ptq", "qat"):
            kind = "a control" if self.arms[self.ship].method.startswith("ptq-") else "not quantized"
            raise ValueError(f"`ship` names `{self.ship}`, which is {kind}; use an arm with method `qat`")
        return self

    @property
    def name(self) -> str:
        """The student in a word: of a person's own file its stem."""
        return PurePath(self.student.rpartition(":")[0] or self.student).stem

    @property
    def reference(self) -> str:
        """Name of the arm that trains the FP32 net."""
        return next(name for name, arm in self.arms.items() if arm.method == "teach")

    @property
    def taught(self) -> bool:
        """Whether a teacher is named."""
        return bool(self.teacher.get("source"))

    @property
    def master(self) -> str | None:
        """The arm that teaches, where `teacher.source` is `arm:NAME`."""
        kind, _, name = str(self.teacher.get("source", "")).partition(":")
        return name if kind == "arm" else None
