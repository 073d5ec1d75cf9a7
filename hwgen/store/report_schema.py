"""What ``--json`` writes, declared once: docs/reports.md and the JSON Schemas of the site follow from these records.

Keys may be added to a report before they are declared here; those that are declared stay.
"""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

Real = float  # the built-in type: `Guess` has a member of that name


def key(meaning: str, **more: Any) -> Any:
    """A key of a report, and what it means."""
    return Field(description=meaning, **more)


def optional(meaning: str) -> Any:
    """A key that some reports have."""
    return Field(default=None, description=meaning)


class Record(BaseModel):
    """A JSON object; keys that are not declared pass."""

    model_config = ConfigDict(extra="allow", strict=True)
    is_report: ClassVar[bool] = False  # a command writes it by itself


class Compared(Record):
    """Totals of a comparison."""

    tensors: int = key("tensors that were compared, all passes")
    values: int = key("their values")
    mismatches: int = key("values in which RTL and golden differ")


class FirstMismatch(Record):
    """The first wrong value."""

    instruction: int = key("index of the instruction that wrote it, or should have")
    name: str = key("what that instruction computes")
    tensor: str = key("tensor")
    index: list[int] = key("place in the tensor")
    cycle: int | None = key("since the start of the run; null: never written")
    got: int | None = key("what came; null: nothing")
    want: int | None = key("what golden says; null: nothing should have been written")
    text: str = key("all of this in one line")


class Agreement(Record):
    """How close codes are to the float model; empty where it has no such tensor."""

    sqnr_db: float | None = optional("signal to quantisation noise ratio against the float model, decibels")
    cosine: float | None = optional("of the angle between both")
    same: float | None = optional("share of equal values, 0..1, for indices")


class Tensor(Record):
    """One line of the table."""

    task: str = key("task")
    name: str = key("tensor")
    values: int = key("values that were compared, all images")
    mismatches: int = key("values in which RTL and golden differ")
    float: Agreement = key("golden against the float model; empty where it has no such tensor")


class Instruction(Record):
    """When an instruction ran."""

    index: int = key("place in the program")
    name: str = key("what it computes")
    start_cycle: int | None = key("first cycle; null: never seen to start")
    end_cycle: int | None = key("last cycle")
    macs: int = key("multiplications that the network needs of it")


class SeenInstruction(Instruction):
    """When an instruction ran in a simulation."""

    task: str = key("task; of its first image")
    unit: str = key("unit that ran it")


class PassReport(Record):
    """One image through one task."""

    task: str = key("task")
    image: int = key("index of the image")
    cycles: int = key("from start to interrupt")
    values: int = key("values that were compared")
    mismatches: int = key("values in which RTL and golden differ")
    ddr_read_bytes: int = key("as the simulated memory counted them")
    ddr_write_bytes: int = key("as the simulated memory counted them")
    counters: dict[str, int] = key("performance counters of the machine, by register name")
    seconds: float = key("wall-clock time of the simulation")


class Guess(Record):
    """A class in the answer of a classifier."""

    index: int = Field(alias="class", description="index of the class")
    name: str | None = key("its name, of `--labels`; null without")
    rtl: float = key("probability: softmax of the RTL's logits in real units, 0..1")
    float: Real = key("the same of the float model")
    place: int = key("in the order of the RTL, counted from 1")
    float_place: int = key("in the order of the float model")


class Answer(Record):
    """What a classifier says of an image."""

    task: str = key("classification")
    image: int = key("index of the image")
    picture: str = key("its name")
    same_class: bool = key("whether RTL and float model agree on the best class")
    top: list[Guess] = key("the five best classes of the RTL, the best first")
    float_top: list[Guess] = key("those of the float model")


class Verify(Record):
    """``hwgen verify`` and ``hwgen demo``; a pass is one image through one task."""

    model: str = key("network")
    board: str = key("board")
    arch: str = key("machine")
    clock_mhz: float | int = key("clock that milliseconds follow from")
    weights: str = key("layers whose weights have four bits, as `--weights` takes them; empty when all have eight")
    images: int = key("how many images went through each task")
    image_names: list[str] = key("names of the images: of the files, or which scenes")
    tasks: list[str] = key("the tasks")
    cycles: int = key("from start to interrupt, summed over all passes")
    cycles_per_image: float = key("of one pass, on average")
    milliseconds_per_image: float = key("of one pass, on average")
    macs: int = key("multiplications that the network needs, padding not counted, all passes")
    mac_utilisation: float = key("`macs` / (MACs of the array x `cycles`)")
    ddr_read_bytes: int = key("as the simulated memory counted them, all passes")
    ddr_write_bytes: int = key("as the simulated memory counted them, all passes")
    compared: Compared = key("RTL against golden, all passes")
    classifications: list[Answer] = key("of classification tasks, one per image and task")
    warnings: list[str] = key(
        "what about the pictures keeps the machine from following the float model: many pixels of code 0, tensors "
        "whose calibrated range they leave"
    )
    first_mismatch: FirstMismatch | None = key("null, or the first wrong value")
    tensors: list[Tensor] = key("one per task and tensor")
    instructions: list[SeenInstruction] = key("one per instruction of each task")
    passes: list[PassReport] = key("one per image and task")
    sim_seconds: float = key("time of the simulation, without building it")
    sim_cycles_per_second: float = key("speed of the simulation")
    sim_build_seconds: float = key("building the simulator; 0 when it was there")
    self_test: bool | None = optional("with `--self-test`: true")
    caught: bool | None = optional("with `--self-test`: whether the spoilt bit was noticed")


class Quality(Record):
    """Quality of predictions over a set of scenes."""

    miou: float | None = key("0..1, pooled over all scenes; null without such a task")
    depth_rmse: float | None = key("metres, pooled over all pixels; null without such a task")
    depth_rmse_mean_predictor: float = key("metres; of predicting the mean depth everywhere")


class QualityRow(Record):
    """One line of the table."""

    model: str = key("`float`, `golden` or `RTL`")
    scenes: int = key("how many scenes, counted from `first_seed`")
    quality: Quality = key("of the predictions")
    values: int | None = key("of the RTL: values of all named tensors compared with golden; null in other rows")
    mismatches: int | None = key("of the RTL: how many of them differ; null in other rows")


class Evaluate(Record):
    """``hwgen evaluate`` on generated scenes."""

    model: str = key("network")
    board: str = key("board")
    arch: str = key("machine")
    first_seed: int = key("of the held-out scenes")
    mismatches: int = key("between RTL and golden, in all")
    rows: list[QualityRow] = key("one per line of the table")


class ClassRow(Record):
    """One line of the table."""

    model: str = key("`float`, `golden` or `RTL`")
    pictures: int = key("how many: the first of every class, then the second of every class, and so on")
    top1: float = key("share of the pictures whose class is the best of the answer, 0..1")
    top5: float = key("share of those whose class is among the best five")
    values: int | None = key("of the RTL: values of all named tensors compared with golden; null in other rows")
    mismatches: int | None = key("of the RTL: how many of them differ; null in other rows")


class EvaluateData(Record):
    """``hwgen evaluate --data``: a classifier on class folders."""

    model: str = key("network")
    board: str = key("board")
    arch: str = key("machine")
    data: str = key("folder of the pictures")
    task: str = key("classification")
    classes: int = key("how many it has")
    fit: str = key("what is done to pictures of another size")
    note: str = key("the same in a sentence, with how many it was done to")
    mismatches: int = key("between RTL and golden, in all")
    rows: list[ClassRow] = key("one per line of the table")


class Resource(Record):
    """One kind of cell."""

    estimate: float | int = key("how many the machine takes")
    available: float | int = key("how many the board's part has")
    guard_rail: float = key("share of the part below which a fit usually closes timing")


class EstimatedInstruction(Instruction):
    """When an instruction is estimated to run."""

    opcode: str = key("instruction")
    cycles: int = key("busy cycles of its unit when nothing makes it wait")


class Share(Record):
    """The layers of one kind in a branch."""

    name: str = key("the branch, called as the tensor that it leaves")
    kind: str = key("what its layers are")
    cycles: int = key("how many belong to them")
    share: float = key("of the run, 0..1")
    macs: int = key("multiplications that the network needs of them")


class Estimate(Record):
    """``hwgen estimate``: one image and task."""

    is_report: ClassVar[bool] = True
    estimate: bool = key("true: nothing of this was measured")
    model: str = key("network")
    board: str = key("board")
    arch: str = key("machine")
    task: str = key("task")
    clock_mhz: float | int = key("clock that milliseconds follow from")
    cycles: int = key("from start to interrupt")
    milliseconds: float = key("the same at that clock")
    macs: int = key("multiplications that the network needs, padding not counted")
    mac_utilisation: float = key("`macs` / (MACs of the array x `cycles`)")
    ddr_read_bytes: int = key("bytes read")
    ddr_write_bytes: int = key("bytes written")
    resources: dict[str, Resource] = key("per kind of cell")
    shares: list[Share] = key("where the cycles go, see below")
    instructions: list[EstimatedInstruction] = key("one per instruction")


class Build(Record):
    """``hwgen build``."""

    model: str = key("network")
    board: str = key("board")
    arch: str = key("machine")
    folder: str = key("where the files are")
    files: list[str] = key("every file, relative to the folder")
    estimates: list[Estimate] = key("one per task, as `hwgen estimate` writes it")
    seconds: dict[str, float] = key("of every step")


class Damage(Record):
    """What a tensor loses by being quantised."""

    name: str = key("tensor")
    kind: str = key("activation or weight")
    low: float = key("smallest float value")
    high: float = key("largest float value")
    scale: float = key("real value of one code")
    zero: int = key("code of the value 0")
    format_db: float = key("signal to noise ratio of the tensor's own format, rounding and clipping; 999: no error")
    cosine: float = key("of the angle between float values and codes")
    clipped: float = key("share of float values beyond the largest code, 0..1")
    golden_db: float | None = key("of the golden model's tensor with all errors before it; null where it keeps none")


class NarrowLoss(Record):
    """What four bits cost."""

    name: str = key("weights of a layer with four bits, then heads in golden")
    narrow_db: float = key("with four bits")
    wide_db: float = key("with eight bits")
    loss_db: float = key("their difference")


class Quantize(Record):
    """``hwgen quantize``."""

    model: str = key("network")
    package: str = key("file that was written")
    provenance: dict[str, Any] = key("how its scales came about, see below")
    checked_on: str = key("which image the table was measured on, under every task")
    tensors: list[Damage] = key("the most damaged first")
    four_bit_weights: list[NarrowLoss] = key("one per layer with four bits and per head; empty without such layers")
    warnings: list[str] = key("as in `verify`")


class Check(Record):
    """Golden against exported weights, one task."""

    task: str = key("task")
    sqnr_db: float = key("golden's outputs against the float model of the exported weights")
    same_class: float | None = optional("share of equal classes, 0..1; not for depth")


class Export(Record):
    """``hwgen export``."""

    model: str = key("network")
    package_sha256: str = key("of the package")
    file: str = key("file that was written")
    format: str = key("whose key names it has")
    arrays: int = key("how many arrays it holds")
    reader: Any = Field(alias="import", description="the command that reads the file again")
    checks: list[Check] = key("one per task")
    provenance: dict[str, Any] = key("of the package")


class Tool(Record):
    """One tool."""

    tool: str = key("name")
    found: bool = key("whether it is there")
    version: str = key("version, empty when unknown")
    install: str = key("command that installs it")
    purpose: str = key("what needs it")
    optional: bool = key("whether a part of hwgen works without it")


class Doctor(Record):
    """``hwgen doctor``."""

    tools: list[Tool] = key("one per tool")
    missing: list[str] = key("tools that are not there and not optional")


class Models(Record):
    """``hwgen models``."""

    models: list[dict[str, Any]] = key("one per line of the table")


class Boards(Record):
    """``hwgen boards``."""

    boards: list[dict[str, Any]] = key("one per board: its file, and `macs` of its machine")


REPORTS: dict[str, type[Record]] = {
    "verify": Verify,
    "evaluate": Evaluate,
    "evaluate_data": EvaluateData,
    "estimate": Estimate,
    "build": Build,
    "quantize": Quantize,
    "export": Export,
    "doctor": Doctor,
    "models": Models,
    "boards": Boards,
}


def undeclared(record: BaseModel, before: str = "") -> list[str]:
    """Paths of the keys that a report has and its declaration does not."""
    found = [before + name for name in record.model_extra or {}]
    for name in type(record).model_fields:
        value = getattr(record, name)
        many = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else [value]
        for item in many:
            if isinstance(item, BaseModel):
                found += undeclared(item, f"{before}{name}.")
    return sorted(set(found))
