"""A lab's own code: modules beside its YAML that become part of our packages, with no file of ours edited.

``FOLDER/tasks/x.py`` is imported as ``paceline.tasks.x``, and so are readers and model families; each may be a package
(``x/__init__.py``). FOLDER is what ``--conf`` or ``PACELINE_CONF`` names. A submission copies these files into the
frozen code, into the folders of our own packages, so a job finds them there and needs no FOLDER. What only looks at a
recorded sweep takes from its frozen code what no FOLDER gives.

A finder at the end of ``sys.meta_path`` finds them: our own modules come first, so a lab's can't replace one.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib
import importlib.util
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from paceline.errors import PacelineError, UserError, nearest
from paceline.imports import binds, literal, module_of, names_of, run_at_import

PACKAGES = {"tasks": "paceline.tasks", "readers": "paceline.data.readers", "models": "paceline.models.families"}
"""Folder in a lab's folder -> the package that its modules become part of."""
OWED = {"tasks": (), "readers": ("Options", "made", "read"), "models": ("FAMILY",)}
"""What a module must give; of a kind of task the contract says it (:mod:`paceline.tasks.kind`)."""
HEAVY = {"torch", "torchvision", "transformers", "peft", "accelerate", "bitsandbytes", "deepspeed"}
HEAVY |= {"datasets", "wandb", "tensorflow", "jax"}
"""What a login node does not import: seconds, and gigabytes, at every command."""
STAMP = "SNAPSHOT.json"
"""The file that marks a frozen copy of the code; its ``plugins`` are the dotted names of a lab's modules in it."""
HANDED_ON = "PACELINE_PLUGINS"
"""Variable by which a process of our own learns of the modules: JSON, dotted name -> path."""
FOUND_BY = "one of your own is found by --conf FOLDER, or $PACELINE_CONF"

_PRIVATE = re.compile(r"^\.|secret|credential|passw(or)?d|private|api_?keys?", re.IGNORECASE)
_SOURCE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Plugin:
    """A module of a lab's, or a package with all that is in it.

    Attributes:
        part: ``tasks``, ``readers`` or ``models``.
        name: of the module.
        path: ``x.py``, or the folder ``x``.
        frozen: whether it is taken from the frozen code of a sweep.
    """

    part: str
    name: str
    path: Path
    frozen: bool = False

    @property
    def dotted(self) -> str:
        """The name that it is imported by."""
        return f"{PACKAGES[self.part]}.{self.name}"

    @property
    def file(self) -> Path:
        """The file that runs when it is imported."""
        return self.path / "__init__.py" if self.path.is_dir() else self.path

    def files(self) -> Iterator[Path]:
        """Its source files; no others, and none that looks private."""
        paths = sorted(self.path.rglob("*.py")) if self.path.is_dir() else [self.path]
        return (p for p in paths if p.is_file() and not self._private(p))

    def left_out(self) -> Iterator[Path]:
        """The other files of a package, which no job will find."""
        paths = sorted(self.path.rglob("*")) if self.path.is_dir() else []
        kept = set(self.files())
        return (p for p in paths if p.is_file() and p not in kept and "__pycache__" not in p.parts)

    def _private(self, path: Path) -> bool:
        return any(_PRIVATE.search(part) for part in path.relative_to(self.path.parent).parts)


class _Finder(MetaPathFinder):
    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        plugin = _known.get(fullname)
        if plugin is None:
            return None
        inside = [str(plugin.path)] if plugin.path.is_dir() else None
        return importlib.util.spec_from_file_location(fullname, plugin.file, submodule_search_locations=inside)


_known: dict[str, Plugin] = {}
_name_clashes: list[Plugin] = []  # modules with the name of one of ours
_finder = _Finder()
_forget: list[Callable[[], None]] = []


def on_change(forget: Callable[[], None]) -> None:
    """Register a cache of module names to be cleared when the modules change."""
    _forget.append(forget)


# --- what is found ---------------------------------------------------------------------------------------------------


def folders(extra: str | None) -> list[Path]:
    """The lab's folders, first match wins: ``--conf``, then ``$PACELINE_CONF``.

    Raises:
        UserError: one is no folder.
    """
    lab_folders = []
    for text, source in ((extra, "--conf"), (os.environ.get("PACELINE_CONF"), "PACELINE_CONF")):
        if text:
            folder = Path(text).expanduser().absolute()
            if not folder.is_dir():
                raise UserError(f"{source}: {folder} is no folder")
            lab_folders.append(folder)
    return lab_folders


def use(searched: Iterable[Path]) -> None:
    """Let the packages hold the modules of these folders and of no others; of two with one name the first.

    In a process that runs frozen code this does nothing: a copy is complete, whatever became of the folder.
    """
    modules: dict[str, Plugin] = {}
    _name_clashes.clear()
    if not (_SOURCE / STAMP).exists():
        for plugin in (p for folder in searched for p in _modules(folder)):
            if _shipped(plugin.dotted):
                _name_clashes.append(plugin)
            else:
                modules.setdefault(plugin.dotted, plugin)
    _set(modules)


def use_frozen(code: Path) -> list[str]:
    """Take from a sweep's frozen code what no folder gives; their names, such as ``tasks/toy``."""
    try:
        names = json.loads((code / STAMP).read_text()).get("plugins", [])
    except (OSError, ValueError):  # gone, or damaged: what needs a module says so
        return []
    if (_SOURCE / STAMP).exists():
        return []
    parts = {package: part for part, package in PACKAGES.items()}
    added = {}
    for dotted in names:
        package, _, name = dotted.rpartition(".")
        path = (code / "src").joinpath(*dotted.split("."))
        path = path if path.is_dir() else path.with_suffix(".py")
        if package in parts and dotted not in _known and path.exists() and not _shipped(dotted):
            added[dotted] = Plugin(parts[package], name, path, frozen=True)
    if added:
        sys.dont_write_bytecode = True  # the copy stays as it was written
        _set(_known | added)
    return [f"{p.part}/{p.name}" for p in added.values()]


def handed_on() -> dict[str, str]:
    """Variables by which a process that we start finds the same modules."""
    return {HANDED_ON: json.dumps({p.dotted: [p.part, str(p.path)] for p in _known.values()})} if _known else {}


def inherit() -> None:
    """Find the modules that the process which started this one has found."""
    inherited = json.loads(os.environ.get(HANDED_ON, "{}"))
    _set({dotted: Plugin(part, dotted.rpartition(".")[2], Path(path)) for dotted, (part, path) in inherited.items()})


def names(part: str) -> list[str]:
    """Modules of the lab's for one package; those that begin with an underscore are helpers, and not named.

    Raises:
        UserError: one has the name of a module of ours.
    """
    for plugin in _name_clashes:
        if plugin.part == part:
            raise UserError(
                f"{plugin.path}: paceline has a module {part}/{plugin.name} of its own, which a lab's can't replace; "
                "give the file another name, and its YAML the same"
            )
    return [p.name for p in _known.values() if p.part == part and not p.name.startswith("_")]


def find(part: str, name: str) -> Plugin | None:
    """A module of the lab's by its name; None where it is ours, or where there is none."""
    return _known.get(f"{PACKAGES[part]}.{name}")


def frozen_files() -> dict[str, Path]:
    """What a submission copies: place in the frozen code -> file. A lab's own frozen modules are copied anew."""
    copied: dict[str, Path] = {}
    for plugin in _known.values():
        place = Path("src", *PACKAGES[plugin.part].split("."))
        copied |= {(place / p.relative_to(plugin.path.parent)).as_posix(): p for p in plugin.files()}
    return copied


def frozen_names() -> list[str]:
    """The dotted names of the modules that a submission copies, for its stamp."""
    return sorted(_known)


def left_out() -> list[str]:
    """Files beside a lab's modules that are not copied, a line each."""
    return [str(path) for plugin in _known.values() if not plugin.frozen for path in plugin.left_out()]


def _modules(folder: Path) -> Iterator[Plugin]:
    for part, package in PACKAGES.items():
        if not (folder / part).is_dir():
            continue
        if str((folder / part).resolve()) in {str(Path(p).resolve()) for p in _path_of(package)}:
            continue  # somebody named our own source as their folder
        children = [p for p in sorted((folder / part).iterdir()) if not _PRIVATE.search(p.name)]
        # A package goes before a module of the same name, as in Python.
        packages = {p.name: p for p in children if (p / "__init__.py").is_file()}
        modules = {p.stem: p for p in children if p.suffix == ".py" and p.stem != "__init__" and p.is_file()}
        yield from (Plugin(part, name, path) for name, path in sorted((modules | packages).items()))


def _set(modules: Mapping[str, Plugin]) -> None:
    if modules == _known:
        return
    changed = [dotted for dotted in {*modules, *_known} if modules.get(dotted) != _known.get(dotted)]
    _known.clear()
    _known.update(modules)
    for dotted in changed:
        _unload(dotted)
    if _finder not in sys.meta_path:
        sys.meta_path.append(_finder)
    importlib.invalidate_caches()
    for forget in _forget:
        forget()


def _unload(dotted: str) -> None:
    for name in [n for n in sys.modules if n == dotted or n.startswith(f"{dotted}.")]:
        del sys.modules[name]
    package, _, name = dotted.rpartition(".")
    vars(sys.modules[package]).pop(name, None) if package in sys.modules else None


def _path_of(package: str) -> Sequence[str]:
    return list(importlib.import_module(package).__path__)


def _shipped(dotted: str) -> bool:
    return PathFinder.find_spec(dotted, _path_of(dotted.rpartition(".")[0])) is not None


def source_of(dotted: str) -> Path | None:
    """The file of a module of ours or of a lab's, found without importing it; None if it is no module."""
    path: Sequence[str] | None = None
    spec: ModuleSpec | None = None
    parts = dotted.split(".")
    for end in range(1, len(parts) + 1):
        name = ".".join(parts[:end])
        if end > 1 and path is None:
            return None
        loaded = sys.modules.get(name)
        if hasattr(loaded, "__path__"):
            spec, path = loaded.__spec__, list(loaded.__path__)  # type: ignore[union-attr]
            continue
        spec = _finder.find_spec(name) or PathFinder.find_spec(name, path)
        if spec is None:
            return None
        path = spec.submodule_search_locations
    return Path(spec.origin) if spec is not None and spec.origin else None


# --- whether it can be used ------------------------------------------------------------------------------------------


def check(part: str, name: str) -> None:
    """Refuse a module of a lab's that can't be used, before anything is recorded. Of ours nothing is asked.

    A family is only read, because it needs torch; a kind and a reader are imported.

    Raises:
        UserError: file, line, and what to do; or it has the name of one of ours.
    """
    names(part)
    plugin = find(part, name)
    if plugin is None:
        return
    if part == "models":
        _look(plugin)
        tree = _parsed(plugin.file)
        lacking = [n for n in OWED[part] if not binds(tree, n)]
    else:
        module = load(part, name)
        lacking = [n for n in OWED[part] if not hasattr(module, n)]
    if lacking:
        raise UserError(
            f"{plugin.file}: lacks {', '.join(lacking)}; the docstring of paceline/{part}/__init__.py says what a "
            "module gives, and docs/adding.md shows one"
        )


def declared(part: str, name: str, attribute: str) -> object:
    """The plain value of a name in a module of ours or of a lab's, or in the body of a class there.

    Read from the source, which may need torch to be imported. None where there is none, or it is computed.
    """
    source = source_of(f"{PACKAGES[part]}.{name}")
    return _declared(source, attribute) if source else None


def derives_from(part: str, name: str) -> str:
    """The module of the same package that a module imports a class of, such as the family that it derives from; empty
    where there is none, or the source can't be read.
    """
    source = source_of(f"{PACKAGES[part]}.{name}")
    imported = _imported(source, f"{PACKAGES[part]}.") if source else ()
    return next((other for other in imported if other != name), "")


@functools.cache
def _imported(source: Path, package: str) -> tuple[str, ...]:
    """Modules of a package that a module imports from."""
    try:
        tree = ast.parse(source.read_bytes())
    except (OSError, ValueError, SyntaxError):  # said where the module itself is checked
        return ()
    modules = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and not n.level]
    return tuple(m.removeprefix(package).partition(".")[0] for m in modules if m.startswith(package))


@functools.cache
def _declared(source: Path, attribute: str) -> object:
    try:
        return literal(ast.parse(source.read_bytes()), attribute)
    except (OSError, ValueError, SyntaxError):  # said where the module itself is checked
        return None


def load(part: str, name: str) -> ModuleType:
    """Import a module of a package, of ours or of a lab's.

    Raises:
        UserError: a lab's can't be imported, or brings what a login node must not import.
    """
    plugin = find(part, name)
    dotted = f"{PACKAGES[part]}.{name}"
    if plugin is None or part == "models" or dotted in sys.modules:
        return import_module(dotted)
    _look(plugin)
    before = HEAVY & sys.modules.keys()
    module = import_module(dotted)
    if brought := sorted((HEAVY & sys.modules.keys()) - before):
        _unload(dotted)
        raise UserError(
            f"{plugin.file}: a package that it imports brings {', '.join(brought)}, which takes seconds at every "
            "command of a login node; import that package inside the function that uses it"
        )
    return module


def import_module(dotted: str) -> ModuleType:
    """Import a module; an error in one of a lab's is reported with its file and line.

    Raises:
        UserError: it can't be imported.
    """
    plugin = next((p for p in _known.values() if f"{dotted}.".startswith(f"{p.dotted}.")), None)
    if plugin is None:
        return importlib.import_module(dotted)
    with _errors_located(plugin):
        return importlib.import_module(dotted)


@contextlib.contextmanager
def _errors_located(plugin: Plugin) -> Iterator[None]:
    try:
        yield
    except PacelineError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, SyntaxError) and error.filename:
            raise UserError(_broken(error)) from error
        frames = traceback.extract_tb(error.__traceback__)
        plugin_frames = [f for f in frames if Path(f.filename).is_relative_to(plugin.path)]
        where = f"{plugin_frames[-1].filename}:{plugin_frames[-1].lineno}" if plugin_frames else str(plugin.file)
        remedy = "mend it, or see docs/adding.md for a module that works"
        if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("paceline"):
            remedy = f"install {str(error.name).partition('.')[0]} here, or import it inside the function that uses it"
        raise UserError(f"{where}: {type(error).__name__}: {' '.join(str(error).split())}; {remedy}") from error


def _broken(error: SyntaxError) -> str:
    return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}; mend that line"


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        raise UserError(_broken(error)) from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: can't be read: {error}") from error


def _look(plugin: Plugin) -> None:
    """Read a module, and those of ours and of the lab's that it imports, for what would go wrong.

    Raises:
        UserError: source that is no Python; an import that a login node must not make, or that no job can; of a
            family also one of what there is not.
    """
    copied = {path for known in _known.values() for path in known.files()}
    waiting = [(plugin.dotted, "")]
    seen = set[str]()
    while waiting:
        dotted, blamed = waiting.pop()
        if dotted in seen or (path := source_of(dotted)) is None:
            continue
        seen.add(dotted)
        package = dotted if path.name == "__init__.py" else dotted.rpartition(".")[0]
        from_lab = any(path.is_relative_to(known.path) for known in _known.values())
        if from_lab and path not in copied:
            raise UserError(
                f"{blamed} imports {path}, which looks private by its name and is never copied to where jobs run; "
                "give a module of code another name, and read keys from the environment"
            )
        for node, caught in run_at_import(_parsed(path)):
            where = f"{path}:{node.lineno}:" if from_lab else f"{blamed} imports {dotted}, which"
            if from_lab and plugin.part == "models" and not caught:
                _require_there(node, package, where)
            for name in names_of(node, package):
                top = name.partition(".")[0]
                if top in HEAVY and plugin.part != "models":
                    raise UserError(
                        f"{where} imports {top} when it is imported, which takes seconds at every command of a login "
                        "node; import it inside the function that uses it"
                    )
                if top == "paceline" and (from_lab or plugin.part != "models"):
                    waiting.append((name, f"{path}:{node.lineno}:" if from_lab else blamed))


def _require_there(node: ast.Import | ast.ImportFrom, package: str, where: str) -> None:
    """Refuse an import of a missing module or name; nothing is imported for this check."""
    modules = [a.name for a in node.names] if isinstance(node, ast.Import) else [module_of(node, package)]
    for module in modules:
        top = module.partition(".")[0]
        if top != "paceline":
            if importlib.util.find_spec(top) is None:
                raise UserError(f"{where} imports {top}, which is not installed here; install it")
            continue
        path = source_of(module)
        if path is None:
            raise UserError(f"{where} imports {module}, which there is not; mend the name")
        if isinstance(node, ast.ImportFrom):
            tree = _parsed(path)
            for alias in node.names:
                if not binds(tree, alias.name) and source_of(f"{module}.{alias.name}") is None:
                    public_names = {n for s in tree.body for n in _public(s)}
                    raise UserError(f"{where} {module} has no {alias.name}: {nearest(alias.name, public_names)}")


def _public(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
