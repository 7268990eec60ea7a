"""The schema of a cell. Every field is declared identity (what is computed) or placement (how it is run).

YAML states only what differs from the defaults below. Identity leaves out defaults, so a default here never changes
once a cell was published with it: a new meaning gets a new field (see ``docs/decisions/0002-identity.md``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from paceline.config.declared import identity_field, placement_field

Quantise = Literal["none", "nf4", "int8"]


@dataclass(frozen=True)
class ServiceSpec:
    """How a service is asked that answers in the place of weights: limits, time-outs, prices. Changes no answer."""

    key: str = placement_field(
        "",
        "environment variable that holds the key of the service, never the key itself; empty sends none",
        "where set",
    )
    limit_field: Literal["max_tokens", "max_completion_tokens"] = placement_field(
        "max_tokens", "field of a request that limits its answer: the second at OpenAI's models since 2024", "where set"
    )
    concurrency: int = placement_field(4, "requests under way at the same time", "where set", low=1)
    requests_per_minute: float = placement_field(
        0.0, "most requests begun in a minute; 0: no limit", "where set", low=0
    )
    connect_seconds: float = placement_field(10.0, "longest wait for a connection", "where set", above=0)
    read_seconds: float = placement_field(300.0, "longest silence inside a request", "where set", above=0)
    whole_seconds: float = placement_field(600.0, "longest that a request may take", "where set", above=0)
    patience_minutes: float = placement_field(
        15.0, "how long nothing may be answered before the attempt ends, for the next resume", "where set", above=0
    )
    tries: int = placement_field(
        8,
        "failures of one request, while others are answered, before its answer is the outcome error",
        "where set",
        low=1,
    )
    read_usd: float = placement_field(
        0.0, "US dollars for a million tokens read, for the estimate and the report", "where set", low=0
    )
    written_usd: float = placement_field(0.0, "US dollars for a million tokens written", "where set", low=0)


@dataclass(frozen=True)
class PartSpec:
    """Where a part of a joined model comes from: a model of its own, that was trained alone."""

    weights: str = identity_field("", "hub id or folder of the part's weights (in a cell: the digest of that)")
    revision: str = identity_field("", "commit of the part's hub repository, 40 hex digits; a hub model needs one")
    folder: str = placement_field(
        "", "where a folder of weights lies whose content `weights` names; set by planning, not in a YAML"
    )


@dataclass(frozen=True)
class PartsSpec:
    """The parts that a model is joined of, where it was not trained as a whole."""

    vision: PartSpec = identity_field(PartSpec, "the part that sees")
    language: PartSpec = identity_field(PartSpec, "the part that reads and answers")
    seed: int = identity_field(0, "seed of the weights that no part brings, which begin random", low=0, high=2**32 - 1)


@dataclass(frozen=True)
class ModelSpec:
    """A model: a family module, and where its weights come from."""

    name: str = identity_field("", "the file's name in conf/model/")
    family: str = identity_field("", "module in paceline/models/families/ that loads and drives it")
    weights: str = identity_field(
        "", "hub id or folder of the weights (in a cell: the digest of that); empty builds a twin"
    )
    revision: str = identity_field("", "commit of the hub repository, 40 hex digits; a hub model needs one")
    parts: PartsSpec = identity_field(PartsSpec, "in place of weights: two models that are joined to one")
    inputs: list[str] = identity_field(
        ["image", "text"],
        "what the model can read: image (one a question), images (several too), text (a question), prefix (the "
        "beginning of its answer)",
    )
    tunable: bool = identity_field(True, "whether its weights can be tuned here; false where its own code answers")
    dtype: Literal["float32", "bfloat16", "float16"] = identity_field("bfloat16", "number format of the weights")
    attention: Literal["sdpa", "eager", "flash_attention_2"] = identity_field("sdpa", "attention implementation")
    remote_code: bool = identity_field(False, "run code shipped with the weights; needs a pinned revision")
    transformers: str = identity_field("", "versions of transformers that the code runs on, such as >=4.43,<4.49")
    folder: str = placement_field(
        "", "where a folder of weights lies whose content `weights` names; set by planning, not in a YAML"
    )
    environment: str = placement_field(
        "", "folder of the Python environment (venv, conda) that runs the cells, $VARIABLES expanded; empty: this one"
    )
    config: dict[str, Any] = identity_field({}, "twins: arguments of the family's real config classes")
    processor: dict[str, Any] = identity_field({}, "arguments of the image processor, such as max_pixels")
    endpoint: str = identity_field(
        "",
        "base URL of a service that answers, such as https://api.openai.com/v1; $VARIABLES stay as written in an id",
    )
    request: dict[str, Any] = identity_field(
        {}, "fields of a request to the service: a value, generation.NAME for that setting's, or null to leave it out"
    )
    service: ServiceSpec = placement_field(ServiceSpec, "how the service is asked")

    @property
    def served(self) -> bool:
        """Whether a service answers, so that there are no weights here: nothing to fetch, and no GPU to ask for."""
        return bool(self.endpoint)


@dataclass(frozen=True)
class PictureSpec:
    """What is done to pictures before any model is shown them: 8 bits a channel, the bands, light and contrast."""

    scale: Literal["auto", "type", "data", "percentiles", "range"] = identity_field(
        "auto",
        "which values become black and white: the ends of the file's type, of its data, two percentiles of it, or a "
        "range for all files; auto: of the type where the values fill half of it, else the 0.1th and 99.9th percentile",
    )
    limits: list[float] = identity_field(
        [], "the two percentiles, where empty the 2nd and the 98th; or the two values of the range, such as [0, 4095]"
    )
    bands: list[int] = identity_field(
        [], "of TIFFs, counted from 1: red, green and blue, or one as grey; empty: the colours that the file names"
    )
    illumination: Literal["none", "cosine"] = identity_field(
        "none",
        "cosine: brightness divided by cos(t) + illumination_epsilon and cut off at 255, t the sample's field "
        "sun_zenith in degrees; the picture's 8 bits, before it is equalised",
    )
    illumination_epsilon: float = identity_field(0.01, "of cosine: what keeps a low sun from dividing by 0", above=0)
    equalise: Literal["none", "luminance", "channels"] = identity_field(
        "none",
        "histogram equalisation by Pillow's ImageOps.equalize: of the Y of YCbCr, which keeps the hues, or of red, "
        "green and blue each by itself",
    )


@dataclass(frozen=True)
class TaskSpec:
    """A task: a dataset, what is asked of it, and the kind that scores it."""

    name: str = identity_field("", "the file's name in conf/task/")
    kind: str = identity_field("", "module in paceline/tasks/: the fields of a sample and the scorer")
    needs: list[str] = identity_field(
        ["image", "text"], "what a model must be able to read; where it is not set, what the kind asks"
    )
    reader: str = identity_field("", "module in paceline/data/readers/ that makes the prepared data")
    options: dict[str, Any] = identity_field({}, "options of the reader")
    pictures: PictureSpec = identity_field(PictureSpec, "what is done to pictures before any model is shown them")
    target: str = identity_field("", "the answer trained on, with {fields} of the sample", only="finetune")
    prompt: str = identity_field("", "the prompt trained on where train.prompt is not set", only="finetune")
    train: str = identity_field("train", "split to train on", only="finetune")
    validation: str = identity_field("validation", "split to validate on", only="finetune")
    evaluate: list[str] = identity_field(["test"], "splits to answer and score", only="evaluate")


@dataclass(frozen=True)
class ShotsSpec:
    """Worked examples (few-shot): other samples with their answers, shown with their images before each question."""

    count: int = identity_field(0, "examples shown before each question; 0 shows none", low=0, high=64)
    how: Literal["fixed", "per_class", "nearest", "file"] = identity_field(
        "fixed",
        "which: the same ones for all samples; the same, spread over classes; those most like the sample, the likest "
        "last; or those of a file",
    )
    field: str = identity_field("", "per_class: field of the samples that names their class")
    seed: int = identity_field(0, "fixed, per_class: seed of the draw", low=0, high=2**32 - 1)
    split: str = identity_field("", "split that they are drawn from; empty: task.train")
    answer: str = identity_field("", "what they answer, with {fields} of the sample; empty: task.target")
    embedder: str = identity_field(
        "", "nearest: hub id or folder of the model whose vectors are compared (in a cell: the digest of a folder)"
    )
    revision: str = identity_field("", "nearest: commit of the embedder's hub repository, 40 hex digits")
    file: str = identity_field(
        "", "file: CSV or JSON lines with image (beside the file) or sample, and answer (in a cell: its digest)"
    )


@dataclass(frozen=True)
class BuildsOnSpec:
    """Another prompt's answer about the same sample, by the same weights, that is put into a prompt."""

    prompt: str = identity_field("", "the prompt whose answer is asked for first; {earlier_answer} becomes that answer")
    facts: int = identity_field(
        0,
        "background facts of the task's kind that {facts} becomes: entries most like the earlier answer; 0: none",
        low=0,
        high=50,
    )
    digest: str = identity_field("", "digest of the background facts; set by planning, not in a YAML")


@dataclass(frozen=True)
class PromptSpec:
    """A prompt: a versioned template. ``{field}`` is replaced by the sample's field of that name."""

    name: str = identity_field("", "the file's name in conf/prompt/")
    version: int = identity_field(1, "raised when the text changes", low=0)
    text: str = identity_field("", "the user's turn")
    system: str = identity_field("", "the system's turn, for models that have one")
    example: str = identity_field("", "the answer of the worked example inside the text: echoing it is a miss")
    prefix: str = identity_field("", "what an answer begins with, for captioners that go on from there")
    boxes: Literal["", "pixels", "unit", "percent", "thousand", "thousand_yx"] = identity_field(
        "",
        "form in which it asks for boxes: pixels, or shares of the picture from 0 to 1, 100 or 1000 (with y first); "
        "empty: told from each answer",
    )
    shots: ShotsSpec = identity_field(ShotsSpec, "worked examples of other samples, shown before the question")
    builds_on: BuildsOnSpec = identity_field(BuildsOnSpec, "another prompt's answers that this one builds on")
    scored: bool = identity_field(
        True, "whether its answers are judged; false where they are only material that other prompts build on"
    )


@dataclass(frozen=True)
class LoraSpec:
    """Low-rank adaptation (Hu et al. 2021, arXiv:2106.09685)."""

    r: int = identity_field(16, "rank", low=1)
    alpha: float = identity_field(32.0, "scale; the update is multiplied by alpha / r", above=0)
    dropout: float = identity_field(0.0, "dropout before the low-rank matrices", low=0, below=1)
    targets: list[str] = identity_field([], "names of the linear layers; empty takes all of the components")
    components: list[str] = identity_field(["language"], "parts of the model to adapt: vision, connector, language")
    dora: bool = identity_field(False, "learn the length of each weight apart from its direction (DoRA)")
    init: Literal["default", "gaussian"] = identity_field(
        "default", "how the first low-rank matrix is drawn: uniform as PEFT does, or gaussian with deviation 1 / r"
    )
    allow_partial_targets: bool = identity_field(
        False, "adapt even where most linear layers of the language model are left out"
    )


@dataclass(frozen=True)
class MethodSpec:
    """A method: what is learned, and on what form of the weights."""

    name: str = identity_field("", "the file's name in conf/method/")
    trains: Literal["nothing", "all", "adapter"] = identity_field("nothing", "which weights change")
    frozen: list[str] = identity_field([], "components that stay as they are: vision, connector, language", "finetune")
    frozen_layers: dict[str, Any] = identity_field(
        {},
        "component -> how many of its first layers stay as they are, with what stands before them, such as "
        "{vision: 6}; an adapter is put on the others",
        "finetune",
    )
    lora: LoraSpec = identity_field(LoraSpec, "the adapter, where trains=adapter", only="finetune")
    quantise: Quantise = identity_field(
        "none", "frozen weights in few bits: nf4 with double quantisation, int8 with outliers above 6.0 left whole"
    )
    dtype: Literal["", "float32", "bfloat16", "float16"] = identity_field(
        "", "number format to compute in, and of weights that are not quantised; empty: the model's"
    )


@dataclass(frozen=True)
class MaskedImageSpec:
    """Pre-training of a ViT on the training pictures alone, before it is tuned: it predicts what is hidden (SimMIM)."""

    epochs: float = identity_field(0.0, "passes over the pictures of the train split; 0: no pre-training", low=0)
    ratio: float = identity_field(0.6, "share of a picture that is hidden", above=0, below=1)
    learning_rate: float = identity_field(1e-4, "peak learning rate of the pre-training", above=0)


@dataclass(frozen=True)
class TrainSpec:
    """How a method is trained."""

    name: str = identity_field("", "the file's name in conf/train/")
    task: str | None = identity_field(None, "task trained on, by its name; null: the evaluated one")
    prompt: str = identity_field(
        "", "prompt trained on: a name, or `same` for the evaluated one; empty: that of the task trained on"
    )
    epochs: float = identity_field(1.0, "passes over the train split", low=0)
    max_steps: int = identity_field(0, "optimiser steps; 0 leaves it to epochs", low=0)
    learning_rate: float = identity_field(2e-5, "peak learning rate", low=0)
    schedule: Literal["cosine", "linear", "constant"] = identity_field("cosine", "decay after the warm-up")
    warmup: float = identity_field(0.03, "share of the steps that warm up", low=0, high=1)
    batch: int = identity_field(
        32, "effective batch: samples per optimiser step, over all ranks and accumulation", low=1
    )
    weight_decay: float = identity_field(0.0, "AdamW weight decay", low=0)
    beta2: float = identity_field(0.999, "AdamW second-moment decay", low=0, below=1)
    max_grad_norm: float = identity_field(1.0, "gradient clipping; 0 switches it off", low=0)
    validations: int = identity_field(0, "validations over the run, evenly spaced; 0 skips validation", low=0)
    resample: Literal["none", "bootstrap"] = identity_field(
        "none",
        "bootstrap: as many samples, drawn with replacement by the cell's seed and in whole groups: a member of an "
        "ensemble over seeds (bagging)",
    )
    boost: int = identity_field(
        0,
        "N: the N-th round of boosting behind a tuning without (round 0). As many training samples, drawn by weights "
        "that the errors of the rounds before have raised; train.boost=0,1,2 is an ensemble",
        low=0,
    )
    masked_image: MaskedImageSpec = identity_field(MaskedImageSpec, "pre-training of the vision encoder")
    keep: Literal["last", "best"] = identity_field("last", "weights published: the last, or the best validated")
    augment: list[Literal["flip", "rotate90", "crop", "colour"]] = identity_field(
        [],
        "what is drawn anew of each picture at every visit of its sample: flip (left to right), rotate90 (quarter "
        "turns), crop (sides of 80 to 100 %), colour (brightness, contrast, saturation); validation is left as it is",
    )
    kernels: Literal["torch", "liger"] = identity_field(
        "torch", "liger: norms, rotary positions and activations of liger-kernel, on a GPU; they round otherwise"
    )


@dataclass(frozen=True)
class GenerationSpec:
    """How questions are answered. At temperature 0 (greedy or beams) top_p and the seed change nothing.

    Where choices are scored (``answer: likelihood``), what concerns generated text changes nothing.
    """

    name: str = identity_field("", "the file's name in conf/generation/")
    new_tokens: int = identity_field(128, "most tokens of an answer", low=1)
    min_new_tokens: int = identity_field(0, "fewest tokens of an answer; it can't end before", low=0)
    temperature: float = identity_field(0.0, "0 takes the likeliest token; above it tokens are sampled", low=0)
    top_p: float = identity_field(1.0, "nucleus sampling: smallest set of tokens with this mass", above=0, high=1)
    beams: int = identity_field(1, "beam search width", low=1)
    repetition_penalty: float = identity_field(1.0, "1 is none", above=0)
    batch: int = identity_field(16, "answers generated, or choices scored, together", low=1)
    engine: Literal["transformers"] = identity_field("transformers", "library that generates")
    answer: Literal["generate", "likelihood"] = identity_field(
        "generate", "how a question is answered: text is generated, or the likeliest of the question's choices is taken"
    )
    choose_by: Literal["sum", "per_character"] = identity_field(
        "sum", "of likelihood: log-probability of a choice's tokens as it is, or divided by the choice's characters"
    )


@dataclass(frozen=True)
class PlacementSpec:
    """How one cell is run on the hardware."""

    name: str = placement_field("", "the file's name in conf/placement/")
    nodes: int = placement_field(1, "nodes of a cell", low=1)
    ranks: int = placement_field(1, "processes per node, one per GPU", low=1)
    threads: int = placement_field(
        0,
        "CPU threads per rank; 0 takes one, because the number changes sums in the last bit",
        low=0,
    )
    micro_batch: int = placement_field(0, "samples per rank and forward; 0 takes batch / ranks", low=0)
    activation_checkpointing: bool = placement_field(False, "trade compute for activation memory")
    workers: int = placement_field(
        -1, "data-loader processes per rank; -1 takes the rank's spare CPUs, up to four, where there is a GPU", low=-1
    )
    feature_gib: float = placement_field(
        4.0, "most room under TMPDIR for what a frozen vision tower saw, kept from epoch to epoch; 0 keeps none", low=0
    )
    checkpoint_minutes: float = placement_field(10.0, "most minutes of training between checkpoints", low=0)
    checkpoint_steps: int = placement_field(0, "also checkpoint every N optimiser steps; 0: by time alone", low=0)
    keep_checkpoints: int = placement_field(2, "checkpoints kept per cell while it trains", low=1)
    auto: bool = placement_field(
        False, "let the planner choose micro_batch, activation_checkpointing and deepspeed for the cluster's GPU"
    )
    fit: Literal["check", "ignore"] = placement_field(
        "check", "refuse what the planner finds too large for the cluster's GPU, or submit it all the same"
    )
    probe: Literal["auto", "always", "never"] = placement_field(
        "auto", "try the largest batch before the first step, and go down the ladder until it fits; auto: on a GPU"
    )


@dataclass(frozen=True)
class DeepSpeedSpec:
    """How memory is split over ranks."""

    name: str = placement_field("", "the file's name in conf/deepspeed/")
    config: dict[str, Any] = placement_field({}, "passed to DeepSpeed as it is; empty runs without it")


@dataclass(frozen=True)
class ClusterSpec:
    """Where cells run."""

    name: str = placement_field("", "the file's name in conf/cluster/")
    executor: Literal["local", "debug", "slurm"] = placement_field("local", "how an element becomes a process")
    root: str = placement_field("", "storage root; root= and PACELINE_ROOT come first")
    slots: int = placement_field(0, "local: ranks that run at the same time; 0 takes the cores", low=0)
    cells_per_element: int = placement_field(16, "most evaluate cells answered by one loading of the weights", low=1)
    attempts: int = placement_field(
        5, "attempts in a row that end with one cause and get no further, before a cell is left to the user", low=1
    )
    attempts_per_cause: dict[str, int] = placement_field(
        {"CUDA out of memory": 2, "out of host memory": 2}, "the same for single causes, where it is another number"
    )
    account: str = placement_field("", "Slurm account that is charged; empty takes the user's own")
    needs_account: bool = placement_field(
        False, "refuse a submit that names no account: the site takes none without", "never"
    )
    qos: str = placement_field("", "Slurm quality of service; empty takes the account's own")
    partition: str = placement_field("", "Slurm partition; empty takes the cluster's own")
    constraint: str = placement_field("", "features that a node must have, such as A100-80GB")
    gpu: str = placement_field("", "type of GPU to ask for, such as A100; empty takes any")
    gpus: int = placement_field(0, "GPUs per rank; 0 runs on the CPU", low=0)
    cpus: int = placement_field(1, "CPU cores per rank", low=1)
    memory_gib: int = placement_field(0, "host memory per node; 0 leaves it to the cluster", low=0)
    memory_per_cpu_gib: float = placement_field(
        0.0, "host memory per CPU core, in place of memory_gib, where a site refuses --mem", "where set", low=0
    )
    minutes: int = placement_field(60, "walltime of an element", low=1)
    signal_seconds: int = placement_field(120, "how long before the walltime the cell is told to save", low=0)
    setup: list[str] = placement_field([], "shell lines before the job, such as module loads")
    parallel: int = placement_field(0, "most elements of an array at a time; 0 leaves it to the cluster", low=0)
    max_array: int = placement_field(1001, "MaxArraySize: the highest index of an array is one less", low=1)
    max_submit: int = placement_field(
        0, "jobs that a user may have submitted, array elements counted; 0: no limit", low=0
    )
    max_minutes: int = placement_field(0, "longest walltime; 0: no limit", low=0)
    max_gpu_hours: int = placement_field(0, "most GPUs × hours of one job; 0: no limit", low=0)
    gpu_hour_usd: float = placement_field(
        0.0, "what an hour of a GPU costs in US dollars, for the report's account; 0: not known", low=0
    )
    mail: str = placement_field("", "address that Slurm writes to at the end of each array and at failures")

    def node_memory_gib(self, ranks: int) -> float:
        """Host memory of so many ranks on a node, whichever way it is asked for; 0 where the cluster decides."""
        return self.memory_per_cpu_gib * self.cpus * ranks or float(self.memory_gib)

    def memory_words(self, gib: float, ranks: int) -> str:
        """The setting that asks for so much on a node: ``cluster.memory_gib=64``."""
        if self.memory_per_cpu_gib:
            return f"cluster.memory_per_cpu_gib={math.ceil(gib / self.cpus / ranks)}"
        return f"cluster.memory_gib={math.ceil(gib)}"

    def attempts_after(self, cause: str) -> int:
        """How many attempts may end with a cause and get no further."""
        return self.attempts_per_cause.get(cause, self.attempts)


@dataclass(frozen=True)
class TrackingSpec:
    """Where curves and tables go."""

    name: str = placement_field("", "the file's name in conf/tracking/")
    backend: Literal["wandb", "trackio", "none"] = placement_field("none", "tracking library")
    mode: Literal["offline", "online"] = placement_field(
        "offline", "offline keeps runs in the cell until they are synced"
    )
    project: str = placement_field("paceline", "project in W&B or Trackio")
    entity: str = placement_field("", "W&B team or user; empty takes WANDB_ENTITY, else the account's own")
    samples: int = placement_field(
        32, "predictions shown in a table with their images, spread evenly over the data", low=0, high=1000
    )


@dataclass(frozen=True)
class Config:
    """One point of a sweep: a choice from every group, and what crosses them."""

    model: ModelSpec = identity_field(ModelSpec, "conf/model/")
    task: TaskSpec = identity_field(TaskSpec, "conf/task/")
    prompt: PromptSpec = identity_field(PromptSpec, "conf/prompt/")
    method: MethodSpec = identity_field(MethodSpec, "conf/method/")
    train: TrainSpec = identity_field(TrainSpec, "conf/train/", only="finetune")
    generation: GenerationSpec = identity_field(GenerationSpec, "conf/generation/", only="evaluate")
    seed: int = identity_field(0, "seed of the weights drawn, the data order and the sampling", low=0, high=2**32 - 1)
    limit: int = identity_field(0, "samples used of each split, the first in the prepared order; 0 takes all", low=0)
    placement: PlacementSpec = placement_field(PlacementSpec, "conf/placement/")
    deepspeed: DeepSpeedSpec = placement_field(DeepSpeedSpec, "conf/deepspeed/")
    cluster: ClusterSpec = placement_field(ClusterSpec, "conf/cluster/")
    tracking: TrackingSpec = placement_field(TrackingSpec, "conf/tracking/")


GROUPS: dict[str, type] = {
    "model": ModelSpec,
    "task": TaskSpec,
    "prompt": PromptSpec,
    "method": MethodSpec,
    "train": TrainSpec,
    "generation": GenerationSpec,
    "placement": PlacementSpec,
    "deepspeed": DeepSpeedSpec,
    "cluster": ClusterSpec,
    "tracking": TrackingSpec,
}
PLACEMENT_GROUPS = ("placement", "deepspeed", "cluster", "tracking")
SCALARS = ("seed", "limit")
