"""A login in an address, and a token in an option, reach what needs them, and no record of the run."""

from __future__ import annotations

from pathlib import Path

import commands
import pytest
from conftest import ROOT

from lightloom.cli.launch import prepare
from lightloom.core.errors import UserError
from lightloom.core.redaction import redact, redact_options, redacted

SECRET = "hunter2-" + "x" * 8
LOGIN = (f"data.reader.address='https://user:{SECRET}@host/a'", f"data.reader.token={SECRET}")
HEADERS = f"data.reader.headers={{api_key:{SECRET}}}"
COMMAND = (
    "model=mlp",
    "data=digits",
    "data.reader._target_=given_login.Fetched",
    "model.network.hidden=[4]",
    *LOGIN,
    HEADERS,
)
SHORT = ("trainer=cpu", "trainer.limit_train_batches=2", "preflight=false", "run_name=mine")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run that was continued by the same command. Two processes, and one below."""
    folder = tmp_path_factory.mktemp("logins")
    env = {"PYTHONPATH": str(ROOT / "tests/support")}
    for epochs in (1, 2):
        said = commands.run(folder, *COMMAND, *SHORT, f"trainer.max_epochs={epochs}", env=env)
    assert "Resuming from" in said
    return folder / "runs/mine"


def test_no_file_of_the_run_has_the_login(run):
    files = [path for path in run.parent.parent.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"last.ckpt", "config.yaml", "overrides.txt", "run.log", "run.json", "report.html", "README.md"} <= names
    assert "hparams.yaml" in names
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def test_a_command_that_needs_the_login_says_that_it_is_to_be_given(run):
    env = {"PYTHONPATH": str(ROOT / "tests/support")}
    command = commands.start(run.parent.parent, f"ckpt_path={run}", "trust=[given_login]", script="eval", env=env)
    assert command.wait() == 2
    assert (
        "data.reader.address, data.reader.token, data.reader.headers.api_key was recorded without its login"
        in command.text
    )
    assert "data=<data set>" in command.text


def test_a_run_that_is_continued_by_its_folder_needs_it_again(run):
    with pytest.raises(
        UserError, match=r"overrides\.txt has data\.reader\.address.* give data\.reader\.address=\.\.\. again"
    ):
        prepare([f"ckpt_path={run}", "trust=[given_login]"], "train")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://u:p@h/x", "https://***@h/x"),
        ("https://u:p@ss@h/x", "https://***@h/x"),
        ("sftp://token@h", "sftp://***@h"),
        ("see https://h/x?token=abc&y=1", "see https://h/x?token=***&y=1"),
        ("logger.token=abc", "logger.token=***"),
        ("token: 'a b c'", "token: ***"),
        ('{"api_key": "a", "b": 1}', '{"api_key": ***, "b": 1}'),
        ("password=1234", "password=***"),
        ("Authorization: Bearer s3cret", "Authorization: ***"),
        ("wandb_api_key=abc", "wandb_api_key=***"),
        ("hf_" + "a" * 20, "***"),
    ],
)
def test_what_is_hidden(text, shown):
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        *("https://h/x@y", "num_tokens=5", "val/loss_per_token: 3.2", "token: null", "password=null", "use_token=true"),
        *("token=${environment:TOKEN}", "token='${oc.env:TOKEN}'", "a@b.c", "tokenizer=bert", "x: {token: null}"),
    ],
)
def test_what_is_no_secret_stays(text):
    assert redact(text) == text


def test_options_are_looked_at_to_their_depths():
    options = {
        "a": [{"token": SECRET}, f"https://u:{SECRET}@h"],
        "secret": f"{SECRET} and more",
        "n": 1,
        "cls_token": True,
    }
    hidden = redact_options(options)
    assert SECRET not in str(hidden)
    assert (hidden["n"], hidden["cls_token"]) == (1, True)
    assert list(redacted(hidden)) == ["a.0.token", "a.1", "secret"]
    assert list(redacted(options)) == []


def test_a_password_of_digits_and_a_name_that_is_an_address_are_hidden():
    options = {"password": 12345, "api_key": 1.5, "token": 7, "secret": True, f"https://u:{SECRET}@h": {"n": 3}}
    hidden = redact_options(options)
    assert hidden == {"password": "***", "api_key": "***", "token": 7, "secret": True, "https://***@h": {"n": 3}}
    assert redact_options(hidden) == hidden
