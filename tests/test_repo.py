"""The house itself: shared text, metadata, and a README that tells the truth about names."""

import ast
import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark import curves, runner

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ["iql.py", "vdn.py", "qmix.py", "qtran.py"]
README = (ROOT / "README.md").read_text()


def shared_blocks(script):
    """Name -> text of the marked blocks."""
    blocks = re.findall(r"^ *# \[shared: (.+?)\]\n(.*?)^ *# \[end\]\n", (ROOT / script).read_text(), re.M | re.S)
    assert blocks and len(dict(blocks)) == len(blocks)
    return dict(blocks)


@pytest.mark.parametrize("script", SCRIPTS[1:])
def test_shared_blocks_are_identical(script):
    reference = shared_blocks(SCRIPTS[0])
    blocks = shared_blocks(script)
    assert list(blocks) == list(reference)
    for name, text in blocks.items():
        assert text == reference[name], f"block {name!r} of {script} differs from that of {SCRIPTS[0]}"


def test_most_of_a_script_is_shared():
    for script in SCRIPTS:
        text = (ROOT / script).read_text()
        assert text.count("# [shared: ") == text.count("# [end]") == len(shared_blocks(script))
        assert len(text) - sum(map(len, shared_blocks(script).values())) < (14_000 if script == "qtran.py" else 5_000)


@pytest.mark.parametrize("script", SCRIPTS)
def test_inline_metadata_equals_requirements(script):
    (block,) = re.findall(r"^# /// script\n(.*?)^# ///$", (ROOT / script).read_text(), re.M | re.S)
    dependencies = re.findall(r'^#     "(.+)",$', block, re.M)
    assert dependencies == (ROOT / "requirements.txt").read_text().split()
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
    """The `python script.py ...` lines of the README and the docstrings, without the comments beside them."""
    text = re.sub(r" {3,}.*", "", text, flags=re.M)
    return re.findall(r"python ((?:iql|vdn|qmix|qtran)\.py(?: +(?:--)?[\w.:/-]+)*)", text)


def test_commands_in_the_documentation_parse(tmp_path):
    found = set(commands_in(README))
    for script in SCRIPTS:
        text = (ROOT / script).read_text()
        found |= set(commands_in("\n".join(re.sub(r"(--[\w.]+.*?)  +.*", r"\1", line) for line in text.splitlines())))
    assert len(found) >= 8
    for command in sorted(found):
        script, *argv = command.split()
        code = f"import sys, {script[:-3]} as s; sys.argv = {[script, *argv]!r}; s.parse()"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, (command, done.stderr)


def test_readme_first_commands_install_what_they_run():
    train, test, _ = re.findall(r"^python3 -m venv .*$", README, re.M)
    assert "pip install -r requirements.txt && .venv/bin/python qtran.py --env predator_prey --seed 1" in train
    assert "pip install -r requirements-dev.txt && .venv/bin/python -m pytest" in test


def test_readme_explains_every_metric():
    table = README[README.index("| column | what it is |") :]
    table = table[: table.index("\n\n")]
    explained = set(re.findall(r"`((?:\w+/)?\w+)`(?=[,| ])", table))
    logged = {name for log in ROOT.glob("benchmark/results/**/metrics.csv") for name in read(log)[0]}
    assert logged == explained


def test_readme_links_exist():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def read(log):
    with open(log, newline="") as file:
        return list(csv.DictReader(file))


def run_vdn(folder, *argv):
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    argv = [sys.executable, ROOT / "vdn.py", *argv, "--wandb-mode", "disabled"]
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (run,) = (folder / "runs").iterdir()
    return run


def test_own_environment_example_of_the_readme(tmp_path):
    example, _ = re.findall(r"```python\n(.*?)```", README, re.S)
    (argv,) = re.findall(r"^python vdn.py (--env my_module:Pull .*)$", README, re.M)
    (tmp_path / "my_module.py").write_text(example)
    with open(run_vdn(tmp_path, *argv.split()) / "metrics.csv", newline="") as file:
        returns = [float(row["eval/return_mean"]) for row in csv.DictReader(file)]
    assert len(returns) == 10 and returns[-1] > 0.9  # both pull as soon as the light is on


def test_model_loading_example_of_the_readme(tmp_path):
    _, example = re.findall(r"```python\n(.*?)```", README, re.S)
    run = run_vdn(tmp_path, "--total-timesteps", "100", "--num-envs", "1")
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + example.replace("runs/<run>", f"runs/{run.name}")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("actions [") == 100 and re.search(r"return -?\d", done.stdout)


def test_published_numbers_come_from_the_raw_curves(tmp_path, monkeypatch):
    published = [ROOT / "README.md", ROOT / "benchmark/README.md"]
    (tmp_path / "benchmark").mkdir()
    for readme in published:
        empty = re.sub(r"(?s)(<!-- report: begin -->).*(<!-- report: end -->)", r"\1\2", readme.read_text())
        assert empty != readme.read_text()
        (tmp_path / readme.relative_to(ROOT)).write_text(empty)
    monkeypatch.setattr(runner, "ROOT", tmp_path)
    assert curves.write("paper") == {}
    for readme in published:
        assert (tmp_path / readme.relative_to(ROOT)).read_text() == readme.read_text()
    drawn = {figure.name for figure in (tmp_path / "benchmark/figures").iterdir()}
    assert drawn == {figure.name for figure in (ROOT / "benchmark/figures").iterdir()}


def test_published_numbers_of_the_5x5_view_come_from_the_raw_curves():
    folder = ROOT / "benchmark/results/5x5_view"
    done = subprocess.run([sys.executable, folder / "tables.py"], capture_output=True, text=True)
    for table in done.stdout.split("\n\n"):
        assert table.strip() and table.strip() in (folder / "README.md").read_text()


def test_published_tables_are_what_the_runs_printed():
    block = README[README.index("$ python vdn.py --env matrix_game") :].split("\n```")[0]
    parts = re.findall(r"\$ python (\w+)\.py --env matrix_game\n(.*?)(?=\n\n|\Z)", block, re.S)
    assert [script for script, _ in parts] == ["vdn", "qmix", "qtran"]
    for script, extract in parts:
        algo = "qtran-alt" if script == "qtran" else script
        printed = (ROOT / f"benchmark/results/paper/matrix_game__{algo}__1/log.txt").read_text()
        for table in re.split(r"\n(?=\w)", extract):
            assert f"\n{table}\n" in printed


def test_speed_in_the_readme_is_what_the_benchmark_printed():
    assert "```\n" + (ROOT / "benchmark/results/speed.txt").read_text() + "```" in README


def test_readme_quotes_the_speed_of_jaxmarl():
    lines = (ROOT / "benchmark/results/jaxmarl_speed.txt").read_text().splitlines()[-2:]
    (_, _, ours_2v1, theirs_2v1, _), (_, _, ours_4v2, theirs_4v2, _) = (line.split() for line in lines)
    assert f"{theirs_2v1} steps/s to our {ours_2v1} with two predators, {theirs_4v2} to {ours_4v2}" in README
