"""Test a checkpoint, on its own data or on another set: python src/eval.py --help."""

from omegaconf import DictConfig

from lightloom.cli.launch import launch


def evaluate(cfg: DictConfig) -> None:
    """The checkpoint's module on a split of its data; a table, results.json and a confusion matrix."""
    from lightloom.engine import evaluate, train

    cfg = train.open_run(cfg)
    trained, module = evaluate.restore(cfg)
    datamodule = evaluate.test_data(cfg, trained)
    cfg.split = evaluate.choose_split(cfg.split, datamodule, trained, evaluate.is_new(cfg, trained, datamodule))
    trainer = evaluate.build_trainer(cfg, trained)
    results = evaluate.test(trainer, module, datamodule, cfg.split, trained.get("labelled", True))
    evaluate.report(cfg, trained, trainer, results)


if __name__ == "__main__":
    launch(evaluate, "eval")
