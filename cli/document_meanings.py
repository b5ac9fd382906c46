"""What each field of a leaderboard means, for its published schema."""

from __future__ import annotations

from collections.abc import Mapping

SWEEP_MEANINGS: Mapping[str, Mapping[str, str]] = {
    "Leaderboard": {
        "version": "The version of this document.",
        "command": "What every cell did: eval or optimize.",
        "name": "The spec's name.",
        "identity": "The digest that names this sweep: equal sweeps have equal digests.",
        "split": "The split by which the cells are ranked.",
        "keys": "The keys that are swept.",
        "share": "Each cell's part of the budget by wall, where it is the same for all.",
        "complete": "Whether every cell came to an end; false where one failed.",
        "cost_measure": "What cells cost is measured in: dollars where prices are known, else tokens.",
        "best": "The folder of the best cell; null where none can be trusted.",
        "cells": "Every cell, best first, those without a rank last.",
        "exit_code": "The exit code of the command: the gravest of all cells.",
        "verdicts": "Every reason for an exit code other than 0, with its cell.",
        "notes": "Sentences that belong beside the figures.",
    },
    "CellResult": {
        "number": "Its place in the sweep, from 1.",
        "directory": "Its folder within the sweep's directory.",
        "values": "What it changes: keys of the spec with their values, credentials left out.",
        "rank": "Its place by score, from 1; null where it failed or cannot be trusted.",
        "identity": "The digest that names its run.",
        "exit_code": "The exit code that its run alone would have.",
        "error": "Why it failed; empty where it did not.",
        "score": "Its score on the split, of the winner where there was a search.",
        "ci_low": "The lower end of the score's 95 % interval.",
        "ci_high": "The upper end of the score's 95 % interval.",
        "n": "How many rows have a score.",
        "start": "The same figures of the cell's start, where there was a search.",
        "to_best": "How far it is from the best cell, row by row; null for the best.",
        "usd_per_1000_rows": "US dollars for a thousand rows with its program; null where a price is unknown.",
        "tokens_per_row": "Tokens in and out that its program takes for a row.",
        "frontier": "Whether no other cell is as good for less, or better for as little.",
        "calls": "Replies that its whole run took.",
        "tokens": "Tokens in and out of its whole run.",
        "usd": "US dollars of its whole run at recorded prices.",
        "prompt_characters": "The length of its winner's prompts; null without a search.",
        "test": "What it reached on test, where that was scored.",
    },
    "OnTest": {
        "score": "The winner's score.",
        "ci_low": "The lower end of the score's 95 % interval.",
        "ci_high": "The upper end of the score's 95 % interval.",
        "n": "How many rows have a score.",
        "start": "The figures of the cell's start.",
        "improvement": "The winner's score minus the start's, compared row by row.",
        "p_adjusted": "The improvement's p by Holm's method, over all cells that were tested.",
    },
}
