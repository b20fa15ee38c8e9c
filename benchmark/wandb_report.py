"""Send the runs of a suite to W&B, and make a W&B report of them."""

import subprocess
import sys

from benchmark import runner, suites

PANELS = {  # title -> metric, as all scripts log it
    "Return of 32 greedy episodes": "eval/return_mean",
    "Return of the training episodes": "charts/episodic_return",
    "TD loss": "losses/td",
    "Norm of the gradient": "losses/grad_norm",
}
INTRODUCTION = """
Every panel shows one line for each algorithm: the mean over seeds, with the standard error as a band; x is the number
of environment steps. *Return of 32 greedy episodes* is what counts: agents do not explore there, and do not learn
from it. *TD loss* is not comparable between algorithms: each learns other values.

The numbers with confidence intervals are in `benchmark/README.md` of the project.
"""


def report(entity, project, suite):
    """A wandb_workspaces report, not yet saved: a section for each game of the suite."""
    import wandb_workspaces.reports.v2 as wr

    blocks = [wr.TableOfContents(), wr.MarkdownBlock(INTRODUCTION.strip())]
    for name, arguments in suites.arguments(suite).items():
        game = suites.GAMES[name]
        runs = wr.Runset(  # of the report's own project
            name=game.title,
            filters=f"Metric('Group') == '{suite}__{name}'",  # set by benchmark/runner.py
            groupby=["config.algo"],
        )
        panels = [
            wr.LinePlot(
                title=title,
                x="global_step",
                y=[metric],
                aggregate=True,
                groupby=wr.Config("algo"),
                groupby_aggfunc="mean",
                groupby_rangefunc="stderr",
                layout=wr.Layout(x=12 * (k % 2), y=8 * (k // 2), w=12, h=8),
            )
            for k, (title, metric) in enumerate(PANELS.items())
        ]
        optimum = f"Optimum {game.optimum}, random play" if game.optimum is not None else "Random play"
        text = f"`{arguments}`. {optimum} {game.random}. {game.paper}"
        blocks += [wr.H2(game.title), wr.MarkdownBlock(text), wr.PanelGrid(runsets=[runs], panels=panels)]
    title = f"Value factorisation: suite {suite}"
    return wr.Report(project=project, entity=entity, title=title, width="fluid", blocks=blocks)


def sync(jobs, entity, project):
    """Upload what these jobs logged offline, the last attempt of each. Returns how many; RuntimeError if W&B fails."""
    folders = [folder for job in jobs for folder in sorted(runner.work(job).glob("runs/*/wandb/offline-run-*"))[-1:]]
    if folders:
        command = [sys.executable, "-m", "wandb", "sync", "--entity", entity, "--project", project, *map(str, folders)]
        if subprocess.run(command).returncode:
            raise RuntimeError("wandb sync failed, see above")
    return len(folders)
