"""The text of a file: plain text in the usual encodings, and PDFs by pypdf."""

from __future__ import annotations

import codecs
import contextlib
import io
import logging
import re
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (".txt", ".md", ".pdf")
MOST_BYTES = 256 * 2**20
MOST_PAGES = 5000
MOST_CHARACTERS = 20_000_000
MOST_SECONDS = 60.0
"""Of one page, which takes a tenth of a second as a rule: a page made to be slow would take days."""
MOST_SLOW = 3


@dataclass(frozen=True)
class FileText:
    """What a file says.

    Attributes:
        text: its text, with line ends as ``\\n``.
        starts: of a PDF, the first character of each page; empty of a text.
        encoding: of a text that is no UTF-8.
        unread: pages of a PDF that could not be read.
    """

    text: str
    starts: tuple[int, ...] = ()
    encoding: str = ""
    unread: int = 0


class NoText(Exception):
    """A file without a text that can be used: a countable reason, and what else is known."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


def text_of(path: Path) -> FileText:
    """The text of a file, by what it holds and not by its name.

    Raises:
        NoText: it can't be read, holds no text, or is too large.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise NoText(f"larger than {MOST_BYTES // 2**20} MiB")
        content = path.read_bytes()
    except OSError as error:
        raise NoText("can't be read", error.strerror or str(error)) from None
    if b"%PDF-" in content[:1024]:
        found = _pdf(content)
    elif path.suffix.lower() == ".pdf":
        raise NoText("empty file" if not content.strip() else "no PDF, whatever its name")
    else:
        found = _plain(content)
    if not any(c.isalnum() for c in found.text):
        scanned = "PDF without text: scanned, or empty" if found.starts else "no text in it"
        raise NoText(scanned, f"{len(found.starts)} pages" if found.starts else "")
    if len(found.text) > MOST_CHARACTERS:
        raise NoText(f"more than {MOST_CHARACTERS:,} characters")
    return found


# -- plain text

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""A mark of UTF-32 begins with one of UTF-16."""
LATIN_1 = "latin-1"


def _plain(content: bytes) -> FileText:
    """Text in UTF-8, or by its mark in UTF-16 or UTF-32, else in Latin-1 as Windows has it."""
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise NoText(f"no {encoding.upper()}, which its first bytes say", str(error)) from None
        text, encoding = _latin(content), LATIN_1
    if "\0" in text:
        raise NoText("no text: it holds zero bytes")
    said = "" if encoding.startswith("utf-8") else encoding
    return FileText(_mended(text), encoding=said)


def _latin(content: bytes) -> str:
    try:
        return content.decode("cp1252")  # quotes and dashes where Latin-1 has control characters
    except UnicodeDecodeError:
        return content.decode(LATIN_1)


_LINE_ENDS = re.compile(r"\r\n?|[\u2028\u2029\x0b\x0c\x85]")
_LIGATURES = str.maketrans(
    {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st", "\u00ad": "", "\u00a0": " "}
)


def _mended(text: str) -> str:
    """One form of line ends, letters for ligatures, no soft hyphens, and no half characters."""
    return _LINE_ENDS.sub("\n", text).translate(_LIGATURES).encode("utf-8", "replace").decode()


# -- PDF


def _pdf(content: bytes) -> FileText:
    from pypdf import PasswordType, PdfReader

    pages: list[str] = []
    unread, slow, characters = 0, 0, 0
    with _quiet():
        try:
            reader = PdfReader(io.BytesIO(content))
            if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
                raise NoText("PDF that needs a password")
            count = len(reader.pages)
        except NoText:
            raise
        except Exception as error:  # a broken file can fail in any way inside pypdf
            encrypted = b"/Encrypt" in content and "crypt" in f"{type(error).__name__} {error}".lower()
            reason = "encrypted PDF, which pypdf can't open here" if encrypted else "broken PDF"
            raise NoText(reason, f"{type(error).__name__}: {error}") from None
        if count > MOST_PAGES:
            raise NoText(f"PDF of more than {MOST_PAGES:,} pages", f"{count} pages")
        for number in range(count):
            try:
                with _within(MOST_SECONDS):
                    pages.append(_mended(reader.pages[number].extract_text() or "").strip())
            except _TooSlow:
                pages.append("")
                unread, slow = unread + 1, slow + 1
                if slow == MOST_SLOW:
                    raise NoText("PDF whose pages take too long to read", f"page {number + 1}") from None
            except Exception:  # likewise: the other pages may be whole
                pages.append("")
                unread += 1
            characters += len(pages[-1])
            if characters > MOST_CHARACTERS:
                raise NoText(f"more than {MOST_CHARACTERS:,} characters")
    if unread and unread == count:
        raise NoText("broken PDF", "none of its pages can be read")
    pages = _joined_words(pages)
    starts, at = [], 0
    for page in pages:
        starts.append(at)
        at += len(page) + len(_BETWEEN)
    return FileText(_BETWEEN.join(pages), tuple(starts) or (0,), unread=unread)


_BETWEEN = "\n\n"


class _TooSlow(BaseException):
    """Raised in the middle of pypdf's code, which may catch any :class:`Exception`."""


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raise :class:`_TooSlow` after so many seconds; a thread other than the first has no limit."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without pypdf's remarks on each bad file, which are counted by reason."""
    log = logging.getLogger("pypdf")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


_PARTED = re.compile(r"([^\W\d_]+)[-\u2010]\n[ \t]*([^\W\d_]+)")
_WORDS = re.compile(r"[^\W\d_]+(?:[-\u2010][^\W\d_]+)*")


def _joined_words(pages: list[str]) -> list[str]:
    """Words that a line break parts, put together.

    The hyphen stays where the document has the word with it more often than without, and before a capital letter.
    """
    known = Counter(word.lower().replace("\u2010", "-") for page in pages for word in _WORDS.findall(page))

    def joined(match: re.Match[str]) -> str:
        first, second = match.group(1), match.group(2)
        hyphened = f"{first}-{second}".lower()
        keeps = second[0].isupper() or known[hyphened] > known[f"{first}{second}".lower()]
        return f"{first}-{second}" if keeps else f"{first}{second}"

    return [_PARTED.sub(joined, page) for page in pages]
