"""Run the jobs of a suite, and know which are finished.

Each runs in a folder of its own, runs/<suite>/<name>/, as a user would start it there. What is kept of a finished one
is copied to benchmark/results/<suite>/<name>/: metrics.csv and config.json of the script, log.txt, what it printed, and
exit.json: commit ("-dirty" if any Python file differs from it) and versions when it began, and how it ended. Nothing is
copied of one that failed. A lock on each folder keeps two runners from running the same.
"""

import csv
import ctypes
import fcntl
import importlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import cache
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS, RESULTS = ROOT / "runs", ROOT / "benchmark" / "results"
KEPT = ["metrics.csv", "config.json", "log.txt", "exit.json"]
sys.path.insert(0, str(ROOT))


def work(job):
    return RUNS / job.suite / job.name


def kept(job):
    return RESULTS / job.suite / job.name


@cache
def arguments(command):
    """What the script makes of the command line, as in config.json. A mistake is named on stderr: SystemExit."""
    script, *argv = command.split()
    own_argv, sys.argv = sys.argv, [script, *argv]
    try:
        return json.loads(json.dumps(asdict(importlib.import_module(Path(script).stem).parse())))
    finally:
        sys.argv = own_argv


def last_step(folder):
    """global_step of the last line of metrics.csv; ValueError if there is none, or a line is incomplete."""
    try:
        text = (folder / "metrics.csv").read_text()
    except FileNotFoundError:
        raise ValueError("no metrics.csv") from None
    header, *rows = csv.reader(text.splitlines()) if text else [[]]
    if text and not {"global_step", "eval/return_mean"} <= set(header):
        raise ValueError("metrics.csv has no column global_step or eval/return_mean")
    if not rows:
        raise ValueError("metrics.csv has no lines")
    try:
        values = [dict(zip(header, map(float, row), strict=True)) for row in rows]
    except ValueError:
        raise ValueError("metrics.csv has an incomplete line") from None
    if not text.endswith("\n"):
        raise ValueError("metrics.csv breaks off in its last line")
    return int(values[-1]["global_step"])


def problem(folder, command):
    """What keeps what lies in the folder from being a finished run of the command; None if it is one."""
    if not folder.exists():
        return "not run"
    try:
        exit_code = json.loads((folder / "exit.json").read_text())["exit_code"]
    except (OSError, ValueError, LookupError, TypeError):
        return "no exit record: still running, or killed"
    if exit_code != 0:
        return f"exit code {exit_code}"
    try:
        config = json.loads((folder / "config.json").read_text())
        total_timesteps = int(config["total_timesteps"])
    except (OSError, ValueError, LookupError, TypeError):
        return "config.json is incomplete"
    try:
        step = last_step(folder)
    except ValueError as error:
        return str(error)
    if step < total_timesteps:
        return f"metrics.csv ends at step {step:,} of {total_timesteps:,}"
    defaults = arguments(command.split()[0])  # of arguments that the scripts did not have yet when the run was made
    other = [name for name, value in arguments(command).items() if config.get(name, defaults[name]) != value]
    if other:
        return f"kept with other arguments: {', '.join(f'{name} {config.get(name)}' for name in other)}"
    return None


def keep(job):
    """Copy what is to be kept of a finished run, all of it or nothing."""
    new = work(job) / "kept"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    for name in KEPT:
        shutil.copy(work(job) / name, new / name)
    shutil.rmtree(kept(job), ignore_errors=True)
    kept(job).parent.mkdir(parents=True, exist_ok=True)
    shutil.move(new, kept(job))


def unfinished(job):
    """What keeps a job from being finished, None if its result is there. One that ended since is first kept."""
    missing = problem(kept(job), job.command)
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
    for name in set(KEPT) - {"log.txt"}:
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
        return last_step(attempt(job))
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
