"""The files of a network on a machine: what the driver loads, the manifest, and a listing of every program to read."""

import json
from pathlib import Path

from hwgen.compiler.compile import Compiled
from hwgen.driver.workload import Workload
from hwgen.spec.package import QuantisedModel
from hwgen.store.output_file import write_text
from hwgen.store.packages import save_package

MANIFEST_FILE = "manifest.json"
PACKAGE_FILE = "network.safetensors"  # what golden needs to say what the machine must compute


def write_program(folder: Path, compiled: Compiled, package: QuantisedModel) -> None:
    """Workload of the driver, manifest, listings and the network itself; same input, same bytes."""
    manifest = {
        "model": compiled.config.name,
        "model_sha256": package.sha256(),
        "arch": compiled.arch.name,
        "arch_id": compiled.arch.arch_id,
        "bytes": int(compiled.image.size),
        "sha256": compiled.sha256(),
        "programs": {
            task: {
                "offset": program.offset,
                "instructions": len(program.words),
                "macs": program.macs,
                "result_rows": program.result_rows,
                "result_outputs": program.result_outputs,
                "result_bytes": program.result_bytes,
                "listing": [entry.to_json() for entry in program.listing],
            }
            for task, program in compiled.programs.items()
        },
        "entries": [entry.to_json() for entry in compiled.manifest],
    }
    Workload.from_compiled(compiled).save(folder)
    save_package(package, folder / PACKAGE_FILE)
    write_text(folder / MANIFEST_FILE, json.dumps(manifest, indent=1) + "\n")
    for task, program in compiled.programs.items():
        text = "".join(f"{entry}\n" for entry in program.listing)
        write_text(folder / f"program.{task}.txt", text)
