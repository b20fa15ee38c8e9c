"""What is run: every suite is a list of rows, one for a game; a row says which scripts, with which arguments and seeds.

A run has the name <game>__<algorithm>__<seed>. What is kept of it lies in benchmark/results/<suite>/<name>/.
"""

from typing import NamedTuple

SCRIPTS = {
    "iql": "iql.py",
    "vdn": "vdn.py",
    "qmix": "qmix.py",
    "qtran-base": "qtran.py --variant base",
    "qtran-alt": "qtran.py --variant alt",
}


def scripts(*algos):
    return {algo: SCRIPTS[algo] for algo in algos}


class Game(NamedTuple):
    title: str
    arguments: str  # for every script
    optimum: float | None  # best expected return, benchmark/studies/optimum.py; None where it is not known
    random: float  # expected return of random play, ditto
    paper: str  # what the paper claims
    solved: float = 0.9  # share of the optimum at which a game counts as solved
    found: float | None = None  # where the optimum is not known: return of a hand-made policy, ditto


HUNT = "--env predator_prey --env-args penalty"
FOUR = "n_predators 4 n_prey 2 grid_size 7"
LONG = "--total-timesteps 2_000_000"
LARGE = f"{FOUR} view 2 --total-timesteps 4_000_000 --compile"
SMALL_TITLE, LARGE_TITLE = "Predator-prey, 2 predators, 1 prey, P =", "Predator-prey, 4 predators, 2 prey, P ="
TABLE_1 = "Table 1 of Son et al. 2019: QTRAN finds the 8, VDN and QMIX do not."
TWO_STEP = "Section 5 of Rashid et al. 2018: QMIX gets 8, VDN 7."
SQUEEZE = "Son et al. 2019, section 5.2: QTRAN gets furthest, by the most in the game with two domains."
HUNTING = "Son et al. 2019, section 5.3: QTRAN does best, and by the more the higher P is."
# What Papoudakis et al. 2021 publish for EPyMARL, the largest mean return within 2 million steps.
EPYMARL = "Papoudakis et al. 2021, 2 million steps: IQL {}, VDN {}, QMIX {}{}."
SPREAD_UNITS = (
    ", which is twice our return less 75: there an agent collides with itself, too, and rewards are not halved. "
    "A policy written by hand gets -23.71"
)
LISTENER = ". Policies written by hand get -15.21, and -31.25 without a message"
GAMES = {
    "matrix_game": Game("Matrix game", "--env matrix_game", 8, -4.44, TABLE_1),
    "two_step_game": Game("Two-step game", "--env two_step_game", 8, 4.75, TWO_STEP),
    "gaussian_squeeze_1": Game("Gaussian squeeze, K = 1", "--env gaussian_squeeze", 7.24, 0.28, SQUEEZE),
    "gaussian_squeeze_2": Game(
        "Gaussian squeeze, K = 2", "--env gaussian_squeeze --env-args n_domains 2", 7.66, 2.41, SQUEEZE
    ),
    "gaussian_squeeze_1_long": Game(
        "Gaussian squeeze, K = 1, 1 million steps",
        "--env gaussian_squeeze --total-timesteps 1_000_000",
        7.24,
        0.28,
        SQUEEZE,
    ),
    "gaussian_squeeze_2_long": Game(
        "Gaussian squeeze, K = 2, 1 million steps",
        "--env gaussian_squeeze --env-args n_domains 2 --total-timesteps 1_000_000",
        7.66,
        2.41,
        SQUEEZE,
    ),
    "predator_prey_2v1_0.5": Game(f"{SMALL_TITLE} 0.5", f"{HUNT} 0.5 --compile", 28.89, -11.45, HUNTING),
    "predator_prey_2v1_0.5_5x5_view": Game(
        f"{SMALL_TITLE} 0.5, 5x5 view", f"{HUNT} 0.5 view 2 --compile", 28.89, -11.45, HUNTING
    ),
    "predator_prey_2v1_0.5_recurrent": Game(  # --compile is slower with it
        f"{SMALL_TITLE} 0.5, GRU agents", f"{HUNT} 0.5 --recurrent", 28.89, -11.45, HUNTING
    ),
    "predator_prey_2v1_1.0": Game(f"{SMALL_TITLE} 1.0", f"{HUNT} 1.0 {LONG} --compile", 25.74, -23.97, HUNTING),
    "predator_prey_2v1_1.5": Game(
        f"{SMALL_TITLE} 1.5", f"{HUNT} 1.5 {LONG} --compile", 23.77, -36.49, HUNTING, solved=0.8
    ),
    "predator_prey_2v1_1.5_long": Game(
        f"{SMALL_TITLE} 1.5, 3 million steps",
        f"{HUNT} 1.5 --total-timesteps 3_000_000 --compile",
        23.77,
        -36.49,
        HUNTING,
        solved=0.8,
    ),
    "predator_prey_2v1_1.5_short": Game(
        f"{SMALL_TITLE} 1.5, 1 million steps", f"{HUNT} 1.5 --compile", 23.77, -36.49, HUNTING, solved=0.8
    ),
    "predator_prey_4v2_0.5": Game(f"{LARGE_TITLE} 0.5", f"{HUNT} 0.5 {LARGE}", None, -20.69, HUNTING, found=24.21),
    "predator_prey_4v2_1.5": Game(f"{LARGE_TITLE} 1.5", f"{HUNT} 1.5 {LARGE}", None, -68.08, HUNTING, found=8.27),
    "predator_prey_4v2_1.5_long": Game(
        f"{LARGE_TITLE} 1.5, 6 million steps",
        f"{HUNT} 1.5 {FOUR} view 2 --total-timesteps 6_000_000 --compile",
        None,
        -68.08,
        HUNTING,
        found=8.27,
    ),
    "predator_prey_4v2_1.5_whole_grid": Game(
        f"{LARGE_TITLE} 1.5, entire grid in view",
        f"{HUNT} 1.5 {FOUR} {LONG} --compile",
        None,
        -68.08,
        HUNTING,
        found=8.27,
    ),
}
OTHERS = {  # --limit-ends was the default until commit 9600e13; what has it was run before
    "simple_spread": Game(
        "mpe2 simple_spread_v3, 3 agents",
        "--env pettingzoo:mpe2.simple_spread_v3 --compile",
        None,
        -79.43,
        EPYMARL.format(-132.6, -131.0, -126.6, SPREAD_UNITS),
    ),
    "simple_speaker_listener": Game(
        "mpe2 simple_speaker_listener_v4",
        "--env pettingzoo:mpe2.simple_speaker_listener_v4 --compile",
        None,
        -81.16,
        EPYMARL.format(-18.4, -16.0, -11.6, LISTENER),
    ),
    "foraging_8x8-2p-2f-coop": Game(
        "Level-based foraging 8x8, 2 players, 2 food, cooperative",
        "--env gymnasium:lbforaging:Foraging-8x8-2p-2f-coop-v3 --compile",
        1,
        0.0,
        EPYMARL.format("1.00", "1.00", 0.96, ""),
    ),
    "foraging_10x10-3p-3f": Game(
        "Level-based foraging 10x10, 3 players, 3 food",
        f"--env gymnasium:lbforaging:Foraging-10x10-3p-3f-v3 {LONG} --compile",
        1,
        0.09,
        EPYMARL.format(0.93, 0.84, 0.84, ", in the version of 2021, which is easier"),
    ),
    "foraging_2021_10x10-3p-3f": Game(
        "Level-based foraging 10x10, 3 players, 3 food, in the version of 2021",
        f"--env gymnasium:benchmark.studies.foraging_2021:Foraging2021-10x10-3p-3f-v1 {LONG} --compile --limit-ends",
        1,
        0.14,
        EPYMARL.format(0.93, 0.84, 0.84, ""),
    ),
}
SMAX = "--env docs.smax:SMAX --env-args map_name 3m --num-envs 16 --total-timesteps 500_000 --compile"
FROM_1 = "--start-e 1.0 --exploration-fraction"  # epsilon falls from 1 to 0.05, over this fraction of the steps
SPREAD, FORAGING = OTHERS["simple_spread"], OTHERS["foraging_8x8-2p-2f-coop"]
LARGE_FORAGING = OTHERS["foraging_10x10-3p-3f"]
GAMES |= OTHERS | {
    "simple_spread_short": SPREAD._replace(
        title="mpe2 simple_spread_v3, 300,000 steps",
        arguments=f"{SPREAD.arguments} --total-timesteps 300_000 {FROM_1} 0.05",
    ),
    "foraging_8x8-2p-2f-coop_short": FORAGING._replace(
        title="Level-based foraging 8x8, 2 players, 2 food, cooperative, 500,000 steps",
        arguments=f"{FORAGING.arguments} --total-timesteps 500_000 {FROM_1} 0.1",
    ),
    "foraging_10x10-3p-3f_recurrent": LARGE_FORAGING._replace(  # --compile is slower with it
        title=f"{LARGE_FORAGING.title}, GRU agents",
        arguments=LARGE_FORAGING.arguments.replace("--compile", "--recurrent --limit-ends"),
    ),
    "smax_3m": Game("SMAX 3m", SMAX, 2, 0.18, "A battle won has a return of 2."),
}
PAPER = [
    name
    for name in GAMES
    if name not in [*OTHERS, "smax_3m"] and not name.endswith(("long", "short", "view", "recurrent", "whole_grid"))
]


class Row(NamedTuple):
    game: str
    scripts: dict[str, str]  # algorithm -> script and arguments
    seeds: int  # 1 .. seeds


FORMS = {
    f"qtran-{variant}-{target}{'' if value == 'value' else '-' + value}": (
        f"qtran.py --variant {variant} --td-target {target} --{value}-net"
    )
    for variant, target in (("base", "joint"), ("base", "factored"), ("alt", "joint"))
    for value in ("value", "no-value")
}

AUTHORS = "qtran-base-factored-no-value"
# Four times the updates, in about the same time: networks half as wide, batches a quarter as large.
SMALL = " --hidden-dim 64 --batch-size 32 --train-frequency 4 --target-network-frequency 1600"
SMALLER = {
    "vdn-small": SCRIPTS["vdn"] + SMALL,
    "qmix-small": SCRIPTS["qmix"] + SMALL,
    f"{AUTHORS}-small": f"{FORMS[AUTHORS]}{SMALL} --joint-dim 64",
    "qtran-alt-small": f"{SCRIPTS['qtran-alt']}{SMALL} --joint-dim 64",
}
LOOKS_FURTHER = {
    f"{algo}-gamma-0.99": f"{SMALLER[algo]} --gamma 0.99" for algo in ("vdn-small", "qmix-small", "qtran-alt-small")
}
DOUBLE_Q = {f"{algo}-double-q": f"{SCRIPTS[algo]} --double-q" for algo in ("vdn", "qmix", "qtran-alt")}

# By default the limit ended the games of others when these were run, until commit 9600e13.
ENDED = {algo: f"{script} --limit-ends" for algo, script in SCRIPTS.items()}
LIMIT_ENDS = {f"{algo}-limit-ends": script for algo, script in ENDED.items()}
WITHOUT = {algo: ENDED[algo] for algo in ("vdn", "qmix", "qtran-alt")}
WITHOUT |= {f"{algo}-no-limit-ends": SCRIPTS[algo] for algo in WITHOUT}
WITHOUT |= {
    f"qmix-no-{name}": f"{ENDED['qmix']} --no-{name}" for name in ("double-q", "scale-rewards", "center-rewards")
}
GAMMA_099 = {"qmix-gamma-0.99": f"{ENDED['qmix']} --gamma 0.99"}
FROM_1_SOON = {f"{algo}-from-1-over-0.05": f"{script} {FROM_1} 0.05" for algo, script in ENDED.items()}
FROM_1_LATE = {f"{algo}-from-1-over-0.8": f"{script} {FROM_1} 0.8" for algo, script in ENDED.items() if algo != "iql"}
BUFFER_200K = {"vdn-from-1-over-0.05-buffer-200k": f"{ENDED['vdn']} {FROM_1} 0.05 --buffer-size 200_000"}

SUITES = {
    "smoke": [Row(game, SCRIPTS, 1) for game in PAPER],
    "paper": [Row(game, SCRIPTS, 3 if "4v2" in game else 5) for game in PAPER],
    "ablation": [
        Row("gaussian_squeeze_1_long", scripts("vdn", "qmix", "qtran-alt"), 1),
        Row("gaussian_squeeze_2_long", scripts("vdn", "qmix", "qtran-base", "qtran-alt"), 3),
        Row("predator_prey_2v1_0.5_recurrent", scripts("vdn"), 3),
        Row("predator_prey_2v1_0.5_5x5_view", scripts("qtran-alt"), 3),
        Row("predator_prey_2v1_1.5", FORMS, 3),
        Row("predator_prey_2v1_0.5", DOUBLE_Q, 1),
        Row("predator_prey_2v1_1.5", DOUBLE_Q, 1),
        Row("predator_prey_2v1_1.5_short", scripts("qtran-alt"), 3),
        Row("predator_prey_4v2_1.5_whole_grid", scripts("vdn", "qmix", "qtran-alt"), 1),
    ],
    "authors": [
        Row("predator_prey_2v1_0.5", SMALLER, 3),
        Row("predator_prey_2v1_1.0", SMALLER, 3),
        Row("predator_prey_2v1_1.5", SMALLER, 3),
        Row("predator_prey_2v1_0.5", LOOKS_FURTHER, 1),
        Row("predator_prey_2v1_1.5", LOOKS_FURTHER, 1),
        Row("predator_prey_2v1_1.5_long", {name: FORMS[name] for name in (AUTHORS, "qtran-base-joint-no-value")}, 3),
        Row("predator_prey_2v1_1.5_long", {f"{AUTHORS}-small": SMALLER[f"{AUTHORS}-small"]}, 3),
        Row("predator_prey_2v1_1.5_long", {f"{AUTHORS}-sooner": f"{FORMS[AUTHORS]} --exploration-fraction 0.33"}, 3),
        Row("predator_prey_4v2_1.5_long", {"qtran-alt-small": SMALLER["qtran-alt-small"]}, 3),
    ],
    "environments": [
        *(Row(game, SCRIPTS, 3) for game in OTHERS if "2021" not in game),
        Row("foraging_2021_10x10-3p-3f", scripts("iql", "vdn", "qmix"), 1),
        Row("foraging_10x10-3p-3f_recurrent", scripts("vdn", "qmix", "qtran-alt"), 1),
    ],
    "remedies": [
        Row("simple_spread", LIMIT_ENDS, 2),
        Row("simple_speaker_listener", LIMIT_ENDS, 2),
        Row("foraging_8x8-2p-2f-coop", LIMIT_ENDS, 3),
        Row("foraging_10x10-3p-3f", LIMIT_ENDS, 1),
        Row("simple_spread_short", WITHOUT | GAMMA_099, 1),
        Row("foraging_8x8-2p-2f-coop_short", {"qmix": ENDED["qmix"]} | GAMMA_099, 3),
        Row("simple_speaker_listener", BUFFER_200K, 1),
        *(
            Row(game, FROM_1_SOON, 1)
            for game in ("simple_spread", "simple_speaker_listener", "foraging_8x8-2p-2f-coop")
        ),
        Row("foraging_8x8-2p-2f-coop", FROM_1_LATE, 1),
        Row("simple_speaker_listener", {"qmix-from-1-over-0.8": FROM_1_LATE["qmix-from-1-over-0.8"]}, 1),
    ],
    "smax": [Row("smax_3m", scripts("vdn", "qmix"), 1)],
}
# Added to every command of the suite: a few steps and updates, to see that everything works.
EXTRA = {"smoke": " --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000"}


class Job(NamedTuple):
    suite: str
    game: str
    algo: str
    seed: int
    command: str  # script and arguments

    @property
    def name(self):
        return f"{self.game}__{self.algo}__{self.seed}"


def jobs(suite, only=(), seeds=None):
    """The runs of a suite, seed by seed. `only`: parts of names of games or algorithms, or full names of runs.

    Raises ValueError if there is no such suite, or a word is part of no name.
    """
    if suite not in SUITES:
        raise ValueError(f"--suite must be one of {', '.join(SUITES)}, got {suite}")
    if seeds is not None and seeds < 1:
        raise ValueError(f"--seeds must be at least 1, got {seeds}")
    all_jobs = [
        Job(suite, row.game, algo, seed, f"{script} {GAMES[row.game].arguments}{EXTRA.get(suite, '')} --seed {seed}")
        for row in SUITES[suite]
        for algo, script in row.scripts.items()
        for seed in range(1, (seeds or row.seeds) + 1)
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
