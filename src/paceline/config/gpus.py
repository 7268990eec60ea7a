"""GPUs by the names that clusters give them: the memory that their driver reports, and what they can compute in.

A "40 GB" card has 40 GiB less what its error correction and its driver keep: torch sees 39.4 to 39.6 GiB of it, by
board and driver. The figures are ``torch.cuda.get_device_properties().total_memory`` as people report them; where they
report several, the least. On a card at hand the figure counts that is read there, not this one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from paceline.config.schema import ClusterSpec
from paceline.errors import UserError, nearest


@dataclass(frozen=True)
class Card:
    """A type of GPU.

    Attributes:
        name: by which it can be asked for here, such as ``a100_40``.
        gib: memory that the driver reports.
        capability: CUDA compute capability; bfloat16 wants 8.0.
        types: names of its type in Slurm's GRES (``cluster.gpu``), by which it is asked for.
        features: what a cluster calls nodes that have it, where the type alone leaves the memory open.
    """

    name: str
    gib: float
    capability: tuple[int, int]
    types: tuple[str, ...]
    features: tuple[str, ...] = ()

    @property
    def bfloat16(self) -> bool:
        """Whether it computes in bfloat16, not only in emulation."""
        return self.capability >= (8, 0)


CARDS = (
    Card("v100_16", 15.77, (7, 0), ("v100",), ("v100-16gb",)),
    Card("v100_32", 31.74, (7, 0), ("v100",), ("v100-32gb",)),
    Card("rtx6000_24", 23.65, (7, 5), ("rtx_6000", "rtx6000", "quadro_rtx_6000")),
    Card("a100_40", 39.39, (8, 0), ("a100",), ("a100-40gb",)),
    Card("a100_80", 79.15, (8, 0), ("a100",), ("a100-80gb",)),
    Card("l40s_48", 44.40, (8, 9), ("l40s",)),
    Card("h100_80", 79.10, (9, 0), ("h100",)),
    Card("h200_141", 139.72, (9, 0), ("h200",)),
)

# Types of a compute capability below 8.0 beside those above, whose memory is not listed yet.
OLDER = {
    *("k80", "m40", "m60", "p4", "p40", "p100", "t4", "titanv", "titanrtx", "v100s"),
    *("rtx4000", "rtx5000", "rtx8000", "gtx1080", "gtx1080ti", "rtx2070", "rtx2080", "rtx2080ti"),
}
# Parts of a type that name who made it, how it is plugged in and how much memory it has.
_NO_NAME = re.compile(r"nvidia|tesla|quadro|pcie|sxm\d?|\d{1,2}(gb?)?")


def before_ampere(name: str) -> bool:
    """Whether a type of GPU, as a cluster spells it, is one of a compute capability below 8.0.

    Those have no bfloat16 and no FlashAttention-2.
    """
    return _bare(name) in OLDER | {_bare(t) for c in CARDS if not c.bfloat16 for t in c.types}


def _bare(name: str) -> str:
    """A type's name alone: ``Tesla-V100-PCIE-32GB`` is a ``v100``."""
    words = re.split(r"[^a-z0-9]+", name.lower())
    return "".join(w for w in words if not _NO_NAME.fullmatch(w))


def by_name(name: str) -> Card:
    """A card by its own name.

    Raises:
        UserError: there is none of that name, with the nearest.
    """
    matches = [c for c in CARDS if c.name == name.lower()]
    if not matches:
        raise UserError(f"no card '{name}': {nearest(name, [c.name for c in CARDS])}")
    return matches[0]


def cards_of(cluster: ClusterSpec) -> list[Card]:
    """The cards that a cluster's settings may give, the smallest first; none where no GPU is asked for that is known.

    A type that comes in several sizes may be any of them, unless ``cluster.constraint`` names one. Slurm gives none
    that was not asked for; on this machine ranks take those that there are, and ``cluster.gpu`` names them.
    """
    if not cluster.gpus and cluster.executor == "slurm":
        return []
    gpu, constraint = cluster.gpu.lower(), cluster.constraint.lower()
    named = [c for c in CARDS if c.name == gpu]
    cards = named or [c for c in CARDS if gpu in c.types]
    narrowed = [c for c in cards if any(f in constraint for f in c.features)]
    return sorted(narrowed or cards, key=lambda c: c.gib)


def asked_as(cluster: ClusterSpec) -> tuple[str, str]:
    """What Slurm is asked for: type and constraint. A card's own name, such as ``a100_40``, stands for both.

    The names are those of Georgia Tech's PACE; where another cluster has other ones, give its own.
    """
    named = [c for c in CARDS if c.name == cluster.gpu.lower()]
    if not named:
        return cluster.gpu, cluster.constraint
    feature = named[0].features[0].upper() if named[0].features else ""
    return named[0].types[0].upper(), cluster.constraint or feature
