"""Memory images, programs and listings stay as they are: what a board was given yesterday is what it is given tomorrow.

The digests in digests.json are kept; ``python -m tests.compiler.test_digests`` writes those of today, which is right
only after a change that is meant to change programs.
"""

import hashlib
import json
from zlib import crc32

import numpy as np
import pytest

from hwgen.compiler.compile import compile_model
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.array_kinds import ArrayKind
from hwgen.spec.arrays import package_arrays
from hwgen.spec.model import ModelConfig
from hwgen.spec.package import QuantisedModel
from hwgen.spec.tables import default_tables
from tests.compiler.programs import CONFIGS, DIGESTS, PAIRS, fitting


def filled(config: ModelConfig) -> QuantisedModel:
    """A package whose every array follows from its own name alone, over the whole range that it may have."""
    arrays = {f"tables.{name}": table.astype(np.int32) for name, table in default_tables().items()}
    for name, spec in package_arrays(config).items():
        if isinstance(spec.holds, ArrayKind):
            values = np.random.default_rng(crc32(name.encode())).integers(
                spec.holds.low, spec.holds.high + 1, spec.shape
            )
            arrays[name] = values.astype(spec.dtype)
    return QuantisedModel(config=config, arrays=arrays, scales={})


def digests(model: str, arch: str) -> dict[str, str]:
    """Of everything that a host is given, and of everything that a comparison reads."""
    compiled = compile_model(filled(CONFIGS[model]), ARCHS[arch])
    listing = {name: [entry.to_json() for entry in program.listing] for name, program in compiled.programs.items()}
    text = json.dumps(listing, sort_keys=True)
    return {"image": compiled.sha256()[:32], "listing": hashlib.sha256(text.encode()).hexdigest()[:32]}


@pytest.mark.parametrize(("model", "arch"), PAIRS)
def test_bytes_of_today(model: str, arch: str):
    assert digests(model, arch) == json.loads(DIGESTS.read_text())[f"{model}/{arch}"]


def test_every_digest_is_looked_at():
    assert fitting() == PAIRS


if __name__ == "__main__":
    DIGESTS.write_text(json.dumps({f"{m}/{a}": digests(m, a) for m, a in fitting()}, indent=1) + "\n")
