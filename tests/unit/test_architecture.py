"""The folders keep their order: imports point downward, and the login node never pays for torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "paceline"
JOBS = SOURCE.parents[1] / "jobs"

# Lower stands lower in the house. A module may import its own layer and those below. A folder stands for all of its
# modules that are not named by themselves, those to come included.
LAYERS: list[set[str]] = [
    {"errors", "imports", "counted"},
    {"plugins"},
    {"models/registry"},
    {
        "config/declared",
        "config/schema",
        "config/joined_parts",
        "config/cell_kinds",
        "config/build",
        "config/identity",
        "config/frozen_layers",
        "config/checks",
        "store/owner",
    },
    {"store", "config/gpus"},
    {"config"},
    # shared: torch-free, no Hydra
    {
        "stats",
        "models/conversation",
        "models/answerer",
        "models/hub_files",
        "models/local_weights",
        "models/hub_download",
        "models/revision_pins",
        "models/embedding",
        "models/whole_files",
    },
    {"gpu_memory", "tracking/wandb_key"},
    {"tasks"},
    {
        "data/prompts",
        "data/readers",
        "data/leakage",
        "data/text_leakage",
        "data/images",
        "data/folders",
        "data/json_items",
    },
    {"data"},
    {"data/conversations", "data/augmentation", "data/shots"},
    {"data/text_lengths"},
    {"scoring"},
    {"attempts", "tracking/wandb_log"},
    # compute side: what runs beside a cell file
    {"models", "attempts/ranks"},
    {"training/stream"},
    {"inference/relevance_picture", "training", "tracking"},
    {"tracking/wandb_upload"},
    {"tracking/wandb_workspace"},
    {"training/finetune", "inference"},
    {"inference/describe", "inference/ask_service", "inference/explain", "gpu_memory/count_shape", "serving"},
    {"worker"},
    {"rank"},
    # login side
    {"slurm", "sweep/compose", "sweep/config_files", "sweep/overrides", "sweep/rules"},
    {"sweep", "tracking/sync"},
    {"launch", "report"},
    {"tracking/dashboard"},
    {"cli"},
    {"cli/verbs"},
    {"cli/app", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
LOGIN_FROM = LEVEL["slurm"]
COMPUTE = {n for layer in LAYERS[LEVEL["models"] : LEVEL["worker"]] for n in layer}
# Folders with modules of both sides: what imports one of them runs its __init__ too.
BOTH_SIDES = ("attempts", "data", "gpu_memory", "inference", "models", "store", "tracking", "training")

# Who may import a heavy or framework package at all.
OWNERS = {
    "hydra": {"sweep/compose", "sweep/config_files", "sweep/overrides", "sweep/rules"},
    "omegaconf": {"sweep/compose", "sweep/config_files", "sweep/overrides", "sweep/rules", "cli/verbs"},
    "submitit": {"launch", "worker", "rank"},
    "wandb": {"tracking", "tracking/wandb_log", "tracking/wandb_upload", "tracking/wandb_workspace"},
    "wandb_workspaces": {"tracking/wandb_workspace"},
    "trackio": {"tracking"},
    "deepspeed": {"training", "training/finetune", "attempts/ranks"},
    "torch": COMPUTE | {"worker"},
    "transformers": COMPUTE,
    "peft": COMPUTE,
    "datasets": {"data/readers"},
    "huggingface_hub": {"models/hub_files", "models/hub_download"},
}


def modules() -> list[Path]:
    return [p for p in sorted(SOURCE.rglob("*.py")) if p != SOURCE / "__init__.py"]


def place(parts: tuple[str, ...]) -> str | None:
    """The entry of LAYERS that a module, or a name in one, falls under: the longest."""
    names = ("/".join(parts[:k]) for k in range(len(parts), 0, -1))
    return next((n for n in names if n in LEVEL), None)


def place_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    found = place(parts[:-1] if parts[-1] == "__init__" else parts)
    assert found, f"give {path.relative_to(SOURCE)} a layer in LAYERS"
    return found


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
    """Places in paceline of dotted names."""
    return {p for n in names if n.startswith("paceline.") and (p := place(tuple(n.split(".")[1:])))}


def folders(names: set[str]) -> set[str]:
    return {name.partition("/")[0] for name in names}


def test_every_module_has_its_place() -> None:
    for path in modules():
        place_of(path)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_downward(path: Path) -> None:
    here = place_of(path)
    for name in own(imported(path)):
        assert LEVEL[name] <= LEVEL[here], f"{here} imports {name}, which stands above it"
        if LEVEL[here] >= LOGIN_FROM:
            assert name not in COMPUTE, f"{here} is on the login side and imports {name}, which needs torch"


@pytest.mark.parametrize("name", ["models.conversation", "models.answerer", "inference.evaluate"])
def test_asking_and_answering_know_no_torch(name: str) -> None:
    script = (
        f"import sys, paceline.{name}\n"
        "heavy = {'torch', 'transformers', 'peft', 'deepspeed', 'datasets', 'wandb'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_frameworks_are_imported_only_by_their_owners(path: Path) -> None:
    for name in imported(path):
        owners = OWNERS.get(name.split(".")[0])
        assert owners is None or place_of(path) in owners, f"{place_of(path)} imports {name}"


@pytest.mark.parametrize("folder", BOTH_SIDES)
def test_a_folder_of_both_sides_imports_nothing_heavy_by_itself(folder: str) -> None:
    names = imported(SOURCE / folder / "__init__.py")
    assert not {n.split(".")[0] for n in names} & set(OWNERS), names
    assert LEVEL["config/schema"] > max((LEVEL[name] for name in own(names)), default=0), names


def test_families_know_no_task_and_tasks_no_model() -> None:
    for path in modules():
        here, names = place_of(path), own(imported(path))
        if here.startswith("models"):
            assert not folders(names) & {"tasks", "data", "scoring"}, path
        if here in ("tasks", "data/readers", "data/prompts"):
            assert "models" not in folders(names), path


def test_verbs_do_not_call_each_others_commands() -> None:
    for path in (SOURCE / "cli" / "verbs").glob("*.py"):
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
        "from paceline.cli.app import main\n"
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
