"""The report as files: what the terminal showed as text and as a picture, and the same as Markdown."""

from __future__ import annotations

import html
import io
import re
from typing import TYPE_CHECKING

from promptc.cli.console import REPORT_WIDTH
from promptc.cli.reports.details import ReportDetails
from promptc.cli.reports.markdown import markdown_report
from promptc.cli.untrusted import one_line

if TYPE_CHECKING:
    from rich.console import RenderableType

CELL_WIDTH = 12.2
"""Width of a character in rich's pictures: a height of 20 at its default aspect of 0.61."""

_FONTS = (
    "'Fira Code', 'JetBrains Mono', 'Cascadia Mono', 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', "
    "'Liberation Mono', monospace"
)

# rich's own template fetches its fonts from the network; this one asks for what is installed.
_PICTURE = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
    <style>
    .{unique_id}-matrix {{
        font-family: FONTS;
        font-size: {char_height}px;
        line-height: {line_height}px;
        font-variant-east-asian: full-width;
        white-space: pre;
    }}
    .{unique_id}-title {{
        font-size: 17px;
        font-weight: 600;
        font-family: FONTS;
    }}
    {styles}
    </style>
    <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
    {lines}
    </defs>
    {chrome}
    <g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">
    {matrix}
    </g>
    </g>
</svg>
""".replace("FONTS", _FONTS)

_RUN = re.compile(r'textLength="[^"]*"(?P<rest>[^>]*)>(?P<text>[^<]*)</text>')


def write_reports(details: ReportDetails) -> dict[str, bytes]:
    """The files of a report by name: report.txt, report.svg, report.md. Writes nothing."""
    return {
        "report.txt": text_report(details).encode(),
        "report.svg": picture(details).encode(),
        "report.md": markdown_report(details).encode(),
    }


def text_report(details: ReportDetails, width: int = REPORT_WIDTH) -> str:
    """The terminal's report without colour, lines without trailing spaces."""
    from promptc.cli.reports.terminal import report

    return text_of(report(details), width)


def text_of(content: RenderableType, width: int = REPORT_WIDTH) -> str:
    """What a terminal would show, as plain text."""
    from rich.console import Console

    stream = io.StringIO()
    console = Console(
        file=stream, width=width, height=25, color_system=None, force_terminal=False, force_jupyter=False,
        legacy_windows=False, markup=False, emoji=False, highlight=False, no_color=True,
    )  # fmt: skip
    console.print(content)
    return "\n".join(line.rstrip() for line in stream.getvalue().split("\n")).strip("\n") + "\n"


def picture(details: ReportDetails, width: int = REPORT_WIDTH, *, brief: bool = False) -> str:
    """The terminal's report as an SVG that fetches nothing; equal reports give equal bytes."""
    from promptc.cli.reports.terminal import report

    return picture_of(report(details, brief=brief), one_line(f"promptc {details.title()}"), width)


def picture_of(content: RenderableType, title: str, width: int = REPORT_WIDTH) -> str:
    """What a terminal would show, as an SVG that fetches nothing."""
    from rich.console import Console
    from rich.terminal_theme import TerminalTheme

    console = Console(
        file=io.StringIO(), width=width, height=25, record=True, color_system="truecolor",
        force_terminal=True, force_jupyter=False, legacy_windows=False, markup=False, emoji=False,
        highlight=False, no_color=False,
    )  # fmt: skip
    console.print(content)
    console.line()  # room below, and rich's pictures do not clip their last line
    theme = TerminalTheme(
        (22, 24, 33),
        (214, 218, 232),
        [(22, 24, 33), (243, 112, 125), (126, 211, 133), (234, 190, 104), (122, 162, 247), (187, 154, 247),
         (106, 204, 219), (214, 218, 232)],
        [(116, 123, 150), (255, 134, 146), (152, 232, 158), (246, 209, 130), (148, 184, 255), (205, 178, 255),
         (140, 226, 238), (255, 255, 255)],
    )  # fmt: skip
    svg = console.export_svg(title=title, theme=theme, code_format=_PICTURE, unique_id="promptc")
    return _RUN.sub(_with_true_length, svg)


def _with_true_length(found: re.Match[str]) -> str:
    """rich counts every character as one cell; those that take two would be squeezed."""
    from rich.cells import cell_len

    cells = cell_len(html.unescape(found["text"]))
    return f'textLength="{cells * CELL_WIDTH:g}"{found["rest"]}>{found["text"]}</text>'
