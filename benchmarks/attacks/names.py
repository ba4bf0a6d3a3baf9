"""Names of classes, files and runs that a language takes for its own, and logins where they stand: data, or hidden."""

from __future__ import annotations

import io
import json
import random
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from attacks.watch import SECRET, Baits, Case
from omegaconf import OmegaConf

from lightloom.config import overrides
from lightloom.config.command_line import quote
from lightloom.config.foreign import as_config, literal, plain
from lightloom.core import cells, screen
from lightloom.core.redaction import redact, redact_options
from lightloom.core.text import file_name, line, printable
from lightloom.predict.tables import Table
from lightloom.reporting import markdown, render

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/support"))
from hostile import NAMES

SECRETS = ("${oc.env:LIGHTLOOM_ATTACK}", "${environment:LIGHTLOOM_ATTACK}", "${oc.decode:${oc.env:LIGHTLOOM_ATTACK}}")


def name(rng: random.Random) -> str:
    """Two to four of them in one, with a secret of the environment."""
    pieces = [*rng.sample(NAMES, rng.randrange(1, 4)), rng.choice(SECRETS)]
    rng.shuffle(pieces)
    return rng.choice(("", " ", "\\", "/", "\n", "'")).join(pieces)


def shown(given: str, folder: Path) -> str:
    """All that is written of a name: each place must give it back as it was, or show it harmlessly."""
    cfg = as_config({"classes": [given], given: {"x": given}})
    assert plain(cfg) == {"classes": [given], given: {"x": given}}
    told = OmegaConf.to_yaml(cfg, resolve=True)
    assert yaml.safe_load(told)["classes"] == [given]
    other = OmegaConf.create({"a": 1})
    other.update(literal({"b": given}))
    file = io.StringIO(newline="")
    cells.Writer(file).write(["a"], [given])
    file.seek(0)
    assert list(cells.rows(file))[1] == [given]
    place = folder / f"{file_name(given)}.txt"
    assert place.parent.resolve() == folder.resolve()
    place.write_text("")
    with Table(folder / "a.csv", ("name",)) as table:
        table.add([(given,)])
    screen.say(given)
    screen.show_table([given], [[given]], title=given)
    said = " ".join((printable(given), line(given), markdown.escaped(given), markdown.code(given), render.link(given)))
    assert "\x1b" not in said
    assert "<img" not in markdown.escaped(given)
    return f"{other.b == given} {json.dumps(plain(cfg))} {told} {(folder / 'a.csv').read_text(errors='replace')} {said}"


def names(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """A name in configurations, files, tables, pages and on the screen."""
    folder = baits.folder.parent / "names"
    folder.mkdir()
    for _ in range(count):
        given = name(random.Random(chance.random()))
        yield Case(repr(given), partial(quietly, partial(shown, given, folder)))


def quietly(act: Any) -> Any:
    """Its result with what it printed."""
    kept, sys.stdout = sys.stdout, io.StringIO()
    try:
        return f"{act()} {sys.stdout.getvalue()}"
    finally:
        sys.stdout = kept


# --- logins

KEYS = ("password", "logger.api_key", "wandb_api_key", "secret", "db_password", "access_key", "credentials")
ADDRESSES = ("https://u:{}@host/a", "s3://{}@bucket", "see sftp://a:{}@h/x or not", "https://h/a?token={}&y=1")


def holder(rng: random.Random) -> Any:
    """Options, or a line, in which the secret stands as people put it."""
    key, address = rng.choice(KEYS), rng.choice(ADDRESSES).format(SECRET)
    leaf = key.rpartition(".")[2]
    return rng.choice(
        [
            {leaf: SECRET},
            {"a": [{leaf: SECRET}, address]},
            {"a": {address: 1}},
            {leaf: [SECRET, SECRET]},
            {"b": {"c": (address,)}},
            f"{key}={SECRET}",
            f"{key}='{SECRET}'",
            f'{{"{leaf}": "{SECRET}", "b": 1}}',
            f"{leaf}: {SECRET}",
            f"--{leaf} is {address}",
            address,
            {leaf: f"{SECRET} and more words"},
            {"a": f"{leaf}={SECRET}"},
        ]
    )


def logins(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """A login or token as an option, in an address, in a line: what is written of it hides it."""
    for _ in range(count):
        given = holder(random.Random(chance.random()))
        act = partial(redact, given) if isinstance(given, str) else partial(redact_options, given)
        yield Case(str(given), act)


# --- options


WRONG = ("inf", "nan", "[]", "{}", "null", "999999999999999999999", "-1", "a b", "'${a'", "[1,2", "???", "1e309")


def nonsense(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """An option of a configuration given what nobody means, or given twice, removed, added where it is: one line."""
    from lightloom.config import compose as config

    choices = ("model=lenet", "model=gpt data=tales", "model=dpo data=deed_preferences", "model=unet data=river_scenes")
    composed = {choice: config.compose("train", choice.split()) for choice in choices}
    keys = {choice: list(dotted(cfg)) for choice, cfg in composed.items()}
    for _ in range(count):
        choice = chance.choice(choices)
        key, value = chance.choice(keys[choice]), chance.choice(WRONG)
        ways = (f"{key}={value}", f"+{key}={value}", f"~{key}", f"{key}.x={value}", f"{key}={quote(value)}")
        given = chance.choice(ways)
        yield Case(f"{choice} {given}", partial(judged, composed[choice], given))


def judged(cfg: Any, given: str) -> object:
    """What the command line says of it before anything is built."""
    from lightloom.config import compose as config
    from lightloom.core.errors import UserError

    found, problems = config.parse([given])
    said = [*problems, *(problem for override in found for problem in overrides.problems(cfg, override))]
    if said:
        raise UserError(*said)
    return given


def dotted(node: Any, path: str = "") -> Iterator[str]:
    for key in node if OmegaConf.is_dict(node) else ():
        if key == "hydra" or OmegaConf.is_missing(node, key):
            continue
        where = f"{path}.{key}" if path else str(key)
        yield where
        yield from dotted(node[key], where)


KINDS = {"names": names, "logins": logins, "options that nobody means": nonsense}
