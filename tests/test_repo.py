"""The house itself: shared text, metadata, and documentation that tells the truth about names, code and numbers."""

import ast
import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import envs
from benchmark import runner

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
    for part in ("(?s)import copy\n.*?\nclass Args", "(?s)# --- Playing, remembering, training.*"):
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
    train, test = re.findall(r"^python3 -m venv .*$", README.replace("\\\n    ", ""), re.M)
    assert train.startswith("python3 -m venv .venv && .venv/bin/pip install -r requirements.txt && .venv/bin/python ")
    assert "qtran.py --env matrix_game && .venv/bin/python -m benchmark show" in train
    for block in re.findall(r"```bash\n(.*?)```", README, re.S):  # what GitHub shows without scrolling
        assert max(map(len, block.splitlines())) <= 116, block
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


def test_every_metric_is_explained_and_no_other(tmp_path):
    kept = set()
    for script in SCRIPTS:
        (tmp_path / script).mkdir()
        argv = ["--env", "two_step_game", "--total-timesteps", "200", "--eval-interval", "200"]
        _, rows = logged(script, tmp_path / script, *argv)
        common = {name for name in rows[0] if not name.startswith(("losses/", "values/"))}
        assert column_names((ROOT / "docs" / script).with_suffix(".md").read_text()) == set(rows[0]) - common
        kept |= set(rows[0])
    assert column_names(LOGGING) == kept


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_exist(page):
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.S)
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
    page = (ROOT / "docs" / script).with_suffix(".md").read_text()
    lines = [line for block in re.findall(r"```python\n(.*?)```", page, re.S) for line in block.splitlines()]
    lines = [line for line in lines if line.strip()] + re.findall(r"^\| (?:\(\d+\))? \| .*\| `(.*)` \|$", page, re.M)
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
