"""A lab's own code: found beside its YAML, never in the place of ours, frozen with a sweep, counted in digests."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_adding import CODE, RECIPES

from paceline import plugins, tasks
from paceline.cli.resolve import use_code_of_cell, use_recorded_code
from paceline.data import readers
from paceline.errors import UserError
from paceline.models import family_names, load_family
from paceline.scoring.digest import scorer_digest, scorer_sources
from paceline.store import code as snapshot
from paceline.store.files import write_json
from paceline.store.root import Store
from paceline.sweep.cells import expand, record
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders
from paceline.sweep.named_code import require_code

SOURCE = str(Path(str(plugins.__file__)).parents[1])
KIND = CODE["tasks/one_word.py"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "lab"
    for name, content in (RECIPES | CODE).items():
        if name.split("/")[0] in ("tasks", "readers", "models", "task", "prompt", "model"):
            write(folder, name, content)
    yield folder
    plugins.use([])


def inside(name: str) -> str:
    """Where a lab's module lies in our package: ``readers/y.py`` -> ``paceline/data/readers/y.py``."""
    part, _, rest = name.partition("/")
    return f"{plugins.PACKAGES[part].replace('.', '/')}/{rest}"


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(content))
    return path


def plan(folder: Path, *more: str) -> list[str]:
    words = ["model=tiny_question_first", "task=land_cover", "prompt=land_cover", "method=untuned", *more]
    return [c.id for c in expand(compose(words, conf_folders(str(folder))), lambda task: "d" * 64).cells]


def refusal(folder: Path, *more: str) -> str:
    with pytest.raises(UserError) as caught:
        plan(folder, *more)
    return str(caught.value)


# --- found -----------------------------------------------------------------------------------------------------------


def test_modules_are_found_beside_ours_and_gone_with_their_folder(lab: Path) -> None:
    plugins.use([lab])
    assert {"geolocation", "one_word"} <= set(tasks.names())
    assert {"sidecar", "labelled"} <= set(readers.names())
    assert {"qwen2_vl", "question_first"} <= set(family_names())
    assert tasks.load("one_word").documented_fields == {"label": "the class, one of CLASSES"}
    assert readers.load("labelled").PATHS == ("path",)
    assert sys.modules["paceline.tasks.one_word"].__file__ == str(lab / "tasks/one_word.py")
    plugins.use([])
    assert "one_word" not in tasks.names()
    with pytest.raises(UserError, match=r"no task kind 'one_word'.*--conf FOLDER"):
        tasks.load("one_word")
    with pytest.raises(UserError, match="no family 'question_first'"):
        load_family("question_first")


def test_the_variable_finds_them_too_and_the_flag_goes_before_it(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command_line: Run
) -> None:
    monkeypatch.setenv("PACELINE_CONF", str(lab))
    _, out, err = command_line("doctor")
    assert "own tasks: one_word" in out, err
    assert "own readers: labelled" in out
    assert "own models: question_first" in out
    other = tmp_path / "other"
    write(other, "tasks/one_word.py", KIND.replace("the class, one of", "mine, one of"))
    assert "own tasks: one_word" in command_line("doctor", "--conf", str(other))[1]
    assert tasks.load("one_word").documented_fields["label"].startswith("mine")


def test_a_package_works_and_helpers_are_no_kinds(lab: Path) -> None:
    (lab / "tasks/one_word.py").unlink()
    fields, score = KIND.split("def read", 1)
    write(lab, "tasks/one_word/__init__.py", '"""A kind in a folder."""\n')
    write(lab, "tasks/one_word/fields.py", fields)
    write(lab, "tasks/one_word/score.py", f"from .fields import *\nfrom .._words import lower\n\n\ndef read{score}")
    write(lab, "tasks/_words.py", "def lower(text):\n    return text.lower()\n")
    assert plan(lab)
    assert "_words" not in tasks.names()


def test_a_module_with_the_name_of_ours_is_refused_by_name(lab: Path, command_line: Run) -> None:
    for name in (
        "tasks/geolocation.py",
        "tasks/metrics.py",
        "readers/sidecar/__init__.py",
        "models/qwen2_vl.py",
    ):
        path = write(lab, name, "")
        words = ["model=tiny_qwen2_vl", "task=geolocation_earth", "prompt=geo_bare", "method=untuned"]
        code, _, err = command_line("plan", "--conf", str(lab), *words)
        part, _, module = name.removesuffix("/__init__.py").removesuffix(".py").partition("/")
        assert (code, f"{part}/{module} of its own" in err) == (2, True), (name, err)
        with pytest.raises(UserError, match="another name"):
            {"tasks": tasks.names, "readers": readers.names, "models": family_names}[part]()
        assert "sweep" in command_line("status", "--conf", str(lab))[2]  # what looks at no code is not held up
        shutil.rmtree(path.parent) if path.name == "__init__.py" else path.unlink()


def test_a_symlink_a_read_only_folder_and_our_own_source_work(lab: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(lab)
    for path in [*lab.rglob("*"), lab]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert plan(link) == plan(lab)
    finally:
        for path in [lab, *(p for p in lab.rglob("*") if p.is_dir())]:
            path.chmod(0o755)
    plugins.use([Path(str(plugins.__file__)).parent])
    assert "geolocation" in tasks.names()


# --- refused at plan time, where the sweep uses it -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("tasks/one_word.py", "\n\ndef fields(:\n", r"tasks/one_word\.py:3: SyntaxError: .*mend that line"),
        (
            "tasks/one_word.py",
            "import nowhere_at_all\n",
            r"one_word\.py:1: ModuleNotFoundError.*install nowhere_at_all",
        ),
        ("tasks/one_word.py", "\nFIELDS = LABELS\n", r"one_word\.py:2: NameError: name 'LABELS' is not defined"),
        ("tasks/one_word.py", "raise SystemExit(3)\n", r"one_word\.py:1: SystemExit"),
        ("tasks/one_word.py", "FIELDS = {}\nMETRICS = ()\n", r"one_word\.py: .*lacks fields, read, score"),
        ("tasks/one_word.py", f"import torch.nn\n{KIND}", r"one_word\.py:1: imports torch when it is imported"),
        ("tasks/one_word.py", f"try:\n    import wandb\nexcept ImportError:\n    pass\n{KIND}", r":2: imports wandb"),
        (
            "tasks/one_word.py",
            f"from paceline.models.family import Family\n{KIND}",
            r":1: imports paceline\.models\.family, wh",
        ),
        ("tasks/one_word.py", f"from . import _deep\n{KIND}", r"_deep\.py:1: imports transformers"),
        ("tasks/one_word.py", f"import brings_jax\n{KIND}", r"one_word\.py: a package that it imports brings jax"),
        ("readers/labelled.py", "import datasets\n", r"labelled\.py:1: imports datasets"),
        ("readers/labelled.py", "def read(): ...\n", r"labelled\.py: (lacks Options, made|.*Options)"),
        ("models/question_first.py", "class (\n", r"question_first\.py:1: SyntaxError"),
        ("models/question_first.py", "import torch\n", r"question_first\.py: lacks FAMILY"),
        (
            "models/question_first.py",
            "import nowhere_at_all\nFAMILY = 1\n",
            r":1: imports nowhere_at_all, which is not",
        ),
        (
            "models/question_first.py",
            "from paceline.models.families.qwen2_vl import Qwen2Vl as FAMILY\n",
            r"question_first\.py:1: paceline\.models\.families\.qwen2_vl has no Qwen2Vl: did you mean 'Qwen2VL'",
        ),
        (
            "models/question_first.py",
            "from paceline.models.families.qwen import FAMILY\n",
            r":1: imports paceline\.models\.families\.qwen, wh",
        ),
    ],
)
def test_a_broken_module_is_told_by_file_and_line_and_only_where_it_is_used(
    name: str, content: str, told: str, lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(lab, "tasks/_deep.py", "import transformers\n")
    write(tmp_path, "site/brings_jax.py", "import jax\n")
    write(tmp_path, "site/jax.py", "")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    write(lab, name, content)
    assert re.search(told, message := refusal(lab)), message
    assert str(lab) in message
    others = ["model=tiny_qwen2_vl", "task=geolocation_earth", "prompt=geo_bare"]
    assert plan(lab, *others)
    for loaded in ("brings_jax", "jax"):
        sys.modules.pop(loaded, None)


def test_a_broken_module_is_one_line_and_exit_code_2(lab: Path, command_line: Run) -> None:
    write(lab, "tasks/one_word.py", "1 / 0\n")
    words = ["model=tiny_question_first", "task=land_cover", "prompt=land_cover", "method=untuned"]
    code, _, err = command_line("plan", "--conf", str(lab), *words)
    assert code == 2
    assert err.startswith(f"paceline: {lab}/tasks/one_word.py:1: ZeroDivisionError")
    assert len(err.splitlines()) == 1
    out = command_line("doctor", "--conf", str(lab))[1]
    assert "own tasks: one_word (" in out
    assert "ZeroDivisionError" in out


def test_a_family_that_there_is_not_is_told_before_anything_is_recorded(lab: Path) -> None:
    write(lab, "model/tiny_question_first.yaml", "defaults: [tiny_qwen2_vl]\nfamily: question_frist\n")
    words = ["model=tiny_question_first", "task=land_cover", "prompt=land_cover", "method=untuned"]
    (told,) = expand(compose(words, conf_folders(str(lab))), lambda task: "d" * 64).problems
    assert "no family 'question_frist': did you mean 'question_first'?" in told


def test_imports_inside_functions_are_free(lab: Path) -> None:
    lazily = (
        "def fields(sample, task):\n    import torch\n    from paceline.models.family import Family\n    return {}\n"
    )
    write(lab, "tasks/one_word.py", KIND + "\n\n" + lazily)
    script = f"""
        import sys
        sys.argv = ["paceline", "plan", "--conf", {str(lab)!r}, "model=tiny_question_first", "task=land_cover",
                    "prompt=land_cover", "method=untuned"]
        from paceline.cli.app import main
        try:
            main()
        except SystemExit:
            pass
        assert "paceline.tasks.one_word" in sys.modules
        assert not {{"torch", "transformers", "datasets"}} & set(sys.modules)
    """
    env = {"PYTHONPATH": SOURCE, "PATH": "", "PACELINE_ROOT": str(lab / "root")}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, env=env)
    assert "is not prepared" in done.stderr
    assert done.returncode == 0, done.stderr


# --- frozen ----------------------------------------------------------------------------------------------------------


def frozen(store: Store, lab: Path) -> Path:
    plugins.use([lab])
    return store.code(snapshot.freeze(store))


@pytest.mark.parametrize("where", ["outside", "inside the clone", "a repository of its own"])
def test_modules_become_part_of_the_frozen_code(
    where: str, lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "clone"
    for part in ("src", "conf", "jobs"):
        (clone / part).mkdir(parents=True)
        (clone / part / "file.py").write_text("ours\n")
    subprocess.run(["git", "init", "-q"], cwd=clone, check=True)
    monkeypatch.setattr(snapshot, "source_tree", lambda: clone)
    if where == "inside the clone":
        lab = lab.rename(clone / "lab")
    elif where == "a repository of its own":
        subprocess.run(["git", "init", "-q"], cwd=lab, check=True)
        (lab / ".gitignore").write_text("*\n")
    write(lab, "tasks/__init__.py", "raise RuntimeError('an editor wanted this file')\n")
    code = frozen(Store(tmp_path / "root"), lab)
    packed = {p.relative_to(code).as_posix() for p in code.rglob("*") if p.is_file()}
    own = {"tasks/one_word.py", "readers/labelled.py", "models/question_first.py"}
    assert packed == {
        "SNAPSHOT.json",
        *(f"{part}/file.py" for part in ("src", "conf", "jobs")),
        *(f"src/{inside(name)}" for name in own),
    }
    assert (code / "src/paceline/tasks/one_word.py").read_text() == KIND
    stamp = json.loads((code / "SNAPSHOT.json").read_text())
    assert stamp["plugins"] == [
        "paceline.data.readers.labelled",
        "paceline.models.families.question_first",
        "paceline.tasks.one_word",
    ]


def test_only_source_is_copied_and_nothing_private(lab: Path, tmp_path: Path) -> None:
    kept = {
        "tasks/words/__init__.py": 0o644,
        "tasks/words/score.py": 0o600,
        "tasks/_helper.py": 0o640,
    }
    left = [
        "tasks/.hidden.py",
        "tasks/my_secrets.py",
        "tasks/words/API_KEY.py",
        "tasks/words/.git/config.py",
        "tasks/words/password_store.py",
        "tasks/words/aliases.json",
        "tasks/words/.env",
        "readers/credentials.py",
        "tasks/notes.txt",
        "notebook.py",
    ]
    for name in (*kept, *left):
        write(lab, name, "x = 1\n").chmod(kept.get(name, 0o644))
    code = frozen(Store(tmp_path / "root"), lab) / "src/paceline"
    for name, mode in kept.items():
        assert (code / name).stat().st_mode & 0o777 == mode & 0o444
    for name in left:
        assert not (code / name).exists()
    assert str(lab / "tasks/words/aliases.json") in plugins.left_out()


def test_a_module_that_would_not_be_copied_is_refused_where_it_is_imported(lab: Path) -> None:
    write(lab, "tasks/one_word.py", "")
    (lab / "tasks/one_word.py").unlink()
    write(lab, "tasks/one_word/__init__.py", f"from paceline.tasks.one_word.secrets import KEY\n{KIND}")
    write(lab, "tasks/one_word/secrets.py", "KEY = 1\n")
    assert "one_word/__init__.py:1: imports" in (told := refusal(lab))
    assert "looks private" in told


def test_the_digest_of_the_code_counts_them_wherever_they_lie(lab: Path, tmp_path: Path) -> None:
    plugins.use([])
    without = snapshot.code_digest()
    plugins.use([lab])
    digest = snapshot.code_digest()
    assert digest != without
    moved = lab.rename(tmp_path / "moved")
    plugins.use([moved])
    assert snapshot.code_digest() == digest
    write(moved, "tasks/one_word.py", KIND + "# edited\n")
    assert snapshot.code_digest() != digest


def test_a_sweep_is_looked_at_with_its_frozen_code_where_no_folder_gives_it(lab: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    plugins.use([lab])
    digest = snapshot.code_digest()
    code = frozen(store, lab)
    words = ["model=tiny_question_first", "task=land_cover", "prompt=land_cover", "method=untuned", "name=s"]
    sweep = expand(compose(words, conf_folders(str(lab))), lambda task: "d" * 64)
    folder = record(sweep, store, code.name, extend=False)
    shutil.rmtree(lab)
    plugins.use([])
    with pytest.raises(UserError, match="--conf FOLDER"):  # `resume --code=current` where the frozen code is gone
        require_code(c.config for c in sweep.cells)
    assert use_recorded_code(folder, store) == ["readers/labelled", "models/question_first", "tasks/one_word"]
    assert sys.modules.get("paceline.tasks.one_word") is None
    assert tasks.load("one_word").metrics[0].name == "accuracy"
    assert Path(str(sys.modules["paceline.tasks.one_word"].__file__)).is_relative_to(code)
    # They count as the current code, so `resume` goes on with the digest that it was recorded with.
    assert snapshot.code_digest() == digest
    plugins.use([])
    use_code_of_cell(store.cell(sweep.cells[0].id), store)
    assert "one_word" in tasks.names()

    write(lab, "tasks/one_word.py", KIND.replace("the class", "as it is now, the class"))
    plugins.use([lab])
    assert use_recorded_code(folder, store) == ["readers/labelled", "models/question_first"]
    assert tasks.load("one_word").documented_fields["label"].startswith("as it is now")


def test_frozen_code_needs_no_folder_and_meets_none(lab: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    for part in plugins.PACKAGES:
        write(lab, f"{part}/packed/__init__.py", "")
    code = frozen(store, lab)
    write(lab, "tasks/one_word.py", "raise RuntimeError('edited since')\n")
    script = f"""
        from pathlib import Path
        from paceline import models, plugins, tasks
        from paceline.data import readers
        plugins.use([Path({str(lab)!r})])
        print(tasks.load("one_word").module.__file__)
        print(*["packed" in found for found in (tasks.names(), readers.names(), models.family_names())])
    """
    env = {"PYTHONPATH": str(code / "src"), "PYTHONDONTWRITEBYTECODE": "1", "PATH": ""}
    words = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(words, capture_output=True, text=True, env=env, check=True)
    assert done.stdout.split() == [str(code / "src/paceline/tasks/one_word.py"), *["True"] * 3]


def test_a_wheel_is_frozen_whole_so_that_a_labs_modules_lie_in_its_package(lab: Path, tmp_path: Path) -> None:
    site, repository = tmp_path / "site", Path(SOURCE).parent
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(repository / "src/paceline", site / "paceline", ignore=ignore)
    for part in ("conf", "jobs"):
        shutil.copytree(repository / part, site / "paceline/shipped" / part, ignore=ignore)
    script = f"""
        from pathlib import Path
        from paceline import plugins
        from paceline.store import code as snapshot
        from paceline.store.root import Store
        plugins.use([Path({str(lab)!r})])
        print(snapshot.freeze(Store(Path({str(tmp_path / "root")!r}))))
    """
    words = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(words, capture_output=True, text=True, env={"PYTHONPATH": str(site), "PATH": ""}, check=True)
    code = tmp_path / "root/code" / done.stdout.strip()
    look = "from paceline.store import code as snapshot; from paceline import tasks; "
    look += "print(snapshot.source_tree(), tasks.load('one_word').module.__file__)"
    env = {"PYTHONPATH": str(code / "src"), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.split() == [str(code), str(code / "src/paceline/tasks/one_word.py")]
    assert not (code / "src/paceline/shipped").exists()


def test_a_process_that_we_start_finds_the_same(lab: Path) -> None:
    plugins.use([lab])
    script = "from paceline import plugins, tasks; plugins.inherit(); print(tasks.load('one_word').module.__file__)"
    env = {"PYTHONPATH": SOURCE, "PATH": "", **plugins.handed_on()}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.strip() == str(lab / "tasks/one_word.py")


def test_a_snapshot_of_before_and_one_that_is_gone_give_nothing(tmp_path: Path) -> None:
    assert plugins.use_frozen(tmp_path / "gone") == []
    write_json(tmp_path / "old" / "SNAPSHOT.json", {"schema": 1, "digest": "old"})
    assert plugins.use_frozen(tmp_path / "old") == []


# --- counted ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["from . import _a", "from ._a import f", "from paceline.tasks._a import f"])
def test_the_scorers_digest_follows_a_labs_imports(words: str, lab: Path, tmp_path: Path) -> None:
    called = "_a.f" if words.endswith("_a") else "f"
    write(lab, "tasks/one_word.py", f"{words}\n{KIND.replace('answer.text.lower()', f'{called}(answer.text)')}")
    write(lab, "tasks/_a.py", "from paceline.tasks import _b\n\n\ndef f(text):\n    return _b.g(text)\n")
    write(lab, "tasks/_b.py", "def g(text):\n    return text.lower()\n")
    write(lab, "tasks/_c.py", "")
    plugins.use([lab])
    kind = tasks.load("one_word")
    assert {f"paceline.tasks.{n}" for n in ("one_word", "_a", "_b")} < set(scorer_sources(kind))
    digest = scorer_digest(kind)
    write(lab, "tasks/_c.py", "edited = 1\n")
    assert scorer_digest(kind) == digest
    moved = lab.rename(tmp_path / "moved")
    plugins.use([moved])
    assert scorer_digest(tasks.load("one_word")) == digest
    write(moved, "tasks/_b.py", "def g(text):\n    return text.upper()\n")
    assert scorer_digest(tasks.load("one_word")) != digest
