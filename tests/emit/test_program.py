"""Image, manifest and listings of a compiled network agree with each other and are the same every time."""

import hashlib
import json
from pathlib import Path

from hwgen.compiler.compile import compile_model
from hwgen.driver.workload import IMAGE_FILE
from hwgen.emit.program import MANIFEST_FILE, write_program
from hwgen.frontend.store import load_model
from hwgen.spec.encoding import decode, unseal
from hwgen.spec.isa import INSTRUCTION_BYTES, Opcode
from hwgen.store.archs import arch_preset


def _written(folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    package = load_model("m3vit-micro")
    write_program(folder, compile_model(package, arch_preset("sim")), package)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_manifest_describes_the_image(tmp_path: Path):
    files = _written(tmp_path / "a")
    manifest, image = json.loads(files[MANIFEST_FILE]), files[IMAGE_FILE]
    assert manifest["bytes"] == len(image)
    assert manifest["sha256"] == hashlib.sha256(image).hexdigest()
    assert len(manifest["entries"]) > 50
    for entry in manifest["entries"]:
        part = image[entry["offset"] : entry["offset"] + entry["bytes"]]
        assert hashlib.sha256(part).hexdigest() == entry["sha256"], entry["name"]


def test_the_listing_is_the_program(tmp_path: Path):
    files = _written(tmp_path / "a")
    manifest, image = json.loads(files[MANIFEST_FILE]), files[IMAGE_FILE]
    assert list(manifest["programs"]) == ["seg", "depth"]
    for task, program in manifest["programs"].items():
        assert len(program["listing"]) == program["instructions"] == len(files[f"program.{task}.txt"].splitlines())
        for entry in program["listing"]:
            at = program["offset"] + entry["index"] * INSTRUCTION_BYTES
            opcode, fields = decode(unseal(bytes(image[at : at + INSTRUCTION_BYTES]), entry["index"]))
            assert opcode is Opcode[entry["opcode"]]
            assert {name: value for name, value in fields.items() if value} == {
                name: value for name, value in entry["fields"].items() if value
            }


def test_the_same_network_gives_the_same_bytes(tmp_path: Path):
    assert _written(tmp_path / "a") == _written(tmp_path / "b")
