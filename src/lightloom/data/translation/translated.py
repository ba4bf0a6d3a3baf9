"""The files in which a test keeps its translations, and how their words look at the texts; read without torch."""

from __future__ import annotations

from lightloom.core.schema import either, entries, items, number, one_of, text

FILE, HEADER = "translations.csv", ("source", "translation", "reference", "log_probability")
ALIGNMENTS = "alignments.json"
PART = either(one_of(""), text(1 << 12))
RULE = items(
    entries({"source": items(PART), "translation": items(PART), "weights": items(items(number(0, 1.001)))}, {})
)
