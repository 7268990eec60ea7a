"""Write docs/models.md from the config files, what is known of the checkpoints, and the tests: python docs/models.py"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paceline import tasks
from paceline.config.build import build
from paceline.config.schema import ModelSpec
from paceline.launch.environments import NEEDED, SAME
from paceline.models import hub_files
from paceline.store.code import shipped
from paceline.sweep.config_files import ConfTree

PATH = Path(__file__).with_name("models.md")
TESTS = PATH.parents[1] / "tests" / "models"
EVERY_TWIN = TESTS / "families" / "test_families.py"

HEAD = """# Models

Written by `make docs` from `conf/model/`, `src/paceline/models/facts/` and the names of the tests; a test
compares them. The hub can't be reached where this is built, so no checkpoint was loaded here. What is listed as proven
was tested on published shapes and outputs, and on *twins*: a family's real classes with random weights.
"""

FETCHING = """
## Fetching weights

```console
$ hf auth login                                  # once; for a gated model also accept the terms on its page
$ export HF_HOME=/shared/scratch/$USER/hf        # visible to compute nodes, with room for tens of GiB
$ paceline prepare model=qwen2_vl_2b             # on a node with a network
$ srun --gres=gpu:1 paceline doctor model=qwen2_vl_2b
```

A hub model is refused until its file has a `revision` of 40 hex digits; `prepare` prints the newest. `prepare` fetches
one set of weights (safetensors before `.bin`, never `original/` or `consolidated*`). It checks for disk space first,
resumes an interrupted download, and checks every file against the hub's digest before it counts. Several at once need
no lock: each process fetches into a file of its own, and none waits for another. Cells then run with
`HF_HUB_OFFLINE=1`. `doctor model=NAME` checks that the weights are complete (`--deep`: every byte), loads them in a
separate process, compares what can be counted with the table above, and lets the model describe a picture.

## Another environment

A model whose code needs other versions than the pinned ones names them in its file, and the folder of a venv or conda
environment that has them:

```yaml
family: remote              # answers by its own `answer_question`, one image at a time; can't be tuned
remote_code: true           # only with a pinned revision, or a folder of yours
transformers: ">=4.43,<4.49"  # identity: part of the cell's id
environment: $MY_OLD_ENV    # placement: its folder on this machine, never part of an id
```

```console
$ python3.11 -m venv /shared/envs/old
$ /shared/envs/old/bin/pip install "transformers>=4.43,<4.49" torch {needed}
$ export MY_OLD_ENV=/shared/envs/old
```

Cells of such a model form elements of their own. `$MY_OLD_ENV/bin/python` runs them with the sweep's frozen code first
on its path. `plan` and `submit` ask that Python once for its versions, which must be:

- Python 3.11 or 3.12;
- {same} as in the launcher's environment, because a pickle is passed between them;
- transformers in the range.

The attempt's `start.json` records the versions.
"""


def models() -> list[ModelSpec]:
    """Every shipped model."""
    tree = ConfTree([shipped("conf")])
    return [
        build(ModelSpec, {**tree.load("model", n), "name": n}, f"conf/model/{n}.yaml") for n in tree.choices("model")
    ]


def number(value: Any) -> str:
    """A count, or the few that it may be."""
    if isinstance(value, list):
        return " or ".join(number(v) for v in value)
    return "–" if value is None else f"{value:,}"


def row(model: ModelSpec) -> str:
    """A table row of a hub model."""
    known = hub_files.facts(model)
    gated = {True: "gated", False: "open", None: "not known"}[known.get("gated")]
    pinned = f"`{model.revision[:12]}`" if model.revision else "pin it yourself"
    licence = known.get("licence") or "see its page"
    cells = (f"`{model.name}`", f"`{model.weights}`", f"`{model.family}`", number(known.get("parameters")))
    return f"| {' | '.join(cells)} | {number(known.get('image_tokens'))} | {licence}; {gated} | {pinned} |"


def tests_in(path: Path) -> list[str]:
    """What a test module covers: its names as sentences, in order."""
    names = [n.name for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef)]
    return [n.removeprefix("test_").replace("_", " ") for n in names if n.startswith("test_")]


def modules_of(family: str) -> list[Path]:
    """Test modules of one family: those that are called after it, or import its module."""
    found = []
    for path in sorted(TESTS.rglob("test_*.py")):
        tree = ast.parse(path.read_text())
        imported = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
        called = path.stem.removeprefix("test_") == family
        if path != EVERY_TWIN and (called or any(m.startswith(f"paceline.models.families.{family}") for m in imported)):
            found.append(path)
    return found


def family_lines(family: str, of: list[ModelSpec]) -> Iterator[str]:
    """What is proven of a family, and what is not."""
    twins = [m.name for m in of if not m.weights]
    real = [m for m in of if m.weights]
    yield f"\n### {family}\n"
    if twins:
        yield f"- Twin `{'`, `'.join(twins)}`: the tests of every twin, below."
    for path in modules_of(family):
        yield f"- `{path.relative_to(PATH.parents[1])}`:"
        yield from (f"  - {sentence}" for sentence in tests_in(path))
    for model in real:
        known = hub_files.facts(model)
        if source := known.get("source"):
            yield item(f"Parameters of `{model.name}` from: {source}.")
        yield from (item(f"Measured, `{model.name}`: {line}") for line in known.get("measured", ()))
        yield f"- Unproven, needs the weights: that `{model.weights}` loads and answers"
        yield f"  (`paceline doctor model={model.name}`)."


def item(sentence: str) -> str:
    """A list item in lines of at most 120 characters."""
    return textwrap.fill(f"- {sentence}", 120, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def text() -> str:
    """The whole page."""
    found = models()
    lines = [HEAD, "## From the hub\n"]
    lines += [
        "| model | hub id | family | parameters | image tokens¹ | licence; access | revision |",
        "|---|" + "---|" * 6,
    ]
    lines += [row(m) for m in found if m.weights]
    lines.append("\n¹ Tokens that the picture of `paceline doctor`, 448 × 448 pixels, adds to a prompt.")
    needed = " ".join(n for n in (*NEEDED, *tasks.packages(tasks.names())) if n not in ("torch", "transformers"))
    lines.append(FETCHING.format(needed=needed, same=" and ".join(SAME)))
    lines.append("## What is proven")
    for family in sorted({m.family for m in found}):
        lines += family_lines(family, [m for m in found if m.family == family])
    lines.append(
        f"\n### Every twin\n\n- `{EVERY_TWIN.relative_to(PATH.parents[1])}`, on each `conf/model/tiny_*.yaml`:"
    )
    lines += [f"  - {sentence}" for sentence in tests_in(EVERY_TWIN)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
