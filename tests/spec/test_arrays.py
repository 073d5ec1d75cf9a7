"""Every array of a package within its range: what is accepted at the limits, and what is said beyond them."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from golden.network import run_network
from hwgen.cli.main import app, guarded
from hwgen.spec import package as package_module
from hwgen.spec.array_kinds import KINDS, ArrayKind
from hwgen.spec.arrays import optional_arrays, package_arrays
from hwgen.spec.package import PackageError, QuantisedModel
from hwgen.spec.tables import TABLES, TableInfo, default_tables
from hwgen.spec.weight_bits import with_weight_bits
from hwgen.store.packages import load_package, save_package
from tests.golden.limit_package import limit_package
from tests.golden.random_package import MINI, changed, random_image, random_package

CONFIG = with_weight_bits(MINI, "blocks.1.experts.fc2=4")
PACKAGE = random_package(CONFIG, 5)
SPECS = package_arrays(CONFIG) | optional_arrays(CONFIG)
BY_VALUE = {name: spec.holds for name, spec in SPECS.items() if isinstance(spec.holds, ArrayKind)}


def _ends(name: str) -> tuple[int, int]:
    """The ends of an array's type."""
    limits = np.iinfo(SPECS[name].dtype)
    return int(limits.min), int(limits.max)


BOUNDED = [name for name, kind in BY_VALUE.items() if (kind.low, kind.high) != _ends(name)]
EXPECTED = (  # the first pattern that fits
    (r"experts\.fc2\.weight", (-7, 7)),
    (r"\.weight", (-127, 127)),
    (r"\.zero", (-127, 127)),
    (r"\.(bias|offset)", (-(2**30), 2**30)),
    (r"context\.shift", (0, 30)),
    (r"norm\d?\.shift", (0, 24)),
    (r"\.(gelu_)?shift", (0, 47)),
)


def _with(package: QuantisedModel, name: str, index: tuple[int, ...], value: int) -> QuantisedModel:
    array = package.arrays[name].copy()
    array[index] = value
    return changed(package, **{name: array})


def _last(name: str) -> tuple[int, ...]:
    return tuple(extent - 1 for extent in SPECS[name].shape)


def test_every_kind_of_array_occurs_and_its_limits_are_those_of_the_document() -> None:
    assert set(BY_VALUE.values()) == set(KINDS)
    assert len(BOUNDED) > 50
    document = (Path(__file__).parents[2] / "docs" / "numerics.md").read_text()
    for name in BOUNDED:
        expected = next(limits for pattern, limits in EXPECTED if re.search(f"{pattern}$", name))
        assert (BY_VALUE[name].low, BY_VALUE[name].high) == expected, name
    for kind in KINDS:
        assert f"| {kind.dtype} | {kind.low:,}..{kind.high:,} |" in document, kind


@pytest.mark.parametrize("name", BOUNDED)
def test_limits_are_accepted_and_the_next_value_is_refused(name: str) -> None:
    kind, ends, index = BY_VALUE[name], _ends(name), _last(name)
    tried = 0
    for limit, step, end in ((kind.low, -1, ends[0]), (kind.high, 1, ends[1])):
        assert _with(PACKAGE, name, index, limit).arrays[name][index] == limit
        for value in {limit + step, end} if limit != end else set():
            said = f"mini: {name}{list(index)} is {value}, the machine takes {kind.low}..{kind.high} ({kind.why}); 1 of"
            with pytest.raises(PackageError, match=re.escape(said)):
                _with(PACKAGE, name, index, value)
            tried += 1
    assert tried >= 1


@pytest.mark.parametrize("info", TABLES, ids=lambda info: info.name)
def test_tables_at_their_limits(info: TableInfo) -> None:
    name = f"tables.{info.name}"
    for column, (low, high) in enumerate((info.base, info.slope)):
        at = (info.words - 1, column)
        for limit, beyond in ((low, low - 1), (high, high + 1)):
            table = PACKAGE.arrays[name].copy()
            table[-1, 1 - column] = 0 if column == 0 else info.base[0] if limit == high else info.base[1]
            table[at] = limit
            if info.chord_bits == 0 or column == 0:
                changed(PACKAGE, **{name: table})
            table[at] = beyond
            what = ("base", "slope")[column]
            said = f"mini: {name}, {what}[{info.words - 1}] is {beyond}, the machine takes {low}..{high} ("
            with pytest.raises(PackageError, match=re.escape(said)):
                changed(PACKAGE, **{name: table})


@pytest.mark.parametrize("name", ["reciprocal", "rsqrt"])
def test_chords_stay_in_the_range_of_the_bases(name: str) -> None:
    """base + half_up(1023 * slope, 10) of the last entry: 0 and 32768 are taken, one more is not."""
    table = default_tables()[name].astype(np.int32)
    for base, slope, value in ((32768, 0, 32768), (0, 32767, 32735), (16384, 16400, 32768), (16384, -16400, 0)):
        table[-1] = base, slope
        assert base + ((slope * 1023 + 512) >> 10) == value
        changed(PACKAGE, **{f"tables.{name}": table})
    for base, slope, value in ((32768, 1, 32769), (0, -1, -1), (16384, 16401, 32769), (16384, -16402, -2)):
        table[-1] = base, slope
        assert base + ((slope * 1023 + 512) >> 10) == value
        said = (
            f"tables.{name}, last value before the next entry[{len(table) - 1}] is {value}, the machine takes 0..32768"
        )
        with pytest.raises(PackageError, match=re.escape(said)):
            changed(PACKAGE, **{f"tables.{name}": table})


def test_the_largest_exponential_of_a_gate_is_one() -> None:
    """A score of more than one would be cut off in front of the residual."""
    table = default_tables()["gate_exp2"].astype(np.int32)
    table[0, 0] = 32767
    with pytest.raises(PackageError, match=re.escape("tables.gate_exp2[0, 0] is 32767, the first entry is 32768")):
        changed(PACKAGE, **{"tables.gate_exp2": table})


def test_the_count_of_wrong_values_is_said() -> None:
    name = "blocks.0.fc1.shift"
    array: NDArray = PACKAGE.arrays[name].copy()
    array[3:7] = 64
    with pytest.raises(PackageError, match=r"blocks\.0\.fc1\.shift\[3\] is 64, .*; 4 of 64 values are outside: quant"):
        changed(PACKAGE, **{name: array})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("blocks.0.fc1.shift", 63),
        ("heads.seg.bias", -(2**31)),
        ("blocks.1.scores.bias", 2**30 + 1),
        ("blocks.0.context.shift", 31),
        ("tables.exp2", 8160),
        ("blocks.0.value.weight", -128),
    ],
)
def test_a_file_with_a_value_outside_is_refused_by_every_command_that_reads_it(
    name: str, value: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The digest of the file is right: it was written by something else than this tool."""
    path = tmp_path / "mini.safetensors"
    with monkeypatch.context() as unguarded:
        unguarded.setattr(package_module, "range_fault", lambda config, arrays: None)
        array = PACKAGE.arrays[name]
        place = (2,) if array.ndim == 1 and array.size > 2 else (0,) * array.ndim
        save_package(_with(PACKAGE, name, place, value), path)
    with pytest.raises(PackageError, match=re.escape(f"{path}: mini: {name}")) as found:
        load_package(path)
    assert f"is {value}, the machine takes" in str(found.value)
    for words in (["build", "--board", "sim", "--model", str(path), "-o", str(tmp_path / "out")],
                  ["estimate", "--board", "sim", "--model", str(path)],
                  ["quantize", str(path), "-o", str(tmp_path / "out")]):  # fmt: skip
        assert guarded(lambda words=words: app(words, standalone_mode=False)) == 2
        said = "".join(capsys.readouterr())
        assert "is " + str(value) in said.replace("\n", " "), said
    assert not (tmp_path / "out").exists()


def test_a_damaged_file_is_called_damaged_and_not_out_of_range(tmp_path: Path) -> None:
    path = tmp_path / "mini.safetensors"
    save_package(PACKAGE, path)
    data = bytearray(path.read_bytes())
    where = data.find(np.ascontiguousarray(PACKAGE.arrays["blocks.0.fc1.shift"]).tobytes())
    assert where > 0
    data[where] = 99
    path.write_bytes(data)
    with pytest.raises(PackageError, match="contents do not match the manifest's sha256; the file is damaged"):
        load_package(path)


@pytest.mark.parametrize("seed", range(4))
def test_golden_runs_at_the_limits(seed: int) -> None:
    """Every intermediate value fits int64 and no table is left: the results are within their formats."""
    config = replace(CONFIG, gate_renormalise=bool(seed % 2))
    package = limit_package(config, seed)
    tensors = run_network(package, random_image(config, seed), "seg")
    assert all(np.abs(tensor).max() <= 32768 for tensor in tensors.values())
    assert tensors["blocks.1.expert_scores"].max() <= 32768
