"""What a package file carries besides its arrays, and what is said about one that is damaged."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from hwgen.frontend.seeded import seeded_package
from hwgen.frontend.store import load_model, package_path
from hwgen.spec.package import PackageError
from hwgen.store.models import model_from
from hwgen.store.packages import MANIFEST, PACKAGE_VERSION, load_package, save_package
from hwgen.store.strict_yaml import ConfigError
from tests.frontend.shapes import SMALL


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    with safe_open(path, framework="numpy") as handle:
        return json.loads(handle.metadata()["hwgen"]), {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118


def test_version_digest_provenance_and_calibration_rule_are_carried(tmp_path: Path) -> None:
    save_package(seeded_package(SMALL, 3), tmp_path / "small.safetensors")
    checked = 0
    for path, version in ((tmp_path / "small.safetensors", PACKAGE_VERSION), (package_path("m3vit-micro"), 1)):
        manifest, arrays = _read(path)
        assert set(manifest) == set(MANIFEST[version])
        assert manifest["version"] == version
        assert re.fullmatch("[0-9a-f]{64}", manifest["sha256"])
        assert manifest["sha256"] == load_package(path).sha256()
        source = manifest["provenance"]
        assert source["calibration_rule"]
        assert source["calibration_images"] >= 1
        assert source["weights"]
        assert len(arrays) > 40
        checked += 1
    assert checked == 2


def test_the_digest_is_of_the_content_and_of_every_array() -> None:
    package = load_model("m3vit-micro")
    before = package.sha256()
    for name in ("blocks.2.fc1.shift", "tables.gelu", "position"):
        array = package.arrays[name].copy()
        array.flat[5 % array.size] += 1
        changed = type(package)(
            config=package.config, arrays={**package.arrays, name: array}, scales=package.scales
        ).sha256()
        assert changed != before, name
    assert package.sha256() == before


def test_zero_points_are_held_where_they_are_not_zero_and_files_without_them_are_read(tmp_path: Path) -> None:
    package = seeded_package(SMALL, 3)
    path = tmp_path / "small.safetensors"
    save_package(package, path)
    before, (manifest, arrays) = path.read_bytes(), _read(path)
    assert not [name for name in arrays if name.endswith(".zero")]
    again = load_package(path)
    assert again.zeros == dict.fromkeys((f"blocks.{n}.hidden" for n in range(3)), 0)
    assert again.arrays["blocks.1.fc1.zero"].tolist() == [0]
    save_package(again, path)
    assert path.read_bytes() == before
    moved = replace(package, arrays={**package.arrays, "blocks.2.experts.fc1.zero": np.array([-101], np.int8)})
    assert moved.sha256() != package.sha256() == manifest["sha256"]
    save_package(moved, path)
    assert {name for name in _read(path)[1] if name.endswith(".zero")} == {"blocks.2.experts.fc1.zero"}
    assert load_package(path).zeros == {**again.zeros, "blocks.2.hidden": -101}


@pytest.mark.parametrize("array", [np.array([0, 0], np.int8), np.array([0], np.int16), np.array([-128], np.int8)])
def test_a_zero_point_is_one_code(array: np.ndarray) -> None:
    package = seeded_package(SMALL, 3)
    with pytest.raises(PackageError, match=r"small: blocks\.1\.fc1\.zero"):
        replace(package, arrays={**package.arrays, "blocks.1.fc1.zero": array})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": 3}, "name = 3: must be text"),
        ({"heads": 0}, "heads = 0: must be a whole number in 1..65536"),
        ({"patch": 0}, "patch = 0: must be"),
        ({"dim": 64.0}, "dim = 64.0: must be"),
        ({"dim": "64"}, "dim = '64': must be"),
        ({"depth": True}, "depth = True: must be a whole number in 1..1024"),
        ({"depth": 300_000_000}, "depth = 300000000: must be"),
        ({"top_k": 2.0}, "top_k = 2.0: must be a whole number in 0..65536"),
        ({"moe_blocks": [1, 1]}, "moe_blocks = [1, 1]: must be different"),
        ({"moe_blocks": [1.0]}, "moe_blocks = [1.0]: must be different"),
        ({"expert_hidden": 0}, "expert_hidden is zero"),
        ({"tasks": []}, "tasks is empty"),
        ({"tasks": [{"name": "../x", "kind": "depth", "classes": 1}]}, "task '../x': a name has letters"),
        ({"tasks": [{"name": "x", "kind": "flow", "classes": 1}]}, "task x: unknown kind 'flow'; there are seg"),
        ({"tasks": [{"name": "x", "kind": "depth", "classes": 0}]}, "task x: classes = 0: must be"),
    ],
)
def test_shapes_that_no_network_has_are_named(change: dict[str, Any], says: str) -> None:
    config = _read(package_path("m3vit-micro"))[0]["config"]
    assert model_from(config, "it") == load_model("m3vit-micro").config
    with pytest.raises(ConfigError, match=re.escape(says)):
        model_from({**config, **change}, "it")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: json.dumps({**m, "version": 99}), "package version 99, this tool reads 1, 2"),
        (lambda m: json.dumps({**m, "sha256": "0" * 64}), "contents do not match the manifest's sha256"),
        (
            lambda m: json.dumps({k: v for k, v in m.items() if k not in ("sha256", "provenance")}),
            "the manifest lacks provenance, sha256",
        ),
        (lambda m: json.dumps({**m, "scales": [1]}), "the manifest's scales are damaged"),
        (lambda m: json.dumps({**m, "scales": {"norm": "1"}}), "the manifest's scales are damaged"),
        (lambda m: json.dumps({**m, "scales": {"norm": 0}}), "the manifest's scales are damaged"),
        (lambda m: json.dumps({**m, "provenance": None}), "the manifest's provenance is damaged"),
        (lambda m: json.dumps(m)[:-9], "the manifest is damaged"),
        (lambda m: json.dumps({**m, "config": {"dim": 3}}), "the manifest's config is damaged"),
        (lambda m: json.dumps({**m, "config": {**m["config"], "dim": 63}}), "the manifest's config is damaged"),
        (lambda m: json.dumps({**m, "config": {**m["config"], "tasks": 1}}), "the manifest's config is damaged"),
        (
            lambda m: json.dumps({**m, "config": [m["config"]]}),
            "the manifest's config is damaged (config: list instead",
        ),
        (lambda m: json.dumps({**m, "config": {**m["config"], "tasks": [1]}}), "the manifest's config is damaged"),
        (lambda m: json.dumps({**m, "scales": {"norm": 10**400}}), "the manifest's scales are damaged"),
        (lambda _: "[]", "the manifest is damaged (a list, not an object)"),
        (lambda _: "3", "the manifest is damaged (a int, not an object)"),
        (lambda _: "null", "the manifest is damaged (a NoneType, not an object)"),
        (lambda _: "[" * 100_000 + "]" * 100_000, "the manifest is damaged (maximum recursion depth"),
        (lambda _: '{"a":' * 100_000 + "1" + "}" * 100_000, "the manifest is damaged (maximum recursion depth"),
        (None, "not an hwgen package (no manifest)"),
    ],
)
def test_a_damaged_manifest_is_named(change: Any, says: str, tmp_path: Path) -> None:
    manifest, arrays = _read(package_path("m3vit-micro"))
    path = tmp_path / "net.safetensors"
    save_file(arrays, path, metadata={"hwgen": change(manifest)} if change else {})
    with pytest.raises(PackageError, match=re.escape(f"{path}: ")) as found:
        load_package(path)
    assert says in str(found.value)


def test_a_changed_weight_is_found_by_the_digest(tmp_path: Path) -> None:
    manifest, arrays = _read(package_path("m3vit-micro"))
    arrays["blocks.0.proj.weight"] = arrays["blocks.0.proj.weight"] ^ np.int8(1)
    path = tmp_path / "net.safetensors"
    save_file(arrays, path, metadata={"hwgen": json.dumps(manifest)})
    with pytest.raises(PackageError, match="contents do not match the manifest's sha256"):
        load_package(path)
