"""Submit the runs of a suite to Slurm as one array of jobs, each of which is `python -m benchmark run` of a single run.

How they end is in the runs' own records: `python -m benchmark status`, on a folder that all nodes share.
"""

import shlex
import subprocess
import sys

from benchmark import runner

SCRIPT = """#!/bin/bash
#SBATCH --job-name=benchmark
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --output={folder}/%a.txt
name=$(sed -n "${{SLURM_ARRAY_TASK_ID}}p" {folder}/jobs.txt)
exec {python} -m benchmark run --suite {suite} --seeds {seeds} --only "$name" --workers 1
"""


def submit(jobs, workers):
    """Write runs/<suite>/slurm/{jobs.txt,array.sh} and submit them, at most `workers` at a time. Returns the job's id.

    Raises RuntimeError if sbatch is missing or says no.
    """
    todo = [job for job in jobs if runner.unfinished(job)]
    if not todo:
        return None
    folder = runner.RUNS / todo[0].suite / "slurm"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "jobs.txt").write_text("".join(f"{job.name}\n" for job in todo))
    names = dict(suite=todo[0].suite, seeds=max(job.seed for job in todo), python=shlex.quote(sys.executable))
    (folder / "array.sh").write_text(SCRIPT.format(folder=folder.relative_to(runner.ROOT), **names))
    sbatch = ["sbatch", "--parsable", f"--array=1-{len(todo)}%{workers}", folder / "array.sh"]
    try:
        done = subprocess.run(sbatch, cwd=runner.ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        raise RuntimeError("--slurm needs sbatch, which is not on this machine") from None
    if done.returncode:
        raise RuntimeError(f"sbatch: {done.stderr.strip()}")
    return done.stdout.strip()
