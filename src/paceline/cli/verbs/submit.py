"""Make the cells of a sweep true: run what is missing, skip what is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from paceline.cli.options import json_option, overrides_argument, wishes_options
from paceline.cli.resolve import (
    compose_words,
    data_digests,
    pins,
    require_compared,
    say_json,
    short,
    store_of,
    with_mail,
)
from paceline.counted import agree, counted

if TYPE_CHECKING:
    from paceline.launch.expected import Expected
    from paceline.launch.outlook import Outlook
    from paceline.launch.submit import Submission
    from paceline.store.root import Store
    from paceline.sweep.cells import Sweep
    from paceline.sweep.compose import Composition


@click.command(short_help="run what is missing, skip what is done")
@overrides_argument
@json_option
@click.option("--extend", is_flag=True, help="add cells to a recorded sweep of the same name")
@click.option("--mend", is_flag=True, help="after a wrong YAML: put these cells in the place of those that failed")
@wishes_options
def command(
    words: Sequence[str], conf: str | None, as_json: bool, extend: bool, mend: bool, mail: str | None, **wished: Any
) -> None:
    """Make the cells of a sweep true: run what is missing or was interrupted, skip what is done or runs already.

    \b
    paceline submit experiment=demo
    paceline submit model=tiny_qwen2_vl task=geolocation_earth prompt=geo_bare,geo_training name=mine
    """
    from paceline.data import samples
    from paceline.sweep.cells import expand
    from paceline.sweep.sweep_lines import left_out

    words = with_mail(words, mail)
    composition = compose_words(words, conf)
    store = store_of(composition)
    sweep = expand(
        composition,
        data_digests(store, words, conf),
        lambda task: samples.splits(store.root, task),
        pins(store),
        store.root,
    )
    require_compared(sweep, store, words, conf)
    for line in left_out(sweep.dropped):
        click.echo(line, err=True)
    make_true(sweep, store, composition, as_json, extend=extend, mend=mend, **wished)


def make_true(sweep: Sweep, store: Store, composition: Composition, as_json: bool, **wished: Any) -> None:
    """Decide, run, and print how it ended; shared with ``resume`` and ``run``.

    Args:
        sweep: the cells.
        store: where.
        composition: what the command line was read into, for its config files.
        as_json: print the outcome for programs.
        wished: fields of :class:`paceline.launch.submit.Wishes`.

    Raises:
        CellsFailed: some cells are not done and nothing else runs them.
    """
    from paceline.cli.progress import Watch
    from paceline.errors import CellsFailed
    from paceline.launch import expected, gpu_fit, submit
    from paceline.launch import foreground as launch_run
    from paceline.sweep import status

    takes: list[Expected] = []

    def tell(ahead: Outlook) -> None:
        fits = gpu_fit.look(ahead.plan.chosen, store, composition.tree.presets())
        takes.append(expected.expected(ahead, sweep, fits, store))
        if takes[0].words:
            click.echo(f"{sweep.name}: {takes[0].words}", err=True)

    decided = submit.decide(sweep, store, submit.Wishes(**wished), composition.tree, tell)
    for note in decided.notes:
        click.echo(f"note: {note}", err=True)
    before = status.counts(decided.found.values())
    states = decided.found
    if decided.path is None:
        click.echo(f"{sweep.name}: nothing to start ({status.in_words(before)})", err=True)
        tell_held(decided)
    else:
        cells = sum(len(e.cells) for e in decided.elements)
        click.echo(
            f"{sweep.name}: {cells} of {counted(len(sweep.cells), 'cell')} to run in "
            f"{counted(len(decided.elements), 'element')} "
            f"({short(store.root)}/sweeps/{sweep.name})",
            err=True,
        )
        if decided.jobs:
            tell_jobs(decided)
            if as_json:
                going = {"jobs": decided.jobs, "chain": decided.chain, "held": decided.held}
                say_json({"sweep": sweep.name, **going, "expected": takes[0].as_json()})
            return
        with Watch(len(sweep.cells), before.get("done", 0)).showing() as view:
            launch_run.run(decided, store, view)
        states = status.of_sweep(store, sweep)
    after = status.counts(states.values())
    if as_json:
        say_json({"sweep": sweep.name, "started": [c for e in decided.elements for c in e.cells], "states": after})
    if decided.path is not None:
        click.echo(f"{sweep.name}: {status.in_words(after)}", err=True)
    unfinished = [s for s in states.values() if s.state in ("failed", "interrupted", "waiting", "missing")]
    if unfinished:
        failed = [s for s in unfinished if s.state == "failed"]
        remedy = f"paceline resume {sweep.name}" + (" --retry-failed" if failed else "")
        first = (failed or unfinished)[0]
        if first.cause == "bad data":
            remedy += "; after a wrong setting mend its YAML and submit the same again with --mend"
        raise CellsFailed(
            f"{counted(len(unfinished), 'cell')} {agree(len(unfinished), 'is', 'are')} not done; "
            f"first: {first.id} ({first.cause or first.state}"
            f"{': ' + first.detail if first.detail else ''}); see: paceline logs {first.id.rpartition('-')[2]}; "
            f"then: {remedy}"
        )
    if decided.path is not None:
        click.echo(f"see the results: paceline report {sweep.name}", err=True)


def tell_jobs(decided: Submission) -> None:
    """What went to Slurm, and what is left."""
    arrays = sorted({job.partition("_")[0] for job in decided.jobs.values()}, key=int)
    click.echo(
        f"{counted(len(decided.jobs), 'element')} in {counted(len(arrays), 'job')} of Slurm: {', '.join(arrays)}",
        err=True,
    )
    tell_held(decided)
    if decided.chain:
        click.echo(f"job {decided.chain} resumes the sweep when they are over", err=True)
    click.echo("look with: paceline status", err=True)


def tell_held(decided: Submission) -> None:
    """What the submit limit held back."""
    if decided.held:
        following = "that job releases them" if decided.chain else "the next resume releases them"
        click.echo(f"{counted(len(decided.held), 'cell')} held back: {decided.reason}; {following}", err=True)
