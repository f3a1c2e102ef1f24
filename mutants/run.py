"""Deliberate breakages of the durability and delivery code, one at a time: each must turn a test red.

Reads the mutants beside this file (`*.toml`), applies each to a copy of the sources below the target folder, builds it there
and runs the tests that are to catch it; if these stay green, all. Prints who catches what. The tree itself is never touched.

    run.py              all of them
    run.py --check      only whether each still fits the sources, and whether the table in docs/testing.md is theirs
    run.py --table      writes that table
    run.py NAME...      those whose name contains one of these
    run.py --quick ...  without running the named tests first as they are

Exit code 1 if one survives, 2 if one no longer fits the sources.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", TREE / "target")).resolve() / "mutants"
COPY = TARGET / "tree"
DOCS = TREE / "docs" / "testing.md"
BEGIN, END = "<!-- mutants: begin -->", "<!-- mutants: end -->"

# A mutant may hang: then it is caught, but nobody waits for it longer than this (seconds).
NAMED_TIMEOUT = 240
ALL_TIMEOUT = 1200


class Misfit(Exception):
    """A mutant that does not fit the sources, or cannot be built."""


def mutants():
    """All of them, in the order of the files."""
    found = []
    for path in sorted(HERE.glob("*.toml")):
        for mutant in tomllib.loads(path.read_text())["mutant"]:
            found.append(mutant | {"area": path.stem})
    names = [mutant["name"] for mutant in found]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise Misfit(f"names that are there twice: {', '.join(sorted(doubled))}")
    return found


def mutated(mutant):
    """The text of the mutant's file with the breakage in it."""
    text = (TREE / mutant["file"]).read_text()
    before = mutant["before"].strip("\n")
    after = mutant["after"].strip("\n")
    count = text.count(before)
    if count != 1:
        raise Misfit(f"{mutant['name']}: its text is {count} times in {mutant['file']}, not once")
    if before == after:
        raise Misfit(f"{mutant['name']}: it changes nothing")
    if not mutant.get("lib") and not mutant.get("it"):
        raise Misfit(f"{mutant['name']}: no test is named")
    return text.replace(before, after)


def put(path, content):
    """Writes a file only if that changes it, so that nothing is built again for nothing."""
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def copy_tree():
    """Makes the copy what the tree is, without what git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=TREE, check=True, capture_output=True, text=True,
    ).stdout
    wanted = {name for name in listed.split("\0") if name and (TREE / name).is_file()}
    for path in [path for path in COPY.rglob("*") if path.is_file()]:
        if str(path.relative_to(COPY)) not in wanted:
            path.unlink()
    for name in wanted:
        put(COPY / name, (TREE / name).read_bytes())
        shutil.copymode(TREE / name, COPY / name)


def build(kinds):
    """Builds the tests; the path of each binary by kind."""
    what = {"lib": ["--lib"], "it": ["--test", "it"]}
    command = [os.environ.get("CARGO", "cargo"), "test", "--no-run", "--message-format", "json-render-diagnostics"]
    for kind in kinds:
        command += what[kind]
    env = os.environ | {
        "CARGO_TARGET_DIR": str(TARGET / "build"),
        "CARGO_INCREMENTAL": "1",
        "CARGO_PROFILE_DEV_OPT_LEVEL": "0",
    }
    # Cargo tells build scripts and tests of this package where it is; not of the one that called us.
    for name in [name for name in env if name.startswith("CARGO_PKG_")]:
        del env[name]
    done = subprocess.run(command, cwd=COPY, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Misfit(f"it cannot be built:\n{done.stderr[-3000:]}")
    binaries = {}
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message.get("profile", {}).get("test"):
            kind = "it" if message["target"]["name"] == "it" else "lib"
            binaries[kind] = message["executable"]
    return binaries


def failures(binary, filters, timeout):
    """The tests that turn red, or what happened to the run as a whole."""
    env = os.environ | {"CARGO_MANIFEST_DIR": str(COPY), "RUST_BACKTRACE": "0"}
    command = [binary, "--test-threads", os.environ.get("MUTANTS_THREADS", "4"), *filters]
    try:
        done = subprocess.run(command, cwd=COPY, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=timeout)
    except subprocess.TimeoutExpired:
        return ["(hangs)"]
    output = done.stdout.decode(errors="replace")
    if "running 0 tests" in output:
        raise Misfit(f"there is no test of this name: {' '.join(filters)}")
    if done.returncode == 0:
        return []
    lines = output.splitlines()
    red = [line.split()[1] for line in lines if line.startswith("test ") and line.endswith("... FAILED")]
    return red or ["(the run ended early)"]


def baseline(chosen):
    """Runs the tests that are named without a mutant: what is red then catches nothing."""
    named = {kind: sorted({test for mutant in chosen for test in mutant.get(kind, [])}) for kind in ("lib", "it")}
    named = {kind: tests for kind, tests in named.items() if tests}
    binaries = build(named)
    for kind, filters in named.items():
        if red := failures(binaries[kind], filters, ALL_TIMEOUT):
            raise Misfit(f"red without a mutant: {', '.join(red)}")


def caught_by(mutant, kind, red):
    """Those of the tests that are green without the mutant."""
    path = COPY / mutant["file"]
    text = path.read_bytes()
    put(path, (TREE / mutant["file"]).read_bytes())
    try:
        without = failures(build([kind])[kind], ["--exact", *red], ALL_TIMEOUT)
    finally:
        put(path, text)
    return [test for test in red if test not in without]


def catchers(mutant):
    """The tests that turn red, as `kind:test`."""
    named = {kind: mutant[kind] for kind in ("lib", "it") if mutant.get(kind)}
    binaries = build(named)
    for kind, filters in named.items():
        if red := failures(binaries[kind], filters, NAMED_TIMEOUT):
            return [f"{kind}:{test}" for test in red]
    print(f"  {mutant['name']}: the named tests stay green, all are run", flush=True)
    binaries = build(["lib", "it"])
    for kind in ("lib", "it"):
        if red := failures(binaries[kind], [], ALL_TIMEOUT):
            # The whole run is long, and some of its tests may be at odds with the machine.
            whole = [test for test in red if test.startswith("(")]
            if red := whole or caught_by(mutant, kind, red):
                return [f"{kind}:{test}" for test in red]
    return []


def table(all_mutants):
    """Who is to catch what, as Markdown."""
    lines = ["| Mutant | What it breaks | Named to catch it |", "|---|---|---|"]
    for mutant in all_mutants:
        tests = [f"`{kind}` {test}" for kind in ("lib", "it") for test in mutant.get(kind, [])]
        lines.append(f"| {mutant['area']}: {mutant['name']} | {mutant['breaks']} | {', '.join(tests)} |")
    return "\n".join(lines)


def documented():
    """The text of the document before the table, the table, and the text behind it."""
    text = DOCS.read_text()
    head, rest = text.split(BEGIN)
    inner, tail = rest.split(END)
    return head, inner.strip("\n"), tail


def check(all_mutants):
    """Whether each fits, and the table is theirs."""
    for mutant in all_mutants:
        mutated(mutant)
    if documented()[1] != table(all_mutants):
        raise Misfit("the table in docs/testing.md is not that of the mutants: run.py --table")
    print(f"{len(all_mutants)} mutants fit")


def write_table(all_mutants):
    head, _, tail = documented()
    DOCS.write_text(f"{head}{BEGIN}\n{table(all_mutants)}\n{END}{tail}")


def run(all_mutants, wanted, options):
    """Applies those that are wanted; the exit code."""
    chosen = [mutant for mutant in all_mutants if not wanted or any(part in mutant["name"] for part in wanted)]
    for mutant in chosen:
        mutated(mutant)
    copy_tree()
    if "--quick" not in options:
        baseline(chosen)
    survivors, misfits, elsewhere = [], [], []
    for mutant in chosen:
        path = COPY / mutant["file"]
        begun = time.monotonic()
        put(path, mutated(mutant).encode())
        try:
            red = catchers(mutant)
        except Misfit as misfit:
            misfits.append(mutant["name"])
            print(f"MISFIT    {mutant['name']}: {misfit}", flush=True)
            continue
        finally:
            put(path, (TREE / mutant["file"]).read_bytes())
        took = f"{time.monotonic() - begun:.0f} s"
        if not red:
            survivors.append(mutant["name"])
            print(f"SURVIVED  {mutant['name']} ({took}): {mutant['breaks']}", flush=True)
            continue
        named = any(part in test for kind in ("lib", "it") for part in mutant.get(kind, []) for test in red)
        if not named and not red[0].endswith(")"):
            elsewhere.append(mutant["name"])
        print(f"caught    {mutant['name']} ({took}): {', '.join(red[:4])}{' ...' if len(red) > 4 else ''}", flush=True)
    print(f"{len(chosen)} mutants: {len(chosen) - len(survivors) - len(misfits)} caught", end="")
    print(f", {len(elsewhere)} of them by others than those named: {', '.join(elsewhere)}" if elsewhere else "")
    if survivors:
        print(f"survived: {', '.join(survivors)}")
    return 2 if misfits else 1 if survivors else 0


def main():
    arguments = sys.argv[1:]
    try:
        all_mutants = mutants()
        if arguments == ["--check"]:
            return check(all_mutants)
        if arguments == ["--table"]:
            return write_table(all_mutants)
        options = [argument for argument in arguments if argument.startswith("--")]
        return run(all_mutants, [name for name in arguments if name not in options], options)
    except Misfit as misfit:
        print(misfit, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
