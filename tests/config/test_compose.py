"""Command lines that are right stay right; what `check` finds, it finds without torch."""

import os
import re

import pytest
from conftest import compose, names
from omegaconf import OmegaConf

from lightloom.config import compose as config
from lightloom.config.compose import check, expand_shorthand
from lightloom.core.errors import UserError, did_you_mean, message_of, raise_all, slip

GOOD = [
    "",
    "+trainer.min_epochs=1",
    "~callbacks.checkpoint",
    "callbacks=ema",
    "callbacks=[ema,early_stopping] callbacks.early_stopping.patience=3",
    "callbacks=null",
    "callbacks.checkpoint=null",
    "logger=csv",
    "logger=[]",
    "~logger.tensorboard",
    "model.optimizer.lr='1e-3'",
    'model.optimizer.lr="1e-3"',
    "model.optimizer.lr=${model.optimizer.weight_decay}",
    "optimizer=sgd scheduler=cosine",
    "optimizer@model.optimizer=sgd",
    "scheduler=plateau model.scheduler.factor=0.5",
    "scheduler=null",
    "~scheduler",
    "model.scheduler=null",
    "+model.optimizer.eps=1e-6",
    "optimizer=timm model.optimizer.opt=lion +model.optimizer.betas=[0.9,0.99]",
    "model.attention=se model.attention_at=[layer1,layer2]",
    "data.augment.mixup=0.2",
    "data.augment.flip=true",
    "data.transform={_target_:torchvision.transforms.v2.RandomCrop,size:32}",
    "data.num_classes=null data.classes=[a,b]",
    "trainer.limit_train_batches=0.5 trainer.limit_val_batches=5",
    "trainer.max_epochs=-1 trainer.max_steps=100",
    "trainer.max_epochs=1e1",
    "trainer.max_time=00:00:10:00",
    "trainer.devices=2 trainer=ddp",
    "trainer.devices=[0,1] trainer=ddp",
    "trainer.devices=-1",
    "trainer.precision=bf16-mixed",
    "trainer.precision=16",
    "trainer.gradient_clip_val=0.5 +trainer.gradient_clip_algorithm=value",
    "trainer.deterministic=warn",
    "trainer.fast_dev_run=3",
    "trainer.strategy=ddp",
    "model=timm +model.network.drop_rate=0.1 +model.network.width=0.5",
    "model=vit +model.network.depth=4 +model.network.num_heads=3",
    "model=mlp model.network.hidden=[32,32]",
    "model=mlp model.network.hidden=[]",
    "+callbacks.lr={_target_:pytorch_lightning.callbacks.LearningRateMonitor}",
    "+callbacks.lr._target_=pytorch_lightning.callbacks.LearningRateMonitor +callbacks.lr.logging_interval=step",
    "monitor.metric=val/loss monitor.mode=min",
    "run_name=foo",
    "experiment=null debug=null ckpt_path=null",
    "debug=limit",
    "hydra.run.dir=/tmp/x hydra.verbose=true hydra/launcher=basic +hydra.job.env_set.A=b",
    "paths.data_dir=/tmp/x data.root=/tmp/y",
    "seed=1,2 model=lenet,nin",
    "seed=range(1,4)",
    "model.optimizer.lr=1e-3,1e-2",
    "model.optimizer.lr=tag(log,interval(1e-4,1e-1))",
    "model=glob(resnet1*)",
    "optimizer=choice(sgd,adam) trainer.max_epochs=1,2",
    "model=wgan,wgan_gp model.n_critic=2",
    "model=vae,conv_vae model.beta=2,4",
    "model=vae model.likelihood._target_=lightloom.losses.likelihoods.Gaussian model.likelihood.scale=0.1",
    "model=dcgan extractor=classifier callbacks.quality.extractor.checkpoint=last",
    "model=vae_gan model.decoder.latent_dim=8 optimizer@model.encoder_optimizer=adam",
    "model=wgan_gp model.penalty._target_=lightloom.losses.lipschitz.R1",
]


@pytest.mark.parametrize("line", GOOD)
def test_a_right_command_line_is_not_refused_and_checked_as_hydra_composes_it(line, monkeypatch):
    """Of a sweep one run is checked, and each is composed when it begins."""
    monkeypatch.setenv("LIGHTLOOM_RUN_TIME", "now")
    lines, checked = config.checked("train", [expand_shorthand(o) for o in line.split()])
    if not config.sweeps(lines):
        composed = config.compose("train", lines)
        assert config.without_hydra(checked) == config.without_hydra(composed)
        assert checked.hydra.run.dir == composed.hydra.run.dir


@pytest.mark.parametrize(
    "line",
    [
        "model=vit callbacks=[ema,early_stopping] callbacks.early_stopping.patience=3 ~callbacks.checkpoint",
        "data.augment.mixup=0.2 +model.optimizer.eps=1e-6 optimizer=sgd scheduler=null run_name='a b'",
        "model=wgan_gp model.penalty._target_=lightloom.losses.lipschitz.R1 data.num_classes=null data.classes=[a,b]",
    ],
)
def test_what_is_checked_is_what_runs(line):
    """The configuration that `checked` judged is the one that Hydra makes of the same command, but for its own part."""
    lines, judged = config.checked("train", [expand_shorthand(o) for o in re.findall(r"(?:'[^']*'|\S)+", line)])
    made = [OmegaConf.to_container(cfg, resolve=False) for cfg in (judged, config.compose("train", lines))]
    assert {**made[0], "hydra": None} == {**made[1], "hydra": None}


def test_a_file_is_read_again_once_it_has_changed(own):
    for smoothing in (0.1, 0.25):
        (own / "model/mine.yaml").write_text(f"# Mine.\ndefaults: [lenet, _self_]\nlabel_smoothing: {smoothing}\n")
        for _ in range(2):
            cfg = config.compose("train", ["model=mine"], str(own))
            assert cfg.model.label_smoothing == smoothing
            cfg.model.label_smoothing = 0.5  # of this configuration only


def test_a_default_may_be_named_after_another_choice(own):
    (own / "data/lenet_data.yaml").write_text("# Its own.\ndefaults: [digits, _self_]\nname: of_lenet\n")
    assert config.compose("train", ["+data@other=${model}_data"], str(own)).other.name == "of_lenet"


@pytest.mark.parametrize("value", ["'a b'", '"a b"', r"'it\'s'", "'a=b, (c)'"])
def test_quoted_text_keeps_its_characters(value):
    assert compose(f"run_name={value}").run_name == value[1:-1].replace("\\", "")


@pytest.mark.parametrize("group", ["optimizer", "scheduler"])
@pytest.mark.parametrize("sign", ["", "~", "+"])
def test_shorthand(group, sign):
    assert expand_shorthand(f"{sign}{group}=x") == f"{sign}{group}@model.{group}=x"
    assert expand_shorthand(f"{sign}model.{group}.lr=x") == f"{sign}model.{group}.lr=x"


def test_a_part_that_a_task_places_has_a_shorthand():
    assert expand_shorthand("extractor=x") == "extractor@callbacks.quality.extractor=x"
    assert expand_shorthand("base=x") == "base=x"


def test_an_option_of_a_constructor_is_added_where_the_yaml_has_none(tmp_path):
    (tmp_path / "model").mkdir()
    network = "network:\n  _target_: lightloom.networks.mlp.MLP\n  hidden: [4]\n"
    (tmp_path / "model/tiny.yaml").write_text(f"# Tiny.\ndefaults:\n  - base/classifier\n  - _self_\n\n{network}")
    checked = check("train", ["model=tiny", "model.network.dropout=0.2"], str(tmp_path))
    assert checked == ["model=tiny", "++model.network.dropout=0.2"]


def test_a_group_is_left_out_with_null():
    assert "tensorboard" not in compose("logger=null").get("logger", {})
    assert compose("scheduler=null").model.get("scheduler") is None


@pytest.mark.parametrize(("text", "value"), [("1e-3", 0.001), ("1", 1)])
def test_text_that_is_a_number_becomes_one(text, value):
    lr = config.without_hydra(compose(f'model.optimizer.lr="{text}"')).model.optimizer.lr
    assert lr == value
    assert not isinstance(lr, str)


def test_the_first_batches_are_counted_and_shares_stay_shares():
    trainer = config.without_hydra(compose("trainer.limit_train_batches=1", "trainer.limit_val_batches=1.0")).trainer
    assert [type(trainer[f"limit_{stage}_batches"]) for stage in ("train", "val")] == [int, float]


def test_zero_is_a_seed():
    cfg = config.without_hydra(compose("seed=0"))
    assert cfg.seed == cfg.data.seed == cfg.callbacks.randomness.seed == 0


def test_checking_leaves_the_run_folder_to_be_named(monkeypatch):
    monkeypatch.delenv("LIGHTLOOM_RUN_TIME", raising=False)
    compose("seed=1")
    assert "LIGHTLOOM_RUN_TIME" not in os.environ


@pytest.mark.parametrize(
    "line", ["model=lenet,nin,nothing", "seed=1,2,x", "seed=1,-1", "model.optimizer.lr=interval(-1,1)"]
)
def test_each_value_of_a_sweep_is_checked(line):
    with pytest.raises(UserError):
        check("train", [line])


@pytest.mark.slow
def test_a_sweep_over_three_groups_is_checked_one_choice_at_a_time():
    """Not all combinations, but each name once, and the last of each group too."""
    overrides = [f"{group}={','.join(names(group)[:6])}" for group in ("data", "trainer", "debug")]
    wrong = [*overrides[:2], overrides[2] + ",nothing", "trainer.max_epochs=0"]
    with pytest.raises(UserError, match="debug=nothing") as caught:
        check("train", wrong)
    assert str(caught.value).count("trainer.max_epochs=0") == 1


@pytest.fixture
def own(tmp_path):
    """A folder of YAML files of one's own, for --config-dir."""
    (tmp_path / "data").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text("# Mine.\ndefaults: [digits, _self_]\nname: mine\n")
    (tmp_path / "model" / "mine.yaml").write_text("# Mine.\ndefaults: [lenet, _self_]\nlabel_smoothing: 0.1\n")
    return tmp_path


def test_files_of_ones_own_are_choices(own):
    check("train", ["data=mine", "model=mine"], str(own))
    cfg = config.compose("train", ["data=mine", "model=mine"], str(own))
    assert (cfg.data.name, cfg.model.label_smoothing) == ("mine", 0.1)
    with pytest.raises(UserError, match=r"Known: .*lenet, .*mine, "):
        check("train", ["model=nothing"], str(own))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("label_smoothing: 3", "model.label_smoothing=3 is out of range"),
        ("label_smothing: 0.1", "Did you mean model.label_smoothing?"),
        ("label_smoothing: ${nowhere.at.all}", "model.label_smoothing: Interpolation key 'nowhere.at.all' not found"),
        ("label_smoothing: [", "mine.yaml"),
        ("defaults: [nothing]", "nothing"),
    ],
)
def test_a_mistake_in_a_file_of_ones_own_is_a_mistake_too(own, text, said):
    defaults = "" if text.startswith("defaults") else "defaults: [lenet, _self_]\n"
    (own / "model" / "mine.yaml").write_text(f"# Mine.\n{defaults}{text}\n")
    with pytest.raises(UserError) as caught:
        check("train", ["model=mine"], str(own))
    assert said in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_a_fact_that_is_not_given_is_asked_for(own):
    (own / "data" / "mine.yaml").write_text("# Mine.\ndefaults: [base/image, _self_]\nname: mine\nreader: {}\n")
    with pytest.raises(UserError) as caught:
        check("train", ["data=mine", "data.mean=[0.5]", "data.std=[0.5]"], str(own))
    facts = ("num_classes", "channels", "image_size")
    assert str(caught.value).splitlines() == [
        f"data.{fact} is not set and has no default; give it on the command line: data.{fact}=..." for fact in facts
    ]


def test_the_kind_of_a_data_set_is_its_base_s(own):
    (own / "data" / "boxes.yaml").write_text("# Boxes.\ndefaults: [mine, _self_]\nkind: detection\n")
    with pytest.raises(UserError, match=r"data=boxes holds detection data.*model=lenet.*fit: .*digits.*mine") as caught:
        check("train", ["data=boxes"], str(own))
    assert "boxes" not in str(caught.value).partition("fit: ")[2]


@pytest.mark.parametrize(
    ("word", "known", "said"),
    [
        ("reznet18", ["resnet18", "vit"], " Did you mean resnet18?"),
        ("MNIST", ["mnist"], " Did you mean mnist?"),
        ("opt", ["std", "optimizer"], " Did you mean optimizer?"),
        ("xyz", ["resnet18"], ""),
    ],
)
def test_did_you_mean(word, known, said):
    assert did_you_mean(word, known) == said


@pytest.mark.parametrize(
    ("word", "known", "found"), [("max_epoch", "max_epochs", True), ("min_epochs", "max_epochs", False)]
)
def test_a_slip_is_a_letter_or_two(word, known, found):
    assert slip(word, [known]) == (known if found else None)


def test_each_problem_is_said_once():
    with pytest.raises(UserError) as caught:
        raise_all(["a", "b", "a"])
    assert str(caught.value) == "a\nb"
    raise_all([])


def test_one_problem_is_one_line():
    assert str(UserError("a  b\n c ", "d")) == "a  b c\nd"


def test_the_message_of_a_worker_is_found_in_its_traceback():
    from torch._utils import ExceptionWrapper

    try:
        raise UserError("one\ntwo")
    except UserError:
        wrapped = ExceptionWrapper(where="in DataLoader worker process 0")
    with pytest.raises(UserError) as caught:
        wrapped.reraise()
    assert "Traceback" in str(caught.value)
    assert message_of(caught.value) == "one two"
    assert message_of(ValueError("a fault")) is None


def test_without_hydra_everything_is_plain():
    cfg = config.without_hydra(compose())
    assert "hydra" not in cfg
    assert "${" not in OmegaConf.to_yaml(cfg, resolve=False)


@pytest.mark.parametrize("base", ["base/image", "/data/base/image", "/data/base/image@data"])
def test_a_kind_of_somebodys_own_is_checked_as_ours_are(tmp_path, base):
    """The data that fits is named too, whichever way its YAML names what it builds on."""
    files = {
        "task/reading": "# @package _global_\ntask: reading\naccepts: [poem]\nmonitor: {metric: val/loss, mode: min}\n",
        "model/reader": "# Reads.\ndefaults:\n  - base/classifier\n  - override /task@_global_: reading\n  - _self_\n",
        "data/book": "# A book.\n_target_: somebody.Book\nkind: poem\n",
        "data/scan": f"# A scan.\ndefaults:\n  - {base}\n  - _self_\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.yaml").write_text(text)
    with pytest.raises(UserError, match=r"model=reader is for reading and needs poem data; data sets that fit: book\."):
        check("train", ["model=reader", "data=digits"], str(tmp_path))
    assert config._kind(tmp_path / "data/scan.yaml") == "image"


@pytest.mark.parametrize(("model", "alternates"), [("wgan", True), ("bigan", True), ("vae", False), ("lenet", False)])
def test_ddp_tolerates_idle_parameters_where_the_module_alternates(model, alternates):
    strategy = config.without_hydra(compose(f"model={model}", "trainer=ddp")).trainer.strategy
    assert strategy.find_unused_parameters is alternates


def test_a_command_without_a_model_alternates_nothing():
    assert (
        config.without_hydra(compose("trainer=ddp", config_name="eval")).trainer.strategy.find_unused_parameters
        is False
    )


def test_a_model_that_is_not_published_is_refused_as_it_was_typed():
    typed = expand_shorthand("model=lenet", "predict")
    with pytest.raises(UserError, match=r"^model=lenet: no model of this name predicts untrained.*Known: faster_rcnn"):
        check("predict", [typed])
