"""Completion in bash: click's own, mended for words that hold ``=``."""

from __future__ import annotations

import os

from click.shell_completion import BashComplete, add_completion_class, split_arg_string

# Bash splits words at COMP_WORDBREAKS, which holds '=' and ':', and puts its answer behind the last of them. So the
# line is read as the shell will read it, and what stands before the last break is taken off the answers.
SOURCE = """\
%(complete_func)s() {
    local line="${COMP_LINE:0:COMP_POINT}" word before="" mark reply
    word="${line##*[[:space:]]}"
    for mark in = :; do
        if [[ $COMP_WORDBREAKS == *$mark* && ${word#"$before"} == *$mark* ]]; then
            before="${word%%"${word##*$mark}"}"
        fi
    done
    COMPREPLY=()
    while IFS= read -r reply; do
        [[ -n $reply ]] && COMPREPLY+=("${reply#"$before"}")
        [[ $reply == *[=.] ]] && compopt -o nospace
    done < <(COMP_WORDS="$line" %(complete_var)s=bash_complete "$1" 2>/dev/null)
    return 0
}

complete -o nosort -o default -F %(complete_func)s %(prog_name)s
"""


class Bash(BashComplete):
    """Reads the line up to the cursor; answers whole words, one a line."""

    source_template = SOURCE

    def get_completion_args(self) -> tuple[list[str], str]:
        """Finished words without the program's name, and the one that is being typed."""
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)
        begun = words.pop() if words and not line[-1:].isspace() else ""
        return words[1:], begun

    def format_completion(self, item: object) -> str:
        """The word alone."""
        return str(getattr(item, "value", item))


add_completion_class(Bash)
