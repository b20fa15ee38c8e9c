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
#SBATCH --output={folder}/%A_%a.txt
runs=(
{names}
)
exec {python} -m benchmark run --suite {suite} --seeds {seeds} --only "${{runs[SLURM_ARRAY_TASK_ID]}}" --workers 1
"""


def submit(jobs, workers):
    """Write runs/<suite>/slurm/array.sh, the list of runs in it, and submit it, `workers` at a time. Returns its id.

    Raises RuntimeError if sbatch is missing or says no.
    """
    todo = [job for job in jobs if runner.unfinished(job)]
    if not todo:
        return None
    folder = runner.RUNS / todo[0].suite / "slurm"
    folder.mkdir(parents=True, exist_ok=True)
    script = SCRIPT.format(
        folder=folder.relative_to(runner.ROOT),
        names="\n".join(job.name for job in todo),
        python=shlex.quote(sys.executable),
        suite=todo[0].suite,
        seeds=max(job.seed for job in todo),
    )
    (folder / "array.sh").write_text(script)  # sbatch takes a copy, so that the next submission may overwrite it
    sbatch = ["sbatch", "--parsable", f"--array=0-{len(todo) - 1}%{workers}", folder / "array.sh"]
    try:
        done = subprocess.run(sbatch, cwd=runner.ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        raise RuntimeError("--slurm needs sbatch, which is not on this machine") from None
    if done.returncode:
        raise RuntimeError(f"sbatch: {done.stderr.strip()}")
    return done.stdout.strip()
