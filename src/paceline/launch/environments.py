"""The Python environment of an element: another one, where a model's code runs only on versions that are not here.

What such an environment must hold is queried from its interpreter once, and cached until something is installed there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from paceline import __version__, plugins
from paceline.config.build import plain
from paceline.config.checks import CONTENT, in_folder
from paceline.config.joined_parts import called, sources
from paceline.config.schema import Config, ModelSpec
from paceline.errors import PacelineError, Unavailable, UserError
from paceline.models import hub_files, local_weights
from paceline.store.files import SCHEMA, digest, read_json, write_json
from paceline.store.root import Store

SECONDS = 120.0
# What a cell that answers imports besides the code that it brings: for the launcher's pickle, the model, the images,
# the statistics. A kind of task declares what it imports besides. The launcher's must be the same here and there.
NEEDED = (
    "submitit",
    "cloudpickle",
    "torch",
    "transformers",
    "packaging",
    "numpy",
    "scipy",
    "pillow",
    "wandb",
)
SAME = ("submitit", "cloudpickle")
_ASK = """
import json, os, sys
from importlib import metadata
versions = {}
for name in sys.argv[1:]:
    try:
        versions[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
folders = {p: os.stat(p).st_mtime_ns for p in sys.path if os.path.isdir(p)}
print(json.dumps({"python": sys.version.split()[0], "versions": versions, "folders": folders}))
"""


def interpreter(environment: str) -> str:
    """The Python of an environment, by its folder; this one's where none is named.

    Raises:
        UserError: a variable that is not set, or no such folder, or none with a Python in it.
    """
    if not environment:
        return sys.executable
    text = os.path.expandvars(environment)
    if "$" in text:
        raise UserError(f"model.environment: {environment} is not set here; export it, or give the folder")
    path = Path(text).expanduser()
    python = path / "bin" / "python"
    if not path.is_absolute() or not os.access(python, os.X_OK):
        raise UserError(
            f"model.environment: there is no {python}; give the folder of a venv or a conda environment, whole"
        )
    return str(python)


def ask_module(module: str, model: ModelSpec, question: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a module of ours, such as :mod:`paceline.inference.describe`, answers: run by a model's own interpreter.

    It reads a question as JSON (the model's spec, where none is given) and ends with one line of JSON.

    Raises:
        UserError: it failed; the message is its last line on stderr.
        Unavailable: it ended with the exit code of that.
    """
    command_line = [interpreter(model.environment), "-m", module]
    request = json.dumps(plain(model) if question is None else question)
    source = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    variables = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    variables |= plugins.handed_on()
    done = subprocess.run(command_line, input=request, capture_output=True, text=True, check=False, env=variables)
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        error_lines = [line for line in done.stderr.splitlines() if line.strip()]
        kind = Unavailable if done.returncode == Unavailable.exit_code else UserError
        raise kind(
            error_lines[-1] if error_lines else f"{command_line[0]} ended with {done.returncode} and said nothing"
        )
    return dict(json.loads(lines[-1]))


def shown(environment: str) -> str:
    """:func:`interpreter` for a plan: as it is named, where it is not there."""
    try:
        return interpreter(environment)
    except UserError:
        return f"{environment}/bin/python"


def versions(environment: str, store: Store, packages: Sequence[str] = ()) -> dict[str, Any]:
    """``{python, versions}`` of an environment, from its interpreter: of what every cell needs, and of some packages.

    Raises:
        UserError: no such environment, or its Python does not run.
    """
    python = interpreter(environment)
    named = sorted({*NEEDED, *packages})
    kept = store.root / "asked" / f"environment-{digest([python, *named], 12)}.json"
    try:
        known = read_json(kept)
        if all(Path(p).stat().st_mtime_ns == mtime for p, mtime in known["folders"].items()):
            return dict(known)
    except (PacelineError, OSError, KeyError, TypeError, AttributeError):
        pass
    # Isolated from this shell: what PYTHONPATH brings would be taken for the environment's own.
    command_line = [python, "-I", "-c", _ASK, *named]
    try:
        done = subprocess.run(command_line, capture_output=True, text=True, timeout=SECONDS, check=True)
        record = {"schema": SCHEMA, **json.loads(done.stdout.splitlines()[-1])}
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        error_lines = str(getattr(error, "stderr", "") or error).strip().splitlines()
        raise UserError(
            f"model.environment: {python} does not run: {error_lines[-1] if error_lines else error}"
        ) from None
    with contextlib.suppress(PacelineError):  # not cached: queried again next time
        write_json(kept, record)
    return record


def problems(model: ModelSpec, store: Store, packages: Sequence[str] = ()) -> list[str]:
    """Why a model's cells would fail in its environment, each with what to install; none where they would run.

    ``packages`` are those that the tasks' kinds need besides.
    """
    where = f"conf/model/{model.name}.yaml"
    try:
        supported = SpecifierSet(model.transformers)
    except InvalidSpecifier:
        return [f"{where}: transformers: {model.transformers} is no range of versions; write one such as >=4.43,<4.49"]
    if not model.environment:
        return _out_of_range(model, supported, _here()) if model.transformers else []
    try:
        record = versions(model.environment, store, packages)
    except UserError as error:
        return [str(error)]
    python = interpreter(model.environment)
    installed = record["versions"]
    here = _here()
    named = [n for n in (*NEEDED, *packages) if n not in installed]
    named += [f"{n}=={here[n]}" for n in SAME if n in installed and n in here and installed[n] != here[n]]
    answers = []
    if not _recent(record["python"]):
        answers.append(f"{python} is Python {record['python']}; paceline {__version__} needs 3.11 or 3.12 there too")
    if named:
        answers.append(f"{python} lacks {', '.join(named)}; run: {python} -m pip install {' '.join(named)}")
    return answers + _out_of_range(model, supported, installed)


def _recent(python: str) -> bool:
    return (3, 11) <= tuple(int(n) for n in python.split(".")[:2]) < (3, 13)


def _here() -> dict[str, str]:
    from importlib import metadata

    installed = {}
    for name in NEEDED:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


def _out_of_range(model: ModelSpec, supported: SpecifierSet, installed: Mapping[str, str]) -> list[str]:
    version = installed.get("transformers")
    if version is None or supported.contains(version, prereleases=True):
        return []
    where = model.environment or "this environment"
    remedy = (
        f'{interpreter(model.environment)} -m pip install "transformers{model.transformers}"'
        if model.environment
        else "name an environment that has it: model.environment=FOLDER (docs/models.md, Another environment)"
    )
    return [
        f"conf/model/{model.name}.yaml: the model's code runs on transformers {model.transformers}, and {where} has "
        f"{version}; {remedy}"
    ]


def lacks(models: Iterable[ModelSpec], store: Store, packages: Sequence[str] = ()) -> list[str]:
    """What stands in the way of running some models' cells: weights not fetched, an environment that can't run them.

    Reads files, and queries each environment at most once. Each line ends with the remedy.
    """
    lines: dict[str, None] = {}
    seen: set[str] = set()
    for model in models:
        key = repr(model)
        if key in seen:
            continue
        seen.add(key)
        try:
            for source in sources(model):
                if missing := hub_files.lacking(source):
                    remedy = "" if in_folder(source) else f"; run: {prepare_command(model)}"
                    lines[f"{called(source)} is not prepared: {missing}{remedy}"] = None
                elif source.weights.startswith(CONTENT) and (why := local_weights.difference(source, store.root)):
                    lines[f"{called(source)}: {why}"] = None
        except UserError as error:
            lines[str(error)] = None
        lines |= dict.fromkeys(problems(model, store, packages))
    return list(lines)


def lacks_tracker(configs: Iterable[Config]) -> list[str]:
    """That the tracking library is not installed where cells of these configs run, as far as it is this environment."""
    backends = {config.tracking.backend for config in configs if not config.model.environment}
    if "trackio" in backends and importlib.util.find_spec("trackio") is None:
        return ["tracking=trackio: the package trackio is not installed; docs/tracking.md says how (or tracking=wandb)"]
    return []


def prepare_command(model: ModelSpec) -> str:
    """The command that fetches a model."""
    return f"paceline prepare model={model.name}"
