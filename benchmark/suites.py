"""What is run: benchmark/suites/<suite>.sh has the commands of a suite, one a line, for a shell or for this module.

A line ends with `# <game> <algorithm>, <n> seeds`; the runs are named <game>__<algorithm>__<seed>.
"""

import csv
import json
import re
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
SUITES = sorted(path.stem for path in HERE.glob("suites/*.sh"))


class Game(NamedTuple):
    title: str
    optimum: float | None  # best expected return, benchmark/studies/optimum.py; None where it is not known
    random: float  # expected return of random play, ditto
    solved: float  # share of the optimum at which a game counts as solved
    found: float | None  # where the optimum is not known: return of a hand-made policy, ditto
    paper: str  # what the paper claims


def number(text):
    return json.loads(text) if text else None


with open(HERE / "games.csv", newline="") as file:
    GAMES = {
        name: Game(title, *map(number, numbers), paper) for name, title, *numbers, paper in list(csv.reader(file))[1:]
    }


class Job(NamedTuple):
    suite: str
    game: str
    algo: str
    seed: int
    command: str  # script and arguments

    @property
    def name(self):
        return f"{self.game}__{self.algo}__{self.seed}"


def lines(suite):
    """Yields command without "python ", game, algorithm and number of seeds. ValueError if a line is none of these."""
    for line in (HERE / f"suites/{suite}.sh").read_text().splitlines():
        if line and not line.startswith("#"):
            parts = re.fullmatch(r"python (\w+\.py .*--env .*?) *# (\S+) (\S+), (\d+) seeds?", line)
            if not parts or parts[2] not in GAMES:
                raise ValueError(f"benchmark/suites/{suite}.sh: no command, game, algorithm and seeds: {line}")
            command, game, algo, n_seeds = parts.groups()
            yield command, game, algo, int(n_seeds)


def arguments(suite):
    """{game: its arguments, the same for every script}: what stands from --env on."""
    return {game: command[command.index("--env ") :] for command, game, *_ in lines(suite)}


def jobs(suite, only=(), seeds=None):
    """The runs of a suite, seed by seed. `only`: parts of names of games or algorithms, or full names of runs.

    Raises ValueError if there is no such suite, or a word is part of no name.
    """
    if suite not in SUITES:
        raise ValueError(f"--suite must be one of {', '.join(SUITES)}, got {suite}")
    if seeds is not None and seeds < 1:
        raise ValueError(f"--seeds must be at least 1, got {seeds}")
    all_jobs = [
        Job(suite, game, algo, seed, f"{command} --seed {seed}")
        for command, game, algo, n_seeds in lines(suite)
        for seed in range(1, (seeds or n_seeds) + 1)
    ]
    all_jobs.sort(key=lambda job: job.seed)
    names = {job.name for job in all_jobs} & set(only)
    games = {word for word in set(only) - names if any(word in job.game for job in all_jobs)}
    algos = {word for word in set(only) - names - games if any(word in job.algo for job in all_jobs)}
    for word in set(only) - names - games - algos:
        raise ValueError(f"--only {word} is part of no game's or algorithm's name in the suite {suite}")

    def wanted(job):
        of_game, of_algo = any(word in job.game for word in games), any(word in job.algo for word in algos)
        return job.name in names or (games | algos and (of_game or not games) and (of_algo or not algos))

    return [job for job in all_jobs if not only or wanted(job)]
