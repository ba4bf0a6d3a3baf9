"""Cut from a page of Markdown what names something: commands, rows of tables, items of lists, sentences."""

from __future__ import annotations

import re
import textwrap

from cases import Named

BLOCK = re.compile(r"(^```.*?^```$|^<svg.*?^</svg>$)", re.MULTILINE | re.DOTALL)
SENTENCE = re.compile(r"(?<=[.!?]) +(?=[A-Z\[`*])")
LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")
CODE = re.compile(r"`([^`\n]+)`")
WIDTH = 120


def without_passages(text: str, named: Named) -> str:
    """The page without them; a block of code goes as a whole where nothing is left of it."""
    parts = BLOCK.split(text)
    kept = "".join(_code(part, named) if BLOCK.fullmatch(part) else _prose(part, named) for part in parts)
    return kept if kept == text else re.sub(r"\n{3,}", "\n\n", kept)


def _code(block: str, named: Named) -> str:
    first, *lines = block.splitlines()
    if first == "```":  # the tree of the rooms
        return re.sub(r"\b(\w+)/ ?", lambda m: "" if f"src/lightloom/{m[1]}" in named.paths else m[0], block)
    if not first.startswith(("```bash", "```sh")):
        return block
    commands = re.findall(r"(?:.*\\\n)*.*\n?", "\n".join(lines[:-1]) + "\n")
    kept = [command for command in commands if command and not named.is_in(command.partition("  #")[0])]
    return "\n".join([first, "".join(kept).rstrip("\n"), lines[-1]]) if "".join(kept).strip() else ""


def _prose(text: str, named: Named) -> str:
    blocks = re.split(r"(\n{2,})", text)
    return "".join(_block(block, named) for block in blocks)


def _block(block: str, named: Named) -> str:
    if not _asks(block, named) or block.lstrip().startswith("<"):
        return block
    if block.lstrip().startswith("|"):
        return "\n".join(line for line in block.split("\n") if not _asks(line, named))
    items = re.split(r"\n(?=[-*] |\d+\. )", block)
    if len(items) > 1:
        return "\n".join(item for item in items if not _asks(item, named))
    kept = [s for s in SENTENCE.split(block.replace("\n", " ")) if not _asks(s, named)]
    filled = textwrap.fill(" ".join(kept).strip(), WIDTH, break_long_words=False, break_on_hyphens=False)
    return filled + "\n" * block.endswith("\n")


def _asks(text: str, named: Named) -> bool:
    """Does it name a removed choice or module in code, or a removed file or folder there or in a link?"""
    codes = CODE.findall(text)
    if any(("=" in code and named.is_in(code)) or named.has_module(code) for code in codes):
        return True
    places = [place.strip("/") for place in (*codes, *LINK.findall(text)) if "/" in place or place.endswith(".md")]
    return any(f"/{place}/" in f"/{path}/" for place in places for path in named.paths)
