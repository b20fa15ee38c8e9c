"""The house itself: shared text, metadata, and documentation that tells the truth about names, code and numbers."""

import ast
import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import envs
from benchmark import report, runner, suites
from benchmark.show import load, payoff_tables, print_tables

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ["iql.py", "vdn.py", "qmix.py", "qtran.py"]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "benchmark/README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "benchmark/results").glob("*/README.md"))
LOGGING, ENVIRONMENTS = ((ROOT / f"docs/{name}.md").read_text() for name in ("logging", "environments"))


LINES = {"iql.py": 420, "vdn.py": 420, "qmix.py": 445, "qtran.py": 530, "envs.py": 340}
LOSS_ENDS = {"iql.py": 160, "vdn.py": 165, "qmix.py": 190, "qtran.py": 275}
DIFFER_BY_DESIGN = {"Args", "compute_loss", "make_networks"}


def definitions(script):
    """Name -> text of the functions and classes of a script, with their decorators."""
    text = (ROOT / script).read_text()
    nodes = [node for node in ast.parse(text).body if hasattr(node, "name")]
    first = {node: min([node, *node.decorator_list], key=lambda part: part.lineno).lineno for node in nodes}
    return {node.name: "\n".join(text.splitlines()[first[node] - 1 : node.end_lineno]) for node in nodes}


@pytest.mark.parametrize("script", SCRIPTS[1:])
def test_what_has_the_same_name_in_two_scripts_is_the_same_text(script):
    reference, found = definitions(SCRIPTS[0]), definitions(script)
    assert set(reference) <= set(found)
    for name in set(reference) - DIFFER_BY_DESIGN:
        assert found[name] == reference[name], f"{name} of {script} differs from that of {SCRIPTS[0]}"
    assert found["Args"].startswith(reference["Args"])
    for part in ("(?s)import copy\n.*?\nclass Args", "(?s)# --- Playing and remembering.*"):
        one, same = (re.search(part, (ROOT / x).read_text())[0] for x in (SCRIPTS[0], script))
        assert one == same, f"{script}: {part}"


@pytest.mark.parametrize("file", LINES)
def test_files_are_short_and_the_loss_stands_early(file):
    text = (ROOT / file).read_text()
    assert len(text.splitlines()) <= LINES[file]
    if file in SCRIPTS:
        (loss,) = (node for node in ast.parse(text).body if getattr(node, "name", "") == "compute_loss")
        assert loss.end_lineno <= LOSS_ENDS[file]


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_algorithm_comes_first(script):
    nodes = {node.name: node for node in ast.parse((ROOT / script).read_text()).body if hasattr(node, "name")}
    for name in ("Agent", "compute_loss"):
        assert nodes[name].lineno < min(nodes[other].lineno for other in ("rollout", "ReplayBuffer", "main", "log"))
    assert nodes["main"].lineno < min(nodes[name].lineno for name in ("open_run", "log", "parse"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_inline_metadata_equals_requirements(script):
    (block,) = re.findall(r"^# /// script\n(.*?)^# ///$", (ROOT / script).read_text(), re.M | re.S)
    (dependencies,) = re.findall(r"^# dependencies = (\[.*\])$", block, re.M)
    assert ast.literal_eval(dependencies) == (ROOT / "requirements.txt").read_text().split()
    assert '# requires-python = ">=3.10"' in block


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_imports_only_the_standard_library_its_requirements_and_envs(script):
    imported = set()
    for node in ast.walk(ast.parse((ROOT / script).read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"envs", "numpy", "torch", "tyro", "wandb"}


@pytest.mark.parametrize("script", SCRIPTS)
def test_importing_a_script_does_nothing(script, tmp_path):
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {Path(script).stem}"
    done = subprocess.run([sys.executable, "-c", code, "--no-such-flag"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "") and not list(tmp_path.iterdir())


def commands_in(text):
    """The `python script.py ...` commands of a text, without the comments beside them."""
    text = re.sub(r" {3,}.*", "", text, flags=re.M)
    return re.findall(r"python ((?:iql|vdn|qmix|qtran)\.py(?: +(?:--)?[\w.:/-]+)*)", text)


def test_commands_in_the_documentation_parse():
    found = {command for page in PAGES for command in commands_in(page.read_text())}
    for script in SCRIPTS:
        text = (ROOT / script).read_text()
        found |= set(commands_in("\n".join(re.sub(r"(--[\w.]+.*?)  +.*", r"\1", line) for line in text.splitlines())))
    assert len(found) >= 10
    for command in sorted(found):
        args = runner.arguments(command.removesuffix(" --help"))  # SystemExit if it does not parse
        if args["env"] in envs.ENVS:
            envs.make(args["env"], 1, 0, **args["env_args"])


def test_readme_first_commands_install_what_they_run():
    train, test = re.findall(r"^python3 -m venv .*$", README, re.M)
    assert train.startswith("python3 -m venv .venv && .venv/bin/pip install -r requirements.txt && .venv/bin/python ")
    assert "qtran.py --env matrix_game && .venv/bin/python -m benchmark show" in train
    assert "pip install -r requirements-dev.txt && .venv/bin/python -m pytest" in test


def test_pages_are_short():
    assert len(README.splitlines()) <= 130
    for page in (ROOT / "docs").glob("*.md"):
        assert len(page.read_text().splitlines()) <= 200, page


def column_names(markdown):
    """The names in the first column of its tables of metrics."""
    rows = [line.split(" | ")[0] for line in markdown.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`((?:losses|values|charts|eval)/\w+|global_step)`", row)}


def logged(script, tmp_path, *argv):
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    argv = [sys.executable, ROOT / script, *argv, "--wandb-mode", "disabled"]
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "runs").iterdir()
    with open(run / "metrics.csv", newline="") as file:
        return run, list(csv.DictReader(file))


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_metric_is_explained(script, tmp_path):
    _, rows = logged(script, tmp_path, "--env", "two_step_game", "--total-timesteps", "200", "--eval-interval", "200")
    common = {name for name in rows[0] if not name.startswith(("losses/", "values/"))}
    assert common <= column_names(LOGGING) and set(rows[0]) <= column_names(LOGGING)
    assert column_names((ROOT / "docs" / script).with_suffix(".md").read_text()) == set(rows[0]) - common


def test_no_metric_is_explained_that_does_not_exist():
    kept = {name for log in ROOT.glob("benchmark/results/**/metrics.csv") for name in log.open().readline().split(",")}
    assert column_names(LOGGING) == {name.strip() for name in kept} - {"values/agreement"}  # which older runs have


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_exist(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for target, _, anchor in (link.partition("#") for link in re.findall(r"\]\((?!http)([^)]+)\)", text)):
        path = (page.parent / target) if target else page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(), re.M)
            slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{target}#{anchor}"


@pytest.mark.parametrize("script", SCRIPTS)
def test_code_quoted_in_the_documentation_is_that_of_the_script(script):
    code = {line.split("  # ")[0].strip() for line in (ROOT / script).read_text().splitlines()}
    quoted = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / script).with_suffix(".md").read_text(), re.S)
    lines = [line for block in quoted for line in block.splitlines() if line.strip()]
    assert len(lines) >= 5
    for line in lines:
        assert line.split("  # ")[0].strip() in code, line


def test_own_environment_example_runs(tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", ENVIRONMENTS, re.S)
    (argv,) = re.findall(r"^python vdn.py (--env my_module:Pull .*)$", ENVIRONMENTS, re.M)
    (tmp_path / "my_module.py").write_text(example)
    _, rows = logged("vdn.py", tmp_path, *argv.split())
    returns = [float(row["eval/return_mean"]) for row in rows]
    assert len(returns) == 10 and returns[-1] > 0.9  # both pull as soon as the light is on


def test_examples_of_plotting_and_model_loading_run(tmp_path):
    run, _ = logged("vdn.py", tmp_path, "--total-timesteps", "100", "--num-envs", "1")
    printed = ""
    for example in re.findall(r"```python\n(.*?)```", LOGGING, re.S):
        code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + example.replace("runs/<run>", f"runs/{run.name}")
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        printed += done.stdout
    assert (tmp_path / "return.png").stat().st_size > 5000
    assert re.fullmatch(r"return -?\d.*\n", printed)


def test_published_numbers_come_from_the_raw_curves(tmp_path, monkeypatch):
    published = [ROOT / "README.md", ROOT / "benchmark/README.md"]
    (tmp_path / "benchmark").mkdir()
    for readme in published:
        empty = re.sub(r"(?s)(<!-- report: begin -->).*(<!-- report: end -->)", r"\1\2", readme.read_text())
        assert empty != readme.read_text()
        (tmp_path / readme.relative_to(ROOT)).write_text(empty)
    monkeypatch.setattr(runner, "ROOT", tmp_path)
    assert report.write("paper") == {}
    for readme in published:
        assert (tmp_path / readme.relative_to(ROOT)).read_text() == readme.read_text()
    drawn = {figure.name for figure in (tmp_path / "benchmark/figures").iterdir()}
    assert drawn == {figure.name for figure in (ROOT / "benchmark/figures").iterdir()}


@pytest.mark.parametrize("suite", ["ablation", "authors", "environments", "remedies", "smax"])
def test_published_numbers_of_other_suites_come_from_their_raw_curves(suite, tmp_path, monkeypatch):
    shutil.copytree(ROOT / "benchmark/results" / suite, tmp_path / suite)
    (tmp_path / suite / "README.md").write_text("<!-- report: begin --><!-- report: end -->\n")
    monkeypatch.setattr(runner, "RESULTS", tmp_path)
    assert report.write(suite) == {}
    written, published = (folder / suite / "README.md" for folder in (tmp_path, ROOT / "benchmark/results"))
    assert written.read_text().strip() in published.read_text()


def test_results_in_the_documentation_are_those_of_the_readme():
    """The tables of the algorithms' pages against the generated one, by title and algorithm."""
    table = README[README.index("| game | `iql`") :].split("\n\n")[0].splitlines()
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    algos = [name.strip("`") for name in header[1:6]]
    short = {"Predator-prey, 2 predators, 1 prey": "predator-prey", "Predator-prey, 4": "predator-prey, 4"}
    published = {}
    for title, *cells in rows:
        for long, abbreviated in short.items():
            title = title.replace(long, abbreviated)
        published[title.lower()] = dict(zip(algos, cells))
    columns = {"iql": ["iql"], "vdn": ["vdn"], "qmix": ["qmix"], "qtran": ["qtran-base", "qtran-alt"]}
    for page, names in columns.items():
        text = (ROOT / f"docs/{page}.md").read_text()
        results = text[text.index("| game | seeds |") :].split("\n\n")[0].splitlines()[2:]
        assert len(results) == sum(any(row[name] for name in names) for row in published.values())
        for line in results:
            title, seeds, _, _, *values, _ = (cell.strip() for cell in line.strip("|").split("|"))
            for name, value in zip(names, values, strict=True):
                assert f"{value} ({seeds})" == published[title.lower()][name], (page, title)


def test_results_of_other_environments_in_the_documentation_come_from_the_raw_curves():
    games, _ = report.read("environments")
    table = ENVIRONMENTS[ENVIRONMENTS.index("| environment | IQL |") :].split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table]
    assert {title.split(",")[0] for title, *_ in rows} == games.keys()
    for title, *cells in rows:
        name, column = title.split(",")[0], "charts/episodic_return" if "exploring" in title else "eval/return_mean"
        scale, shift = (2, -75) if name == "simple_spread" else (1, 0)
        digits = 2 if name.startswith("foraging") else 1
        for algo, cell in zip(suites.SCRIPTS, cells[:5], strict=True):
            curves = {seed: report.curve(folder) for seed, folder in games[name].get(algo, {}).items()}
            value = scale * report.iqm(report.last_ten(curves, column)) + shift if curves else None
            assert cell == ("" if value is None else f"{value:.{digits}f}"), (title, algo)
        assert cells[-1] == f"{scale * suites.GAMES[name].random + shift:.{digits}f}"


def test_what_bootstrapping_at_the_limit_does_comes_from_the_raw_curves():
    page = (ROOT / "benchmark/results/remedies/README.md").read_text()
    rows = page[page.index("| environment | | IQL |") :].split("\n\n")[0].splitlines()[2:]
    games = {suite: report.read(suite)[0] for suite in ("environments", "remedies")}
    assert len(rows) == 2 * sum("vdn-limit-ends" in algos for algos in games["remedies"].values())
    for game, limit, *cells in [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]:
        for algo, cell in zip(suites.SCRIPTS, cells, strict=True):
            suite, suffix = ("remedies", "-limit-ends") if "--limit-ends" in limit else ("environments", "")
            folders = games[suite][game][algo + suffix]
            returns = report.last_ten({seed: report.curve(folders[seed]) for seed in sorted(folders)})
            digits = 2 if game.startswith("foraging") else 1
            assert cell == ", ".join(f"{value:.{digits}f}" for value in returns), (game, limit, algo)


def test_what_exploration_does_in_other_environments_comes_from_the_raw_curves():
    page = (ROOT / "benchmark/results/remedies/README.md").read_text()
    rows = page[page.index("| environment | epsilon |") :].split("\n\n")[0].splitlines()[2:]
    suffixes = {"0.4, 100 %": "-limit-ends", "1, 5 %": "-from-1-over-0.05", "1, 80 %": "-from-1-over-0.8"}
    assert len(rows) > len(suites.OTHERS)
    for game, schedule, *cells in [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]:
        for algo, cell in zip(suites.SCRIPTS, cells, strict=True):
            folder = ROOT / f"benchmark/results/remedies/{game}__{algo}{suffixes[schedule]}__1"
            assert cell == (f"{report.last_ten({1: report.curve(folder)})[0]:.2f}" if folder.exists() else ""), folder


def test_published_table_is_what_the_committed_model_gives(capsys):
    print_tables(payoff_tables(load(ROOT / "benchmark/results/shown/matrix_game__qtran-alt__1")))
    printed = capsys.readouterr().out.replace("-0.00", " 0.00")  # rounding may differ from machine to machine
    assert f"```\n{printed}```" in (ROOT / "docs/qtran.md").read_text()


def test_returns_of_the_authors_code_come_from_the_raw_curves():
    folder = ROOT / "benchmark/results/authors_code"
    rows = [row.strip("| ").split(" | ") for row in (folder / "README.md").read_text().splitlines() if ".csv)" in row]
    assert {re.search(r"\((\S+csv)\)", " ".join(row))[1] for row in rows} == {
        str(path.relative_to(folder)) for path in folder.glob("**/*.csv")
    }
    for row in rows:
        path = folder / re.search(r"\((\S+csv)\)", " ".join(row))[1]
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        curve = {int(line["step"]): float(line["eval_return"]) for line in csv.DictReader(lines)}
        steps = [*curve]
        first = next((f"{step:,}" for step in steps if curve[step] > 5), "-")
        if path.parent == folder:
            last_ten = sum(curve[step] for step in steps[-10:]) / 10
            assert row[1:] == [first, f"{curve[1_000_000]:.1f}", f"{last_ten:.1f}"]
        else:
            around = [(380_000, 400_000, 420_000), (560_000, 580_000, 600_000), steps[-3:]]
            means = [f"{sum(curve[step] for step in three) / 3:.1f}" for three in around]
            assert row[2:] == [*means, f"{steps[-1]:,}", first]


def test_returns_of_the_authors_code_in_gaussian_squeeze_come_from_the_raw_curves():
    folder, found = ROOT / "benchmark/results/authors_squeeze", []
    for path in sorted(folder.glob("*.csv")):
        algo, k, _ = path.stem.split("_")
        with open(path, newline="") as file:
            last = [float(row["eval_return"]) for row in csv.DictReader(file)][-5:]
        found.append((algo, k[1], sum(last) / 5))
    rows = re.findall(r"^\| (\S+) \| (\d) \| (.*) \| (.*) \|$", (folder / "README.md").read_text(), re.M)
    assert len(rows) == 8 and len(found) == 24
    for algo, k, by_seed, mean in rows:
        values = [value for *name, value in found if name == [algo, k]]
        assert by_seed == " / ".join(f"{value:.1f}" for value in values) and mean == f"{sum(values) / 3:.1f}"


def last_ten_and_first_above_0(pattern):
    """By seed, as the pages have it, of the runs below benchmark/results whose folders match."""
    last_ten, first = [], []
    for path in sorted((ROOT / "benchmark/results").glob(f"{pattern}/metrics.csv")):
        with open(path, newline="") as file:
            curve = [(int(line["global_step"]), float(line["eval/return_mean"])) for line in csv.DictReader(file)]
        last_ten.append(f"{sum(value for _, value in curve[-10:]) / 10:.1f}")
        first.append(next((f"{step / 1e6:.2f}" for step, value in curve if value > 0), "-"))
    return " / ".join(last_ten), " / ".join(first)


def kept(suite):
    """The games and algorithms that the suite has runs of."""
    return sorted({folder.name.rsplit("__", 1)[0] for folder in (ROOT / "benchmark/results" / suite).glob("*__*")})


def test_returns_with_and_without_the_last_action_come_from_the_raw_curves():
    page = (ROOT / "benchmark/results/last_action/README.md").read_text()
    rows = re.findall(r"^\| (\S+) \| `(\S+)` \| (.*) \| (.*) \| (.*) \| (.*) \|$", page, re.M)
    assert sorted(f"predator_prey_{game}__{name}" for game, name, *_ in rows) == kept("last_action")
    for game, name, *published in rows:
        game, plain = f"predator_prey_{game}", name.removesuffix("-joint")
        in_paper = game in suites.PAPER and plain in suites.SCRIPTS
        now = f"paper/{game}__{plain}__*" if in_paper else f"ablation/{game}__{name}__*"
        last_ten, first = last_ten_and_first_above_0(now)
        before = last_ten_and_first_above_0(f"last_action/{game}__{name}__*")
        assert (*published,) == (*before, last_ten or "not run", first), (game, name)


def test_returns_of_smaller_networks_with_more_updates_come_from_the_raw_curves():
    page = (ROOT / "benchmark/results/authors/README.md").read_text()
    rows = re.findall(r"^\| (\S+) \| `(\S+)` \| (.*) \| (.*) \| (.*) \| (.*) \|$", page, re.M)
    published = [f"predator_prey_{game}__{algo}-small" for game, algo, *_ in rows]
    assert sorted(published) == [name for name in kept("authors") if name.endswith("-small")]
    for game, algo, *cells in rows:
        suite = "paper" if algo in suites.SCRIPTS else "authors"
        last_ten, first = last_ten_and_first_above_0(f"{suite}/predator_prey_{game}__{algo}__*")
        small = last_ten_and_first_above_0(f"authors/predator_prey_{game}__{algo}-small__*")
        assert (*cells,) == (last_ten or "not run", first, *small), (game, algo)


def test_returns_of_qtran_alt_with_four_predators_come_from_the_raw_curves():
    curves = []
    for path in sorted((ROOT / "benchmark/results/authors").glob("predator_prey_4v2_1.5_long__*/metrics.csv")):
        with open(path, newline="") as file:
            curves.append([float(line["eval/return_mean"]) for line in csv.DictReader(file)])
    *most, last = last_ten_and_first_above_0("paper/predator_prey_4v2_1.5__qtran-alt__*")[0].split(" / ")
    default = f"{', '.join(most)} and {last}"
    assert default in (ROOT / "benchmark/README.md").read_text()
    for page in ("docs/qtran.md", "benchmark/results/authors/README.md"):
        text = " ".join((ROOT / page).read_text().split())
        assert default in text, page
        for share, steps in ((1, 6), (2 / 3, 4)):
            *most, last = (f"{sum(curve[: round(share * len(curve))][-10:]) / 10:.1f}" for curve in curves)
            assert f"{', '.join(most)} and {last} after {steps} million" in text, (page, steps)


def test_returns_in_a_million_steps_of_gaussian_squeeze_come_from_the_raw_curves():
    def by_seed(algo, n_domains):
        return last_ten_and_first_above_0(f"ablation/gaussian_squeeze_{n_domains}_long__{algo}__*")[0]

    base, alt, qmix, vdn = (by_seed(algo, 2) for algo in ("qtran-base", "qtran-alt", "qmix", "vdn"))
    two_domains = f"QTRAN-alt gets {alt}, QTRAN-base {base}, QMIX {qmix}, VDN {vdn}"
    one_domain = f"QMIX gets {by_seed('qmix', 1)}, VDN {by_seed('vdn', 1)}, QTRAN-alt {by_seed('qtran-alt', 1)}"
    for page in ("README.md", "docs/qtran.md", "benchmark/README.md", "benchmark/results/ablation/README.md"):
        text = " ".join((ROOT / page).read_text().split())
        assert two_domains in text and one_domain in text, page
    assert one_domain in " ".join((ROOT / "docs/qmix.md").read_text().split())


def test_returns_of_the_counterfactual_networks_come_from_the_raw_curves():
    page = (ROOT / "benchmark/results/counterfactual/README.md").read_text()
    rows = [row.strip("| ").split(" | ") for row in page.split("|---|---|---|---|\n")[1].split("\n\n")[0].splitlines()]
    assert sorted({f"predator_prey_2v1_{penalty}__qtran-alt" for penalty, *_ in rows}) == kept("counterfactual")
    for (penalty, _, *published), suite in zip(rows, ("counterfactual", "paper") * 2, strict=True):
        found = last_ten_and_first_above_0(f"{suite}/predator_prey_2v1_{penalty}__qtran-alt__*")
        assert (*published,) == found, (penalty, suite)


def test_returns_with_a_linear_joint_network_come_from_the_raw_curves():
    page = (ROOT / "benchmark/results/linear_joint/README.md").read_text()
    rows = [row.strip("| ").split(" | ") for row in page.split("|---|---|---|\n")[1].split("\n\n")[0].splitlines()]
    folders = "remedies/simple_spread_short__vdn__1 linear_joint/simple_spread_short__qtran-alt__1 "
    folders += "remedies/simple_spread_short__qtran-alt__1"
    for folder, (_, last_five, *d) in zip(folders.split(), rows, strict=True):
        with open(ROOT / "benchmark/results" / folder / "metrics.csv", newline="") as file:
            last = [*csv.DictReader(file)][-5:]
        mean = {name: sum(float(row[name]) for row in last) / 5 for name in last[0]}
        assert last_five == f"{mean['eval/return_mean']:.1f}"
        assert d == ([f"{mean['values/abs_d_greedy']:.2f}"] if "qtran" in folder else []), folder


def test_returns_of_agents_with_their_own_networks_come_from_the_raw_curves():
    page = (ROOT / "benchmark/results/own_networks/README.md").read_text()
    rows = re.findall(r"^\| `(\S+)` \| (\d) \| (.*) \| (.*) \|$", page, re.M)
    assert sorted(f"gaussian_squeeze_{k}__{algo}" for algo, k, *_ in rows) == kept("own_networks")
    for algo, k, *published in rows:
        for suite, cell in zip(("own_networks", "paper"), published, strict=True):
            assert cell == last_ten_and_first_above_0(f"{suite}/gaussian_squeeze_{k}__{algo}__*")[0], (suite, algo, k)


def test_speed_in_the_documentation_is_what_the_benchmark_printed():
    page = (ROOT / "docs/speed.md").read_text()
    for name in ("speed.txt", "speed_cuda.txt"):
        assert "```\n" + (ROOT / "benchmark/results" / name).read_text() + "```" in page
    on_cpu, on_gpu = re.findall(r"^default +2v1 +qtran-alt .* (\S+)$", page, re.M)
    assert f"QTRAN-alt trains at {on_gpu} steps/s, on the CPU above at {on_cpu}" in " ".join(page.split())
    solved = r"\d+(?: / \d+)+"  # seconds, by seed
    tables = (ROOT / "benchmark/README.md").read_text().partition("### Predator-prey")[2]
    rows = re.findall(rf"\| `(vdn|qtran-alt)` .* \| ({solved}) \|", tables)
    published = [*zip(["qtran-alt", "vdn", "qtran-alt", "qtran-alt"], re.findall(solved, " ".join(page.split())))]
    assert len(published) == 4 and sorted(published) == sorted(rows)
    lines = (ROOT / "benchmark/results/jaxmarl_speed.txt").read_text().splitlines()[-2:]
    for _, _, ours, theirs, _ in (line.split() for line in lines):
        assert ours in page and theirs in page


def test_speed_of_environments_in_the_documentation_is_what_the_benchmark_printed():
    for line in (ROOT / "benchmark/results/env_speed.txt").read_text().splitlines()[1:]:
        assert line.split()[3] in ENVIRONMENTS and line.split()[-1] in ENVIRONMENTS


def test_results_hold_no_path_of_the_machine_that_made_them():
    configs = [json.loads(path.read_text()) for path in (ROOT / "benchmark/results").glob("*/*/config.json")]
    assert len(configs) > 100 and not [config for config in configs if config["command"][0].startswith("/")]
