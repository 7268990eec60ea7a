"""What Python source imports and defines, read from its syntax tree: nothing of it is run."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator


def imported(tree: ast.AST, package: str) -> set[str]:
    """The dotted names that source imports: of ``from a import b`` both ``a`` and ``a.b``, which may be a module.

    Args:
        tree: a module, or a part of one.
        package: the package that the module lies in, by which relative imports are resolved.
    """
    return {name for node in ast.walk(tree) for name in names_of(node, package)}


def names_of(node: ast.AST, package: str) -> Iterator[str]:
    """The same of one statement; nothing where it is no import."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and (module := module_of(node, package)):
        yield module
        yield from (f"{module}.{alias.name}" for alias in node.names if alias.name != "*")


def module_of(node: ast.ImportFrom, package: str) -> str:
    """The ``a`` of ``from a import b``, in full; empty where it leaves the top-level package."""
    if not node.level:
        return node.module or ""
    try:
        return importlib.util.resolve_name("." * node.level + (node.module or ""), package)
    except ImportError:
        return ""


def run_at_import(tree: ast.Module) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """The imports that run when the module is imported, and whether a failure of each is caught.

    Those inside functions and under ``TYPE_CHECKING`` are none of them.
    """

    def walk(node: ast.AST, caught: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, caught
        children = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            children = list(node.orelse)
        for child in children:
            yield from walk(child, caught or (isinstance(node, ast.Try) and child in node.body and bool(node.handlers)))

    yield from walk(tree, False)


def defined(node: ast.stmt) -> Iterator[str]:
    """The names that a statement at the top of a module binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    else:
        yield from (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))


def binds(tree: ast.Module, name: str) -> bool:
    """Whether a module may bind a name: it does, or ``import *`` or a ``__getattr__`` may do it."""
    return bool({name, "*", "__getattr__"} & {n for node in ast.walk(tree) for n in _bound(node)})


def _bound(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.stmt) and not isinstance(node, ast.If | ast.Try | ast.With | ast.For | ast.While):
        yield from defined(node)


def literal(tree: ast.AST, name: str) -> object:
    """The plain value that is assigned to a name in a module or in the body of a class there; None where there is none.

    Raises:
        ValueError: it is computed, so that it can't be read without running the module.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(t, ast.Name) and t.id == name for t in targets):
                return ast.literal_eval(node.value)  # type: ignore[no-any-return]
    return None
