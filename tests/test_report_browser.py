"""report.html in a real Chromium: it renders, filters, sorts and unfolds; and what means harm does nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import page_cases
import pytest
from chromium import Page, browser
from page_cases import HARM, failing_rows, harmful_rows, page, row, searched_rows
from report_cases import failing_eval, hostile, start_won, triage

SEEN = "[...document.querySelectorAll('#table > tbody')].filter(row => !row.hidden)"
"""The rows that are shown, as JavaScript."""
IDS = f"{SEEN}.map(row => row.dataset.id)"
WINDOWS = [(1280, False), (1280, True), (390, False), (390, True)]


@pytest.fixture(scope="module", name="tab")
def _tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module", name="addresses")
def _addresses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pages")
    made = {
        "triage": page(folder / "triage", triage(), searched_rows()),
        "failing": page(folder / "failing", failing_eval(), failing_rows()),
        "won": page(folder / "won", start_won(), searched_rows()[:60]),
        "told": page(folder / "told", page_cases.told(), page_cases.repeated_rows()),
        "nothing": page(folder / "nothing", page_cases.nothing_scored(), []),
        "harm": page(folder / "harm", hostile(HARM[0]), harmful_rows()),
        "many": page(folder / "many", failing_eval(), (row(n, n % 4 / 3) for n in range(3000))),
        "long": page(folder / "long", failing_eval(), [row(0, 0.0, outputs={"queue": "x" * 1_000_000})]),
    }
    return {name: path.resolve().as_uri() for name, path in made.items()}


@pytest.mark.parametrize("name", ["triage", "failing", "won", "told", "nothing", "harm", "many", "long"])
@pytest.mark.parametrize(("width", "dark"), WINDOWS)
def test_it_renders_without_a_word_in_the_console(tab, addresses, name, width, dark):
    tab.open(addresses[name], width=width, dark=dark)
    assert tab.value("document.querySelector('h1').getBoundingClientRect().height > 0")
    assert tab.value("document.documentElement.scrollWidth") == width, "nothing sticks out to the side"
    assert tab.said == []
    assert [address for address in tab.asked if not address.startswith("data:")] == [addresses[name]]


@pytest.mark.parametrize(("width", "shown", "hidden"), [(1280, "wide", "narrow"), (390, "narrow", "wide")])
def test_the_plots_that_fit_are_shown(tab, addresses, width, shown, hidden):
    tab.open(addresses["triage"], width=width)
    visible = "[...document.querySelectorAll('.plot.{} svg')].map(svg => svg.checkVisibility())"
    assert tab.value(visible.format(shown)) == [True] * 5
    assert tab.value(visible.format(hidden)) == [False] * 5
    inside = (
        f"[...document.querySelectorAll('.plot.{shown} svg text')].every(text => "
        "text.getBoundingClientRect().left >= text.closest('.card').getBoundingClientRect().left)"
    )
    assert tab.value(inside), "no label is cut off"


@pytest.mark.parametrize("dark", [False, True])
def test_plots_take_the_colours_of_the_theme(tab, addresses, dark):
    tab.open(addresses["triage"], dark=dark)
    color = "getComputedStyle(document.querySelector('.plot.wide svg text')).fill"
    red, green, blue = (int(part) for part in re.findall(r"\d+", tab.value(color))[:3])
    assert (min(red, green, blue) > 128) is dark


# Rows


def test_failed_rows_come_first_and_more_are_a_click_away(tab, addresses):
    tab.open(addresses["failing"])
    assert tab.value(IDS)[:5] == ["r000", "r010", "r020", "r030", "r002"]
    assert (len(tab.value(IDS)), tab.value("document.getElementById('shown').textContent")) == (
        25,
        "25 shown of 40",
    )
    tab.value("document.getElementById('more').click()")
    assert (len(tab.value(IDS)), tab.value("document.getElementById('more').hidden")) == (40, True)


def test_the_page_holds_the_worst_two_thousand(tab, addresses):
    tab.open(addresses["many"])
    assert tab.value("document.querySelectorAll('#table > tbody').length") == 2000
    assert "of 3,000 rows" in tab.value("document.getElementById('rows').innerText")
    assert tab.value("[...document.querySelectorAll('#table > tbody')].every(row => row.dataset.score < 1)")


@pytest.mark.parametrize(
    ("which", "rows"),
    [("failed", 4), ("wrong", 11), ("partly", 12), ("right", 12), ("unjudged", 1), ("", 25)],
)
def test_rows_are_filtered_by_what_became_of_them(tab, addresses, which, rows):
    tab.open(addresses["failing"])
    tab.value(f"document.querySelector('input[name=which][value=\"{which}\"]').click()")
    assert len(tab.value(IDS)) == rows
    assert set(tab.value(f"{SEEN}.map(row => row.dataset.outcome)")) == ({which} if which else {
        "failed", "wrong", "partly",
    })  # fmt: skip


def test_rows_are_filtered_by_how_they_moved(tab, addresses):
    tab.open(addresses["triage"])
    tab.value("document.querySelector('input[name=which][value=worse]').click()")
    assert tab.value(IDS) == ["r000", "r015", "r030", "r045"]


def test_rows_are_found_by_what_they_say(tab, addresses):
    tab.open(addresses["failing"])
    tab.value("document.getElementById('find').focus()")
    tab.type("绿茶")
    assert tab.value(IDS) == ["r008"]
    assert tab.value("document.getElementById('shown').textContent") == "1 of 40 rows"
    tab.type(" and nothing")
    assert tab.value(IDS) == []
    assert tab.value("document.getElementById('none').innerText") == "No row fits. Show all rows"
    tab.value("document.getElementById('clear').click()")
    assert len(tab.value(IDS)) == 25


@pytest.mark.parametrize(
    ("column", "first", "again"),
    [
        ("place", ["r000", "r001", "r002"], ["r059", "r058", "r057"]),
        ("score", ["r000", "r005", "r010"], ["r001", "r002", "r003"]),
        ("change", ["r000", "r015", "r030"], ["r001", "r002", "r004"]),
        ("outcome", ["r000", "r005", "r010"], ["r001", "r002", "r003"]),
    ],
)
def test_a_head_sorts_and_sorts_back(tab, addresses, column, first, again):
    tab.open(addresses["triage"])
    button = f"document.querySelector('[data-sort={column}] button')"
    sort = f"document.querySelector('[data-sort={column}]').getAttribute('aria-sort')"
    tab.value(f"{button}.click()")
    assert (tab.value(IDS)[:3], tab.value(sort)) == (first, "ascending")
    tab.value(f"{button}.click()")
    assert (tab.value(IDS)[:3], tab.value(sort)) == (again, "descending")


def test_rows_without_a_score_stand_behind_whichever_way_it_is_sorted(tab, addresses):
    tab.open(addresses["failing"])
    tab.value("document.getElementById('more').click()")
    for _ in range(2):
        tab.value("document.querySelector('[data-sort=score] button').click()")
        tab.value("document.getElementById('more').click()")
        assert set(tab.value(IDS)[-3:]) == {"r010", "r030", "r007"}


def test_a_row_unfolds_its_trace(tab, addresses):
    tab.open(addresses["failing"])
    tab.value("document.querySelector('[data-id=r008] .line td').click()")
    said = tab.value("document.querySelector('[data-id=r008] .trace').innerText")
    for part in ("绿茶", "expected 2, got 12", "Twelve boxes stand", "shorten (skipped)", "when: was false"):
        assert part in said
    assert tab.value("document.querySelector('[data-id=r008] .open').getAttribute('aria-expanded')") == "true"
    assert tab.value("location.hash") == "#row=r008"
    tab.value("document.querySelector('[data-id=r008] .line td').click()")
    assert tab.value("document.querySelector('[data-id=r008] .trace').hidden")


def test_a_link_leads_to_a_row_wherever_it_stands(tab, addresses):
    tab.open("about:blank")
    tab.open(addresses["many"] + "#row=r1990")
    assert tab.value("document.activeElement.textContent.trim()") == "r1990"
    assert not tab.value("document.querySelector('[data-id=r1990] .trace').hidden")
    assert tab.said == []


def test_a_link_to_no_row_is_just_a_page(tab, addresses):
    tab.open("about:blank")
    tab.open(addresses["triage"] + "#row=%E0%A4%A")
    assert (len(tab.value(IDS)), tab.said) == (25, [])


# By keyboard, by ear, on paper, without scripts


def test_the_keyboard_reaches_everything_and_opens_a_row(tab, addresses):
    tab.open(addresses["failing"], width=1280)
    names = []
    for _ in range(40):
        tab.press("Tab")
        names.append(tab.value("document.activeElement.textContent.trim() || document.activeElement.id"))
        if names[-1] == "r000":
            break
    assert names[0] == "Skip to the figures"
    assert names[-1] == "r000"
    assert "find" in names
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert tab.value(outline) == "solid"
    tab.press("Enter")
    assert tab.value("document.activeElement.getAttribute('aria-expanded')") == "true"


def test_every_part_has_a_name_that_can_be_read_out(tab, addresses):
    for name in ("triage", "failing", "nothing"):
        tab.open(addresses[name])
        nameless = tab.value(
            "[...document.querySelectorAll('button, input, [role=img], [role=region], section, nav, table')]"
            ".filter(part => part.checkVisibility()).filter(part => !(part.ariaLabel || part.labels?.length "
            "|| part.getAttribute('aria-labelledby') || part.textContent.trim())).map(part => part.outerHTML)"
        )
        assert nameless == []
        headings = tab.value(
            "[...document.querySelectorAll('h1,h2,h3,h4')].filter(h => h.checkVisibility()).map(h => +h.tagName[1])"
        )
        assert headings[0] == 1
        assert all(after - before <= 1 for before, after in pairwise(headings))
        roles = tab.call("Accessibility.getFullAXTree")["nodes"]
        assert {"banner", "navigation", "main"} <= {node.get("role", {}).get("value") for node in roles}


def test_on_paper_it_is_light_and_without_tools(tab, addresses):
    tab.open(addresses["triage"], dark=True)
    tab.call("Emulation.setEmulatedMedia", media="print")
    assert tab.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not tab.value("document.querySelector('.tools').checkVisibility()")
    assert not tab.value("document.querySelector('nav').checkVisibility()")
    tab.call("Emulation.setEmulatedMedia", media="")


def test_without_scripts_every_row_and_trace_is_there(tab, addresses):
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.open(addresses["failing"])
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)
    assert len(tab.value(IDS)) == 40
    assert tab.value("document.querySelector('.trace').checkVisibility()")
    assert not tab.value("document.querySelector('.tools').checkVisibility()")


# Harm


def test_harmful_text_does_nothing_and_can_be_read(tab, addresses):
    tab.open(addresses["harm"])
    tab.value("document.querySelectorAll('.open').forEach(button => button.click())")
    tab.value("document.querySelectorAll('h1, h3, figure, .diff p, .trace td').forEach(part => part.click())")
    tab.value("new Promise(done => setTimeout(done, 300))")
    assert tab.value("window.harmed") is None
    assert tab.value("document.scripts.length") == 1
    assert (
        tab.value("document.querySelectorAll('img, iframe, base, object, embed, [onerror], [onload]').length")
        == 0
    )
    assert tab.value("[...document.links].every(link => link.getAttribute('href').startsWith('#'))")
    assert tab.value("document.location.href").startswith(addresses["harm"])
    text = tab.value("document.body.innerText")
    assert all(
        part in text for part in ("<script>window.harmed = 1</script>", "\\u202e", "\\x1b[31m", "{{ 7 * 7 }}")
    )
    assert re.search("[\u202a-\u202e\u2066-\u2069\u200b\x1b]", text) is None
    assert tab.said == []


def test_what_the_policy_forbids_is_not_done(tab, tmp_path, addresses):
    """The page with a script smuggled in: the browser refuses it, so the escaping is not the only wall."""
    path = Path(tmp_path / "smuggled.html")
    original = Path(addresses["triage"].removeprefix("file://")).read_text(encoding="utf-8")
    harm = "<script>window.harmed = 1</script><img src='https://harm.example/x' onerror='window.harmed = 2'>"
    path.write_text(original.replace("<h1", f"{harm}<h1", 1), encoding="utf-8")
    tab.open(path.resolve().as_uri())
    assert tab.value("window.harmed") is None
    assert len([line for line in tab.said if "Content Security Policy" in line]) >= 2
    assert (tab.refused, [a for a in tab.asked if a.startswith("http")]) == (["https://harm.example/x"], [])


def test_a_line_of_a_megabyte_is_cut(tab, addresses):
    tab.open(addresses["long"])
    tab.value("document.querySelector('.open').click()")
    assert "… 992,000 more characters in rows.jsonl" in tab.value(
        "document.querySelector('.trace').innerText"
    )
    assert len(tab.value("document.body.innerText")) < 40_000
