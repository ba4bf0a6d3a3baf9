"""Train a model, then test its best checkpoint: python src/train.py --help."""

from omegaconf import DictConfig

from lightlab.launch import launch


def train(cfg: DictConfig) -> float | None:
    """Data, module and trainer from the configuration; fit, test, report. Returns the best monitored metric."""
    from lightlab import doctor, resume, run

    cfg = run.open_folder(cfg)
    if cfg.doctor:
        doctor.examine(cfg)
        return None
    cfg, datamodule = run.build_data(cfg)
    start = resume.find(cfg)
    if start.results:
        return run.report_finished(cfg, start.results)
    module = run.build_module(cfg)
    trainer = run.build_trainer(cfg, module)
    doctor.preflight(cfg, trainer, module, datamodule)
    seconds = run.fit(cfg, trainer, module, datamodule, start)
    results = run.test_best(cfg, trainer, module, datamodule)
    return run.report(cfg, trainer, results, seconds)


if __name__ == "__main__":
    launch(train, "train")
