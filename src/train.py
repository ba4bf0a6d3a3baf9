"""Train a model, then test its best checkpoint: python src/train.py --help."""

from omegaconf import DictConfig

from lightloom.cli.launch import launch


def train(cfg: DictConfig) -> float | None:
    """Data, module and trainer from the configuration; fit, test, report. Returns the best monitored metric."""
    from lightloom.engine import preflight, resume
    from lightloom.engine import train as flow
    from lightloom.reporting import page

    cfg = flow.open_run(cfg)
    if cfg.doctor:
        preflight.examine(cfg)
        return None
    cfg, datamodule = flow.build_data(cfg)
    start = resume.find(cfg)
    if start.results:
        return flow.report_finished(cfg, start.results)
    module = flow.build_module(cfg)
    trainer = flow.build_trainer(cfg, module)
    preflight.preflight(cfg, trainer, module, datamodule)
    with page.written_at_end(cfg.paths.output_dir) as results:
        trained = flow.fit(cfg, trainer, module, datamodule, start)
        tested = flow.test_best(cfg, trainer, module, datamodule)
        results |= flow.report(cfg, trainer, tested, trained)
    return flow.finish(cfg, results)


if __name__ == "__main__":
    launch(train, "train")
