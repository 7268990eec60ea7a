"""The causes that an attempt can end with, and what follows from each."""

from __future__ import annotations

CAUSES = (
    "done",
    "timeout",
    "preempted",
    "node failure",
    "out of host memory",
    "CUDA out of memory",
    "code bug",
    "bad data",
    "NaN loss",
    "cancelled",
    "disk full",
    "service unavailable",
    "unknown",
)
# A second try with the same input ends the same way, so these wait for `--retry-failed`.
NOT_RETRIED = ("code bug", "bad data", "NaN loss")
# As those, or what waits for somebody to make room: trackers ring for it. The others are taken up by the next resume.
WAITS_FOR_PEOPLE = (*NOT_RETRIED, "disk full")
# What a tuning takes the next rung of the ladder after.
OUT_OF_MEMORY = ("CUDA out of memory", "out of host memory")
