"""Entry point of ``hwgen``: answers signals before the rest of the program, some seconds of imports, is there."""

from hwgen.cli.signals import leave_on_signals


def main() -> None:
    """Run the command line."""
    leave_on_signals()
    from hwgen.cli.main import main as run  # here: only now are signals answered

    run()


if __name__ == "__main__":
    main()
