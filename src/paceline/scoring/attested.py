"""The answers of a cell that another needs, held to what ``DONE.json`` says of them."""

from __future__ import annotations

from typing import Any

from paceline.counted import counted
from paceline.errors import DataError, UserError
from paceline.store.cell_folder import CellFolder
from paceline.store.files import read_jsonl


def predictions(needed: CellFolder, needs: str) -> list[dict[str, Any]]:
    """The records of a needed cell's predictions.

    Args:
        needed: the evaluate cell.
        needs: who needs its answers and how, such as ``evaluate-... builds on``.

    Raises:
        UserError: it is not done.
        DataError: bytes or number of samples are not those attested.
    """
    record = needed.done()
    if record is None:
        raise UserError(f"the answers that {needs} are gone: {needed.id} is not done; see: paceline status")
    remedy = f"put it back, or remove {needed.done_json}, and paceline resume SWEEP answers anew"
    if changed := needed.verify():
        raise DataError(f"{needed.id}: {changed[0]} is not what its answers were when they were attested: {remedy}")
    records = list(read_jsonl(needed.predictions))
    samples, attested = len({record["sample"] for record in records}), record["counts"].get("samples")
    if samples != attested:
        raise DataError(
            f"{needed.id}: its answers are about {counted(samples, 'sample')}, and {attested} are attested: {remedy}"
        )
    return records
