"""Run the jobs of a suite, and know which are finished.

Each runs in a folder of its own, runs/<suite>/<name>/, as a user would start it there: metrics.csv and config.json of
the script, log.txt, what it printed, and exit.json: commit ("-dirty" if any Python file differs from it) and versions
when it began, and how it ended. A lock on each folder keeps two runners from running the same.

What is kept of a finished run are its lines in two files of benchmark/results/<suite>/: curves.csv, a line for each
evaluation, and runs.json, a line for each run: its arguments and what exit.json says. Nothing is kept of one that
failed.
"""

import ctypes
import fcntl
import importlib
import json
import math
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import cache, lru_cache
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS, RESULTS = ROOT / "runs", ROOT / "benchmark" / "results"
# What curves.csv has of metrics.csv, and with how many significant digits: tables are the same as with all of them.
COLUMNS = {"global_step": 12, "eval/return_mean": 8, "charts/episodic_return": 5, "charts/seconds": 6}
COLUMNS |= dict.fromkeys(["eval/return_std", "losses/td", "losses/grad_norm", "losses/opt", "losses/nopt"], 3)
COLUMNS |= dict.fromkeys(["values/q_jt", "values/v_jt", "values/abs_d_greedy"], 3)
sys.path.insert(0, str(ROOT))


def work(job):
    return RUNS / job.suite / job.name


def kept(suite):
    """What is kept of a suite: {run: its record} of runs.json, and {run: its lines} of curves.csv, without its name."""
    paths = RESULTS / suite / "runs.json", RESULTS / suite / "curves.csv"
    stats = [path.stat() if path.exists() else None for path in paths]
    return read_kept(*paths, *(stat and (stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats))


@lru_cache(maxsize=8)
def read_kept(runs, curves, *versions):
    """`versions` are for the cache. A curve is written before its record, and so read after it."""
    records, lines = {}, {}
    try:
        if runs.exists():
            records = json.loads(runs.read_text())
        for line in curves.read_text().splitlines()[1:] if curves.exists() else []:
            name, _, values = line.partition(",")
            lines.setdefault(name, []).append(values)
    except ValueError as error:
        sys.exit(f"benchmark: error: {runs.parent} cannot be read: {error}")
    return records, lines


@cache
def arguments(command):
    """What the script makes of the command line, as in config.json. A mistake is named on stderr: SystemExit."""
    script, *argv = command.split()
    own_argv, sys.argv = sys.argv, [script, *argv]
    try:
        return json.loads(json.dumps(asdict(importlib.import_module(Path(script).stem).parse())))
    finally:
        sys.argv = own_argv


def columns(lines):
    """{name: values} of the lines of a table, the first of which has the names, less what is empty in all of them.

    Raises ValueError if a line is incomplete, global_step or eval/return_mean is missing, a value is not finite, or a
    step repeats or goes back.
    """
    if len(lines) < 2:
        raise ValueError("has no lines")
    try:
        table = zip(*(line.split(",") for line in lines), strict=True)
        values = {name: [*map(float, column)] for name, *column in table if any(column)}
    except ValueError:
        raise ValueError("has an incomplete line") from None
    if not {"global_step", "eval/return_mean"} <= values.keys():
        raise ValueError("has no column global_step or eval/return_mean")
    for name, column in values.items():
        if not all(map(math.isfinite, column)):
            raise ValueError(f"has a value of {name} that is not finite")
    for before, step in pairwise(values["global_step"]):
        if step <= before:
            raise ValueError(f"goes from step {before:,.0f} to step {step:,.0f}")
    return values


def curve(suite, name):
    """{column: values} of a run that is kept. ValueError as of `columns`."""
    return columns([",".join(COLUMNS), *kept(suite)[1].get(name, [])])


def metrics(folder):
    """The lines of metrics.csv. ValueError if it is missing, or breaks off."""
    try:
        text = (folder / "metrics.csv").read_text()
    except FileNotFoundError:
        raise ValueError("is missing") from None
    if text and not text.endswith("\n"):
        raise ValueError("breaks off in its last line")
    return text.splitlines()


def unlike(config, values, command):
    """What makes a run, of the arguments `config`, with the columns `values`, another than that of the command."""
    step, total_timesteps = int(values["global_step"][-1]), config["total_timesteps"]
    if step < total_timesteps:
        return f"curve ends at step {step:,} of {total_timesteps:,}"
    defaults = arguments(command.split()[0])  # of arguments that the scripts did not have yet when the run was made
    other = [name for name, value in arguments(command).items() if config.get(name, defaults[name]) != value]
    if other:
        return f"made with other arguments: {', '.join(f'{name} {config.get(name)}' for name in other)}"
    return None


def problem(folder, command):
    """What keeps what lies in the folder from being a finished run of the command; None if it is one."""
    if not folder.exists():
        return "not run"
    try:
        record = json.loads((folder / "exit.json").read_text())
        exit_code = record["exit_code"]
    except (OSError, ValueError, LookupError, TypeError):
        return "no exit record: still running, or killed"
    if exit_code != 0:
        return f"exit code {exit_code}"
    if not {"commit", "versions"} <= record.keys():
        return "exit.json is incomplete"
    try:
        config = json.loads((folder / "config.json").read_text())
        int(config["total_timesteps"])
    except (OSError, ValueError, LookupError, TypeError):
        return "config.json is incomplete"
    try:
        return unlike(config, columns(metrics(folder)), command)
    except ValueError as error:
        return f"metrics.csv {error}"


def problem_kept(job):
    """What keeps what is kept of a job from being a finished run of its command; None if it is one."""
    record = kept(job.suite)[0].get(job.name)
    if record is None:
        return "not run"
    if not {"arguments", "commit", "versions", "exit_code"} <= record.keys():
        return "its record in runs.json is incomplete"
    if record["exit_code"] != 0:
        return f"exit code {record['exit_code']}"
    try:
        return unlike(record["arguments"], curve(job.suite, job.name), job.command)
    except ValueError as error:
        return f"curves.csv {error}"


def replace(path, lines):
    """Write a file by way of another one, so that a complete one exists at any time."""
    new = path.with_name(f"{path.name}.new")
    new.write_text("".join(f"{line}\n" for line in lines))
    os.replace(new, path)


def keep(job):
    """Put a finished run into the two files of its suite, by name; other runs' lines stay as they are."""
    record = json.loads((work(job) / "exit.json").read_text())
    config = json.loads((work(job) / "config.json").read_text())
    dropped = {"algo", "command", "wandb_mode", "wandb_project_name", "wandb_entity"}
    record = {"arguments": {name: config[name] for name in config if name not in dropped}} | record
    values = columns(metrics(work(job)))
    empty = [""] * len(values["global_step"])
    table = [[f"{x:.{digits}g}" for x in values.get(name, [])] or empty for name, digits in COLUMNS.items()]
    RESULTS.joinpath(job.suite).mkdir(parents=True, exist_ok=True)
    with open(RUNS / job.suite / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # other runners may be keeping runs of the suite
        read_kept.cache_clear()
        records, lines = kept(job.suite)
        records = records | {job.name: record}
        lines = lines | {job.name: [",".join(row) for row in zip(*table)]}
        curves = [f"{name},{line}" for name in sorted(lines) for line in lines[name]]
        replace(RESULTS / job.suite / "curves.csv", [",".join(["run", *COLUMNS]), *curves])
        runs = ",\n".join(f"{json.dumps(name)}: {json.dumps(records[name])}" for name in sorted(records))
        replace(RESULTS / job.suite / "runs.json", ["{", runs, "}"])


def unfinished(job):
    """What keeps a job from being finished, None if its result is there. One that ended since is first kept."""
    missing = problem_kept(job)
    if missing and work(job).exists():
        missing = problem(work(job), job.command)
        if not missing:
            keep(job)
    return missing


def provenance():
    """What a run is made with: commit and versions."""

    def git(*argv):
        return subprocess.run(["git", *argv], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "*.py")
        commit = git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except OSError:  # no git on this machine
        commit = ""
    versions = {name: version(name) for name in ("torch", "numpy", "wandb")}
    return {"commit": commit or "unknown", "versions": {"python": platform.python_version(), **versions}}


def lock(job):
    """The locked file of a job's folder, None if another runner has it. Its run inherits the lock and holds it, too."""
    work(job).mkdir(parents=True, exist_ok=True)
    file = open(work(job) / "lock", "w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def end_with_parent():
    """Called in the child: SIGTERM when the runner dies, however it does. Linux only."""
    if sys.platform == "linux":
        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def start(job, locked):
    folder = work(job)
    for name in ("metrics.csv", "config.json", "exit.json"):
        (folder / name).unlink(missing_ok=True)
    (folder / "exit.json").write_text(json.dumps(provenance()) + "\n")
    script, *argv = job.command.split()
    command = [sys.executable, os.path.relpath(ROOT / script, folder), *argv]
    with open(folder / "log.txt", "a") as log:
        print(f"\n$ python {' '.join(command[1:])}  # {datetime.now():%Y-%m-%d %H:%M:%S}", file=log, flush=True)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_RUN_GROUP": f"{job.suite}__{job.game}"}
        return subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            pass_fds=[locked.fileno()],
            preexec_fn=end_with_parent,
        )


def attempt(job):
    """The folder that the script made for itself when it was last run; one that does not exist if there is none."""
    return max(work(job).glob("runs/*"), default=work(job) / "none", key=lambda run: run.name.split("__")[-1])


def end(job, child, seconds, peak):
    """Note how a run ended, and keep it if it is finished. peak: its memory in KiB. Returns what `problem` says."""
    folder = work(job)
    for name in ("metrics.csv", "config.json"):
        if (attempt(job) / name).exists():
            shutil.copy(attempt(job) / name, folder / name)
    record = json.loads((folder / "exit.json").read_text())
    record |= {"exit_code": child.returncode, "seconds": round(seconds, 1), "peak_mib": peak // 1024}
    (folder / "exit.json").write_text(json.dumps(record) + "\n")
    missing = problem(folder, job.command)
    if not missing:
        keep(job)
    return missing


def steps(job):
    """Steps that a run has made so far."""
    try:
        return int(columns(metrics(attempt(job)))["global_step"][-1])
    except ValueError:
        return 0


def run(jobs, workers, force=False):
    """Run what is not finished. Returns {job: what keeps it from being finished}; Ctrl-C ends the children first.

    What another runner is at is left to it. force: run what is finished, too.
    """
    todo = [job for job in jobs if force or unfinished(job)]
    if not todo:
        print(f"all {len(jobs)} runs are finished; --force runs them again", flush=True)
        return {}
    total = sum(arguments(job.command)["total_timesteps"] for job in todo)
    print(f"{len(jobs)} runs, {len(jobs) - len(todo)} of them finished before", flush=True)
    start_time = print_time = time.monotonic()
    queue, running, failed, steps_done, n_left_out = list(todo), {}, {}, 0, 0
    try:
        while queue or running:
            while queue and len(running) < workers:
                job = queue.pop(0)
                locked = lock(job)
                if not locked or not (force or unfinished(job)):  # running elsewhere, or finished there since
                    print(f"{job.name}: {'finished' if locked else 'running'} elsewhere", flush=True)
                    total -= arguments(job.command)["total_timesteps"]
                    n_left_out += 1
                    continue
                running[job] = start(job, locked), time.monotonic(), locked
            time.sleep(0.1)
            for job, (child, since, locked) in list(running.items()):
                pid, status, usage = os.wait4(child.pid, os.WNOHANG)
                if pid:
                    child.returncode = os.waitstatus_to_exitcode(status)
                    del running[job]
                    steps_done += arguments(job.command)["total_timesteps"]
                    seconds = time.monotonic() - since
                    missing = end(job, child, seconds, usage.ru_maxrss)
                    locked.close()
                    failed |= {job: missing} if missing else {}
                    print(f"{job.name}: {missing or 'finished'} after {timedelta(seconds=round(seconds))}", flush=True)
            if time.monotonic() - print_time > 10 or not (queue or running):
                print_time = time.monotonic()
                now = steps_done + sum(map(steps, running))
                left = timedelta(seconds=round((print_time - start_time) * (total / now - 1))) if now else "?"
                done = len(todo) - n_left_out - len(queue) - len(running) - len(failed)
                print(
                    f"{done} done, {len(running)} running, {len(failed)} failed, {len(queue)} waiting, {left} left",
                    flush=True,
                )
    finally:
        for child, _, _ in running.values():
            child.terminate()
        for job, (child, since, _) in running.items():
            child.wait()
            end(job, child, time.monotonic() - since, 0)
    return failed


def log_end(job, lines=5):
    try:
        return (work(job) / "log.txt").read_text().rstrip().splitlines()[-lines:]
    except FileNotFoundError:
        return []
