"""Texts for the commands of the docs pages: of the toy reviews' words, and in the place of rt-polarity."""

from pathlib import Path

from lightloom.data.text.reviews_toy import ReviewsToy


def fill(project: Path) -> None:
    """data/text/rt-polarity, and data/reviews with a file of lines for each class."""
    split = ReviewsToy(300, 0, 0).read("train")
    for folder, name in (("data/text/rt-polarity", "rt-polarity.{}"), ("data/reviews", "{}.txt")):
        (project / folder).mkdir(parents=True)
        for label, ending in enumerate(("neg", "pos")):
            texts = [text for text, own in zip(split.texts, split.labels.tolist(), strict=True) if own == label]
            (project / folder / name.format(ending)).write_text("\n".join(texts) + "\n")
