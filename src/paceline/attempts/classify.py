"""Why an attempt ended: the cause that an exception or a dying job stands for."""

from __future__ import annotations

import errno
import os
import re
import subprocess

from paceline.errors import DataError, Interrupted, NonFiniteLoss, ServiceUnavailable, Unavailable, UserError

# Between TERM and KILL stand Slurm's KillWait, 30 s by default, and the state is saved by then.
CONTROLLER_SECONDS = 5.0


def classify(error: BaseException) -> str:
    """The cause, of :data:`paceline.store.causes.CAUSES`, that an exception stands for."""
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, Interrupted):
            return chain.cause
        if isinstance(chain, KeyboardInterrupt):
            return "cancelled"
        if isinstance(chain, ServiceUnavailable):
            return "service unavailable"
        if isinstance(chain, NonFiniteLoss):
            return "NaN loss"
        if type(chain).__name__ == "OutOfMemoryError":  # torch's; named, so that torch need not be imported
            return "CUDA out of memory"
        if isinstance(chain, MemoryError) or "can't allocate memory" in str(chain):
            return "out of host memory"
        if isinstance(chain, OSError) and chain.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            return "disk full"
        # Libraries in other languages (safetensors) keep the message of the error and lose its errno.
        if any(os.strerror(number) in str(chain) for number in (errno.ENOSPC, errno.EDQUOT)):
            return "disk full"
        if isinstance(chain, DataError | UserError):
            return "bad data"
        if _lost_peer(chain):
            return "unknown"
        chain = chain.__cause__
    # A network or a file system that can't be used now comes back: worth another try.
    return "unknown" if isinstance(error, Unavailable | ConnectionError) else "code bug"


def _lost_peer(error: BaseException) -> bool:
    """Whether a collective failed because another rank is gone: its node died, and this one has no fault."""
    if type(error).__name__ in ("DistBackendError", "DistNetworkError", "DistStoreError"):
        return True
    message = str(error).lower()
    return (
        isinstance(error, RuntimeError)
        and any(backend in message for backend in ("gloo", "nccl"))
        and "peer" in message
    )


def why_ended() -> str:
    """The cause of a SIGTERM. A job that exits on it is FAILED in Slurm afterwards, whether it was cancelled or
    preempted; while it still runs, the controller has the cause."""
    command_line = ["scontrol", "show", "job", os.environ.get("SLURM_JOB_ID", "")]
    try:
        output = subprocess.run(
            command_line, capture_output=True, text=True, timeout=CONTROLLER_SECONDS, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return "cancelled"
    match = re.search(r"\bPreemptTime=(\S+)", output)
    return "preempted" if match and match[1] not in ("None", "N/A", "Unknown") else "cancelled"
