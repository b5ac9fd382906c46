"""The spec and the rows that `promptc init` writes where there is no data yet: a library's mail, sorted."""

from __future__ import annotations

from typing import Any

import msgspec

DATA_NAME = "data.jsonl"

_MAIL = {
    "loans": (
        "Could I keep the Norwegian grammar for two more weeks? Nobody seems to be waiting for it.",
        "The novel I brought back on Monday is still listed on my account as borrowed.",
        "How many books may a child have at home at the same time?",
        "I have lost the second volume of the atlas. What does it cost to replace?",
        "My reservation says ready, but at the desk nobody could find the book.",
        "Please renew everything I have borrowed, I am in hospital until the end of the month.",
        "Is there a fee if I return a film three days late?",
        "Do you lend board games, and for how long?",
        "I would like to borrow the trumpet method by Arban, all copies seem to be out.",
        "You charged me for an overdue book that I put into the return box on Sunday.",
        "Can my daughter return my loans with her own card?",
        "The audiobook has a scratch on disc four, I only noticed it after borrowing it.",
    ),
    "events": (
        "Are there seats left for the reading with the crime writer on Thursday?",
        "My son would love to join the robotics workshop. Is eleven too young?",
        "Will the talk about the old harbour be recorded?",
        "I signed up two people for the book club and can only come alone.",
        "Does the storytelling on Saturday morning take place during the holidays?",
        "Our choir would like to give a concert in your hall in December.",
        "What do I have to bring to the bookbinding course?",
        "The poster says the film evening starts at seven, the programme says eight.",
        "Is the writing workshop suitable for beginners?",
        "I missed the first evening of the language course, may I still join?",
        "Who is speaking at the opening of the photo exhibition?",
        "Please take my name off the list for the chess tournament.",
    ),
    "building": (
        "The lift is out of order again and I cannot reach the second floor with the pram.",
        "Is the reading room open on the first of May?",
        "It is so cold near the windows that nobody can work there.",
        "Where may I lock my bicycle while I study?",
        "The wireless network drops out in the basement every few minutes.",
        "Do you have a quiet room with a socket where I can take an exam online?",
        "The lamp over table nine has been flickering for a week.",
        "Are dogs allowed inside if they stay on the lead?",
        "When does the café on the ground floor close?",
        "There are never enough lockers in the afternoon.",
        "Somebody should look at the entrance door, it nearly hit a child.",
        "Can one get in with a wheelchair from the car park?",
    ),
}


def starter_tree(name: str, data_path: str) -> dict[str, Any]:
    """The spec as plain data, in the order in which it is written."""
    return {
        "version": 1,
        "name": name,
        "models": {"task": "embedded/icl"},
        "data": {"path": data_path, "split": {"stratify": "topic"}},
        "fields": {
            "inputs": {"message": {"type": "string", "description": "What a visitor wrote to the library"}},
            "outputs": {
                "topic": {
                    "enum": {
                        "loans": "borrowing, renewing, returning, fees",
                        "events": "readings, courses, workshops",
                        "building": "rooms, opening hours, things that are broken",
                    }
                }
            },
        },
        "instructions": "Choose the topic that the message is about.",
        "module": "predict",
        "metrics": [{"exact_match": {"field": "topic"}}],
        "optimizer": "auto",
    }


def starter_rows() -> bytes:
    """The rows as JSONL, the topics in turn."""
    by_turn = zip(*_MAIL.values(), strict=True)
    mail = [(text, topic) for texts in by_turn for text, topic in zip(texts, _MAIL, strict=True)]
    rows = [
        {"id": f"m{number:02d}", "message": text, "topic": topic}
        for number, (text, topic) in enumerate(mail, 1)
    ]
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
