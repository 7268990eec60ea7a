"""The contract of a kind of task: what it gives, and what holds where it gives nothing.

A kind is one module in this folder, or a folder with the files below, named by ``kind:`` in ``conf/task/NAME.yaml``.
Five names are required; every other one has a default that suits one question with one answer.

=================  ====================================================================================================
``FIELDS``         owed: every field that a target may name as ``{field}``, with a line that describes it
``fields``         owed: ``fields(sample, task)``, those fields of one prepared sample; None where it has no value
``read``           owed: ``read(answer, part, task, prompt)``, a :class:`~paceline.tasks.metrics.Reading`, without truth
``score``          owed: ``score(answers, task, prompt)``, a :class:`~paceline.tasks.metrics.Judged` for each
                   :class:`Answered`, in their order
``METRICS``        owed: tuple of :class:`~paceline.tasks.metrics.Metric`, in the order of ``metrics.json``
-----------------  ----------------------------------------------------------------------------------------------------
``SHOWN``          fields that a prompt may name too; never the truth
``ASKS``           :class:`Asks`: what a model must be able to read, and how many images
``IMAGES``         names of a sample's images in their order, such as ``("before", "after")``, to show below them
``parts``          ``parts(sample, task, prompt)``, the questions about a sample; one by default
``PART_FIELDS``    names of :attr:`Part.fields`, which a prompt may use of the question that it asks
``accepted``       ``accepted(sample, task)``, every right answer and how far it is right, from 0 to 1: what a model is
                   trained on in place of the target that chooses out of a list of its own
``split``          ``split(text, parts)``, part name -> text, of one answer to all parts
``GROUP``          field that ties samples together, such as the tile of a thousand questions
``HEADLINE``       names of the metrics that compact tables show, in order; all of ``METRICS`` where it is not given
``OUTCOMES``       tuple of :class:`~paceline.tasks.metrics.Outcome`, the one of answers that were read first
``ORDER``          :class:`Order`: the score that measures how far off one answer is
``columns``        ``columns(records)``, what the functions below need of score records, as columns
``resample``       ``resample(answers, often)``, statistics of the set; ``often`` float64 (resamples, n) says how often
                   each sample was drawn; gives metric name -> float64 (resamples,)
``combine``        ``combine(ensembles)``, what members answer together: for each list of members their joint answers
``weighted``       ``weighted(members, weights)``, the same of one list of members whose voices have weights, as
                   rounds of boosting have; without it their voices are equal
``COMBINED``       how, in two words, such as ``geometric median``; ``COMBINED_NOTE`` in a clause
``show``           ``show(value)``, a truth or what was read of an answer, for display; ``name(value)`` in a few words,
                   ``label(truth)`` below its picture
``points``         ``points(answers)``, truth and answer as degrees north and east, float64 (n, 2) each; or None
``NOTE``           a sentence for the captions of tables: what the figures are of
``PACKAGES``       packages that ``read`` and ``score`` import, beside those that every kind may use
``complete``       ``complete(fields)``, the fields of a record of any table, checked and completed; a ValueError whose
                   text is a countable reason where it can't be used
``common``         ``common(records)``, fields that all samples of the data share, such as the labels there are: kept
                   once, in the manifest, and given with every sample that is read
``pictured``       ``pictured(fields, images)``, further fields of a record from its images, when data is prepared; a
                   ValueError as that of ``complete``
``AUGMENTED_BY``   which words of ``train.augment`` that move things in a picture (``flip``, ``rotate90``, ``crop``) its
                   truth survives; none by default, and ``colour`` always
``augmented``      ``augmented(fields, change)``, the fields that follow a
                   :class:`~paceline.tasks.picture_change.Change`; None where the truth would be wrong
``embeds``         ``embeds(answers)``, texts of which ``score`` needs the vectors: it then takes a fourth argument,
                   ``vectors``, text -> float32 of length 1, and None where no embedder is installed
``data_checks``    ``data_checks(records, train)``, what ``prepare`` finds in such data: JSON values for the manifest
``data_notes``     ``data_notes(manifest, task)``, sentences on them for a report; ``data_lines`` for ``prepare``
``figure_checks``  a :class:`~paceline.tasks.figures.FigureChecks`: what figures of such a task can't be
``panels``         ``panels(results)``, what a reader should see, as data (:mod:`paceline.tasks.panels`)
``PICTURES``       keys of the panels that a tracker shows as one picture of a cell
``MARKS``          tuple of :class:`Criterion`: what people mark an answer by, on a sheet; by default why it failed,
                   where the kind tells right from wrong (:mod:`paceline.tasks.failure_kinds`)
=================  ====================================================================================================

In a folder, ``fields.py`` holds the first block of these names, ``score.py`` the scoring, ``results.py`` what is
shown, ``combine.py``, ``data_checks.py`` and ``figure_checks.py`` the parts of these names. A file is imported when
something of it is used, so a login node loads no more than it needs. A kind is found by its name, without a registry.
``facts.json`` may lie beside them: what prompts show as ``{facts}`` (:mod:`paceline.data.background_facts`).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from paceline import plugins
from paceline.errors import UserError
from paceline.tasks.questions import (
    Answer,
    Answered,
    Asks,
    Criterion,
    Order,
    Part,
    digests_of,
    images_of,
    letter,
    lettered,
)

__all__ = [
    "Answer",
    "Answered",
    "Asks",
    "Criterion",
    "Kind",
    "Order",
    "Part",
    "digests_of",
    "images_of",
    "letter",
    "lettered",
]

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from paceline.config.schema import PromptSpec, TaskSpec
    from paceline.tasks.answers import Answers, Column
    from paceline.tasks.metrics import Judged, Metric, Outcome, Reading
    from paceline.tasks.panels import Panel, Results

OWED = ("FIELDS", "fields", "read", "score", "METRICS")
_SAMPLES = ("FIELDS", "SHOWN", "fields", "GROUP", "complete", "common", "pictured", "AUGMENTED_BY", "augmented")
_QUESTIONS = ("ASKS", "IMAGES", "parts", "PART_FIELDS", "accepted", "split")
_FIGURES = ("METRICS", "HEADLINE", "OUTCOMES", "ORDER", "columns", "resample", "NOTE", "PACKAGES")
FILES = {
    "fields": (*_SAMPLES, *_QUESTIONS),
    "score": ("read", "embeds", "score", *_FIGURES),
    "results": ("panels", "PICTURES", "MARKS", "show", "name", "label", "points"),
    "combine": ("combine", "weighted", "COMBINED", "COMBINED_NOTE"),
    "data_checks": ("data_checks", "data_notes", "data_lines"),
    "figure_checks": ("figure_checks",),
}
"""File of a kind that is a folder -> what it holds."""
Vectors = Mapping[str, "np.ndarray"]
"""Text -> float32 (width,), of length 1: a product of two is their cosine."""
FILE_OF = {name: file for file, names in FILES.items() for name in names}


class Kind:
    """A kind of task: what its module gives, and the defaults of the rest.

    Args:
        name: as ``kind:`` in a task's YAML.
        module: the module or package of the kind; None for one that this checkout lacks, of which stored results can
            still be shown.
        metrics: the metrics of a kind without a module.
    """

    def __init__(self, name: str, module: ModuleType | None, metrics: Sequence[Metric] = ()) -> None:
        self.name = name
        self.module = module
        self._metrics = tuple(metrics)

    def __repr__(self) -> str:
        return f"Kind({self.name!r})"

    def get(self, name: str, default: Any = None) -> Any:
        """What the kind gives under a name, or the default."""
        holder = self.holder(name)
        return default if holder is None else getattr(holder, name, default)

    def holder(self, name: str) -> ModuleType | None:
        """The module that holds what the kind gives under a name; None where it gives nothing."""
        if self.module is None or not hasattr(self.module, "__path__"):
            return self.module
        path = f"{self.module.__name__}.{FILE_OF[name]}"
        return plugins.import_module(path) if importlib.util.find_spec(path) else None

    def check(self, where: Path | None = None) -> None:
        """Refuse a kind that lacks a required name.

        Args:
            where: the file of a lab's kind.

        Raises:
            UserError: with the names that it lacks.
        """
        lacking = [name for name in OWED if self.get(name) is None]
        if lacking:
            of = f"{where}: " if where else ""
            raise UserError(
                f"{of}task kind '{self.name}' lacks {', '.join(lacking)}; the docstring of paceline/tasks/kind.py says "
                "what a kind gives, and docs/adding.md shows one"
            )

    # --- what is asked -----------------------------------------------------------------------------------------------

    @property
    def documented_fields(self) -> Mapping[str, str]:
        """Field -> what it holds."""
        return self.get("FIELDS", {})

    @property
    def shown(self) -> tuple[str, ...]:
        """The fields that a prompt may name."""
        return self.get("SHOWN", ())

    @property
    def asks(self) -> Asks:
        """What a model must be able to read."""
        return self.get("ASKS", Asks())

    @property
    def group(self) -> str:
        """The field that ties samples together; empty where none does."""
        return self.get("GROUP", "")

    def fields(self, sample: Mapping[str, Any], task: TaskSpec) -> dict[str, Any]:
        """The fields of a sample for templates."""
        return dict(self.get("fields")(sample, task))

    @property
    def image_names(self) -> tuple[str, ...]:
        """What the images of a sample are called, in their order; empty where they have no names."""
        return tuple(self.get("IMAGES", ()))

    def parts(self, sample: Mapping[str, Any], task: TaskSpec, prompt: PromptSpec) -> tuple[Part, ...]:
        """The questions about a sample, at least one."""
        hook = self.get("parts")
        return tuple(hook(sample, task, prompt)) if hook else (Part(),)

    def accepted(self, sample: Mapping[str, Any], task: TaskSpec) -> dict[str, float]:
        """Every right answer to a sample and how far it is right, from 0 to 1; empty where the target alone is."""
        hook = self.get("accepted")
        return dict(hook(sample, task)) if hook else {}

    def split(self, text: str, parts: Sequence[Part]) -> dict[str, str]:
        """An answer to all parts, taken apart."""
        hook = self.get("split")
        return dict(hook(text, parts)) if hook else {part.name: text for part in parts}

    # --- how answers are judged --------------------------------------------------------------------------------------

    @cached_property
    def outcomes(self) -> tuple[Outcome, ...]:
        """What may become of an answer."""
        from paceline.tasks.metrics import ECHOED, MALFORMED, OUT_OF_RANGE, PARSED, REFUSED

        default = (PARSED, REFUSED, MALFORMED) if self.module else (PARSED, REFUSED, MALFORMED, OUT_OF_RANGE, ECHOED)
        return tuple(self.get("OUTCOMES", default))

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics of a cell, in the order of ``metrics.json``; the shares of the outcomes where it names none."""
        from paceline.tasks.metrics import outcome_shares

        metrics = tuple(self.get("METRICS", self._metrics))
        if self.module is None or any(m.outcome for m in metrics):
            return metrics
        return (*metrics, *outcome_shares(self.outcomes))

    @property
    def headline(self) -> tuple[str, ...]:
        """The metrics that compact tables show, in order; the share read is one of them."""
        from paceline.tasks.metrics import READ_SHARE

        names = tuple(m.name for m in self.get("METRICS", self._metrics) if not m.outcome)
        return tuple(self.get("HEADLINE", (*names, READ_SHARE) if self.module else names[:4]))

    @cached_property
    def _by_name(self) -> dict[str, Metric]:
        return {m.name: m for m in self.metrics}

    def metric(self, name: str) -> Metric:
        """A metric by its name; of a name unknown to this checkout, one derived from the name and its endings."""
        from paceline.tasks.metrics import KNOWN_OUTCOMES, Metric, outcome_shares

        if name in self._by_name:
            return self._by_name[name]
        if found := next((m for m in outcome_shares(KNOWN_OUTCOMES) if m.name == name), None):
            return found
        base = name.removesuffix("_accuracy")
        return Metric(name, unit="", score=base, hits=base != name)

    @property
    def marks(self) -> tuple[Criterion, ...]:
        """What people mark an answer by; empty where the kind has no sheet."""
        from paceline.tasks.failure_kinds import FAILURE

        default = (FAILURE,) if self.module and any(m.tested and m.score for m in self.metrics) else ()
        return tuple(self.get("MARKS", default))

    @property
    def right_by(self) -> Metric | None:
        """The metric that tells right from wrong: the first of the headline by which each answer is a hit or a miss."""
        headline = [self.metric(name) for name in self.headline]
        return next((m for m in (*headline, *self.metrics) if m.tested and m.score and not m.lower_is_better), None)

    @property
    def order(self) -> Order | None:
        """How far an answer is off, where the kind measures it."""
        return self.get("ORDER")

    def read(self, answer: Answer, part: Part, task: TaskSpec, prompt: PromptSpec) -> Reading:
        """Read one answer, without the truth."""
        return self.get("read")(answer, part, task, prompt)

    def embeds(self, answers: Sequence[Answered]) -> list[str]:
        """Texts of which :meth:`score` needs the vectors, each once."""
        hook = self.get("embeds")
        return list(dict.fromkeys(hook(answers))) if hook else []

    def score(
        self, answers: Sequence[Answered], task: TaskSpec, prompt: PromptSpec, vectors: Vectors | None = None
    ) -> list[Judged]:
        """Hold answers to the truth; ``vectors`` are those of :meth:`embeds`."""
        more = (vectors,) if self.get("embeds") else ()
        return list(self.get("score")(answers, task, prompt, *more))

    def answers(
        self, records: Iterable[Mapping[str, Any]], samples: Mapping[str, Mapping[str, Any]] | None = None
    ) -> Answers:
        """The columns of score records; the first record of a question wins.

        Args:
            records: of ``scores.jsonl``.
            samples: id -> prepared sample, of which the kind's group is read; without them nothing ties answers.
        """
        from paceline.tasks.answers import first_of_each, from_records

        kept = first_of_each(records)
        answers = from_records(kept, self.columns(kept))
        if not self.group or samples is None:
            return answers
        groups = {name: sample.get(self.group) for name, sample in samples.items()}
        return answers.with_groups({name: str(group) for name, group in groups.items() if group is not None})

    def columns(self, records: Sequence[Mapping[str, Any]]) -> Mapping[str, Column]:
        """What the kind's functions need of score records beside the scores; by default labels of answer and truth."""
        from paceline.tasks.labels import columns

        return (self.get("columns") or columns)(records)

    def aggregate(self, answers: Answers) -> dict[str, dict[str, Any]]:
        """The metrics of a cell's answers to one split: name -> ``{value, low, high, n, unit}``.

        Of outcomes that only a service gives the share is among them where there are such: all shares make the whole.
        """
        from paceline.tasks.metrics import KNOWN_OUTCOMES, aggregate, outcome_shares

        known = {m.outcome for m in self.metrics if m.outcome}
        others = [o for o in KNOWN_OUTCOMES if known and o.name in answers.outcomes and o.name not in known]
        return aggregate(answers, (*self.metrics, *outcome_shares(others)), self.get("resample"))

    def statistics(self, answers: Answers) -> dict[str, tuple[float, np.ndarray]]:
        """Every statistic of the set, with its values on each resample."""
        from paceline.tasks.metrics import statistics

        return statistics(answers, self.get("resample"))

    # --- what is shown -----------------------------------------------------------------------------------------------

    def show(self, value: Any) -> str:
        """A truth, or what was read of an answer, for display."""
        from paceline.tasks.labels import plain

        return str((self.get("show") or plain)(value))

    def brief(self, value: Any) -> str:
        """The same in a few words."""
        hook = self.get("name")
        return str(hook(value)) if hook else self.show(value)

    def label(self, truth: Any) -> str:
        """A truth below its picture."""
        hook = self.get("label")
        return str(hook(truth)) if hook else self.show(truth)

    def points(self, answers: Answers) -> tuple[np.ndarray, np.ndarray] | None:
        """Truth and answer on the globe, degrees north and east (n, 2), NaN where none; None without such."""
        hook = self.get("points")
        return hook(answers) if hook else None

    def combine(self, ensembles: Sequence[Sequence[Answers]]) -> list[Answers] | None:
        """What the members of each ensemble answer together; None where answers of this kind can't be combined."""
        from paceline.tasks.labels import votes

        hook = self.get("combine") if self.module else votes
        return list(hook(ensembles)) if hook else None

    @property
    def weighs_voices(self) -> bool:
        """Whether voices of members can have weights."""
        return self.module is None or self.get("weighted") is not None

    def weighted(self, members: Sequence[Answers], weights: Sequence[float]) -> Answers:
        """What the members of one ensemble answer together where their voices have weights, at least one above 0."""
        from paceline.tasks.labels import vote

        hook = self.get("weighted") if self.module else vote
        return hook(members, weights)  # type: ignore[no-any-return]

    @property
    def combined(self) -> str:
        """How answers are combined, in two words."""
        return self.get("COMBINED", "vote")

    @property
    def combined_note(self) -> str:
        """The same in a clause."""
        return self.get("COMBINED_NOTE", "a vote on their answers")

    @property
    def note(self) -> str:
        """A sentence on what the figures are of; empty where there is nothing to add."""
        return self.get("NOTE", "")

    def panels(self, results: Results) -> list[Panel]:
        """What a reader should see of some cells' answers."""
        from paceline.tasks.labels import confusion

        hook = self.get("panels") if self.module else confusion
        return list(hook(results)) if hook else []

    @property
    def pictures(self) -> tuple[str, ...]:
        """Keys of the panels that a tracker shows as one picture of a cell."""
        return tuple(self.get("PICTURES", () if self.module else ("confusion",)))

    # --- what can be wrong -------------------------------------------------------------------------------------------

    def complete(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields of a record of any table, checked and completed.

        Raises:
            ValueError: with a countable reason: the record can't be used.
        """
        hook = self.get("complete")
        return dict(hook(fields)) if hook else fields

    def common(self, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Fields that all samples of the data share: JSON values by name."""
        hook = self.get("common")
        return dict(hook(records)) if hook else {}

    def pictured(self, fields: Mapping[str, Any], images: Sequence[Image.Image]) -> dict[str, Any]:
        """Further fields of a record, from its images as a model is shown them.

        Raises:
            ValueError: with a countable reason: the record can't be used with these images.
        """
        hook = self.get("pictured")
        return dict(hook(fields, images)) if hook and images else {}

    def data_checks(self, records: Sequence[Mapping[str, Any]], train: str) -> dict[str, Any]:
        """What can be wrong with prepared data: JSON values by name, for the manifest."""
        hook = self.get("data_checks")
        return dict(hook(records, train)) if hook else {}

    def data_notes(self, manifest: Mapping[str, Any], task: TaskSpec) -> Iterator[str]:
        """What a reader of results must know of the data."""
        yield from self.get("data_notes", lambda manifest, task: ())(manifest, task)

    def data_lines(self, manifest: Mapping[str, Any], task: TaskSpec) -> Iterator[str]:
        """The findings of the checks of prepared data, a line each, with the remedy."""
        yield from self.get("data_lines", lambda manifest, task: ())(manifest, task)
