"""A cell that names another environment is run by that one's interpreter, or refused before it is queued."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from paceline.cli.resolve import composed_name
from paceline.config.identity import placement_of
from paceline.config.schema import ModelSpec
from paceline.errors import UserError
from paceline.launch import arrays, elements, environments
from paceline.store.root import Store
from paceline.sweep.cells import Sweep, expand, record, recorded
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

WORDS = (
    "model=tiny_qwen2_vl",
    "task=geolocation_earth",
    "prompt=geo_bare,geo_stepwise",
    "method=untuned,full",
    "name=s",
)


def sweep(*overrides: str) -> Sweep:
    return expand(compose([*WORDS, *overrides], conf_folders(None)), lambda task: "d" * 64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An environment: the Python that runs these tests, which counts how often it is called."""
    path = tmp_path / "an environment"
    (path / "bin").mkdir(parents=True)
    python = path / "bin" / "python"
    python.write_text(f'#!/bin/sh\necho >> "{path}/calls"\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return path


def calls(folder: Path) -> int:
    path = folder / "calls"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_every_element_names_its_environment_and_none_is_shared() -> None:
    plain, old = sweep(), sweep("model.environment=/envs/old")
    assert [c.id for c in plain.cells] == [c.id for c in old.cells]
    grouped = elements.group([*plain.cells, *old.cells])
    assert len(grouped) == 2 * len(elements.group(plain.cells))
    assert {e.environment for e in grouped} == {"", "/envs/old"}
    for array in elements.arrays(grouped):
        assert len({grouped[i].environment for i in array["elements"]}) == 1


def test_a_recorded_sweep_keeps_the_environment_and_other_sweeps_say_nothing_of_one(tmp_path: Path) -> None:
    old = sweep("model.environment=$OLD")
    again = recorded(record(old, Store(tmp_path), "code", extend=False), Store(tmp_path))
    assert [c.config.model.environment for c in again.cells] == ["$OLD"] * len(old.cells)
    assert [placement_of(c.config) for c in again.cells] == [placement_of(c.config) for c in old.cells]
    assert all("environment" not in c.cell.identity["model"] for c in again.cells)
    assert "model" not in placement_of(sweep().cells[0].config)


def test_a_resume_gives_another_environment_to_the_cells_that_have_one() -> None:
    words = ("model.environment=/new",)
    change = compose(words, conf_folders(None))
    (old, *_), (plain, *_) = sweep("model.environment=$OLD").cells, sweep().cells
    assert change.replaced(old.config, "evaluate").model.environment == "/new"
    assert change.replaced(plain.config, "evaluate").model.environment == ""
    name, _, _ = composed_name(("a_sweep", *words), None)
    assert name == "a_sweep"


def test_slurm_is_given_the_interpreter_of_the_environment(folder: Path, tmp_path: Path) -> None:
    for words, python in (((), sys.executable), ((f"model.environment='{folder}'",), f"'{folder}/bin/python'")):
        element = elements.group(sweep(*words).cells)[0]
        text = arrays.sbatch_text(element, 1, "job", {}, tmp_path)
        assert f"{python} -u -m paceline.rank" in text
    # A plan shows what is named, where that is not there.
    element = elements.group(sweep("model.environment=/gone").cells)[0]
    assert "/gone/bin/python -u -m" in arrays.sbatch_text(element, 1, "job", {}, tmp_path)


def test_variables_of_the_shell_are_expanded_and_a_missing_one_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLD_ENV", str(folder.parent))
    assert environments.interpreter("$OLD_ENV/an environment") == str(folder / "bin" / "python")
    assert environments.interpreter("") == sys.executable
    monkeypatch.delenv("OLD_ENV")
    with pytest.raises(UserError, match=r"\$OLD_ENV/x is not set here; export it"):
        environments.interpreter("$OLD_ENV/x")
    for wrong in ("/nowhere/at/all", "envs/old"):
        with pytest.raises(UserError, match=r"there is no .*bin/python; give the folder of a venv or a conda"):
            environments.interpreter(wrong)


def test_an_environment_is_asked_once_until_something_is_installed_in_it(folder: Path, tmp_path: Path) -> None:
    packages = folder / "packages"
    packages.mkdir()
    python = folder / "bin" / "python"
    # Words are: -I -c SCRIPT NAME...; the folder is added to the path that the script tells of.
    added = f"import sys; sys.path.append({str(packages)!r}); script = sys.argv.pop(3); exec(script)"
    python.write_text(python.read_text().replace('"$@"', f'-c "{added}" "$@"'))
    store = Store(tmp_path / "root")
    told = environments.versions(str(folder), store)
    assert told["python"] == sys.version.split()[0]
    assert environments.versions(str(folder), store) == told
    assert calls(folder) == 1
    (packages / "new.dist-info").mkdir()
    os.utime(packages)
    environments.versions(str(folder), store)
    assert calls(folder) == 2


def test_what_an_environment_lacks_is_told_with_the_command_that_installs_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers(found: dict[str, str], python: str = "3.11.9") -> Callable[..., object]:
        return lambda *_: {"python": python, "versions": found, "folders": {}}

    here = environments._here()
    model = ModelSpec(name="m", transformers=">=4.43,<4.49", environment=str(folder))
    whole = {**here, "transformers": "4.48.3"}
    store = Store(tmp_path)
    for found, python, said in (
        (whole, "3.11.9", None),
        (
            {**whole, "transformers": "5.0.0"},
            "3.11.9",
            f'has 5.0.0; {folder}/bin/python -m pip install "transformers>=',
        ),
        ({k: v for k, v in whole.items() if k != "submitit"}, "3.11.9", "lacks submitit; run:"),
        ({**whole, "submitit": "1.0.0"}, "3.11.9", f"lacks submitit=={here['submitit']}; run:"),
        (whole, "3.9.1", "is Python 3.9.1; paceline"),
    ):
        monkeypatch.setattr(environments, "versions", answers(found, python))
        told = environments.problems(model, store)
        assert (told == []) if said is None else (len(told) == 1 and said in told[0]), told


def test_a_range_that_is_none_is_refused_with_the_file(tmp_path: Path) -> None:
    (told,) = environments.problems(ModelSpec(name="m", transformers="4.43 to 4.49"), Store(tmp_path))
    assert told.startswith("conf/model/m.yaml: transformers: 4.43 to 4.49 is no range")


def test_an_interpreter_that_does_not_run_is_told_by_its_last_word(folder: Path, tmp_path: Path) -> None:
    (folder / "bin" / "python").write_text("#!/bin/sh\necho libssl is missing >&2\nexit 3\n")
    with pytest.raises(UserError, match="does not run: libssl is missing"):
        environments.versions(str(folder), Store(tmp_path))


def test_a_model_that_is_not_fetched_is_told_once_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    models = [ModelSpec(name="q", weights="lab/q", revision="ab" * 20)] * 3 + [ModelSpec(name="twin")]
    (told,) = environments.lacks(models, Store(tmp_path))
    assert told.startswith("model q is not prepared: lab/q at abababababab is not in")
    assert told.endswith("run: paceline prepare model=q")


def test_asking_for_a_range_costs_no_torch() -> None:
    script = "import sys, paceline.launch.environments; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
