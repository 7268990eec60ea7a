"""The digest of a scorer: over the source of all that can change a score."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path

from paceline import stats
from paceline.imports import defined, imported
from paceline.plugins import source_of
from paceline.tasks import metrics as metrics_module
from paceline.tasks.kind import Kind


def scorer_digest(kind: Kind) -> str:
    """12 hex digits over the source of all that can change a score of a kind.

    A metric counts as computed by this checkout if the digests are equal.
    """
    total = hashlib.sha256()
    for name, source in sorted(scorer_sources(kind).items()):
        total.update(f"{name}\n".encode())
        total.update(source)
    return total.hexdigest()[:12]


JUDGES = ("read", "score", "embeds", "columns", "resample", "METRICS", "OUTCOMES", "parts", "split")
"""What a kind gives that a score or a metric can depend on. What is shown of it is not among them."""


def scorer_sources(kind: Kind) -> dict[str, bytes]:
    """Module name -> source: the kind's judging functions, and whole every module of ours that they rest on.

    Imports are followed in the source, through any number of modules, so those inside functions count, too; a lab's
    modules are followed as ours are, and count by name and content, wherever they lie. Of the
    modules that hold the judging functions themselves only the definitions count that these reach: a kind may be one
    module, and how it is shown must not make its metrics old. Data files beside a module that it names count, too.
    """
    sources: dict[str, bytes] = {}
    waiting = [stats.__name__, metrics_module.__name__]
    for holder in {kind.holder(name) for name in JUDGES}:
        if holder is not None and holder.__file__ is not None:
            text, needed = reached(Path(holder.__file__), JUDGES, str(holder.__package__))
            sources[holder.__name__] = text
            sources |= data_files(Path(holder.__file__), text)
            waiting += needed
    while waiting:
        name = waiting.pop()
        if name in sources or name in NOT_JUDGING or not _counts(name):
            continue
        if path := source_of(name):
            sources[name] = path.read_bytes()
            sources |= data_files(path)
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            waiting += imported(ast.parse(sources[name]), package)
    return sources


DATA = (".csv", ".json", ".toml", ".txt", ".yaml", ".yml")


def data_files(path: Path, source: bytes | None = None) -> dict[str, bytes]:
    """The data files beside a module that its source names, such as a vocabulary: folder and name -> content."""
    names = {
        node.value
        for node in ast.walk(ast.parse(path.read_bytes() if source is None else source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(DATA)
    }
    files = [path.parent / name for name in sorted(names) if "/" not in name]
    return {f"{path.parent.name}/{file.name}": file.read_bytes() for file in files if file.is_file()}


NOT_JUDGING = {"paceline.tasks", "paceline.tasks.kind", "paceline.tasks.panels"}
"""The contract, and what is shown."""


def _counts(name: str) -> bool:
    return name.startswith("paceline.tasks.") or name == stats.__name__


def reached(path: Path, names: Iterable[str], package: str) -> tuple[bytes, list[str]]:
    """The definitions of a module that some names reach, and the modules that these import.

    Returns:
        Their source, in the order of the module, and dotted names (:func:`paceline.imports.imported`).
    """
    tree = ast.parse(path.read_bytes())
    definitions = {name: node for node in tree.body for name in defined(node)}
    waiting, included = [name for name in names if name in definitions], dict[str, ast.stmt]()
    while waiting:
        name = waiting.pop()
        if name not in included:
            included[name] = definitions[name]
            waiting += [n.id for n in ast.walk(definitions[name]) if isinstance(n, ast.Name) and n.id in definitions]
    kept = [node for node in tree.body if any(node is one for one in included.values())]
    text = "\n\n".join(ast.unparse(node) for node in kept if not isinstance(node, ast.Import | ast.ImportFrom))
    return text.encode(), [name for node in kept for name in imported(node, package)]
