"""Write docs/reference.md from the schema, the config files and the verbs: python docs/reference.py"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paceline.cli.app import ORDER, VERBS
from paceline.config import build, declared, schema
from paceline.data import readers
from paceline.store.code import shipped
from paceline.store.files import canonical
from paceline.sweep.config_files import ConfTree
from paceline.sweep.overrides import SWEEP_KEYS

PATH = Path(__file__).with_name("reference.md")
HEAD = """# Reference

Written by `make docs` from the code; a test holds it equal. *Identity* is what is computed and part of a cell's id;
*placement* is how it is run, and never changes an id.
"""


# What shapes a sweep, not a cell: key -> (what it takes, what it says, an example).
SHAPE = {
    "name": ("text", "the sweep's name; empty: the experiment's, else one that stands for its cells", "name=mine"),
    "root": (
        "folder",
        "where everything is stored; then `$PACELINE_ROOT`, then `cluster.root`",
        "root=/scratch/me/runs",
    ),
    "axes": (
        "mapping, in experiments only",
        "the product of the sweep: key -> values, in the grammar of overrides; on the command line write `KEY=a,b`",
        'axes: {model: "a,b", method.lora.r: "8,16", prompt: glob(geo_*)}',
    ),
    "exclude": (
        "list of matches",
        "points left out: those that fit all keys of any one match",
        "exclude=[{model: tiny_*, prompt: geo_background}]",
    ),
    "only": ("list of matches", "points kept: those that fit any one match", "only=[{method: [untuned, lora]}]"),
    "adjust": (
        "list of `{match, set}`",
        "settings of what is computed, for the points that match; the later rule over the earlier, the command line "
        "over all",
        "adjust=[{match: {model: pixtral_12b}, set: {train.epochs: 5}}]",
    ),
    "place": (
        "list of `{match, set}`",
        "how the cells that match run (placement, deepspeed, cluster, tracking); `kind` in a match is finetune or "
        "evaluate",
        "place=[{match: {kind: finetune}, set: {deepspeed: zero2, placement.ranks: 2}}]",
    ),
}
MATCH = """
A match is a mapping. A group (`model`, `task`, `prompt`, `method`, …) fits by name, where `*` and `?` stand for any
letters; a key such as `method.lora.r` fits by its value; a list of values fits where one of them does. On the command
line a rule stands in quotes: `'exclude=[{model: a, task: b}]'`.
"""


def shape() -> Iterator[str]:
    """What is said of the keys that shape a sweep."""
    assert tuple(SHAPE) == SWEEP_KEYS, "SHAPE tells of the keys of sweep/overrides.py, in their order"
    yield "\n## The sweep\n\nKeys of an experiment or the command line that no cell has.\n"
    yield "| key | takes | what it says | example |\n|---|---|---|---|"
    for key, (takes, text, example) in SHAPE.items():
        yield f"| `{key}` | {takes} | {text} | `{example}` |"
    yield MATCH.rstrip()


def keys(cls: type, prefix: str) -> Iterator[str]:
    """A table row per key of a spec class."""
    types, defaults = build.field_types(cls), build.defaults(cls)
    for f in dataclasses.fields(cls):
        if f.name == "name":
            continue
        if dataclasses.is_dataclass(types[f.name]):
            yield from keys(types[f.name], f"{prefix}{f.name}.")
            continue
        takes = " ".join(filter(None, (values(types[f.name]), declared.allowed(f.metadata))))
        kind = f" ({f.metadata['only']} cells)" if f.metadata["only"] else ""
        text = f.metadata["doc"].replace("|", "\\|")
        yield f"| `{prefix}{f.name}` | `{canonical(defaults[f.name])}` | {takes} | {text}{kind} |"


def reader_options() -> Iterator[str]:
    """A section per reader, with a row per option."""
    for name in readers.names():
        module = readers.load(name)
        yield f"\n### {name}\n\n{first_sentence(module.__doc__ or '')}\n"
        yield from ("| `task.options.…` | default | takes | what it says |", "|---|---|---|---|")
        types, defaults = build.field_types(module.Options), build.defaults(module.Options)
        for f in dataclasses.fields(module.Options):
            takes = " ".join(filter(None, (values(types[f.name]), declared.allowed(f.metadata))))
            takes += "; a path" if f.name in getattr(module, "PATHS", ()) else ""
            doc = f.metadata["doc"].replace("|", "\\|")
            yield f"| `{f.name}` | `{canonical(defaults[f.name])}` | {takes} | {doc} |"


def first_sentence(text: str) -> str:
    """What a module says of itself, up to the first full stop at the end of a line or sentence."""
    return " ".join(text.strip().split("\n\n")[0].split()).split(". ")[0].rstrip(".").replace("``", "`") + "."


def values(hint: Any) -> str:
    """What a key takes, in words."""
    choices = getattr(hint, "__args__", ())
    if type(None) in choices:
        return " or ".join([*(values(c) for c in choices if c is not type(None)), "`null`"])
    if choices and all(isinstance(c, str) for c in choices):
        return ", ".join(f"`{c}`" for c in choices)
    return {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}.get(
        getattr(hint, "__name__", ""), "list" if "list" in str(hint) else "mapping"
    )


def first_comment(path: Path) -> str:
    """What a config file says of itself: the first sentence of its opening comment."""
    said: list[str] = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        if "@package" not in line:
            said.append(line.lstrip("# ").rstrip())
    return " ".join(said).split(". ")[0].rstrip(".") + "."


def text() -> str:
    """The whole page."""
    tree = ConfTree([shipped("conf")])
    lines = [HEAD, "## Verbs\n"]
    for verb in ORDER:
        summary = (VERBS / f"{verb}.py").read_text().split('"""')[1].strip().splitlines()[0]
        lines.append(f"- `paceline {verb}`: {summary}")
    lines.append("\n## Top level\n\n| key | default | takes | what it says |\n|---|---|---|---|")
    for f in dataclasses.fields(schema.Config):
        if f.name in schema.SCALARS:
            lines.append(
                f"| `{f.name}` | `{f.default}` | whole number {declared.allowed(f.metadata)} | {f.metadata['doc']} |"
            )
    lines += shape()
    for group, cls in schema.GROUPS.items():
        part = "placement" if group in schema.PLACEMENT_GROUPS else "identity"
        lines.append(f"\n## {group}\n\n{(cls.__doc__ or '').strip()} *({part})*\n")
        lines += ["| key | default | takes | what it says |", "|---|---|---|---|", *keys(cls, f"{group}."), ""]
        for choice in tree.choices(group):
            lines.append(f"- `{group}={choice}`: {first_comment(shipped('conf') / group / f'{choice}.yaml')}")
    lines.append("\n## experiment\n")
    for choice in tree.choices("experiment"):
        lines.append(f"- `experiment={choice}`: {first_comment(shipped('conf') / 'experiment' / f'{choice}.yaml')}")
    lines.append(
        "\n## readers\n\nThe options of each reader are keys below `task.options`. The files that they read, with "
        "examples, are in [data.md](data.md)."
    )
    lines += reader_options()
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
