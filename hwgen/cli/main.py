"""The command line: a thin skin over the Python API. Exit code 0 good, 1 mismatch, 2 bad input or missing tool.

A signal ends it with 128 + its number, and nothing that it has started goes on.
"""

import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Annotated, Any

import typer

from hwgen.cli.build import build_command, estimate_command
from hwgen.cli.cache import cache_command
from hwgen.cli.console import PROGRESS, tell, warn
from hwgen.cli.evaluate import evaluate_command
from hwgen.cli.exit_codes import BAD_INPUT, MISMATCH
from hwgen.cli.export import export_command
from hwgen.cli.import_network import import_command
from hwgen.cli.lists import boards_command, doctor_command, models_command
from hwgen.cli.quantize import quantize_command
from hwgen.cli.report_file import OPTION, Report
from hwgen.cli.signals import Stopped, stop_on_signals
from hwgen.cli.verify import demo_command, verify_command
from hwgen.compiler.errors import CompileError
from hwgen.driver.device import MachineError
from hwgen.request import InputError
from hwgen.spec.package import PackageError
from hwgen.store.strict_yaml import ConfigError
from hwgen.synth import SynthesisError
from sim.runner import BuildError, SimulationError
from sim.toolchain import ToolMissing

COMMANDS: dict[str, Callable[..., None]] = {
    "doctor": doctor_command,
    "models": models_command,
    "boards": boards_command,
    "build": build_command,
    "estimate": estimate_command,
    "verify": verify_command,
    "demo": demo_command,
    "evaluate": evaluate_command,
    "export": export_command,
    "import": import_command,
    "quantize": quantize_command,
    "cache": cache_command,
}

app = typer.Typer(
    name="hwgen",
    help="Generate, compile for, and simulate a vision-transformer accelerator.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)
QUIET = "--quiet"


def _version(wanted: bool) -> None:
    if wanted:
        tell(f"hwgen {metadata.version('hwgen')}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    quiet: Annotated[bool, typer.Option(QUIET, help="No progress; results, warnings and errors only.")] = False,
) -> None:
    """Options of every command."""
    PROGRESS.quiet = quiet


def _common_first(words: Sequence[str]) -> list[str]:
    """A command line with ``--quiet`` before the command, as typer takes it, wherever it stands."""
    return ([QUIET] if QUIET in words else []) + [word for word in words if word != QUIET]


def guarded(command: Callable[[], Any], report: Report | None = None) -> int:
    """Run a command; what the user can put right becomes one message, in ``report`` too, and exit code 2."""
    try:
        command()
        return 0
    except (InputError, ConfigError, PackageError, CompileError, ToolMissing, SynthesisError) as error:
        message, code = str(error), BAD_INPUT
    except (BuildError, SimulationError, MachineError) as error:
        message, code = str(error), MISMATCH
    except OSError as error:
        text = error.strerror or str(error)
        message, code = f"{error.filename}: {text}" if error.filename else text, BAD_INPUT
    warn(f"error: {message}")
    if report is not None:
        report.fail(message)
    return code


def _misunderstood(end: SystemExit) -> str | None:
    """What the command line parser has said, when it is the one that ended the program."""
    told = getattr(end.__context__, "format_message", None)
    return None if told is None else str(told())


def run(words: Sequence[str]) -> int:
    """Run a command line; the exit code. Whatever goes wrong also stands in the file of ``--json``."""
    report = Report.of(words)

    def command() -> None:
        if report.clash:
            raise InputError(f"{OPTION} {report.path}: the command line gives this name twice; give another one")
        with report.tables():
            app(_common_first(words))

    try:
        return guarded(command, report)
    except SystemExit as end:
        message = _misunderstood(end)
        if message is not None:
            report.fail(message)
        raise
    except Stopped as stop:
        warn(f"error: {stop}")
        report.fail(str(stop))
        return stop.exit_code
    except Exception as error:
        report.fail(f"{type(error).__name__}: {error}")
        raise


def main() -> None:
    """Entry point of the ``hwgen`` program, once its modules are there."""
    stop_on_signals()
    sys.exit(run(sys.argv[1:]))
