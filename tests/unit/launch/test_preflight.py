"""What can't run is refused before it is submitted, with the setting to change; what can't be known is no refusal."""

from __future__ import annotations

import dataclasses
import json
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slurm_answers import ANSWERS, ICE, PHOENIX, QOS, told

from paceline.attempts import checkpoints
from paceline.cli.verbs import doctor
from paceline.config.identity import placement_of, rung_of, with_placement
from paceline.config.schema import ClusterSpec, Config, ModelSpec
from paceline.errors import Unavailable, UserError
from paceline.launch import arrays as slurm
from paceline.launch import elements as grouping
from paceline.launch import granted as reading_back
from paceline.launch import preflight, preflight_checks, storage
from paceline.launch.elements import Element
from paceline.launch.preflight_checks import Finding
from paceline.slurm.formats import fields
from paceline.slurm.site import Site
from paceline.store.root import Store
from paceline.sweep.cells import PlannedCell, Sweep, expand
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

Paceline = Callable[..., tuple[int, str, str]]
WORDS = (
    "model=tiny_qwen2_vl,tiny_pixtral",
    "task=geolocation_earth",
    "prompt=geo_bare",
    "method=untuned,full",
    "name=s",
)


def sweep(*overrides: str) -> Sweep:
    return expand(compose([*WORDS, *overrides], conf_folders(None)), lambda task: "d" * 64)


@pytest.fixture(autouse=True)
def no_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    """No client, and no variable of the machine's."""
    for name in (*preflight_checks._SETTINGS, *preflight_checks._FORBIDDEN):
        monkeypatch.delenv(f"SBATCH_{name}", raising=False)
    monkeypatch.setattr("paceline.launch.preflight.shutil.which", lambda name: None)
    monkeypatch.setattr("paceline.launch.storage.shutil.which", lambda name: None)


@pytest.fixture
def sbatch(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An sbatch that takes everything; the texts that it was given."""
    given: list[str] = []
    monkeypatch.setattr("paceline.launch.preflight.shutil.which", lambda name: f"/bin/{name}")
    monkeypatch.setattr("paceline.launch.preflight.call", lambda words: given.append(Path(words[-1]).read_text()) or "")
    return given


def found(site: Site, root: Path, *overrides: str) -> dict[str, Finding]:
    """Findings by name."""
    asked = sweep(*overrides)
    elements, _ = preflight.applied(grouping.group(asked.cells), site)
    arrays = slurm.chunks(elements, {}, None)
    return {f.name: f for f in preflight.findings(elements, arrays, asked.cells, Store(root), "c0de", site)}


def require(site: Site, root: Path, *overrides: str) -> None:
    preflight.require(found(site, root, *overrides).values())


# -- account, QOS, partition


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["cluster.account=gts-def"],
            "you may not charge account 'gts-def' on paceline: did you mean 'gts-dev'? (cluster.account=gts-dev)",
        ),
        (["cluster.qos=ember"], "there is no QOS 'ember' on paceline: did you mean 'embers'? (cluster.qos=embers)"),
        (["cluster.qos=normal"], "account gts-dev may not use QOS 'normal': valid names: embers, inferno"),
        (["cluster.account=root", "cluster.qos=embers"], "account root may not use QOS 'embers'"),
        (["cluster.partition=gpu-a10"], "there is no partition 'gpu-a10' on paceline: did you mean 'gpu-a100'"),
    ],
)
def test_names_that_are_wrong_or_do_not_go_together_are_refused_with_the_right_ones(
    words: list[str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        require(told(ANSWERS), tmp_path, "cluster=slurm", *words)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"AllowAccounts=ALL": "AllowAccounts=gts-other"}, "is not for account 'gts-dev', only for gts-other"),
        ({"AllowQos=ALL": "AllowQos=embers"}, "is not for QOS 'inferno', only for embers"),
        ({"AllowAccounts=ALL": "DenyAccounts=gts-dev"}, "is not for account 'gts-dev'"),
        ({"State=UP": "State=DRAIN"}, "takes no jobs now"),
    ],
)
def test_a_partition_that_is_not_for_this_job_is_refused(change: dict[str, str], said: str, tmp_path: Path) -> None:
    text = ANSWERS["partition"]
    for old, new in change.items():
        text = text.replace(old, new, 1)  # the first, gpu-a100, alone
    with pytest.raises(UserError, match=re.escape(f"partition 'gpu-a100' {said}; give cluster.partition=cpu-small")):
        require(told({**ANSWERS, "partition": text}), tmp_path, "cluster=slurm")


def test_what_slurm_does_not_enforce_is_not_refused(tmp_path: Path) -> None:
    config = ANSWERS["config"].replace("associations,limits,qos", "none")
    require_all = found(
        told({**ANSWERS, "config": config}), tmp_path, "cluster=slurm", "cluster.account=a", "cluster.qos=b"
    )
    assert all(f.ok is not False for f in require_all.values())


def test_a_cluster_that_tells_nothing_refuses_nothing(tmp_path: Path) -> None:
    site = Site(unanswered={"scontrol": "scontrol is not installed"})
    every = found(site, tmp_path, "cluster=slurm", "cluster.account=a", "cluster.qos=b", "cluster.partition=c")
    assert all(f.ok is not False for f in every.values())
    assert every["account"].text == "not known here: scontrol is not installed"
    assert every["sbatch"].text.startswith("not known here: sbatch is not installed")


def test_phoenix_takes_its_account_and_embers_and_ice_takes_neither(tmp_path: Path) -> None:
    every = found(told(PHOENIX), tmp_path, "cluster=pace_phoenix", "cluster.account=gts-lab")
    assert [every[n].ok for n in ("account", "partition", "qos", "walltime")] == [True, None, True, True]
    assert every["partition"].text == "left to the site's plugin (lua)"
    every = found(told(ICE), tmp_path, "cluster=pace_ice")
    assert [every[n].ok for n in ("account", "partition", "qos", "walltime", "GPUs")] == [True] * 5
    assert every["GPUs"].text == "1 for 480 minutes: 8.0 GPU-hours a job, up to 16 (QOS coc-ice)"


def test_a_cluster_that_needs_an_account_says_so_even_where_there_is_no_slurm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = Site(unanswered={"scontrol": "scontrol is not installed"})
    with pytest.raises(UserError, match=r"pace_phoenix takes no job without an account: give cluster\.account=…"):
        require(nothing, tmp_path, "cluster=pace_phoenix")
    with pytest.raises(UserError, match=r"give cluster\.account=gts-lab \(yours: gts-lab\)"):
        require(told(PHOENIX), tmp_path, "cluster=pace_phoenix")
    assert found(told(ICE), tmp_path, "cluster=pace_ice")["account"].ok is True
    monkeypatch.setenv("SBATCH_ACCOUNT", "gts-lab")
    assert found(told(PHOENIX), tmp_path, "cluster=pace_phoenix")["account"].ok is True


def test_a_user_without_a_default_account_is_told_to_name_one(tmp_path: Path) -> None:
    site = dataclasses.replace(told(ANSWERS), default_account="")
    with pytest.raises(UserError, match=r"no default one: give cluster\.account=… \(yours: gts-dev, root\)"):
        require(site, tmp_path, "cluster=slurm")


def test_a_variable_of_sbatch_that_would_win_silently_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_QOS", "inferno")
    with pytest.raises(UserError, match="SBATCH_QOS=inferno is set here and wins over cluster"):
        require(told(ANSWERS), tmp_path, "cluster=slurm", "cluster.qos=embers")
    assert found(told(ANSWERS), tmp_path, "cluster=slurm")["environment"].ok
    monkeypatch.setenv("SBATCH_JOB_NAME", "mine")
    with pytest.raises(UserError, match="SBATCH_JOB_NAME is set here"):
        require(told(ANSWERS), tmp_path, "cluster=slurm")


# -- limits


@pytest.mark.parametrize(
    ("site", "words", "said"),
    [
        (Site(), ["cluster=pace_phoenix", "cluster.minutes=600"], "over the limit of pace_phoenix, 480"),
        (Site(), ["cluster=pace_phoenix", "cluster.minutes=600"], "give cluster.minutes=480"),
        (
            Site(),
            ["cluster=pace_ice", "placement.ranks=4"],
            "32 GPU-hours, over the limit of pace_ice, 16; give cluster.minutes=240",
        ),
        (told(ANSWERS), ["cluster=slurm", "cluster.qos=embers", "cluster.minutes=481"], "the limit of QOS embers, 480"),
        (told(ANSWERS), ["cluster=slurm", "cluster.minutes=2000"], "the limit of partition gpu-a100, 1080"),
        (
            told(ICE),
            ["cluster=pace_ice", "placement.ranks=3"],
            "24 GPU-hours, over the limit of QOS coc-ice, 16; give cluster.minutes=320",
        ),
        (
            told({**ANSWERS, "qos": QOS.replace("08:00:00|50|50|||", "08:00:00|50|50|gres/gpu=2||")}),
            ["cluster=slurm", "cluster.qos=embers", "cluster.gpus=1", "placement.ranks=4"],
            "4 GPUs in one job are over the limit of QOS embers, 2",
        ),
    ],
)
def test_what_slurm_would_let_wait_for_ever_is_refused(site: Site, words: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        require(site, tmp_path, *words, "only=[{method: full}]")


def test_limits_of_the_cluster_reach_the_arrays() -> None:
    elements = grouping.group(sweep("cluster=slurm", "cluster.qos=embers").cells)
    limited, _ = preflight.applied(elements, dataclasses.replace(told(ANSWERS), max_array=2))
    assert {slurm.cluster_of(e).max_submit for e in limited} == {50}
    assert {len(a) for a in slurm.chunks(limited, {}, None)} == {1}
    assert [e.resources for e in limited] == [e.resources for e in elements]


# -- memory per CPU

PER_CPU = ("cluster=slurm", "cluster.memory_per_cpu_gib=3.5", "cluster.cpus=2")


def test_memory_is_asked_for_per_cpu_where_a_site_refuses_it_per_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, *_) = grouping.group(sweep(*PER_CPU).cells)
    text = slurm.sbatch_text(first, 1, "n", {}, tmp_path)
    assert "#SBATCH --mem-per-cpu=3584M\n" in text
    assert "--mem=" not in text
    assert found(Site(), tmp_path, *PER_CPU)["memory"].text == "7 GiB a node, 3.5 a CPU"
    said: list[list[str]] = []
    monkeypatch.setattr("paceline.slurm.sbatch.submit", lambda words, name: said.append(words) or "8")
    path = tmp_path / "sweeps" / "s" / "submissions" / "1"
    for words in (PER_CPU, ("cluster=slurm", "cluster.memory_per_cpu_gib=0.75"), ("cluster=slurm",)):
        (first, *_) = grouping.group(sweep(*words).cells)
        slurm.chain(path, first, {"0": "7_0"}, "n", Store(tmp_path), "c0de", [tmp_path])
    asked = [[w for w in words if w.startswith(("--mem", "--cpus"))] for words in said]
    assert asked == [
        ["--mem-per-cpu=2048M", "--cpus-per-task=1"],
        ["--mem-per-cpu=768M", "--cpus-per-task=3"],
        ["--mem=2G"],
    ]


def test_memory_per_node_and_per_cpu_at_once_is_refused(tmp_path: Path) -> None:
    words = ("cluster=pace_ice", "cluster.memory_per_cpu_gib=8")
    with pytest.raises(UserError, match=r"give cluster\.memory_gib=0, or cluster\.memory_per_cpu_gib=0"):
        require(told(ICE), tmp_path, *words)
    assert found(told(ICE), tmp_path, *words, "cluster.memory_gib=0")["memory"].ok


def test_memory_per_cpu_is_written_down_only_where_it_is_set() -> None:
    # A sweep is resumed by its own frozen code, which may not know the key.
    for words, known in ((("cluster=slurm",), False), (PER_CPU, True)):
        elements, _ = preflight.applied(grouping.group(sweep(*words).cells), Site())
        recorded = [e.placement["cluster"] for e in elements]
        recorded += sweep(*words).as_json("c0de")["placements"][0].values()
        assert {"memory_per_cpu_gib" in c for c in recorded if "memory_gib" in c} == {known}
    phoenix = sweep("cluster=pace_phoenix").as_json("c0de")
    assert "needs_account" not in json.dumps(phoenix)  # the launcher alone asks for it
    given = ClusterSpec(memory_per_cpu_gib=2.0, cpus=4)
    assert with_placement(Config(), placement_of(replace_cluster(given))).cluster == given
    rungs = [rung_of(placement_of(replace_cluster(ClusterSpec(memory_per_cpu_gib=g)))) for g in (0.0, 2.0, 4.0)]
    assert len({json.dumps(r) for r in rungs}) == 3


def replace_cluster(cluster: ClusterSpec) -> Config:
    return dataclasses.replace(Config(), cluster=cluster)


# -- refusing


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2 checks failed") as caught:
        require(told(ANSWERS), tmp_path, "cluster=slurm", "cluster.account=x", "cluster.minutes=2000")
    assert "cluster.account=" in str(caught.value)
    assert "cluster.minutes=1080" in str(caught.value)


def test_a_full_disk_alone_is_not_the_users_input() -> None:
    with pytest.raises(Unavailable, match="no room"):
        preflight.require([Finding("space", False, "no room"), Finding("sbatch", True, "")])
    with pytest.raises(UserError):
        preflight.require([Finding("space", False, "no room"), Finding("qos", False, "wrong")])


def test_slurm_is_asked_once_for_each_kind_of_job(sbatch: list[str], tmp_path: Path) -> None:
    words = ["cluster=slurm", "place=[{match: {kind: finetune, model: tiny_pixtral}, set: {placement.ranks: 2}}]"]
    assert found(told(ANSWERS), tmp_path, *words)["sbatch"] == Finding(
        "sbatch", True, "Slurm would take all 2 kinds of job"
    )
    assert sorted(re.findall(r"--ntasks-per-node=(\d)", "".join(sbatch))) == ["1", "2"]
    assert any("#SBATCH --array=0-1%2" in text for text in sbatch)


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("sbatch: allocation failure: Requested node configuration is not available", "lower cluster.memory_gib"),
        ("sbatch: allocation failure: Invalid feature specification", "give another cluster.constraint"),
        ("sbatch: allocation failure: Job violates accounting/QOS policy (job submit limit)", "another cluster.qos"),
    ],
)
def test_slurms_refusal_is_told_in_its_own_words_with_the_setting(
    said: str, remedy: str, sbatch: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(words: list[str]) -> str:
        raise Unavailable(said)

    monkeypatch.setattr("paceline.launch.preflight.call", call)
    with pytest.raises(UserError, match=re.escape(said.rpartition("failure: ")[2])) as caught:
        require(told(ANSWERS), tmp_path, "cluster=slurm")
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        "sbatch gave no answer in 20 s; try again in a minute",
        "sbatch: allocation failure: Unable to contact slurm controller (connect failure)",
    ],
)
def test_a_controller_that_is_silent_is_not_the_users_input(
    said: str, sbatch: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(words: list[str]) -> str:
        raise Unavailable(said)

    monkeypatch.setattr("paceline.launch.preflight.call", call)
    with pytest.raises(Unavailable, match=re.escape(said)):
        require(told(ANSWERS), tmp_path, "cluster=slurm")


def test_names_that_are_wrong_already_are_not_asked_about(sbatch: list[str], tmp_path: Path) -> None:
    assert found(told(ANSWERS), tmp_path, "cluster=slurm", "cluster.qos=x")["sbatch"].ok is None
    assert sbatch == []


# -- room


def planned(*overrides: str) -> tuple[list[Element], list[PlannedCell]]:
    cells = sweep("cluster=slurm", *overrides).cells
    return grouping.group(cells), cells


def entries(kind: str, *overrides: str) -> int:
    """Files and folders planned for the one cell of a kind."""
    elements, cells = planned("model=tiny_qwen2_vl", *overrides)
    (element,) = (e for e in elements if e.kind == kind)
    return (
        storage.need([element], cells, Store(Path("nowhere"))).files
        - storage.SUBMISSION
        - storage._element_files(element)
    )


def test_files_are_counted_as_cells_write_them() -> None:
    # Counted in the folders of such cells while they ran, with two checkpoints and both best weights kept.
    validated = ("train.validations=2", "train.keep=best", "tracking=wandb")
    assert entries("evaluate", "method=lora", *validated) == 39 + 32
    assert entries("finetune", "method=lora", *validated) == 54 + 17
    split = ("method=full", "place=[{match: {kind: finetune}, set: {deepspeed: zero2, placement.ranks: 2}}]")
    assert entries("finetune", *split, *validated) == 69 + 19


@pytest.mark.parametrize(
    ("method", "tracking", "evaluate", "finetune"),
    [("lora", "wandb", 17, 22), ("full", "wandb", 17, 23), ("full", "disabled", 12, 18)],
)
def test_the_plan_says_how_many_files_each_kind_of_cell_keeps(
    method: str, tracking: str, evaluate: int, finetune: int
) -> None:
    # As benchmarks/cell_files.py counts them in the folders of such cells once they are done.
    elements, cells = planned("model=tiny_qwen2_vl", f"method={method}", f"tracking={tracking}")
    needed = storage.need(elements, cells, Store(Path("nowhere")))
    assert needed.each == {"finetune": finetune, "evaluate": evaluate}
    text = needed.files_text()
    assert f"{evaluate} for each evaluate cell" in text and f"{finetune} for each finetune cell" in text
    assert f"{needed.kept} once they are done" in text
    assert needed.kept < needed.files


def weights(folder: Path, **shapes: list[int]) -> Path:
    """A safetensors file with a header and no numbers."""
    header = json.dumps(
        {n.replace("__", "."): {"dtype": "BF16", "shape": s, "data_offsets": [0, 0]} for n, s in shapes.items()}
    )
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header.encode())
    return folder


def test_weights_are_measured_by_their_headers_in_a_folder_and_in_the_hubs_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = weights(tmp_path / "w", layer__q__weight=[8, 4], layer__norm__weight=[4])
    found = storage.weights_of(ModelSpec(name="m", weights=str(folder)))
    assert isinstance(found, storage.Weights)
    assert found.numbers == 36
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    weights(tmp_path / "hub" / "models--o--m" / "snapshots" / ("ab" * 20), layer__q__weight=[8, 4])
    found = storage.weights_of(ModelSpec(name="m", weights="o/m", revision="ab" * 20))
    assert isinstance(found, storage.Weights)
    assert found.numbers == 32


@pytest.mark.parametrize(
    "model",
    [ModelSpec(name="t"), ModelSpec(name="h", weights="o/m", revision="ab" * 20), ModelSpec(name="h", weights="o/m")],
)
def test_a_size_that_is_not_known_is_said_and_not_guessed(
    model: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert isinstance(storage.weights_of(model), str)


def test_a_damaged_weights_file_is_no_traceback(tmp_path: Path) -> None:
    for name, content in (("a", b""), ("b", b"\xff" * 64), ("c", struct.pack("<Q", 2) + b"[]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(content)
        assert "can't be read" in str(storage.weights_of(ModelSpec(name="m", weights=str(tmp_path / name))))


def test_checkpoints_that_do_not_fit_are_refused_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = weights(tmp_path / "w", layer__q__weight=[10**6, 1000])  # 10⁹ numbers
    elements, cells = planned("method=full", "model=tiny_qwen2_vl", "placement.keep_checkpoints=1")
    cells = [
        PlannedCell(c.cell, dataclasses.replace(c.config, model=ModelSpec("m", "qwen2_vl", str(folder)))) for c in cells
    ]
    needed = storage.need(elements, cells, Store(tmp_path))
    # bfloat16 weights, and two checkpoints of 12 bytes a number: one kept, one being written.
    assert needed.bytes == 10**9 * (2 + 2 * 12)
    monkeypatch.setattr(storage, "rooms", lambda root: [storage.Room("the file system", None, 10**9)])
    space, files = preflight._storage(elements, cells, Store(tmp_path))
    assert (space.ok, files.ok) == (False, None)
    assert "at most 24.2 GiB" in space.text
    assert "placement.keep_checkpoints=1" in space.text


def test_a_phase_of_masked_pictures_takes_the_room_of_its_encoder(tmp_path: Path) -> None:
    folder = weights(tmp_path / "w", encoder__q__weight=[10**5, 1000], decoder__q__weight=[10**6, 1000])
    words = ("model=tiny_qwen2_vl", "placement.keep_checkpoints=1", "deepspeed=none")

    def needed(*more: str) -> storage.Need:
        elements, cells = planned(*words, *more)
        model = ModelSpec("m", "vision_encoder_decoder", str(folder))
        cells = [PlannedCell(c.cell, dataclasses.replace(c.config, model=model)) for c in cells]
        return storage.need(elements, cells, Store(tmp_path))

    plain, phased = needed("method=full"), needed("method=full", "train.masked_image.epochs=1")
    # The encoder's 10⁸ numbers stay in float32; its checkpoints are smaller than the tuning's, and gone before those.
    assert phased.bytes == plain.bytes + 4 * 10**8
    # As counted in the folder of such a cell: its own, the encoder's with four files, the attempt's with a history.
    assert phased.each["finetune"] == plain.each["finetune"] + 9 and phased.files == plain.files + 9


@pytest.mark.parametrize(
    ("engine", "saved_by", "times"), [("zero2", 2, 2), ("zero3", 4, 2), ("zero2", 1, 0), ("torch", 2, 0)]
)
def test_a_state_of_other_ranks_takes_its_room_twice_for_a_while(
    engine: str, saved_by: int, times: int, tmp_path: Path
) -> None:
    elements, cells = planned("method=full", "model=tiny_qwen2_vl", "deepspeed=zero2")
    store = Store(tmp_path)
    before = storage.need(elements, cells, store)
    (tuning,) = (c.id for c in cells if c.cell.kind == "finetune")
    state = store.cell(tuning).new_attempt().checkpoints / "checkpoint-3"
    state.mkdir(parents=True)
    (state / "state.pt").write_bytes(bytes(2**21))
    checkpoints.complete(state, step=3, world=saved_by, micro_batch=1, engine=engine, seconds=1.0)
    needed = storage.need(elements, cells, store)
    assert needed.moving == times * 2**21
    assert needed.bytes == before.bytes + needed.moving
    space, _ = preflight._storage(elements, cells, store)
    assert ("to put states together for another number of ranks" in space.text) == (times > 0)


def test_an_adapter_is_never_larger_than_all_that_it_could_stand_on() -> None:
    _, cells = planned("method=lora", "method.lora.r=4", "model=tiny_qwen2_vl")
    config = next(c.config for c in cells if c.cell.kind == "finetune")
    shapes = {"embed_tokens.weight": (100, 8), "q_proj.weight": (8, 8), "norm.weight": (8,), "v_proj.weight": (8, 2)}
    found = storage.Weights(0, shapes)
    assert storage._trained(config, found) == 4 * (16 + 10)
    only = dataclasses.replace(config.method, lora=dataclasses.replace(config.method.lora, targets=["v_proj"]))
    assert storage._trained(dataclasses.replace(config, method=only), found) == 4 * 10


@pytest.mark.parametrize(
    ("text", "room"),
    [
        ("  /scratch 25468 0 100000 - 342 0 1000000 -\n", storage.Room("your Lustre quota", 999658, 74532 * 1024)),
        ("/storage/scratch1/0/u\n  200* 100 0 6d23h 5 0 0 -\n", storage.Room("your Lustre quota", None, 0)),
        ("  /scratch [25468] 0 0 - 342 0 0 -\nuid 1 is using default", storage.Room("your Lustre quota", None, None)),
        ("", None),
        ("  /scratch 1 2", None),
        ("/scratch a b c d e f g h", None),
    ],
)
def test_a_lustre_quota_is_read_as_lfs_prints_it(text: str, room: storage.Room | None) -> None:
    assert storage.parse_quota(text) == room


@given(st.text(max_size=60))
def test_no_text_breaks_the_quotas_parser(text: str) -> None:
    storage.parse_quota(text)


def test_room_is_looked_up_where_the_root_will_be(tmp_path: Path) -> None:
    (room,) = storage.rooms(tmp_path / "not" / "there" / "yet")
    assert room.bytes is not None
    assert not (tmp_path / "not").exists()


# -- what was granted

# Printed by Slurm 22.05.8 for an array of two that waits for another; shortened where it says nothing.
JOB = (
    "JobId=42 ArrayJobId=42 ArrayTaskId=1 JobName=paceline-s-0-2 UserId=root(0) Account=gts-dev QOS=embers "
    "JobState=PENDING Reason=Dependency Dependency=aftercorr:40_*(unfulfilled) Requeue=1 Restarts=0 "
    "TimeLimit=00:20:00 Partition=gpu-a100 NodeList= NumNodes=1-1 NumCPUs=2 NumTasks=1 CPUs/Task=2 "
    "TRES=cpu=2,mem=2G,node=1,billing=2,gres/gpu=1,gres/gpu:a100=1 MinCPUsNode=2 MinMemoryNode=2G Features=(null) "
    "Power= KillOInInvalidDependent=Yes TresPerNode=gres:gpu:a100:1 MailUser=a@b.c MailType=END,FAIL"
)
ASKED = (
    "cluster=slurm",
    "cluster.account=gts-dev",
    "cluster.qos=embers",
    "cluster.gpus=1",
    "cluster.gpu=A100",
    "cluster.memory_gib=2",
    "cluster.cpus=2",
    "cluster.minutes=20",
    "cluster.mail=a@b.c",
)


def test_a_job_that_got_what_was_asked_is_not_spoken_of() -> None:
    (element, *_) = grouping.group(sweep(*ASKED).cells)
    assert reading_back.differences(element, fields(JOB), "aftercorr:40") == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("Account=gts-dev", "Account=gts-x", "asked for account gts-dev, is charged to gts-x"),
        ("QOS=embers", "QOS=inferno", "asked for QOS embers, gets inferno"),
        ("Partition=gpu-a100", "Partition=cpu-small", "asked for partition gpu-a100, runs in cpu-small"),
        ("TimeLimit=00:20:00", "TimeLimit=00:10:00", "asked for 20 minutes, gets 00:10:00"),
        ("NumNodes=1-1", "NumNodes=2", "asked for 1 node, gets 2"),
        ("NumCPUs=2", "NumCPUs=4", "asked for 2 CPUs, gets 4"),
        ("MinMemoryNode=2G", "MinMemoryNode=1G", "asked for 2 GiB a node, gets 1"),
        ("gres/gpu=1,", "gres/gpu=2,", "asked for 1 GPU, gets 2"),
        ("gres/gpu:a100=1", "gres/gpu:v100=1", "asked for GPU A100, gets v100"),
        ("MailUser=a@b.c", "", "asked for mail to a@b.c, gets none"),
        ("aftercorr:40_*(unfulfilled)", "(null)", "asked to wait (aftercorr:40), waits for no job"),
        ("Requeue=1", "Requeue=0", "a cell whose time is up waits for the next paceline resume"),
    ],
)
def test_every_difference_between_asked_and_granted_is_a_sentence(old: str, new: str, said: str) -> None:
    (element, *_) = grouping.group(sweep(*ASKED, "cluster.partition=gpu-a100").cells)
    (told_of,) = reading_back.differences(element, fields(JOB.replace(old, new)), "aftercorr:40")
    assert said in told_of


def test_memory_per_cpu_that_was_granted_is_compared() -> None:
    words = [w for w in ASKED if "memory" not in w]
    (element, *_) = grouping.group(sweep(*words, "cluster.memory_per_cpu_gib=1").cells)
    job = JOB.replace("MinMemoryNode=2G", "MinMemoryCPU=1G")
    assert reading_back.differences(element, fields(job), "aftercorr:40") == []
    less = reading_back.differences(element, fields(job.replace("CPU=1G", "CPU=512M")), "aftercorr:40")
    assert less == ["asked for 2 GiB a node, gets 1"]


def test_gpus_are_counted_where_accounting_does_not_count_them() -> None:
    bare = fields(JOB.replace(",gres/gpu=1,gres/gpu:a100=1", ""))
    (element, *_) = grouping.group(sweep(*ASKED).cells)
    assert reading_back.differences(element, bare, "aftercorr:40") == []
    bare["TresPerNode"] = "gres/gpu:2"
    assert reading_back.differences(element, bare, "aftercorr:40") == ["asked for 1 GPU, gets 2"]


def test_arrays_are_read_back_in_few_calls_and_silence_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    elements = grouping.group(sweep(*ASKED).cells)
    arrays = [[i] for i in range(len(elements))]
    jobs = {str(i): str(10 + i) for i in range(len(elements))}
    calls: list[str] = []

    def call(words: list[str], seconds: float) -> str:
        calls.append(words[-1])
        if words[-1] == "11":
            raise Unavailable("scontrol gave no answer in 10 s")
        return JOB.replace("aftercorr:40_*(unfulfilled)", "afterok:10(unfulfilled)")

    monkeypatch.setattr("paceline.launch.granted.call", call)
    read = reading_back.granted(elements, arrays, jobs)
    assert sorted(calls) == ["10", "11", "12", "13"]
    assert read["differences"] == []
    assert read["unanswered"]["11"] == "scontrol gave no answer in 10 s"
    assert read["jobs"]["10"]["QOS"] == "embers"
    assert json.loads(json.dumps(read)) == read


# -- the verbs


@pytest.fixture
def paceline(command_line: Paceline, monkeypatch: pytest.MonkeyPatch) -> Paceline:
    monkeypatch.setattr("paceline.data.samples.data_digest", lambda root, task: "d" * 64)
    monkeypatch.setenv("COLUMNS", "160")
    return command_line


def test_plan_shows_what_sbatch_is_given_and_works_without_slurm(
    paceline: Paceline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, out, _ = paceline(
        "plan", *WORDS, "cluster=pace_phoenix", "cluster.account=gts-lab", "cluster.max_submit=3", "--json"
    )
    assert code == 0
    plan = json.loads(out)["slurm"]
    assert [len(a["elements"]) for a in plan["arrays"]] == [2, 1]
    assert "#SBATCH --array=0-1%2\n" in plan["arrays"][0]["sbatch"]
    assert "#SBATCH --qos=embers\n" in plan["arrays"][0]["sbatch"]
    assert len(plan["held"]["cells"]) == 3
    assert "3 jobs of embers may be submitted at a time" in plan["held"]["reason"]
    assert {f["name"] for f in plan["findings"]} >= {"account", "qos", "walltime", "space", "files", "sbatch"}
    assert not any(f["ok"] is False for f in plan["findings"])
    code, out, _ = paceline("plan", *WORDS, "cluster=pace_phoenix", "cluster.account=gts-lab", "cluster.max_submit=3")
    assert "? sbatch: not known here: sbatch is not installed" in out
    assert "3 cells would be held back for the next resume" in out


def test_plan_leaves_a_placeholder_for_a_job_that_has_no_number_yet(paceline: Paceline) -> None:
    _, out, _ = paceline("plan", *WORDS, "cluster=slurm", "--sbatch")
    assert "#SBATCH --dependency=aftercorr:<job of array 0>\n" in out


def test_plan_names_the_elements_of_its_own_list(paceline: Paceline) -> None:
    _, out, _ = paceline("plan", *WORDS, "cluster=slurm", "--json")
    plan = json.loads(out)
    kinds = [{plan["elements"][i]["kind"] for i in a["elements"]} for a in plan["slurm"]["arrays"]]
    assert kinds == [{"finetune"}, {"evaluate"}, {"evaluate"}]


def test_plan_on_this_machine_says_nothing_of_slurm(paceline: Paceline) -> None:
    assert "sbatch" not in paceline("plan", *WORDS)[1]


def test_doctor_says_what_a_cluster_allows_in_a_line_each() -> None:
    spec = sweep("cluster=pace_phoenix").cells[0].config.cluster
    lines = {name: (good, text) for name, good, text in doctor.facts(spec, told(PHOENIX))}
    assert lines["QOS embers"] == (
        True,
        "up to 480 minutes, 50 jobs submitted, 50 running; priority 1; preempted jobs are cancelled: a preempted cell "
        "comes back only at the next paceline resume",
    )
    assert "not preempted" in lines["QOS inferno"][1]
    assert lines["plugins"][0] is None
    assert lines["arrays"] == (True, "up to 1,000 elements each (MaxArraySize 1001)")


def test_doctor_says_what_a_silent_database_means() -> None:
    site = dataclasses.replace(told(ANSWERS), qos=None, unanswered={"qos": "sacctmgr: Connection refused"})
    spec = sweep("cluster=slurm").cells[0].config.cluster
    (line,) = (text for name, good, text in doctor.facts(spec, site) if name == "accounting" and good is None)
    assert "limits are taken from conf/cluster/slurm.yaml" in line


def test_doctor_says_what_a_model_was_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = {"versions": {}, "device": "the CPU", "parameters": 1, "image_tokens": None, "text": "sea", "new_tokens": 1}
    monkeypatch.setattr(doctor, "describe", lambda spec: {**found, "seconds": {"load": 1.0, "answer": 1.0}})
    for inputs, asked in ((["image", "text"], "describes a picture"), (["text"], "answers a question")):
        spec = ModelSpec(name="m", family="causal_lm", config={"seed": 0}, inputs=inputs)
        assert (asked, True, "'sea' (1 token in 1.0 s)") in list(doctor.model(spec, Store(tmp_path), deep=False))


def test_doctor_never_shows_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    ((_, good, text),) = doctor.tracking()
    assert good is None
    assert "wandb login" in text
    monkeypatch.setenv("WANDB_API_KEY", "s3cr3t")
    ((_, good, text),) = doctor.tracking()
    assert good is True
    assert "s3cr3t" not in text
