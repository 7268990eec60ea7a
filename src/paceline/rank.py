"""What Slurm starts on a node: one rank of an element, as ``python -m paceline.rank SUBMISSION ARRAY``.

submitit's own entry waits for a file named by the job's id, which a launcher that died after sbatch never wrote. Here
the file is made from the submission's own, so a job needs nothing but what was there before sbatch.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from pathlib import Path

import submitit
from submitit.core.submission import process_job
from submitit.core.utils import DelayedSubmission

from paceline.store.files import read_json
from paceline.worker import RunElement, elements

# Times that a job requeues itself when its walltime is over.
TIMEOUTS = 3


def main() -> None:
    """Run this process's rank; its place in the array is Slurm's word."""
    submission, array = Path(sys.argv[1]), int(sys.argv[2])
    folder = submission / "submitit"
    os.environ["SUBMITIT_FOLDER"] = str(folder)
    environment = submitit.JobEnvironment()
    pickled = environment.paths.submitted_pickle
    if environment.global_rank == 0 and not pickled.exists():
        path = submission / "elements.json"
        index = read_json(path)["arrays"][array][int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))]
        delayed = DelayedSubmission(RunElement(str(submission), index))
        delayed.set_timeout(elements(path)[index]["placement"]["cluster"]["minutes"], TIMEOUTS)
        draft = pickled.with_name(f".{pickled.name}.{secrets.token_hex(4)}.tmp")
        delayed.dump(draft)
        draft.replace(pickled)
    process_job(folder)
    # It came to its end, so nobody will read what it returned (nothing), nor begin it again.
    with contextlib.suppress(OSError):
        environment.paths.result_pickle.unlink(missing_ok=True)
        if environment.num_tasks == 1:  # another rank may not have read it yet
            pickled.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
