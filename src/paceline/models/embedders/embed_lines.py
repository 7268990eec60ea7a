"""Embed texts: lines of JSON in, a file of vectors and lines of JSON out.

The first line is ``{folder, name, into}``, each other one ``{text}``. The vectors are written to ``into`` (NumPy,
float32 [texts, width]). ``{done}`` tells how many are; the last line is ``{cut}``: the places of texts that are longer
than what is read, counted from 0.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np

from paceline import plugins
from paceline.errors import PacelineError
from paceline.models.embedders.mean_pooled import MeanPooled
from paceline.store.files import write_bytes

TOLD = 100
"""Texts between two lines that tell how many are done."""


def main() -> int:
    plugins.inherit()
    request, *lines = map(json.loads, sys.stdin)
    vectors, cut = [], []
    try:
        model = MeanPooled.load(Path(request["folder"]), request["name"])
        for n, line in enumerate(lines):
            vector, whole = model.embed(line["text"])
            vectors.append(vector)
            if not whole:
                cut.append(n)
            if (n + 1) % TOLD == 0:
                print(json.dumps({"done": n + 1}), flush=True)  # noqa: T201  (the parent reads it)
        content = io.BytesIO()
        np.save(content, np.stack(vectors))
        write_bytes(Path(request["into"]), content.getvalue())
    except PacelineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    print(json.dumps({"cut": cut}))  # noqa: T201  (likewise)
    return 0


if __name__ == "__main__":
    sys.exit(main())
