"""Embed pictures: lines of JSON in, a file of vectors and lines of JSON out.

The first line is ``{folder, name, into}``, each other one ``{pictures: [[path, sha256], …]}``, those of one sample. The
vectors are written to ``into`` (NumPy, float32 [samples, width]). ``{done}`` tells how many are.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np

from paceline import plugins
from paceline.data.images import load_image
from paceline.errors import PacelineError
from paceline.models.embedders.mean_of_map import MeanOfMap
from paceline.store.files import write_bytes

TOLD = 20
"""Samples between two lines that tell how many are done."""


def main() -> int:
    plugins.inherit()
    request, *lines = map(json.loads, sys.stdin)
    vectors = []
    try:
        model = MeanOfMap.load(Path(request["folder"]), request["name"])
        for n, line in enumerate(lines, 1):
            vectors.append(model.embed([load_image(path, sha256=sha256) for path, sha256 in line["pictures"]]))
            if n % TOLD == 0:
                print(json.dumps({"done": n}), flush=True)  # noqa: T201  (the parent reads it)
        content = io.BytesIO()
        np.save(content, np.stack(vectors))
        write_bytes(Path(request["into"]), content.getvalue())
    except PacelineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    print(json.dumps({"done": len(vectors)}))  # noqa: T201  (likewise)
    return 0


if __name__ == "__main__":
    sys.exit(main())
