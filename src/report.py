"""Write a run's report anew, or compare several runs: python src/report.py --help."""

from omegaconf import DictConfig

from lightloom.cli.launch import launch


def report(cfg: DictConfig) -> None:
    """One run: report.html and README.md in its folder. Several: a page that compares them."""
    from lightloom.reporting import comparison, find, page

    runs = find.runs(cfg.runs, cfg.paths.log_dir)
    if len(runs) == 1:
        page.refresh(runs[0], cfg.paths.output_dir)
    else:
        comparison.report(runs, cfg.paths.output_dir)


if __name__ == "__main__":
    launch(report, "report")
