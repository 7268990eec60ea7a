"""Run a submission on this machine, in the foreground."""

from __future__ import annotations

from paceline.launch import local, submit
from paceline.launch.local import View
from paceline.launch.submit import Submission
from paceline.store.root import Store
from paceline.sweep import status
from paceline.worker import Launch, run_cells


def run(decided: Submission, store: Store, view: View) -> None:
    """Run the elements and close the submission, whatever happens on the way."""
    assert decided.path is not None
    executor = submit.executor_of(decided.elements)
    jobs: dict[str, str] = {}
    view.named([store.cell(cell).read() for cell in decided.found])
    try:
        if executor == "debug":
            for index, element in enumerate(decided.elements):
                view.started(element)
                sweep = decided.path.parents[1].name
                launch = Launch(element.placement, sweep, str(decided.path), index, job="debug", foreground=True)
                interrupted = run_cells(element.kind, [store.cell(c).path for c in element.cells], launch)
                for cell, state in status.states(store, [store.cell(c).read() for c in element.cells]).items():
                    view.ended(cell, state)
                if interrupted:
                    break
        else:
            configured_slots = max(int(e.placement["cluster"]["slots"]) for e in decided.elements)
            scheduler = local.Scheduler(
                store,
                decided.path,
                decided.elements,
                decided.code,
                local.slots(configured_slots),
                view,
                local.devices(),
            )
            jobs = scheduler.run()
    finally:
        submit.close(decided.path, jobs)
