"""The house keeps its shape: imports point downward, and the login node never pays for torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "paceline"
JOBS = SOURCE.parents[1] / "jobs"

# Lower stands lower in the house. A module may import its own layer and those below.
LAYERS: list[set[str]] = [
    {"errors", "imports"},
    {"spec", "process", "plugins"},
    {"store", "cards"},
    {"combinations"},
    # shared: torch-free, no torch, no Hydra
    {"snapshot", "stats", "weights", "credentials", "planner"},
    {"prompts", "tasks", "readers"},
    {"prepared", "leakage"},
    {"scoring"},
    {"checkpoints", "attempts", "pieces"},
    # compute side: what runs beside a cell file
    {"models", "distributed"},
    {"batches"},
    {"generate", "conversations", "overlay", "adapters", "audits", "features", "probe", "tracking"},
    {"uploader"},
    {"workspaces"},
    {"finetune", "evaluate"},
    {"describe", "explain", "shapes"},
    {"worker"},
    {"rank"},
    # login side
    {"compose", "slurm"},
    {"sweep", "status", "forecast", "variants", "sync"},
    {"launch", "report"},
    {"dashboard"},
    {"arguments", "progress", "tables", "completion"},
    {"verbs"},
    {"cli", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
LOGIN_FROM = LEVEL["compose"]
COMPUTE = {n for layer in LAYERS[LEVEL["models"] : LEVEL["worker"]] for n in layer}

# Who may import a heavy or framework package at all.
OWNERS = {
    "hydra": {"compose"},
    "omegaconf": {"compose", "verbs"},
    "submitit": {"launch", "worker", "rank"},
    "wandb": {"tracking", "pieces", "uploader", "workspaces"},
    "wandb_workspaces": {"workspaces"},
    "trackio": {"tracking"},
    "deepspeed": {"finetune", "distributed"},
    "torch": COMPUTE | {"worker"},
    "transformers": COMPUTE,
    "peft": COMPUTE,
    "datasets": {"readers"},
    "huggingface_hub": {"weights"},
}


def part(path: Path) -> str:
    relative = path.relative_to(SOURCE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def modules() -> list[Path]:
    return [p for p in sorted(SOURCE.rglob("*.py")) if p != SOURCE / "__init__.py"]


def imported(path: Path) -> set[str]:
    """Dotted names of all imports, those inside functions too; typing-only ones are no dependency at run time."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{a.name}" for a in node.names}
    return found


def own(names: set[str]) -> set[str]:
    """Parts of paceline among dotted names."""
    return {n.split(".")[1] for n in names if n.startswith("paceline.")} & set(LEVEL)


def test_every_module_has_its_place() -> None:
    assert {part(p) for p in modules()} <= set(LEVEL), "give the new module a layer in LAYERS"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_downward(path: Path) -> None:
    here = part(path)
    for name in own(imported(path)):
        assert LEVEL[name] <= LEVEL[here], f"{here} imports {name}, which stands above it"
        if LEVEL[here] >= LOGIN_FROM:
            assert name not in COMPUTE, f"{here} is on the login side and imports {name}, which needs torch"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_frameworks_are_imported_only_by_their_owners(path: Path) -> None:
    for name in imported(path):
        owners = OWNERS.get(name.split(".")[0])
        assert owners is None or part(path) in owners, f"{part(path)} imports {name}"


def test_families_know_no_task_and_tasks_no_model() -> None:
    for path in modules():
        names = own(imported(path))
        if part(path) == "models":
            assert not names & {"tasks", "readers", "prepared", "prompts"}, path
        if part(path) in ("tasks", "readers", "prompts"):
            assert "models" not in names, path


def test_verbs_do_not_call_each_others_commands() -> None:
    for path in (SOURCE / "verbs").glob("*.py"):
        assert "command" not in {n.rpartition(".")[2] for n in imported(path) if ".verbs." in n}, path


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["plan", "model=tiny_qwen2_vl", "task=geolocation_earth", "prompt=geo_bare"],
        ["status"],
        ["show", "experiment=demo"],
    ],
    ids=lambda w: w[0],
)
def test_the_login_side_imports_no_torch(words: list[str], tmp_path: Path) -> None:
    script = (
        "import sys\n"
        f"sys.argv = ['paceline', *{words!r}]\n"
        "from paceline.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'peft', 'deepspeed', 'datasets', 'wandb'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert 'paceline.launch.local' not in sys.modules or 'submitit' in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={"PACELINE_ROOT": str(tmp_path), "PATH": ""}
    )
    assert done.returncode == 0, done.stderr


def test_jobs_are_one_screen_each() -> None:
    for path in JOBS.glob("*.py"):
        assert len(path.read_text().splitlines()) <= 60, path
