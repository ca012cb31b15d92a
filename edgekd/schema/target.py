"""A hardware target: a board times an engine, as data (schema version 1)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from edgekd.schema.base import Strict

Validated = Literal["device", "simulator", "static"]


Scale = Literal["real", "power-of-two"]


class Weights(Strict):
    """How weights become integers. Always symmetric: zero point 0, codes [-(2^(bits-1) - 1), 2^(bits-1) - 1]."""

    bits: Literal[8, 7, 4, 2] = Field(
        8, description="Bits of a weight code; 7 are stored in 8, and products of two of them with uint8 fit 16 bits."
    )
    per: Literal["channel", "tensor"] = Field("channel", description="One scale per output channel or per tensor.")
    scale: Scale = Field("real", description="Which scales the engine multiplies by.")


class Activations(Strict):
    """How activations become integers. One scale per tensor; the full range of the type is used."""

    bits: Literal[8, 4] = Field(8, description="Bits of an activation code.")
    signed: bool = Field(description="True: codes [-128, 127]; false: codes [0, 255]; for 8 bits.")
    symmetric: bool = Field(description="True: the zero point is in the middle (0, or 128 unsigned); false: affine.")
    unsigned_relu: bool = Field(
        False, description="Values that cannot be negative (behind Relu, Sigmoid, Softmax) get unsigned codes from 0."
    )
    scale: Scale = Field(
        "real",
        description="Which scales the engine multiplies by; powers of two are thresholds that the highest code misses "
        "by a step.",
    )


class Placement(Strict):
    """Where quantizers sit. Operator names are ONNX operator types."""

    quantize: tuple[str, ...] = Field(
        description="Operators whose activation inputs are quantized; all others read float."
    )
    fused: tuple[tuple[str, ...], ...] = Field(
        (), description="Chains the engine runs as one kernel: no quantizer between their members."
    )
    shared: tuple[str, ...] = Field(
        (), description="Operators that move codes without changing them: output and input share one scale."
    )
    stays_float: tuple[str, ...] = Field(
        (), description="Operators that compute in float whatever their neighbours do; none is in `quantize`."
    )
    ranges: dict[str, tuple[float, float]] = Field(
        default_factory=dict,
        description="Operators whose kernel gives out codes of one range alone, whatever calibration sees: the values "
        "of the lowest and the highest code.",
    )
    input: Literal["known", "observed"] = Field(
        "known", description="Range of the network's inputs: what the io record implies, or what calibration sees."
    )
    output: Literal["quantized", "float"] = Field(
        "quantized", description="Whether the network's outputs pass a quantizer."
    )

    @model_validator(mode="after")
    def _one_place_each(self) -> Placement:
        if both := sorted({*self.stays_float} & {*self.quantize}):
            raise ValueError(f"`{both[0]}` is both in `quantize` and in `stays_float`")
        if wrong := sorted(name for name, (low, high) in self.ranges.items() if not low <= 0 <= high or low == high):
            raise ValueError(f"`ranges.{wrong[0]}` does not hold 0: the lower end first")
        return self


class Arithmetic(Strict):
    """The integers that run. Portable graphs belong to an arithmetic; targets with equal ones share them."""

    name: str = Field(description="Short name shown in tables.")
    weights: Weights = Field(default_factory=lambda: Weights(), description="How weights become integers.")
    activations: Activations = Field(description="How activations become integers.")
    bias: Literal["accumulator"] = Field(
        "accumulator", description="Biases are rounded to the grid of input scale times weight scale."
    )
    rounding: Literal["rne_f32", "tfl_double"] = Field(
        "rne_f32",
        description="Requantisation: float32 multiplier, half to even, as ONNX Runtime and OpenVINO do; or the integer "
        "multiplier with two roundings of LiteRT's reference kernels, TFLM and Ethos-U.",
    )
    ties: Literal["even", "away"] = Field(
        "even", description="How training rounds a half: to the even code, or away from zero."
    )
    simulated: bool = Field(
        False, description="Codes of fewer than 8 bits are stored in 8, as no engine here runs them; tables say so."
    )
    placement: Placement = Field(description="Where quantizers sit.")


def unrunnable(arithmetic: Arithmetic, sub_byte: tuple[int, ...]) -> str:
    """Why an engine with weights of `sub_byte` bits beside 8 and 7 cannot run these integers; empty where it can."""
    weights, activations = arithmetic.weights.bits, arithmetic.activations.bits
    if arithmetic.simulated or (activations == 8 and weights in (8, 7, *sub_byte)):
        return ""
    which = f"{weights}-bit weights" if weights != 8 else f"{activations}-bit activations"
    return f"no engine here runs {which} as they are"


class StandIn(Strict):
    """An engine on this host that computes the target's arithmetic when the board is absent. Never its speed."""

    backend: str = Field(description="Backend that is compiled and run here.")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of that backend.")
    why: str = Field(description="Why its answers tell something about the board's.")


class Engine(Strict):
    """One way to run a network on the board."""

    backend: str = Field(description="Backend that compiles for it.")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of that backend.")
    validated: Validated = Field(
        description="How far this engine was checked: on the device, in a simulator, or statically."
    )
    opset: int = Field(20, ge=18, le=25, description="Highest ONNX opset the engine reads.")
    operators: tuple[str, ...] = Field(description="ONNX operators the engine runs, beside Q/DQ.")
    sub_byte: tuple[Literal[4, 2], ...] = Field((), description="Weight bits under 8 that it runs as they are.")
    arithmetic: Arithmetic = Field(description="The integers that run.")
    stand_ins: tuple[StandIn, ...] = Field((), description="Engines here that compute the same arithmetic.")

    @model_validator(mode="after")
    def _bits_run(self) -> Engine:
        if reason := unrunnable(self.arithmetic, self.sub_byte):
            raise ValueError(f"{reason}; set `simulated = true` to train them in 8-bit containers")
        return self


class Cost(Strict):
    """What the board has. Peaks are the vendor's, not measurements."""

    memory_bytes: int = Field(gt=0, description="Memory a network may use, in bytes.")
    int8_tops_peak: float | None = Field(
        None, gt=0, description="Vendor's peak, 10^12 int8 operations per second, as the source counts them."
    )
    channel_multiple: int = Field(
        1, ge=1, description="Channel counts in multiples of this use the int8 kernels fully."
    )


class Reach(Strict):
    """How to reach the device."""

    transport: Literal["local", "ssh"] = Field(description="`local`: this host; `ssh`: over the network.")
    machines: tuple[str, ...] = Field(description="`uname -m` of hosts that are such a board.")
    models: tuple[str, ...] = Field(
        (), description="Names that such a board has in its device tree, each a part of it; none: any such host."
    )


class Board(Strict):
    """A board descriptor: one file `targets/NAME.toml`."""

    schema_version: Literal[1] = Field(alias="schema", description="Version of this schema.")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="Name; equals the file's.")
    title: str = Field(description="What a person calls it.")
    aliases: tuple[str, ...] = Field((), description="Other names for `--target`.")
    engine: str = Field(description="Default engine.")
    engines: dict[str, Engine] = Field(min_length=1, description="Engines by name.")
    cost: Cost = Field(description="What the board has.")
    reach: Reach = Field(description="How to reach the device.")
    sources: dict[str, str] = Field(description="Where each value comes from: field, or prefix of fields, to source.")

    @model_validator(mode="after")
    def _default_engine_exists(self) -> Board:
        if self.engine not in self.engines:
            raise ValueError(f"`engine` names `{self.engine}`, which is not among its engines")
        return self


class Target(Strict):
    """A board with one engine chosen."""

    board: Board
    engine_name: str

    @property
    def engine(self) -> Engine:
        """The chosen engine."""
        return self.board.engines[self.engine_name]

    @property
    def arithmetic(self) -> Arithmetic:
        """The integers that run on it."""
        return self.engine.arithmetic

    @property
    def name(self) -> str:
        """`board`, or `board:engine` where the engine is not the board's default."""
        default = self.engine_name == self.board.engine
        return self.board.name if default else f"{self.board.name}:{self.engine_name}"
