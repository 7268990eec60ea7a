"""The `paceline` command: finds its verbs in ``cli/verbs/`` and turns errors into one line and an exit code."""

from __future__ import annotations

import importlib
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from paceline import __version__
from paceline.errors import PacelineError, nearest

importlib.import_module("paceline.cli.bash_completion")  # puts its shell in the place of click's
VERBS = Path(__file__).parent / "verbs"
# In the order in which a sweep is lived through.
ORDER = [
    "prepare",
    "fit",
    "plan",
    "submit",
    "status",
    "logs",
    "resume",
    "cancel",
    "score",
    "report",
    "marks",
    "compare",
    "explain",
    "check",
    "sync",
    "dashboard",
    "show",
    "run",
    "ls",
    "clean",
    "rm",
    "doctor",
]


class Verbs(click.Group):
    """Loads one verb's module only when it is asked for, so that `--help` costs nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the verbs: the files of the folder."""
        names = {p.stem for p in VERBS.glob("*.py") if p.stem != "__init__"}
        return [n for n in ORDER if n in names] + sorted(names - set(ORDER))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's click command, or None."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"paceline.cli.verbs.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's own, but a wrong verb gets its right name back."""
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            ctx.fail(f"no verb '{args[0]}': {nearest(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """As click's own, but a reader that has seen enough (`paceline show … | head`) is no error."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # What is still in the buffer goes nowhere, so that Python's own last flush is quiet too.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Verbs with their first line, read from the files without importing them."""
        rows = []
        for name in self.list_commands(ctx):
            text = (VERBS / f"{name}.py").read_text()
            rows.append((name, text.split('"""')[1].strip().splitlines()[0]))
        with formatter.section("Verbs"):
            formatter.write_dl(rows)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="paceline %(version)s")
def cli() -> None:
    """Sweeps of vision-language models: composed from YAML, launched as arrays, resumed from files, compared.

    \b
    paceline prepare task=geolocation_earth
    paceline plan    experiment=demo
    paceline submit  experiment=demo
    paceline report  demo

    Words such as model=a,b or prompt=glob(geo_*) are overrides in Hydra's grammar.
    """


def meant(words: Sequence[str]) -> list[str]:
    """The overrides that may be meant by an option with the name of a key: ``--model=x`` or ``--model x``."""
    from paceline.sweep.overrides import check_key, dotted_keys

    for place, word in enumerate(words):
        name, given, value = word.lstrip("-").partition("=")
        if not word.startswith("-") or not name:
            continue
        following = words[place + 1] if place + 1 < len(words) else ""
        if not given and not following.startswith("-") and "=" not in following:
            value = following
        name = name.replace("-", "_")
        try:
            check_key(name, word)
            keys = [name]
        except PacelineError:
            keys = [key for key in dotted_keys() if key.endswith(f".{name}")]
        if keys:
            return [shlex.quote(f"{key}={value}") if value else f"{key}=…" for key in keys]
    return []


def main() -> None:
    """Entry point. Exit codes: 0 well, 1 some cells failed, 2 the user's input, 3 Slurm, disk or network."""
    try:
        code = cli(prog_name="paceline", standalone_mode=False)
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.ClickException as error:
        if isinstance(error, click.NoSuchOption) and (overrides := meant(sys.argv[1:])):
            print(f"paceline: settings are overrides, without dashes: write {' or '.join(overrides)}", file=sys.stderr)
        else:
            error.show()
        code = 2
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        code = 130
    except PacelineError as error:
        print(f"paceline: {error}", file=sys.stderr)
        code = error.exit_code
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
