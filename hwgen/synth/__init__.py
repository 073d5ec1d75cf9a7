"""What a machine costs in the part, from synthesis with open tools: cells, longest paths, clocks."""

from hwgen.synth.report import SynthReport, synthesise
from hwgen.synth.yosys import SynthesisError

__all__ = ["SynthReport", "SynthesisError", "synthesise"]
