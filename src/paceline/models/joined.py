"""Families whose networks may be put together of two models that were trained alone.

Each part is read by its own Auto class, whole and with its own check of what was not read; what no part brings is drawn
here. Then the library reads the network from those tensors, as it would from a file: in the number format and on the
devices that it is told, quantised or in the pieces of ZeRO-3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch

from paceline.config.checks import locate_weights
from paceline.config.joined_parts import PARTS, is_joined, sources
from paceline.config.schema import ModelSpec
from paceline.counted import counted
from paceline.models.family import BACKEND, Family, whole_weights
from paceline.models.landed import SHOWN, Unread

# isort: split
# After the families' base, which defines the operators that these imports may want.
import transformers


class Pair:
    """An image processor and a tokenizer, for networks whose library class has no processor of its own."""

    def __init__(self, image_processor: Any, tokenizer: Any) -> None:
        self.image_processor, self.tokenizer = image_processor, tokenizer
        self.chat_template: str | None = tokenizer.chat_template

    def apply_chat_template(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> Any:
        """The text of some turns, by the tokenizer's template, or the one that was set here."""
        return self.tokenizer.apply_chat_template(messages, chat_template=self.chat_template, **options)

    @classmethod
    def from_pretrained(cls, source: str, **options: Any) -> Any:
        """Both, from a folder or a hub id."""
        images = transformers.AutoImageProcessor.from_pretrained(source, backend=BACKEND, **options)
        return cls(images, transformers.AutoTokenizer.from_pretrained(source, **options))

    def save_pretrained(self, folder: Path) -> None:
        """Write both, each in its own files."""
        self.image_processor.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


class Joined(Family):
    """A network of a vision part and a language part, whole in one place or to be joined of two (``parts:``).

    A family says how the network's config is made of the parts' (:meth:`joined_config`), where its parts stand in it
    (``prefixes``), and how large the weights begin that no part brings (:meth:`spread`).
    """

    network_class: ClassVar[Any] = None
    # Part -> the Auto class that reads it, and where it stands in the network.
    part_classes: ClassVar[Mapping[str, str]] = {"vision": "AutoModel", "language": "AutoModelForCausalLM"}
    prefixes: ClassVar[Mapping[str, str]] = {}
    # Part -> the name of its config in the network's.
    config_names: ClassVar[Mapping[str, str]] = {}

    def __init__(self, spec: ModelSpec, model: Any, processor: Any) -> None:
        super().__init__(spec, model, processor)
        self.new_weights = str(getattr(model, "new_weights", ""))

    # -- what a family says

    @classmethod
    def joined_config(cls, vision: Any, language: Any) -> Any:
        """The network's config, of its parts' configs. It must not change what it is given."""
        raise NotImplementedError

    @classmethod
    def spread(cls, name: str, shape: tuple[int, ...], config: Any) -> float:
        """The standard deviation with which a new matrix begins."""
        raise NotImplementedError

    @classmethod
    def joined_network(cls, vision: Any, language: Any) -> Any:
        """The network of two parts' configs, not read."""
        return cls.network_class(cls.joined_config(seeing("vision", vision), language))

    # -- reading

    @classmethod
    def make_model(cls, spec: ModelSpec, source: str, revision: str | None, options: dict[str, Any]) -> Any:
        """The network: whole from a folder or a hub id, or joined of its parts where ``source`` has no ``config.json``
        of its own.
        """
        places = part_places(spec, source)
        if not places:
            return cls.read_weights(cls.network_class, source, revision, **options)
        with whole_weights():
            parts = {name: cls._read_part(name, *place, spec) for name, place in places.items()}
            config = cls.joined_config(parts["vision"].config, parts["language"].config)
            tensors = {
                f"{cls.prefixes[name]}.{key}": tensor
                for name, part in parts.items()
                for key, tensor in part.state_dict().items()
            }
            unread = _together(parts, cls.prefixes)
            new = new_weights(cls, config, set(tensors) - set(unread.missing), seed_of(spec))
            about = told(new, seed_of(spec))
            tensors |= {name: tensor.to(getattr(torch, spec.dtype)) for name, tensor in new.items()}
        model = cls.network_class.from_pretrained(None, config=config, state_dict=tensors, **options)
        model.unread, model.new_weights = unread, about
        return model

    @classmethod
    def _read_part(cls, name: str, source: str, revision: str | None, spec: ModelSpec) -> Any:
        config = seeing(name, transformers.AutoConfig.from_pretrained(source, revision=revision))
        return cls.read_weights(
            getattr(transformers, cls.part_classes[name]),
            source,
            revision,
            config=config,
            dtype=getattr(torch, spec.dtype),
        )

    @classmethod
    def make_processor(cls, spec: ModelSpec, source: str, revision: str | None) -> Any:
        """The image processor of the vision part, and the tokenizer of the language part."""
        places = part_places(spec, source) or dict.fromkeys(PARTS, (source, revision))
        (seen, seen_revision), (read, read_revision) = places["vision"], places["language"]
        images = transformers.AutoImageProcessor.from_pretrained(
            seen, revision=seen_revision, backend=BACKEND, **spec.processor
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(read, revision=read_revision)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return cls.pair(images, tokenizer)

    @classmethod
    def pair(cls, images: Any, tokenizer: Any) -> Any:
        """The processor of an image processor and a tokenizer."""
        return Pair(images, tokenizer)

    # -- twins

    @classmethod
    def make_twin(cls, spec: ModelSpec, folder: Path) -> Any:
        """As of any family; a twin whose ``config`` has ``parts`` is written as its parts, to be joined."""
        if "parts" not in spec.config:
            return super().make_twin(spec, folder)
        processor = cls.twin_processor(spec)
        for name, config in spec.config["parts"].items():
            with torch.random.fork_rng(devices=[]), whole_weights():
                torch.manual_seed(int(spec.config.get("seed", 0)))
                part = cls.twin_part(name, dict(config), processor)
                part.should_save_on_this_rank = lambda is_main_process: is_main_process
                part.save_pretrained(folder / name)
        return processor

    @classmethod
    def twin_configs(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        """Part -> the settings of its config, of a twin that is whole or written as its parts."""
        return dict(config["parts"]) if "parts" in config else {p: config[n] for p, n in cls.config_names.items()}

    @classmethod
    def twin_model(cls, config: dict[str, Any], processor: Any) -> Any:
        """A small network that is whole from the beginning."""
        given = cls.twin_configs(config)
        vision, language = (part_config(part, given[part], processor.tokenizer) for part in PARTS)
        return cls.network_class(cls.joined_config(vision, language))

    @classmethod
    def twin_part(cls, name: str, config: dict[str, Any], processor: Any) -> Any:
        """A small part, of its real class; ``config`` holds ``model_type`` and the arguments of its config class."""
        made = part_config(name, config, processor.tokenizer)
        return getattr(transformers, cls.part_classes[name]).from_config(made)


def seeing(name: str, config: Any) -> Any:
    """A part's config; of CLIP and SigLIP that of what sees: their Auto class would read the texts' tower too."""
    return config.vision_config if name == "vision" and hasattr(config, "vision_config") else config


def part_config(name: str, config: Mapping[str, Any], tokenizer: Any) -> Any:
    """The config of a twin's part, whose vocabulary is the tokenizer's."""
    own: dict[str, Any] = {}
    if name == "language":
        own = {
            "vocab_size": len(tokenizer),
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        }
    return transformers.AutoConfig.for_model(**{**config, **own})


def part_places(spec: ModelSpec, source: str) -> dict[str, tuple[str, str | None]]:
    """Part -> where it is read from; empty where the model is whole in one place.

    Args:
        spec: the model.
        source: empty for a model that is joined of parts; a twin's folder may hold the parts' folders.
    """
    if not source and is_joined(spec):
        return dict(zip(PARTS, map(locate_weights, sources(spec)), strict=True))
    folder = Path(source)
    if all((folder / name / "config.json").is_file() for name in PARTS):
        return {name: (str(folder / name), None) for name in PARTS}
    return {}


def seed_of(spec: ModelSpec) -> int:
    """The seed of the weights that no part brings."""
    return int(spec.config.get("seed", 0)) if spec.config else spec.parts.seed


def new_weights(cls: type[Joined], config: Any, brought: set[str], seed: int) -> dict[str, torch.Tensor]:
    """The tensors of the network that its parts do not bring.

    Args:
        cls: the family.
        config: of the joined network.
        brought: names of the tensors that the parts bring.
        seed: of all; each tensor has a stream of its own, by its name.
    """
    with torch.device("meta"):
        network = cls.network_class(config)
    norms = {f"{name}." for name, module in network.named_modules() if "Norm" in type(module).__name__}
    drawn = {}
    for name, tensor in network.state_dict().items():
        if name not in brought:
            shape = tuple(tensor.shape)
            if any(name.startswith(norm) for norm in norms):
                drawn[name] = torch.full(shape, float(name.endswith("weight")))
            elif len(shape) < 2:
                drawn[name] = torch.zeros(shape)
            else:
                drawn[name] = draw(name, shape, seed, cls.spread(name, shape, config))
    return drawn


def told(new: Mapping[str, torch.Tensor], seed: int) -> str:
    """That some weights begin random, for the log of a run; empty where none do."""
    if not new:
        return ""
    some = ", ".join(list(new)[:SHOWN]) + (", …" if len(new) > SHOWN else "")
    return (
        f"{counted(len(new), 'tensor')} that no part brings ({some}: {sum(t.numel() for t in new.values()):,} numbers) "
        f"begin random, drawn from seed {seed}: until they are tuned, the model knows nothing of how its parts belong "
        "together"
    )


def draw(name: str, shape: tuple[int, ...], seed: int, deviation: float) -> torch.Tensor:
    """Numbers evenly spread around 0, the same on every machine.

    Evenly, and not normally distributed: a generator's integers become such numbers exactly, while a logarithm or a
    cosine has another last bit on another processor.
    """
    stream = torch.Generator().manual_seed(int(hashlib.sha256(f"{seed} {name}".encode()).hexdigest()[:15], 16))
    return (torch.rand(shape, generator=stream) * 2 - 1) * (3**0.5 * deviation)


def _together(parts: Mapping[str, Any], prefixes: Mapping[str, str]) -> Unread:
    def named(field: Callable[[Unread], tuple[str, ...]]) -> tuple[str, ...]:
        return tuple(f"{prefixes[name]}.{word}" for name, part in parts.items() for word in field(part.unread))

    return Unread(
        missing=named(lambda unread: unread.missing),
        mismatched=named(lambda unread: unread.mismatched),
        unexpected=named(lambda unread: unread.unexpected),
        errors=named(lambda unread: unread.errors),
    )
