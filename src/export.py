"""Write a checkpoint's model for other programs: python src/export.py --help."""

from omegaconf import DictConfig

from lightloom.cli.launch import launch


def export(cfg: DictConfig) -> None:
    """The model as one file in the run's folder, which gives the model's own answers or is not kept."""
    from lightloom.engine import evaluate, train
    from lightloom.exporting import benchmark, steps

    cfg = train.open_run(cfg)
    chosen = steps.choose_format(cfg.format)
    trained, module = evaluate.restore(cfg)
    graph = steps.choose_graph(cfg, trained, module)
    steps.export(cfg, trained, graph, chosen)
    if cfg.benchmark:
        benchmark.compare(graph, cfg.seed)


if __name__ == "__main__":
    launch(export, "export")
