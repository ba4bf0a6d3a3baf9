"""Search for the best options of train.py: python src/sweep.py --help."""

from collections.abc import Sequence

from lightloom.cli.launch import command


def sweep(arguments: Sequence[str]) -> int:
    """The trials that the command line plans, those of an earlier command included; table, plots, best options."""
    from lightloom.sweeps import plan

    planned = plan.read(arguments)

    from lightloom.sweeps import report, search
    from lightloom.sweeps.launchers import build

    study = search.open_study(planned)
    search.run(planned, study, build(planned))
    return report.report(planned, study)


if __name__ == "__main__":
    command(sweep, "sweep")
