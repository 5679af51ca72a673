#!/usr/bin/env python3
"""Breaks the code on purpose, one place at a time, and shows which check notices.

    run.py                all mutants that need no emulator
    run.py --deployed     those that are noticed on the deployed template only
    run.py --only NAME    one of them, or all whose names begin so
    run.py --rest         those of which docs/mutants.md does not say who notices
    run.py --check        only whether each mutant still finds its place
    run.py --write        also writes what was found into docs/mutants.md

The working tree is not touched: it is copied to .local/mutants/tree, and built
beside that. Only the standard library is needed.
"""

import argparse
import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from catalogue import MUTANTS
from mutant import Check, Mutant

ROOT = Path(__file__).resolve().parents[2]
SCRATCH = ROOT / ".local" / "mutants"
TREE = SCRATCH / "tree"
TARGET = SCRATCH / "target"
DOCUMENT = ROOT / "docs" / "mutants.md"
NOT_ASKED = "not asked yet"
ENVIRONMENT = "mutants"

# All features of all packages, as `make unit` names them: so no dependency is compiled twice.
BUILD = ["cargo", "test", "--workspace", "--all-features", "--no-run", "--message-format=json-render-diagnostics"]

# A check may take so many times as long as on the unbroken code, and this much at least.
PATIENCE, LEAST_PATIENCE = 6, 120


class Unusable(Exception):
    """The mutant, or a check, says nothing."""


@dataclass
class Verdict:
    """What became of a mutant."""

    mutant: Mutant
    caught_by: str = ""
    test: str = ""
    why: str = ""
    unusable: str = ""
    seconds: float = 0.0
    asked: list = field(default_factory=list)

    @property
    def problem(self):
        if self.unusable:
            return f"says nothing: {self.unusable}"
        if self.caught_by and self.mutant.survives:
            return f"is listed as a survivor, and {self.caught_by} notices it"
        if not self.caught_by and not self.mutant.survives:
            return "survives"
        return None


# ── The copy ────────────────────────────────────────────────────────────────────────


def copy_tree():
    """Copies what git knows or would know. What is the same keeps its time, so that
    nothing is compiled again for it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True,
    ).stdout
    wanted = {Path(name.decode()) for name in listed.split(b"\0") if name}
    wanted = {path for path in wanted if (ROOT / path).is_file()}
    for path in wanted:
        write_if_other(TREE / path, (ROOT / path).read_bytes(), (ROOT / path).stat().st_mode)
    for old in [path for path in TREE.rglob("*") if path.is_file() and not path.is_symlink()]:
        path = old.relative_to(TREE)
        if path not in wanted and path.parts[0] not in (".local", ".aws-sam"):
            old.unlink()
    link_tools()


def write_if_other(path, content, mode):
    if path.is_file() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def link_tools():
    """The emulator and the build tools are installed once."""
    (TREE / ".local").mkdir(parents=True, exist_ok=True)
    for tool in ("emulator", "sam"):
        link = TREE / ".local" / tool
        if not link.is_symlink():
            link.symlink_to(ROOT / ".local" / tool)


# ── Mutants ─────────────────────────────────────────────────────────────────────────


def selected(only, deployed, rest):
    chosen = [it for it in MUTANTS if it.name.startswith(only)] if only else \
        [it for it in MUTANTS if it.deployed == deployed]
    if rest:
        told = documented_rows()
        chosen = [it for it in chosen if NOT_ASKED in told.get(it.name, NOT_ASKED)]
    if rest and not chosen:
        print("Of each mutant docs/mutants.md says who notices it.")
        sys.exit(0)
    if not chosen:
        sys.exit(f"error: no mutant's name begins with '{only}'")
    # What was deployed broken stays so until the next deployment.
    return sorted(chosen, key=lambda mutant: mutant.redeploys)


def misfits():
    """Mutants that cannot be applied, and names that stand for two."""
    names = [mutant.name for mutant in MUTANTS]
    found = [f"{name}: two mutants have this name" for name in set(names) if names.count(name) > 1]
    for mutant in MUTANTS:
        path = ROOT / mutant.file
        times = path.read_text().count(mutant.find) if path.is_file() else 0
        if times != 1:
            found.append(f"{mutant.name}: its text is {times} times in {mutant.file}, not once")
        if mutant.find == mutant.replace:
            found.append(f"{mutant.name}: it changes nothing")
    documented = documented_rows()
    found += [f"{name}: not in docs/mutants.md; run all with --write" for name in names if name not in documented]
    found += [f"{name}: in docs/mutants.md, and there is no such mutant" for name in documented if name not in names]
    return found


def documented_rows():
    """The rows of docs/mutants.md, by the mutants' names."""
    found = re.finditer(r"^\| `([a-z0-9-]+)` .*$", DOCUMENT.read_text(), re.MULTILINE) if DOCUMENT.is_file() else []
    return {row.group(1): row.group(0) for row in found}


@contextlib.contextmanager
def applied(mutant):
    path = TREE / mutant.file
    whole = path.read_text()
    if whole.count(mutant.find) != 1:
        raise Unusable("its text is not there exactly once")
    path.write_text(whole.replace(mutant.find, mutant.replace))
    try:
        yield
    finally:
        path.write_text(whole)


# ── Checks ──────────────────────────────────────────────────────────────────────────


def build(check, variables):
    """Compiles a check, and gives its executable."""
    target = ["--lib"] if check.target == "lib" else ["--test", check.target, *namesakes(check)]
    built = subprocess.run(BUILD + target, cwd=TREE, env=variables, capture_output=True, text=True)
    if built.returncode != 0:
        errors = [line for line in built.stderr.splitlines() if line.startswith("error")]
        raise Unusable(f"it does not compile: {'; '.join(errors[:3])}")
    wanted = f"/crates/{check.package}" if check.package != "waybill-tests" else "/tests"
    for line in built.stdout.splitlines():
        message = json.loads(line)
        manifest = message.get("manifest_path", "")
        is_test = message.get("executable") and message["profile"]["test"]
        kinds = message.get("target", {}).get("kind", [])
        fits = "lib" in kinds if check.target == "lib" else message.get("target", {}).get("name") == check.target
        if is_test and fits and manifest == f"{TREE}{wanted}/Cargo.toml":
            return message["executable"], str(Path(manifest).parent)
    raise Unusable(f"there is no check {check.name}")


def namesakes(check):
    """Leaves out the packages that have a target of the same name: cargo would build it too."""
    targets = [f"tests/{check.target}.rs", f"tests/{check.target}/main.rs"]
    found = {path.parts[-len(Path(target).parts) - 1] for target in targets for path in TREE.glob(f"crates/*/{target}")}
    return [part for package in sorted(found - {check.package}) for part in ("--exclude", package)]


@dataclass
class Outcome:
    """How a check ended. It is stopped at the first test that fails."""

    failed: str = ""
    why: str = ""
    tests: int = 0
    seconds: float = 0.0
    hung: bool = False


def ask(check, executable, directory, variables, limit=None):
    command = [executable, "--nocapture", *check.tests]
    began = time.monotonic()
    process = subprocess.Popen(
        command, cwd=directory, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", start_new_session=True,
    )
    outcome = Outcome()

    def give_up():
        outcome.hung = True
        end(process)

    timer = threading.Timer(limit, give_up) if limit else None
    if timer:
        timer.start()
    panics = {}
    listen(process, outcome, panics)
    end(process)
    if timer:
        timer.cancel()
    if process.wait() != 0 and not outcome.failed and not outcome.hung:
        outcome.failed = "the whole"
    outcome.why = panics.get(outcome.failed, "")
    outcome.seconds = time.monotonic() - began
    return outcome


def listen(process, outcome, panics):
    panicking = None
    for line in process.stdout:
        if panicking is not None and line.strip():
            panics.setdefault(panicking, line.strip()[:200])
            panicking = None
        if panicked := re.match(r"thread '(.+?)' (?:\(\d+\) )?panicked at", line):
            panicking = panicked.group(1)
        if running := re.match(r"running (\d+) tests?$", line):
            outcome.tests = int(running.group(1))
        if ended := re.search(r"\.\.\. (ok|FAILED)$|^(FAILED)$", line):
            if "FAILED" in ended.group(0):
                named = re.search(r"test (\S+)(?: - should panic)? \.\.\. FAILED$", line)
                outcome.failed = named.group(1) if named else "one of its tests"
                return


def end(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def run_check(name, variables, limit=None):
    check = Check.named(name)
    executable, directory = build(check, variables)
    return ask(check, executable, directory, variables, limit)


# ── Deployment ──────────────────────────────────────────────────────────────────────


def environment(step):
    command = [str(ROOT / ".local/emulator/bin/python"), "infra/local/environment.py", step, "--name", ENVIRONMENT]
    done = subprocess.run(command, cwd=TREE, env=cargo_variables(), capture_output=True, text=True)
    if done.returncode != 0:
        raise Unusable(f"the template is not deployed: {(done.stderr or done.stdout).strip()[-300:]}")


def cargo_variables():
    """No test of these may reach an environment that happens to be up."""
    foreign = ("AWS_", "WAYBILL_")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    host = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    variables["CARGO_BUILD_TARGET"] = re.search(r"^host: (.+)$", host, re.MULTILINE).group(1)
    variables["CARGO_TARGET_DIR"] = str(TARGET)
    # That a property fails is enough; the smallest case for it is not looked for.
    variables["PROPTEST_MAX_SHRINK_ITERS"] = "0"
    return variables


def deployed_variables():
    """What the environment's `env` exports, beside cargo's own."""
    script = f". .local/{ENVIRONMENT}/env && env -0"
    shell = subprocess.run(["bash", "-c", script], cwd=TREE, env=cargo_variables(), check=True, capture_output=True)
    pairs = [pair.split("=", 1) for pair in shell.stdout.decode().split("\0") if "=" in pair]
    return {**dict(pairs), "WAYBILL_REQUIRE_EMULATOR": "1"}


# ── The run ─────────────────────────────────────────────────────────────────────────


def unbroken(mutants, variables):
    """Runs each check once on the code as it is. It must pass; its time is the measure."""
    limits = {}
    for name in sorted({name for mutant in mutants for name in mutant.by}):
        try:
            outcome = run_check(name, variables)
        except Unusable as unusable:
            sys.exit(f"error: {name}: {unusable}")
        if outcome.failed:
            sys.exit(f"error: {name} fails on the unbroken code: {outcome.failed}: {outcome.why}")
        if outcome.tests == 0:
            sys.exit(f"error: {name} runs no test")
        limits[name] = max(LEAST_PATIENCE, PATIENCE * outcome.seconds)
        print(f"  {name:<40} {outcome.tests:>4} tests {outcome.seconds:>6.1f} s", flush=True)
    return limits


def attempt(mutant, variables, limits):
    began = time.monotonic()
    verdict = Verdict(mutant)
    try:
        with applied(mutant):
            interrogate(verdict, variables, limits)
    except Unusable as unusable:
        verdict.unusable = str(unusable)
    verdict.seconds = time.monotonic() - began
    return verdict


def interrogate(verdict, variables, limits):
    """Asks one check after the other, until one notices."""
    if verdict.mutant.redeploys:
        environment("up")
    for name in verdict.mutant.by:
        outcome = run_check(name, variables, limits[name])
        verdict.asked.append(name + (" (time limit)" if outcome.hung else ""))
        if outcome.failed:
            verdict.caught_by, verdict.test, verdict.why = name, outcome.failed, outcome.why
            return


def show(verdict):
    mutant = verdict.mutant
    mark = "!!" if verdict.problem else ("survives" if mutant.survives else "caught")
    print(f"{mark:<9} {mutant.name:<44} {verdict.seconds:>5.0f} s", flush=True)
    print(f"          breaks: {mutant.breaks}")
    if verdict.caught_by:
        print(f"          by {verdict.caught_by}: {verdict.test}")
        print(f"          {verdict.why}")
    elif not verdict.unusable:
        print(f"          not by {', '.join(verdict.asked)}")
        print(f"          {mutant.survives}")
    if verdict.problem:
        print(f"          error: it {verdict.problem}")
    sys.stdout.flush()


def table(verdicts):
    """The rows of docs/mutants.md for these verdicts, by the mutants' names."""
    rows = {}
    for verdict in verdicts:
        mutant = verdict.mutant
        by = f"{verdict.caught_by}" if verdict.caught_by else f"nobody: {mutant.survives}"
        rows[mutant.name] = f"| `{mutant.name}` | {mutant.breaks} | {mutant.promise} | {by} |"
    return rows


def write(verdicts):
    """Puts the rows of this run into the document; those of other mutants stay."""
    begin, end_mark = "<!-- written by tests/mutants/run.py --write -->", "<!-- end -->"
    before, rest = DOCUMENT.read_text().split(begin)
    _, after = rest.split(end_mark)
    rows = documented_rows()
    rows.update(table(verdicts))
    head = ["| mutant | breaks | promise | noticed by |", "|---|---|---|---|"]
    kept = [rows[mutant.name] for mutant in MUTANTS if mutant.name in rows]
    DOCUMENT.write_text(f"{before}{begin}\n" + "\n".join(head + kept) + f"\n{end_mark}{after}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="a mutant's name, or how several begin")
    parser.add_argument("--deployed", action="store_true", help="those that need the deployed template")
    parser.add_argument("--rest", action="store_true", help="those of which the document does not say who notices")
    parser.add_argument("--check", action="store_true", help="only look whether each finds its place")
    parser.add_argument("--write", action="store_true", help="write what was found into docs/mutants.md")
    return parser.parse_args()


def explore(mutants, writes):
    deployed = any(mutant.deployed for mutant in mutants)
    if deployed:
        environment("up")
    variables = deployed_variables() if deployed else cargo_variables()
    print("Unbroken, all checks pass:")
    limits = unbroken(mutants, variables)
    verdicts = []
    print(f"\n{len(mutants)} mutants:")
    for mutant in mutants:
        verdicts.append(attempt(mutant, variables, limits))
        show(verdicts[-1])
        # One after the other, so that a run of hours that ends early has told something.
        if writes and not verdicts[-1].problem:
            write(verdicts[-1:])
    return verdicts


def main():
    asked = arguments()
    wrong = misfits()
    if asked.write or asked.only:
        wrong = [line for line in wrong if "docs/mutants.md" not in line]
    if wrong:
        sys.exit("error: the list of mutants does not fit the code\n  " + "\n  ".join(wrong))
    if asked.check:
        return
    mutants = selected(asked.only, asked.deployed, asked.rest)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with (SCRATCH / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        copy_tree()
        try:
            verdicts = explore(mutants, asked.write)
        finally:
            if any(mutant.deployed for mutant in mutants):
                environment("down")
    problems = [verdict for verdict in verdicts if verdict.problem]
    caught = sum(bool(verdict.caught_by) for verdict in verdicts)
    print(f"\n{len(verdicts)} mutants, {caught} caught, {len(verdicts) - caught} not")
    for verdict in problems:
        print(f"  error: {verdict.mutant.name} {verdict.problem}")
    sys.exit(bool(problems))


if __name__ == "__main__":
    try:
        main()
    except Unusable as unusable:
        sys.exit(f"error: {unusable}")
