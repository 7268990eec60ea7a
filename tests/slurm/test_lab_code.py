"""A lab's own kind, reader and family run as jobs from frozen code, whatever becomes of the lab's folder meanwhile."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from dev_cluster import DevCluster
from lab import ON_SLURM, Lab, here

FILES = {
    "tasks/colour.py": '''"""Which colour a picture has: judged by the first letter of the answer."""

from paceline.tasks.metrics import MALFORMED, PARSED, Judged, Metric, Reading

from ._words import first_letter

FIELDS = {"colour": "the colour's name"}
METRICS = (
    Metric("initial_accuracy", title="initial right", score="right", hits=True, leads=True),
    Metric("mean_letters", title="letters", unit="letters", score="letters"),
)


def fields(sample, task):
    return {"colour": sample["colour"]}


def read(answer, part, task, prompt):
    letter = first_letter(answer.text)
    return Reading(PARSED.name, letter) if letter else Reading(MALFORMED.name)


def score(answers, task, prompt):
    truths = [a.sample["colour"] for a in answers]
    return [
        Judged(truth, {"right": a.reading.value == truth[0], "letters": len(truth)})
        for a, truth in zip(answers, truths, strict=True)
    ]
''',
    "tasks/_words.py": """def first_letter(text):
    return next((letter for letter in text.lower() if letter.isalpha()), None)
""",
    "readers/painted/__init__.py": '''"""Pictures of one colour each, painted by the reader."""

from dataclasses import dataclass, field

from PIL import Image

from paceline.data.readers import Sample

from .colours import COLOURS


@dataclass(frozen=True)
class Options:
    copies: int = field(default=4, metadata={"doc": "pictures of each colour and split"})


def made(options):
    return {"source": "painted", "licence": "none needed"}


def read(options, images, progress):
    for split in ("train", "test"):
        for name, value in COLOURS.items():
            for copy in range(options.copies):
                path = images / f"{split}_{name}_{copy}.png"
                Image.new("RGB", (32, 32), tuple(max(0, v - copy - (split == "test") * 9) for v in value)).save(path)
                yield Sample(path.stem, split, path, {"colour": name})
''',
    "readers/painted/colours.py": 'COLOURS = {"red": (250, 20, 20), "green": (20, 250, 20), "blue": (20, 20, 250)}\n',
    "models/question_first.py": '''"""Qwen2-VL, shown the picture after the question."""

from paceline.models.families.qwen2_vl import Qwen2VL


class QuestionFirst(Qwen2VL):
    """As Qwen2-VL otherwise."""

    def message(self, role, text, images=0):
        return {"role": role, "content": [{"type": "text", "text": text}, *[{"type": "image"}] * images]}


FAMILY = QuestionFirst
''',
    "task/colours.yaml": 'kind: colour\nreader: painted\ntarget: "{colour}"\nprompt: colour\nevaluate: [test]\n',
    "prompt/colour.yaml": "version: 1\ntext: Which colour is this?\n",
    "model/tiny_question_first.yaml": "defaults: [tiny_qwen2_vl]\nfamily: question_first\n",
}


def test_jobs_run_a_labs_code_as_it_was_when_they_were_submitted(cluster: DevCluster, tmp_path: Path) -> None:
    own = tmp_path / "lab"
    for name, content in FILES.items():
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_text(content)
    root = tmp_path / "root"
    here(root, "prepare", "--conf", str(own), "task=colours")
    words = ["model=tiny_question_first", "task=colours", "prompt=colour", "method=untuned,full", "name=s"]
    words += ["train.max_steps=4", "train.batch=4", "train.validations=0", "train.keep=last"]
    lab = Lab(cluster, root, ["--conf", str(own), *words, "generation=short", "tracking=disabled", *ON_SLURM])
    assert "3 cells" in lab.well("plan", *lab.words)
    cluster.run("scontrol", "update", "nodename=node[1-2]", "state=drain", "reason=test")
    try:
        lab.submit()
        (own / "tasks/colour.py").write_text("raise RuntimeError('edited since')\n")
        shutil.rmtree(own / "readers")
        (own / "models").rename(own / "gone")
    finally:
        cluster.run("scontrol", "update", "nodename=node[1-2]", "state=resume")
    lab.settle()
    own.rename(tmp_path / "elsewhere")
    assert {c["state"] for c in lab.cells().values()} == {"done"}
    for start in root.glob("cells/*/attempts/1/start.json"):
        code = json.loads(start.read_text())["provenance"]["code"]
        names = ("data.readers.painted", "models.families.question_first", "tasks._words", "tasks.colour")
        assert code["plugins"] == [f"paceline.{name}" for name in names]

    # Looking back needs no --conf: the sweep's frozen code has the kind.
    told = lab.well("report", "s", "--csv", str(tmp_path / "s.csv"))
    assert "initial right" in told
    assert "initial_accuracy" in (tmp_path / "s.csv").read_text()
    metrics = {path: path.read_bytes() for path in root.glob("cells/evaluate-*/metrics.json")}
    assert len(metrics) == 2
    assert "scored 2 cells again, 0 with other metrics" in lab.well("score", "s")
    assert {path: path.read_bytes() for path in metrics} == metrics
    assert "nothing to start" in lab.resume()
    done = lab.paceline("resume", "s", "--conf", str(own))
    assert (done.returncode, "is no folder" in done.stderr) == (2, True)
