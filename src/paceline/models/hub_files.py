"""A hub model's weights in the hub library's own cache: fetched once where there is a network, then read offline.

    <cache>/models--<owner>--<name>/
        snapshots/<revision>/<file>   links into blobs/; config.json is linked last, so where it is all of them are
        blobs/<digest>                named by its content: sha256 of large files, git's sha1 of small ones
        blobs/<digest>.<process>.partial    as far as a process came; of one that ended, another goes on with it
        .paceline/<revision>.json     the lengths of the files that were fetched

The library reads this layout and could write it too, but begins an interrupted file anew, and trusts what comes if only
its length is right. So its request and its sign-in are used here, and the file is ours until its digest is right.

Whether a model is whole is read from these files each time and never stored. Imports no torch, and the hub library only
where the hub is asked.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from paceline.config.checks import in_folder, locate_weights
from paceline.config.joined_parts import is_part, source_name, sources
from paceline.config.schema import ModelSpec
from paceline.counted import agree, counted
from paceline.errors import UserError
from paceline.models.registry import other_architecture, says
from paceline.models.whole_files import cut_short, packed
from paceline.store.files import read_json

Progress = Callable[[str, int, int], None]
"""``progress(stage, done, total)``, in whole megabytes."""

MEGABYTE = 10**6
_CHUNK = 1 << 22

# What transformers looks for, in its order; of several sets of the same weights only one is fetched.
_WEIGHTS = (
    re.compile(r"model\.safetensors"),
    re.compile(r"model-\d{5}-of-\d{5}\.safetensors|model\.safetensors\.index\.json"),
    re.compile(r"pytorch_model\.bin"),
    re.compile(r"pytorch_model-\d{5}-of-\d{5}\.bin|pytorch_model\.bin\.index\.json"),
)
_INDEX = re.compile(r".*\.(safetensors|bin|pt|h5|msgpack)\.index\.json")
# Configs, vocabularies, chat templates: kilobytes, except for the vocabularies.
_SMALL = (".json", ".jinja", ".txt", ".model", ".tiktoken")
_TEMPLATES = "additional_chat_templates/"


# -- where weights are


def cache() -> Path:
    """The hub library's cache, by its own variables; asked without importing it, which would take half a second."""
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{base}/huggingface"
    return Path(os.path.expandvars(named or f"{home}/hub")).expanduser()


def snapshot(source: str, revision: str) -> Path:
    """The folder of a hub model's files at one commit; it need not be there."""
    return cache() / f"models--{source.replace('/', '--')}" / "snapshots" / revision


def folder_of(model: ModelSpec) -> Path | None:
    """Where a model's files are, or would be once fetched; None for a twin, and for a joined model, whose parts have
    folders (:func:`paceline.config.joined_parts.sources`).

    Raises:
        UserError: no such folder, or no pinned revision.
    """
    source, revision = locate_weights(model)
    if not source:
        return None
    return Path(source) if revision is None else snapshot(source, revision)


def needed(names: Iterable[str], code: bool = False) -> list[str]:
    """Of a repository's files those that transformers reads: one set of weights, configs, vocabularies, templates.

    Left out are second copies (``original/``, ``consolidated*``, ``.bin`` beside ``.safetensors``), other
    frameworks' weights, and pictures.

    Args:
        names: paths inside the repository.
        code: also its Python files.
    """
    names = sorted(names)
    top = [n for n in names if "/" not in n]
    sets = ([n for n in top if pattern.fullmatch(n)] for pattern in _WEIGHTS)
    # An index alone holds no weights.
    weights = next((found for found in sets if any(not _INDEX.fullmatch(n) for n in found)), [])
    small = [n for n in top if n.endswith(_SMALL) and not _INDEX.fullmatch(n)]
    templates = [n for n in names if n.startswith(_TEMPLATES) and n.endswith(".jinja")]
    modules = [n for n in names if code and n.endswith(".py")]
    return sorted({*weights, *small, *templates, *modules})


def lacking(model: ModelSpec) -> str:
    """What stands in the way of loading a model offline, in one line; empty where nothing does.

    Reads names, lengths, and headers or ends of files, so that a plan may ask it; :func:`damaged` reads all.

    Raises:
        UserError: as :func:`folder_of`.
    """
    return next(filter(None, map(_lacking, sources(model))), "")


def _lacking(model: ModelSpec) -> str:
    folder = folder_of(model)
    if folder is None:
        return ""
    from_hub = not in_folder(model)
    what = f"{model.weights} at {model.revision[:12]}" if from_hub else str(folder)
    if not folder.is_dir():
        return f"{what} is not in {cache()}"
    there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    lengths = fetched_lengths(folder) if from_hub else {}
    absent = sorted({"config.json", *needed(lengths, model.remote_code)} - there)
    values = _json(folder / "config.json")
    config = values if isinstance(values, dict) else {}
    if model.remote_code:
        absent += sorted(_modules(config) - there - set(absent))
    for index in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        absent += sorted(set(_shards(folder / index)) - there - set(absent))
    if absent:
        lacking = f"{counted(len(absent), 'file')} {agree(len(absent), 'is', 'are')} missing"
        return f"{what}: {lacking} in {folder}, such as {absent[0]}"
    if not isinstance(values, dict | None):
        return f"{what}: {folder / 'config.json'} holds no settings; it is no model's"
    if "adapter_config.json" in there:
        return (
            f"{what}: {folder} holds an adapter (adapter_config.json), which would be loaded with the weights and is "
            "not among what they are known by: merge it into them, or move it"
        )
    if model.family and (other := other_architecture(model.family, config)):
        return f"{what}: {other}; name the family of these weights in conf/model/{model.name}.yaml"
    weights = [n for n in needed(there) if n.endswith((".safetensors", ".bin"))]
    if not weights:
        return f"{what}: no weights (model*.safetensors, pytorch_model*.bin) in {folder}"
    if index := _unlisted(folder, weights):
        return f"{what}: {index}"
    known = model.family or is_part(model)
    if not from_hub and known and not model.remote_code and (unsaid := _unsaid(model, there)):
        return f"{what}: {unsaid}"
    for name in needed(there, model.remote_code):
        path = folder / name
        if path.stat().st_size != lengths[name] if name in lengths else cut_short(path):
            return f"{what}: {path} is cut short or damaged"
    if "quantization_config" not in config:
        for name in weights:
            if name.endswith(".safetensors") and (tensor := packed(folder / name)):
                return (
                    f"{what}: {folder / name} holds numbers of few bits ({tensor}), and config.json does not say how "
                    "they are read (quantization_config); give weights in a number format (float32, bfloat16, float16)"
                )
    return ""


def lengths_file(folder: Path) -> Path:
    """Where the lengths of a snapshot's files are kept: they are known when it is fetched, and no format tells all."""
    return folder.parents[1] / ".paceline" / f"{folder.name}.json"


def fetched_lengths(folder: Path) -> dict[str, int]:
    """Bytes of a snapshot's files by their names, as the hub listed them; none where another tool fetched them."""
    try:
        return {str(name): int(size) for name, size in read_json(lengths_file(folder))["files"].items()}
    except (UserError, OSError, KeyError, TypeError, ValueError, AttributeError):
        return {}


def _modules(config: Mapping[str, Any]) -> set[str]:
    """Files of the code that a config names: ``auto_map: {AutoConfig: configuration_x.Name}``."""
    auto_map = config.get("auto_map", {})
    named = auto_map.values() if isinstance(auto_map, dict) else ()
    # `owner/name--module.Class` is code of another repository.
    words = [n for value in named for n in (value if isinstance(value, list) else [value]) if isinstance(n, str)]
    return {f"{n.partition('.')[0]}.py" for n in words if "--" not in n}


def _json(path: Path) -> Any:
    """The value of a JSON file; None where it can't be read."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _shards(index: Path) -> list[str]:
    try:
        return sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return [index.name]


_TOKENIZERS = {"tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tekken.json", "spiece.model"}


def _unsaid(model: ModelSpec, there: set[str]) -> str:
    """What beside weights a folder lacks, without which a model reads texts or pictures otherwise, or not at all."""
    reads = says(model.family, "tokenized", True) if not is_part(model) else "text" in model.inputs
    if reads and (not _TOKENIZERS & there or "tokenizer_config.json" not in there):
        return f"its tokenizer is not whole: tokenizer_config.json and one of {', '.join(sorted(_TOKENIZERS))}"
    if {"image", "images"} & set(model.inputs) and not {"preprocessor_config.json", "processor_config.json"} & there:
        return "there is no preprocessor_config.json (or processor_config.json), which says how pictures are read"
    return ""


def _unlisted(folder: Path, weights: list[str]) -> str:
    """Why weights in several files can't be read for their list; empty where they can, or are in one file."""
    if len(weights) == 1 and "-of-" not in weights[0]:
        return ""
    index = folder / re.sub(r"-\d+-of-\d+", "", f"{weights[0]}.index.json")
    if not index.is_file():
        return f"{index} is missing, the list of which tensor is in which of {counted(len(weights), 'file')}"
    listed = _json(index)
    if isinstance(listed, dict) and "metadata" not in listed and "weight_map" in listed:
        return f'{index} has no "metadata", which transformers reads; add "metadata": {{}}'
    return ""


# -- what is known of a model


def facts(model: ModelSpec) -> dict[str, Any]:
    """What is known of a hub model before it is fetched, of the file of its hub id in ``facts/``; empty where nothing
    is. Folders below a variable go by their own names.
    """
    named = re.sub(r"\$\w+/", "", source_name(model)).replace("/", "--").replace(" ", "")
    path = Path(__file__).with_name("facts") / f"{named}.json"
    return dict(json.loads(path.read_bytes())) if path.is_file() else {}


# -- digests


def damaged(model: ModelSpec, progress: Progress) -> list[Path]:
    """Files of a hub model whose content is not what its name in the cache says. Reads every byte.

    Files that are no links into the cache (a folder of the user's, a file system without links) tell no digest.
    """
    folders = [folder for source in sources(model) if (folder := folder_of(source))]
    links = [p for folder in folders for p in sorted(folder.rglob("*")) if p.is_symlink()]
    named = [(p, p.resolve().name) for p in links]
    return list(mismatches(named, sum(p.stat().st_size for p in links if p.exists()), progress))


def mismatches(files: Iterable[tuple[Path, str]], total: int, progress: Progress) -> Iterator[Path]:
    """Of files and their digests (sha256, or git's sha1 of a blob), those that differ or can't be read."""
    done = 0
    for path, digest in files:
        try:
            size = path.stat().st_size
            found = hashlib.sha256() if len(digest) == 64 else hashlib.sha1(f"blob {size}\0".encode())
            with path.open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    found.update(chunk)
                    done += len(chunk)
                    progress("MB checked", done // MEGABYTE, total // MEGABYTE)
        except OSError:
            yield path
            continue
        if found.hexdigest() != digest:
            yield path
