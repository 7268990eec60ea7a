"""Errors of spelling between two words."""

from __future__ import annotations


def errors(word: str, label: str) -> int:
    """Letters left out, added, changed, or swapped with their neighbour, between two short words."""
    before: list[int] = []
    row = list(range(len(label) + 1))
    for i, letter in enumerate(word, 1):
        above, before, row = before, row, [i]
        for j, other in enumerate(label, 1):
            least = min(row[j - 1] + 1, before[j] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == label[j - 2] and word[i - 2] == other:
                least = min(least, above[j - 2] + 1)
            row.append(least)
    return row[-1]


def without_a_letter(word: str) -> list[str]:
    """The word, and the word without each of its letters: two words with one error between them share one of these."""
    return [word, *(word[:n] + word[n + 1 :] for n in range(len(word)))]
