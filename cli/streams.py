"""rich consoles on the streams of the command line. Imported late: it loads rich."""

from __future__ import annotations

from typing import TextIO, cast

from rich.console import Console

from promptc.cli.console import REPORT_WIDTH

_IN_ASCII = str.maketrans(
    {
        "…": "~", "→": ">", "·": "|", "•": "*", "●": "*", "○": "o", "★": "*", "▼": "!", "✓": "+", "✗": "x",
        "–": "-", "—": "-", "−": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "━": "-", "─": "-", "│": "|",
        "\u00a0": " ",
    }
)  # fmt: skip
"""Marks of the project's own with a likeness in ASCII; each as wide as what it stands for."""


class QuietPipe(Console):
    """A console that lets BrokenPipeError out, so that one place decides how the program ends."""

    def on_broken_pipe(self) -> None:
        """Called by rich while it handles the BrokenPipeError."""
        raise


class NarrowStream:
    """A text stream whose encoding lacks most characters: what it cannot say becomes a likeness, or `?`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = stream.encoding

    def write(self, text: str) -> int:
        """Write what the encoding can hold. Every character keeps its width, so that columns stay in line."""
        likeness = text if _holds(self.encoding, text) else text.translate(_IN_ASCII)
        return self._stream.write(likeness.encode(self.encoding, "replace").decode(self.encoding))

    def flush(self) -> None:
        """Pass on what was written."""
        self._stream.flush()

    def isatty(self) -> bool:
        """True when a person is looking."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The stream's descriptor, by which the terminal's size is asked."""
        return self._stream.fileno()


def open_console(stream: TextIO, *, color: bool, dumb: bool, width: int | None) -> Console:
    """A console that styles text with the sixteen colours that the user has chosen, or not at all.

    A stream that is no terminal has REPORT_WIDTH columns: a redirected report depends on no window.
    """
    live = stream.isatty()
    if width is None and not live:
        width = REPORT_WIDTH
    encoding = (stream.encoding or "utf-8").lower()
    narrow = not encoding.startswith("utf")
    return QuietPipe(
        file=cast(TextIO, NarrowStream(stream)) if narrow else stream,
        color_system="standard" if color else None,
        no_color=not color,
        force_terminal=live or color,
        force_interactive=live and not dumb,
        force_jupyter=False,
        width=width,
        height=None if live and not dumb else 25,
        markup=False,
        emoji=False,
        highlight=False,
    )


def _holds(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
