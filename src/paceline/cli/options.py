"""Arguments and options that several verbs take."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from paceline import plugins
from paceline.cli.complete import (
    complete,
    complete_cell,
    complete_either,
    complete_explained,
    complete_resumed,
    complete_sweep,
)

F = TypeVar("F", bound=Callable[..., Any])


def overrides_argument(function: F) -> F:
    """``[OVERRIDES]…`` with ``--conf``; Hydra's ``-m`` is accepted and means nothing."""
    return words_argument("[OVERRIDES]...", complete)(_multirun(function))


def cell_or_overrides_argument(function: F) -> F:
    """``[CELL | OVERRIDES]…``: a recorded cell, or the one that overrides describe."""
    return words_argument("[CELL | OVERRIDES]...", complete_either)(_multirun(function))


def name_argument(metavar: str) -> Callable[[F], F]:
    """``[NAME] [root=…]``: a sweep or a cell, and where it lies. The words of the metavar say what is completed."""
    completers = {"SAMPLE": complete_explained, "CELL": complete_cell, "PLACEMENT": complete_resumed}
    return words_argument(metavar, next((c for word, c in completers.items() if word in metavar), complete_sweep))


def words_argument(metavar: str, completer: Callable[..., list[str]]) -> Callable[[F], F]:
    """Arguments with a completer of their own, and ``--conf``."""

    def decorate(function: F) -> F:
        return conf_option(click.argument("words", nargs=-1, shell_complete=completer, metavar=metavar)(function))

    return decorate


def _multirun(function: F) -> F:
    return click.option("-m", "--multirun", is_flag=True, hidden=True, expose_value=False)(function)


def conf_option(function: F) -> F:
    """``--conf DIR``: a lab's own configs, found before the shipped ones, and its code, found from here on."""
    help = "folder of your own configs and code, searched first"
    return click.option("--conf", metavar="DIR", help=help, callback=_use_code)(function)


def _use_code(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Every verb passes here, whether or not it composes anything."""
    if not ctx.resilient_parsing:
        plugins.use(plugins.folders(value))
    return value


def confirmed(question: str) -> bool:
    """Ask whether to go on.

    Raises:
        UserError: nobody can answer, as in a script; it names ``--yes``.
    """
    from paceline.errors import UserError

    try:
        return click.confirm(question)
    except click.Abort:
        if sys.stdin is not None and sys.stdin.isatty():
            raise  # Ctrl-C
        raise UserError(f"{question} nobody can answer here, without a terminal; give --yes") from None


def json_option(function: F) -> F:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="print JSON for programs")(function)


def json_or_file_option(function: F) -> F:
    """``--json [FILE]``: empty text where no file is named, None where JSON is not wanted."""
    help = "print JSON for programs; with a FILE.json, write it there"
    return click.option("--json", "as_json", metavar="[FILE]", help=help)(function)


def optional_value(option: str, is_value: Callable[[str], bool]) -> type[click.Command]:
    """A command with an option that may stand without its value, also before a name: ``--watch demo``.

    click's own optional values take whatever argument comes next.

    Args:
        option: its long name; without a value it is given empty text.
        is_value: whether the next argument is its value.
    """

    class Command(click.Command):
        def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
            end = args.index("--") if "--" in args else len(args)
            for i in [i for i, argument in enumerate(args[:end]) if argument == option]:
                if i + 1 >= len(args) or not is_value(args[i + 1]):
                    args[i] = f"{option}="
            return super().parse_args(ctx, args)

    return Command


def wishes_options(function: F) -> F:
    """What ``submit`` and ``resume`` may be asked besides: ``mail``, and fields of ``launch.submit.Wishes``."""
    function = click.option(
        "--mail", metavar="ADDRESS", help="Slurm: write there at the end of each array and at failures"
    )(function)
    function = click.option(
        "--chain", is_flag=True, help="Slurm: end with a small job that resumes what was held back or interrupted"
    )(function)
    function = click.option(
        "--code",
        "current_code",
        type=click.Choice(["recorded", "current"]),
        default="recorded",
        callback=lambda ctx, param, value: value == "current",
        help="which code runs the cells of a recorded sweep",
    )(function)
    return click.option(
        "--retry-failed", is_flag=True, help="also run cells that ended with a bug, bad data or a NaN loss"
    )(function)
