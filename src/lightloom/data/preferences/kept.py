"""The file in which a run keeps what was answered to the same prompts after each epoch; read without torch."""

from lightloom.core.schema import COUNT, either, entries, items, nothing, number, one_of, text

FILE = "answers.json"
PASSAGE = either(one_of(""), text(1 << 20))
ANSWERED = entries({"prompt": PASSAGE, "texts": items(PASSAGE)}, {})
MEAN = either(nothing, number())
RULE = items(entries({"epoch": COUNT, "answers": items(ANSWERED), "reward": MEAN, "kl": MEAN}, {}))
