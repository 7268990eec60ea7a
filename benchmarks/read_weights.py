"""What a cell pays for holding a folder of weights to its digest: beside reading it, and by one reader or several.

    python benchmarks/read_weights.py [MIB]

Writes four shards of random bytes (256 MiB each, or MIB), reads them plainly and digests them in turn, three times
each, from the page cache as a cell does that loads them afterwards. The digests must be equal.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from paceline.models import local_weights

SHARDS = 4


def fastest(work: Callable[[], object]) -> tuple[float, object]:
    seconds, result = [], None
    for _ in range(3):
        began = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - began)
    return min(seconds), result


def main() -> None:
    size = int(sys.argv[1]) << 20 if len(sys.argv) > 1 else 256 << 20
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        names = [f"model-{k}.safetensors" for k in range(SHARDS)]
        for name in names:
            with (folder / name).open("wb") as stream:
                for _ in range(size >> 20):
                    stream.write(os.urandom(1 << 20))

        def read() -> None:
            for name in names:
                with (folder / name).open("rb") as stream:
                    while stream.read(1 << 22):
                        pass

        def digest(readers: int) -> dict[str, str]:
            local_weights.READERS = readers
            return local_weights._digests(folder, names, lambda stage, done, total: None)

        gib = SHARDS * size / 2**30
        plain, _ = fastest(read)
        one, first = fastest(lambda: digest(1))
        several, second = fastest(lambda: digest(4))
    assert first == second
    print(f"{gib:.1f} GiB on {len(os.sched_getaffinity(0))} cores, from the page cache")
    print(f"read:               {plain / gib:6.2f} s a GiB")
    print(f"digest, one reader: {one / gib:6.2f} s a GiB")
    print(
        f"digest, four:       {several / gib:6.2f} s a GiB, {one / several:.1f} times as fast as one; digests are equal"
    )


if __name__ == "__main__":
    main()
