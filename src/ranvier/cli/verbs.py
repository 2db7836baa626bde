"""What all verbs share: their options from groups, their answer as text or JSON, errors as exit codes."""

import inspect
import os
import platform
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import fields, is_dataclass
from enum import IntEnum
from typing import Any, get_type_hints

import typer

from ranvier import __version__
from ranvier.cli.options import OutputOptions
from ranvier.cli.output import Answer, Output, write_json
from ranvier.compiler.diagnostics import Diagnostic, RanvierError

Verb = Callable[..., Answer]


class Exit(IntEnum):
    """What the process ends with."""

    DONE = 0
    NO = 1
    USAGE = 2
    BUG = 70
    INTERRUPTED = 130
    PIPE = 141


def command(name: str, verb: Verb) -> Callable[..., None]:
    """``verb`` as typer wants it: a function of single options that answers and exits with the right code.

    A parameter of ``verb`` whose type is a dataclass stands for the options in its fields; ``Output`` is made
    from the output options, which every verb has.
    """
    groups, options = _signature(verb)

    def run(**values: object) -> None:
        given = OutputOptions(**{f.name: values.pop(f.name) for f in fields(OutputOptions)})  # type: ignore[arg-type]
        output = Output(given.as_json, given.quiet, given.verbose)
        arguments: dict[str, object] = {"output": output}
        for group, kind in groups.items():
            arguments[group] = kind(**{f.name: values.pop(f.name) for f in fields(kind)})
        raise typer.Exit(_answer(name, output, lambda: verb(**arguments, **values)))

    run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in options}
    run.__doc__ = inspect.getdoc(verb)
    return run


def _signature(verb: Verb) -> tuple[Mapping[str, type[Any]], list[inspect.Parameter]]:
    """The groups of options by parameter name, and all options one by one."""
    groups: dict[str, type[Any]] = {}
    options = []
    hints = get_type_hints(verb, include_extras=True)
    for parameter in inspect.signature(verb).parameters.values():
        kind = hints[parameter.name]
        if kind is Output:
            continue
        if is_dataclass(kind):
            assert isinstance(kind, type)
            groups[parameter.name] = kind
            options += _members(kind)
        else:
            options.append(parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))
    return groups, options + _members(OutputOptions)


def _members(group: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    only = inspect.Parameter.KEYWORD_ONLY
    return [inspect.Parameter(f.name, only, default=f.default, annotation=hints[f.name]) for f in fields(group)]


def _answer(name: str, output: Output, verb: Callable[[], Answer]) -> Exit:
    """Run the verb and say what came of it; standard output holds the answer alone."""
    stream = sys.stdout
    try:
        with redirect_stdout(sys.stderr), warnings.catch_warnings():
            # Standard output is the answer's: what a user's module prints while it is loaded goes elsewhere.
            warnings.showwarning = lambda message, *_others: output.say(f"warning: {message}")
            answer = verb()
        if output.json:
            write_json({"ok": answer.ok, "verb": name, **answer.data}, stream)
        else:
            output.show(answer)
        stream.flush()
    except RanvierError as refused:
        _refuse(name, output, refused.diagnostics)
        return Exit.NO
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.PIPE
    except Exception as bug:  # noqa: BLE001 whatever it is, the user is told what to do with it
        _report_bug(name, output, bug)
        return Exit.BUG
    return Exit.DONE if answer.ok else Exit.NO


def _refuse(name: str, output: Output, diagnostics: tuple[Diagnostic, ...]) -> None:
    if output.json:
        listed = [diagnostic.to_json() for diagnostic in diagnostics]
        write_json({"ok": False, "verb": name, "diagnostics": listed}, sys.stdout)
    else:
        output.refuse(diagnostics)


def _report_bug(name: str, output: Output, bug: Exception) -> None:
    where = f"ranvier {__version__}, Python {platform.python_version()}, {platform.platform()}"
    trace = "".join(traceback.format_exception(bug))
    message = f"{type(bug).__name__}: {bug}"
    fix = f"this is a fault of Ranvier: please report it with the command, the lines above and: {where}"
    found = Diagnostic("RV690", f"ranvier {name}", message, fix)
    sys.stderr.write(trace)
    _refuse(name, output, (found,))
