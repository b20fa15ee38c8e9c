"""Send what is kept of a suite to W&B, and make a W&B report of it."""

import hashlib
import json
import os
import tempfile
import time

import wandb
import wandb_workspaces.reports.v2 as wr

import envs
from benchmark import runner, suites
from benchmark.report import STYLES

PANELS = {  # metric, as in curves.csv -> title of the y axis
    "eval/return_mean": "return of 32 greedy episodes",
    "charts/episodic_return": "return of the training episodes",
    "losses/td": "TD loss",
    "losses/grad_norm": "norm of the gradient",
}
INTRODUCTION = """
Every panel shows one line for each algorithm: the mean over seeds, with the standard error as a band; x is the number
of environment steps. *Return of 32 greedy episodes* is what counts: agents do not explore there, and do not learn
from it. *TD loss* is not comparable between algorithms: each learns other values.

The numbers with confidence intervals are in `benchmark/README.md` of the project.
"""
# A server that is down or fails is named within seconds; the default is to try for minutes.
QUICK = dict(x_graphql_retry_max=2, x_graphql_retry_wait_min_seconds=1, x_graphql_retry_wait_max_seconds=2)
# Commit and program are those of the result; nothing is noted of the machine that uploads it.
QUIET = dict(console="off", silent=True, disable_git=True, x_disable_meta=True, x_disable_stats=True)
QUIET |= dict(x_save_requirements=False, x_disable_machine_info=True)
LIMITS = dict(init_timeout=15, finish_timeout=15, finish_timeout_raises=True)


def connect():
    """The API of the W&B server. wandb.Error if there is no key, or the server refuses it or does not answer."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # else wandb prints when it cannot send its telemetry
    wandb.setup(settings=wandb.Settings(**QUIET, **QUICK))
    if not wandb.login(prompt=False):
        raise wandb.Error("no account is known here: first run `wandb login`")
    return wandb.Api(timeout=10)


def run_id(job):
    """The same for the same result, another if the run is made anew."""
    records, lines = runner.kept(job.suite)
    content = json.dumps([records[job.name], lines[job.name]])
    return f"{job.suite}__{job.name}__{hashlib.sha256(content.encode()).hexdigest()[:8]}"


def missing(api, entity, project, jobs):
    """Those of the jobs that are not complete in the W&B project."""
    api.flush()
    groups = sorted({f"{job.suite}__{job.game}" for job in jobs})
    try:
        there = {run.id: run.state for run in api.runs(f"{entity}/{project}", {"group": {"$in": groups}})}
    except ValueError:  # no such project
        there = {}
    return [job for job in jobs if there.get(run_id(job)) != "finished"]


def upload(job, entity, project, folder):
    """Log what is kept of a run as a W&B run. One that broke off goes on behind the last line that has arrived."""
    record, curve = runner.kept(job.suite)[0][job.name], runner.curve(job.suite, job.name)
    arguments = record["arguments"]
    options = envs.options_of(arguments["env"]) | arguments["env_args"]  # with those that apply by default
    config = arguments | {"env_args": options or None, "algo": job.algo}  # W&B drops what is empty
    config |= {"commit": record["commit"], "versions": record["versions"]}
    names = dict(entity=entity, project=project, id=run_id(job), name=job.name, group=f"{job.suite}__{job.game}")
    tags = ["kept", job.algo, arguments["env"]]
    made_with = dict(git_commit=record["commit"], program=job.command.split()[0])
    settings = wandb.Settings(**made_with, **QUIET, **LIMITS)
    with wandb.init(
        mode="online", resume="allow", config=config, tags=tags, dir=folder, settings=settings, **names
    ) as run:
        run.define_metric("*", step_metric="global_step")
        for values in list(zip(*curve.values()))[run.starting_step :]:
            run.log(dict(zip(curve, values)))


def upload_missing(api, entity, project, jobs):
    """Upload what the W&B project lacks of the jobs. RuntimeError if one does not arrive."""
    todo = missing(api, entity, project, jobs)
    print(f"{len(jobs)} runs, {len(jobs) - len(todo)} of them uploaded before", flush=True)
    print_time = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for n_uploaded, job in enumerate(todo):
            if time.monotonic() - print_time > 5:
                print_time = time.monotonic()
                print(f"{n_uploaded} of {len(todo)} uploaded", flush=True)
            try:
                upload(job, entity, project, folder)
            except (wandb.Error, TimeoutError) as error:
                raise RuntimeError(f"{job.name}: {error} The same command goes on from there.") from error
    for _ in range(10):  # the server may need a moment
        lost = missing(api, entity, project, jobs)
        if not lost:
            return
        time.sleep(1)
    raise RuntimeError(f"{len(lost)} of {len(jobs)} runs have not arrived in {entity}/{project}: {lost[0].name}, ...")


def report(entity, project, jobs):
    """A wandb_workspaces report, not yet saved: a section for each game of the jobs, with these runs only."""
    (suite,) = {job.suite for job in jobs}
    blocks = [wr.TableOfContents(), wr.MarkdownBlock(INTRODUCTION.strip())]
    for name, arguments in suites.arguments(suite).items():
        game, in_game = suites.GAMES[name], [job for job in jobs if job.game == name]
        if not in_game:
            continue
        ids = ", ".join(f"'{run_id(job)}'" for job in in_game)
        runs = wr.Runset(name=game.title, filters=f"Metric('ID') in [{ids}]", groupby=["config.algo"])
        colours = {  # by group of runs
            wr.RunsetGroup(game.title, (wr.RunsetGroupKey(wr.Config("algo"), algo),)): STYLES[algo][0]
            for algo in dict.fromkeys(job.algo for job in in_game)
            if algo in STYLES
        }
        panels = [
            wr.LinePlot(
                title=title[0].upper() + title[1:],
                x="global_step",
                y=[metric],
                title_x="environment steps",
                title_y=title,
                groupby=wr.Config("algo"),
                groupby_aggfunc="mean",
                groupby_rangefunc="stderr",
                layout=wr.Layout(x=12 * (k % 2), y=8 * (k // 2), w=12, h=8),
            )
            for k, (metric, title) in enumerate(PANELS.items())
        ]
        optimum = f"Optimum: {game.optimum}" if game.optimum is not None else "The optimum is not known"
        text = f"`{arguments}`\n\n{optimum}; random play: {game.random}.\n\n{game.paper}"
        grid = wr.PanelGrid(runsets=[runs], panels=panels, custom_run_colors=colours)
        blocks += [wr.H2(game.title), wr.MarkdownBlock(text), grid]
    title = f"Value factorisation: suite {suite}"
    return wr.Report(project=project, entity=entity, title=title, width="fluid", blocks=blocks)


def save(api, drafted):
    """Save the report, in place of one of the same title that is there. Returns its URL."""
    for there in api.reports(f"{drafted.entity}/{drafted.project}"):
        if there.display_name == drafted.title:
            drafted.id = there.id
    return drafted.save().url
