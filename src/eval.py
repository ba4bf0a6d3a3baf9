"""Test a checkpoint, on its own data or on another set: python src/eval.py --help."""

from omegaconf import DictConfig

from lightlab.launch import launch


def evaluate(cfg: DictConfig) -> None:
    """The checkpoint's module on a split of its data; a table, results.json and a confusion matrix."""
    from lightlab import evaluation, run

    cfg = run.open_folder(cfg)
    trained, module = evaluation.restore(cfg)
    datamodule = evaluation.test_data(cfg, trained)
    cfg.split = evaluation.choose_split(cfg.split, datamodule, trained)
    trainer = evaluation.build_trainer(cfg, trained)
    results = evaluation.test(trainer, module, datamodule, cfg.split, trained.get("labelled", True))
    evaluation.report(cfg, trained, trainer, results)


if __name__ == "__main__":
    launch(evaluate, "eval")
