"""Does the folder listing explain the architecture? python benchmarks/layout.py [--seed N] [--answers FILE]

Draws 20 lines of code, each from another module, over all modules, and prints each with the function that holds it. A
reader who has never seen the code names the module of each line from the listing alone (`find src/ragloom -name
'*.py'`), one dotted path per line in FILE. With `--answers` the script counts the right modules, and the right
packages.
"""

import argparse
import ast
import io
import random
import tokenize
from pathlib import Path

SRC = Path(__file__).resolve().parents[1] / "src"
LINES, SHORTEST = 20, 45


def module(path: Path) -> str:
    """Return the dotted name of a module."""
    return ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")


def code_lines(path: Path) -> list[str]:
    """List the lines of functions that say something, each after the signature of its function."""
    text = path.read_text(encoding="utf-8")
    comments = {t.start[0] for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type == tokenize.COMMENT}
    lines, found = text.splitlines(), {}
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        start = node.body[1].lineno if ast.get_docstring(node) and len(node.body) > 1 else node.body[0].lineno
        for at in range(start, (node.end_lineno or start) + 1):
            if at not in comments and len(lines[at - 1].strip()) >= SHORTEST:
                found[at] = f"{lines[node.lineno - 1].strip()}  ...  {lines[at - 1].strip()}"
    return list(found.values())


def drawn(seed: int) -> list[tuple[str, str]]:
    """Draw (line, module) pairs, each from another module."""
    draw = random.Random(seed)
    modules = [path for path in sorted(SRC.rglob("*.py")) if code_lines(path)]
    return [(draw.choice(code_lines(path)), module(path)) for path in draw.sample(modules, LINES)]


def main() -> None:
    """Print the lines, or count the right answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--answers", type=Path)
    arguments = parser.parse_args()
    lines = drawn(arguments.seed)
    if arguments.answers is None:
        print("\n".join(f"{at:2} {line}" for at, (line, _) in enumerate(lines, 1)))
        return
    answers = arguments.answers.read_text(encoding="utf-8").split()
    exact = package = 0
    for (line, right), answer in zip(lines, answers, strict=True):
        same = answer == right
        near = answer.rpartition(".")[0] == right.rpartition(".")[0]
        exact, package = exact + same, package + (same or near)
        print(f"{'right' if same else 'package' if near else 'WRONG':8}{answer} {'' if same else right}")
        print(f"        {line[:200]}")
    print(f"{exact} of {LINES} modules right, {package} in the right package")


if __name__ == "__main__":
    main()
