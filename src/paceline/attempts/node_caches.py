"""What torch reads of the environment of a cell's process, set before it is imported: caches, and the allocator.

Compiled kernels are written by many ranks at once and hold for one type of GPU. Under a home folder, where the
libraries put them, they meet a quota, and a file system on which many nodes wait for each other's locks. So they stay
on the node. What a user has set is left alone.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import stat
import tempfile
from pathlib import Path

# Variable -> folder: kernels of Triton, torch.compile and CUDA's driver, and operators that DeepSpeed compiles.
CACHES = {
    "TRITON_CACHE_DIR": "triton",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "CUDA_CACHE_PATH": "cuda",
    "TORCH_EXTENSIONS_DIR": "torch_extensions",
}
# Torch 2.13 reads the first that is set, earlier versions the first alone.
ALLOCATOR = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF", "PYTORCH_ALLOC_CONF")


def place() -> None:
    """Name a folder on this node, of this user's own, for every cache that has none yet."""
    wanted = {name: sub for name, sub in CACHES.items() if not os.environ.get(name)}
    if not wanted or (folder := _own_folder()) is None:
        return
    os.environ.update({name: str(folder / sub) for name, sub in wanted.items()})


def prepare(trains: bool) -> None:
    """Set what a process that runs cells is to find.

    Args:
        trains: whether the cells are tuned. Their activations differ in size from step to step: on a GPU the allocator
            then grows its segments instead of leaving gaps between them. Without a GPU it has no effect.
    """
    place()
    if trains and not any(os.environ.get(name) for name in ALLOCATOR):
        os.environ[ALLOCATOR[0]] = "expandable_segments:True"


@functools.cache
def _own_folder() -> Path | None:
    """A folder under TMPDIR, else /tmp, that nobody else can write to; None where no folder can be made.

    Its name is one that anybody could have taken first. What lies there is run as code.
    """
    with contextlib.suppress(OSError):
        path = Path(tempfile.gettempdir()) / f"paceline-{os.getuid()}"
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022:
            return path
    with contextlib.suppress(OSError):
        other = Path(tempfile.mkdtemp(prefix="paceline-"))
        atexit.register(shutil.rmtree, other, ignore_errors=True)
        return other
    return None
