"""The benchmark: run the scripts, look at a run, make tables, figures and a W&B report of what they logged."""

import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from benchmark import runner, suites
from benchmark.slurm import submit

Suite = Literal[tuple(suites.SUITES)]


def exit_with_error(message, code=2):
    print(f"benchmark: error: {message}", file=sys.stderr)
    sys.exit(code)


def select_jobs(suite, only, seeds):
    try:
        return suites.jobs(suite, only, seeds)
    except ValueError as error:
        exit_with_error(error)


def exit_if_any(unfinished):
    for job, missing in unfinished.items():
        log = [f"$ python {job.command}", *runner.log_end(job)] if missing != "not run" else []
        print(f"{job.name}: {missing}", *log, sep="\n    ", file=sys.stderr)
    if unfinished:
        exit_with_error(f"{len(unfinished)} runs are not finished", code=1)


def run(
    suite: Suite = "paper",
    only: tuple[str, ...] = (),
    seeds: int | None = None,
    workers: int = 2,
    force: bool = False,
    dry_run: bool = False,
    slurm: bool = False,
):
    """Run what is not finished of a suite. Exit code 1 if any of it failed.

    Args:
        suite: which, see benchmark/suites/
        only: parts of names of games or algorithms (both must match where both are given), or full names of runs
        seeds: 1 to this number, instead of what the suite says
        workers: runs at a time, each of one thread
        force: run what is finished, too; it is replaced when its new run has finished
        dry_run: print the commands, after reading their arguments as the scripts will
        slurm: submit the runs to Slurm as an array of jobs; `status` says how they ended
    """
    jobs = select_jobs(suite, only, seeds)
    if workers < 1:
        exit_with_error(f"--workers must be at least 1, got {workers}")
    for job in jobs:
        runner.arguments(job.command)  # a mistake in the suite ends with exit code 2, before any is run
    if dry_run:
        for job in jobs:
            print("run     " if force or runner.unfinished(job) else "finished", f"python {job.command}", sep="  ")
    elif slurm:
        try:
            job_id = submit(jobs, workers)
        except RuntimeError as error:
            exit_with_error(error, code=1)
        print(f"submitted as job {job_id}; see `status`" if job_id else "all runs are finished")
    else:
        interrupted = "interrupted; what is finished is kept"
        for number in (signal.SIGINT, signal.SIGTERM):  # leave through `finally` of runner.run
            signal.signal(number, lambda number, frame: exit_with_error(interrupted, 128 + number))
        exit_if_any(runner.run(jobs, workers, force))


def status(suite: Suite = "paper", only: tuple[str, ...] = (), seeds: int | None = None):
    """Say which runs of a suite are not finished, and why. Exit code 1 if there are any.

    Args:
        suite: as of `run`
        only: as of `run`
        seeds: as of `run`
    """
    missing = {job: runner.unfinished(job) for job in select_jobs(suite, only, seeds)}
    print(f"{list(missing.values()).count(None)} of {len(missing)} runs are finished")
    exit_if_any({job: why for job, why in missing.items() if why})


def show(
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = (),
    episodes: int = 32,
    seed: int = 0,
    figure: Path | None = None,
    gif: Path | None = None,
):
    """Look at what runs have learned. One-step games of two agents: the values of all joint actions, as Table 1 of Son
    et al. 2019. Others: greedy episodes. QTRAN also: how often the agents' own choice is the best one by Q_jt.

    Args:
        runs: run folders; by default the latest below runs/
        episodes: number of greedy episodes
        seed: of these episodes
        figure: file for a heat map of the table, e.g. table.png
        gif: file for an animation of an episode, the runs side by side
    """
    from benchmark.show import CannotShow, show_runs  # not for `run`, which needs no torch

    try:
        show_runs(runs, episodes, seed, figure, gif)
    except CannotShow as error:
        exit_with_error(error)


def report(suite: Suite = "paper"):
    """Make the tables and figures of a suite from its raw curves. Exit code 1 if a curve there is incomplete.

    Args:
        suite: as of `run`. "paper" goes into README.md, benchmark/README.md and benchmark/figures/, others to
            benchmark/results/<suite>/
    """
    from benchmark.report import write  # not for `run` and `show`, which need no matplotlib

    broken = write(suite)
    for name, why in broken.items():
        print(f"left out {name}: {why}", file=sys.stderr)
    if broken:
        exit_with_error(f"{len(broken)} runs of {suite} are incomplete", code=1)


def wandb(entity: str, project: str = "value-factorisation", suite: Suite = "paper"):
    """Upload the finished runs of a suite, what is not there yet, and save a W&B report of them, in place of the last
    one. Needs `wandb login`. Exit code 1 if a run does not arrive.

    Args:
        entity: the W&B user or team
        project: the W&B project
        suite: as of `run`
    """
    from benchmark import wandb_report  # not for the others, which need no wandb_workspaces

    try:
        api = wandb_report.connect()
        jobs = [job for job in suites.jobs(suite) if not runner.unfinished(job)]
        if not jobs:
            raise RuntimeError(f"no run of the suite {suite} is finished: `python -m benchmark run --suite {suite}`")
        wandb_report.upload_missing(api, entity, project, jobs)
        url = wandb_report.save(api, wandb_report.report(entity, project, jobs))
    except KeyboardInterrupt:
        exit_with_error("interrupted; the same command goes on with what has not arrived", 130)
    except Exception as error:  # wandb and wandb_workspaces raise all kinds
        exit_with_error(f"W&B: {' '.join(str(error).split())}", code=1)
    print(f"{len(jobs)} runs are in {entity}/{project}; the report: {url}")


if __name__ == "__main__":
    commands = {"run": run, "status": status, "show": show, "report": report, "wandb": wandb}
    tyro.extras.subcommand_cli_from_dict(commands, prog="python -m benchmark", description=__doc__)
