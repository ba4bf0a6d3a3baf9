"""The file in which a run keeps how a language model continued a prompt after each epoch; read without torch."""

from lightloom.core.schema import COUNT, either, entries, items, one_of, text

FILE = "continuations.json"
PASSAGE = either(one_of(""), text(1 << 20))
RULE = items(entries({"epoch": COUNT, "prompt": PASSAGE, "texts": items(PASSAGE)}, {}))
