"""The table of verbs, and the way from the process's arguments to its exit code."""

import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from ranvier import __version__
from ranvier.cli.check import check
from ranvier.cli.compile import compile_model
from ranvier.cli.convert import convert_model
from ranvier.cli.demo import demo
from ranvier.cli.doctor import doctor
from ranvier.cli.evaluate import evaluate_data
from ranvier.cli.explore import explore_model
from ranvier.cli.export import export
from ranvier.cli.fine_tune import fine_tune_program
from ranvier.cli.inspect import inspect
from ranvier.cli.output import write_json
from ranvier.cli.report import report_program
from ranvier.cli.search import search_network
from ranvier.cli.simulate import simulate
from ranvier.cli.states import states
from ranvier.cli.targets import targets
from ranvier.cli.tune import tune_model
from ranvier.cli.verbs import Exit, Verb, command
from ranvier.cli.verify import verify
from ranvier.compiler.diagnostics import Diagnostic

VERBS: Mapping[str, Verb] = {
    "check": check,
    "compile": compile_model,
    "convert": convert_model,
    "simulate": simulate,
    "evaluate": evaluate_data,
    "tune": tune_model,
    "search": search_network,
    "fine-tune": fine_tune_program,
    "verify": verify,
    "report": report_program,
    "inspect": inspect,
    "states": states,
    "explore": explore_model,
    "export": export,
    "targets": targets,
    "doctor": doctor,
    "demo": demo,
}


def main() -> None:
    """Run ``ranvier`` on the process's arguments and exit: 0 done, 1 the answer is no, 2 usage, 70 our fault."""
    try:
        application()()
    except SystemExit as ending:
        if ending.code == Exit.USAGE and "--json" in sys.argv:
            fix = "see ranvier --help, and the message on standard error"
            wrong = Diagnostic("RV600", "command line", "the arguments are not understood", fix)
            write_json({"ok": False, "verb": None, "diagnostics": [wrong.to_json()]}, sys.stdout)
        raise
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)


def application() -> typer.Typer:
    """The command-line application with all verbs."""
    app = typer.Typer(
        name="ranvier",
        help="Compile trained spiking networks for Loihi-class chips, run them bit for bit on the desk, "
        "and see what the deployment costs.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name, verb in VERBS.items():
        app.command(name)(command(name, verb))
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ranvier {__version__}")
        raise typer.Exit


def _root(
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Options that stand before a verb."""
