"""Write docs/models.md from the config files, what is known of the checkpoints, and the tests: python docs/models.py"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paceline import tasks
from paceline.config.build import build
from paceline.config.checks import from_hub
from paceline.config.joined_parts import is_twin, source_name, sources
from paceline.config.schema import ModelSpec
from paceline.gpu_memory.shapes import shape_of
from paceline.launch.environments import NEEDED, SAME
from paceline.models import hub_files
from paceline.models.registry import says
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

`prepare` fetches one set of weights (safetensors before `.bin`, never `original/` or `consolidated*`). It checks for
disk space first, resumes an interrupted download, and checks every file against the hub's digest before it counts.
Several at once need no lock: each process fetches into a file of its own, and none waits for another. Cells then run
with `HF_HUB_OFFLINE=1`. `doctor model=NAME` checks that the weights are complete (`--deep`: every byte), loads them
in a separate process, compares what can be counted with the table above, and lets the model describe a picture.

## Revisions

A hub model has the `revision` of its file, a commit of 40 hex digits. Where the file leaves it empty, `prepare` asks
the hub for the newest commit of `main` and pins it: one line in `pins.yaml`, in your own config folder (`--conf` or
`PACELINE_CONF`, where you can write to it), or in the root. Every command reads both, the folder first; the file's own
revision comes before a pin, and gives the same cells. Keep the file with your configs, and colleagues run the same
weights:

```yaml
Qwen/Qwen2-VL-2B-Instruct: "<40 hex digits>"  # pinned 2026-03-01, the hub's newest (2025-01-12)
```

A pin moves only by `paceline prepare --refresh model=NAME`, which tells the old commit and the new one; cells of the
new one are other cells. Without a network nothing is pinned. You may edit the file; a line that is no pin is refused.
A model whose own code runs here is never pinned for you. `prepare` tells the newest commit and its page: read the code
there, then write the line that it prints, with `code: read`. `show` and `doctor model=NAME` tell where a revision is
pinned.

## Another environment

A model whose code needs other versions than the pinned ones names them in its file, and the folder of a venv or conda
environment that has them:

```yaml
family: remote              # answers by its own `answer_question`, one image at a time; can't be tuned
remote_code: true           # only at a commit whose code you have read, or from a folder of yours
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


def proven(model: ModelSpec, of: list[ModelSpec]) -> str:
    """What was shown here of a model's family, in words; ``of`` are all models."""
    link = f"[{{}}](#{model.family})"
    if says(model.family, "own_call", False):
        return link.format("call") + " on a stand-in"
    twins = [m for m in of if m.family == model.family and is_twin(m)]
    shown = [link.format("twin") + " answers, is tuned, killed and resumed"] if twins else []
    counted = [m for m in (model, *twins) if shape_of(m) is not None]
    shown += ["memory planned"] if model in counted else ["memory of its twin planned"] if counted else []
    return "; ".join(shown) or "nothing"


def row(model: ModelSpec, of: list[ModelSpec]) -> str:
    """A table row of a hub model; ``of`` are all models."""
    known = hub_files.facts(model)
    gated = {True: "gated", False: "open", None: "not known"}[known.get("gated")]
    revisions = [source.revision[:12] for source in sources(model)]
    unpinned = "pin it yourself" if any(map(from_hub, sources(model))) else "by content"
    pinned = " + ".join(f"`{r}`" for r in revisions) if all(revisions) else unpinned
    named = " + ".join(f"`{source.weights}`" for source in sources(model))
    licence = known.get("licence") or "see its page"
    cells = (f"`{model.name}`", named, f"`{model.family}`", number(known.get("parameters")))
    told = (number(known.get("image_tokens")), f"{licence}; {gated}", pinned, proven(model, of))
    return f"| {' | '.join((*cells, *told))} |"


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
    twins = [m.name for m in of if is_twin(m)]
    real = [m for m in of if not is_twin(m)]
    yield f"\n### {family}\n"
    if twins:
        yield f"- Twin `{'`, `'.join(twins)}`: the tests of every twin, below."
    for path in modules_of(family):
        yield f"- `{path.relative_to(PATH.parents[1])}`:"
        yield from (f"  - {sentence}" for sentence in tests_in(path))
    for model in real:
        if model.served:
            yield f"- Unproven, needs the service: that `{model.name}` answers (`paceline doctor model={model.name}`)."
            continue
        known = hub_files.facts(model)
        if source := known.get("source"):
            yield item(f"Parameters of `{model.name}` from: {source}.")
        yield from (item(f"Measured, `{model.name}`: {line}") for line in known.get("measured", ()))
        if ran := known.get("ran"):
            yield item(f"With its weights, `{model.name}` was {ran}.")
            continue
        yield f"- Unproven, needs the weights: that `{source_name(model)}` loads and answers"
        yield f"  (`paceline doctor model={model.name}`)."


def item(sentence: str) -> str:
    """A list item in lines of at most 120 characters."""
    return textwrap.fill(f"- {sentence}", 120, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def text() -> str:
    """The whole page."""
    found = models()
    lines = [HEAD, "## From the hub\n"]
    lines += [
        "| model | hub id | family | parameters | image tokens¹ | licence; access | revision | proven here² |",
        "|---|" + "---|" * 7,
    ]
    lines += [row(m, found) for m in found if not is_twin(m) and not m.served]
    lines.append("\n¹ Tokens that the picture of `paceline doctor`, 448 × 448 pixels, adds to a prompt.")
    lines.append("\n² On random weights of the real classes; what in particular stands below.")
    lines.append("\n## By API\n\nAnswered by a service; [api.md](api.md) says how.\n")
    lines += ["| model | name at the service | endpoint |", "|---|---|---|"]
    lines += [f"| `{m.name}` | `{m.weights}` | `{m.endpoint}` |" for m in found if m.served]
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
