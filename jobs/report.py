"""Report on a sweep from its files: the tables here, the page beside the sweep. Needs no GPU and no network.

python jobs/report.py ROOT SWEEP [--csv FILE] [--markdown FILE] [--latex FILE] [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from paceline import report
from paceline.errors import PacelineError
from paceline.report.page import page
from paceline.report.text import export, latex, terminal
from paceline.store.root import Store


def main() -> int:
    parser = argparse.ArgumentParser(description="Report on a sweep from its files.")
    parser.add_argument("root", type=Path, help="storage root")
    parser.add_argument("sweep", nargs="?", help="name of the sweep; the latest where none is given")
    parser.add_argument("--csv", type=Path, help="also write every metric in long form")
    parser.add_argument("--markdown", type=Path, help="also write the headline tables as Markdown")
    parser.add_argument("--latex", type=Path, help="also write the headline tables for a paper (booktabs)")
    parser.add_argument("--json", type=Path, help="also write everything as JSON")
    arguments = parser.parse_args()
    console = Console()
    try:
        store = Store(arguments.root.absolute())
        found = report.collect(store, store.find_sweep(arguments.sweep))
        terminal.show(found, console)
        if arguments.csv:
            export.write_csv(found, arguments.csv)
        if arguments.markdown:
            export.write_markdown(found, arguments.markdown)
        if arguments.latex:
            latex.write_latex(found, arguments.latex)
        if arguments.json:
            export.write_report_json(found, arguments.json)
        console.print(f"\nPage: {page.write(found)}", soft_wrap=True, highlight=False)
    except PacelineError as error:
        Console(stderr=True).print(str(error), style="red", markup=False)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
