"""`run_query.py`: answer a question with checked citations."""

from __future__ import annotations

import argparse
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragloom.cli.argument_parsing import parse_keys
from ragloom.cli.config_arguments import add_config_flags, config_of
from ragloom.cli.console import FAILED, OK, console, print_error, print_json, run_program
from ragloom.cli.interactive_query import converse
from ragloom.cli.prerequisites import require_file, require_inputs
from ragloom.cli.query_session import QuerySession
from ragloom.core.redaction import redact, redact_override
from ragloom.core.suggested_commands import program
from ragloom.core.text_normalization import has_whole_characters
from ragloom.errors import ConfigError, DataError, RagloomError

if TYPE_CHECKING:
    from ragloom.assembly import Assembly
    from ragloom.components.vector_store.protocols import Index
    from ragloom.query.query_result import QueryResult

_OVERRIDE = re.compile(r"[+~]{0,2}([A-Za-z_]\w*)(?:[./@]\w+)*=")
_TOP_LEVEL = ("output", "cache", "extensions")
"""Keys of no group that an argument in the question's place may set."""


def _parser() -> argparse.ArgumentParser:
    """Return the argument parser; `--help` is its documentation."""
    parser = argparse.ArgumentParser(
        prog=program("query"),
        description="Ask a question: retrieve, rerank, answer, and check every citation against its document.",
        epilog=f"Examples:  {program('query')} 'How long is the warranty?'   "
        f"{program('query')} '환불은 언제까지 되나요?' chunking=paragraph retriever.top_k=5 --explain",
    )
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="QUESTION OVERRIDE",
        help="the question (`-` reads it from standard input), then overrides such as chunking=semantic; without "
        "a question: an interactive session, or a question a line from a pipe",
    )
    parser.add_argument(
        "--file", metavar="JSONL", help='answer each line\'s {"question": ...}; one JSON line each, in order'
    )
    parser.add_argument("--json", action="store_true", help="print exactly one JSON object (also: output=json)")
    parser.add_argument("--explain", action="store_true", help="show how each chunk was found and moved")
    parser.add_argument("--stream", action="store_true", help="print the answer as it is written")
    parser.add_argument("--retrieve-only", action="store_true", help="stop before the LLM")
    parser.add_argument("--ingest", action="store_true", help="sync the index with its source first")
    add_config_flags(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the program; return the exit status."""
    return run_program(lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: list[str]) -> int:
    options = parse_keys(_parser(), argv)
    question, overrides = _split(options)
    config = config_of(options, overrides)
    as_json = options.json or options.file is not None or config.tree["output"] == "json"
    if options.stream and as_json:
        raise ConfigError("--stream must not go with --json or --file; a JSON object is printed whole")
    if options.stream and options.retrieve_only:
        raise ConfigError("--stream must not go with --retrieve-only; no answer is written that could be streamed")
    require_file("--file", options.file)
    require_inputs("ingest" if options.ingest else "query", overrides, [config])
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    lines = iter(()) if question is not None or options.file is not None or terminal else _piped()
    with QuerySession(config, overrides, options) as session:
        if options.file is not None:
            return _answer_file(options.file, session)

        def answer(text: str) -> QueryResult:
            result = session.ask(text, _write if options.stream else None)
            _print(result, session, options, as_json=as_json)
            return result

        if question is not None:
            answer(question)
            return OK

        def refreshed(text: str) -> QueryResult:
            session.refresh()
            return answer(checked_question(text))

        if terminal:
            return converse(session, refreshed)
        return _answer_piped(lines, refreshed, as_json=as_json)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _print(result: QueryResult, session: QuerySession, options: argparse.Namespace, *, as_json: bool) -> None:
    if as_json:
        print_json(to_json(result, session.assembly, session.index))
        return
    from ragloom.cli.render_answer import print_result

    if options.stream:
        sys.stdout.write("\n\n")
    print_result(console(), result, session.index, explain=options.explain, streamed=options.stream)
    sys.stdout.flush()


def _split(options: argparse.Namespace) -> tuple[str | None, list[str]]:
    """Split the arguments into question and overrides.

    Returns:
        the question; None: a file or a session has them.

    Raises:
        ConfigError: the question is empty, or an override stands before it.
    """
    arguments: list[str] = options.arguments
    if options.file is not None or all(map(_is_override, arguments)):
        return None, arguments
    question, overrides = arguments[0], arguments[1:]
    if _is_override(question):
        raise ConfigError(
            f"the question must come before the overrides; {redact_override(question)!r} looks like an override. "
            f"If it is the question, pass it on standard input: {program('query')} -"
        )
    return checked_question(_from_standard_input() if question == "-" else question), overrides


def _is_override(text: str) -> bool:
    from ragloom.config.conf_folder import conf_folder

    match = _OVERRIDE.match(text)
    return bool(match and not re.search(r"\s", text) and match[1] in {*conf_folder().groups(), *_TOP_LEVEL})


def checked_question(text: str) -> str:
    """Return a question without white space around it.

    Raises:
        ConfigError: it is empty, or has halves of characters.
    """
    if not text.strip():
        raise ConfigError("the question must not be empty")
    if not has_whole_characters(text):
        raise ConfigError("the question must be whole characters of this terminal's encoding; write it in UTF-8")
    return text.strip()


def _from_standard_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError:
        raise ConfigError(
            f"the question on standard input must be written in {sys.stdin.encoding}, as this terminal is set; "
            "for UTF-8 set PYTHONIOENCODING=utf-8"
        ) from None


def _piped() -> Iterator[str]:
    """Wait for the first question of standard input; return all, by line.

    Raises:
        ConfigError: it is empty.
    """
    lines = (line for line in iter(_line_of_standard_input, "") if line.strip())
    if (first := next(lines, None)) is None:
        raise ConfigError(
            f'a question must be given: {program("query")} "question" [options] [overrides], --file questions.jsonl, '
            "or a question a line on standard input"
        )
    return itertools.chain([first], lines)


def _line_of_standard_input() -> str:
    """Read a line; undecodable bytes become surrogates, which no question may have."""
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None:
        return sys.stdin.readline()
    return str(stream.readline().decode(sys.stdin.encoding, "surrogateescape"))


def _answer_piped(lines: Iterator[str], answer: Callable[[str], QueryResult], *, as_json: bool) -> int:
    """Answer a question a line; a failure ends nothing."""
    failures = 0
    for line in lines:
        try:
            answer(line)
        except RagloomError as error:
            failures += 1
            if as_json:
                print_json({"question": line.strip(), "error": redact("; ".join(error.problems))})
            else:
                print_error(error)
    if failures:
        sys.stderr.write(f"{failures} questions failed\n")
    return FAILED if failures else OK


def _answer_file(path: str, session: QuerySession) -> int:
    """Answer a JSONL file of questions, in order.

    A failure is a line with `error`.
    """
    failures, number = 0, 0
    for number, line in _lines(path):
        shown: dict[str, Any] = {"line": number}
        try:
            question = _question(line, number)
            shown["question"] = question
            shown = to_json(session.ask(question), session.assembly, session.index)
        except RagloomError as error:
            failures += 1
            shown["error"] = redact("; ".join(error.problems))
        print_json(shown)
    if not number:
        sys.stderr.write(f"{redact(path)} holds no question\n")
    if failures:
        sys.stderr.write(f"{failures} questions failed; their lines have `error`\n")
    return FAILED if failures else OK


def _lines(path: str) -> Iterator[tuple[int, bytes]]:
    try:
        with Path(path).open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
    except OSError as error:
        raise DataError(f"--file={path} must be a readable file; {error.strerror}") from None


def _question(line: bytes, number: int) -> str:
    try:
        question = json.loads(line.decode("utf-8-sig"))["question"]
    except (ValueError, KeyError, TypeError, RecursionError):  # not UTF-8, no JSON, no object, no such key, too deep
        raise DataError(f'line {number} must be a JSON object in UTF-8 with "question"') from None
    if not isinstance(question, str) or not question.strip():
        raise DataError(f"line {number}: question must be text and not empty")
    if not has_whole_characters(question):
        raise DataError(f"line {number}: question must be whole characters; it has half of a surrogate pair")
    return question.strip()


def to_json(result: QueryResult, assembly: Assembly, index: Index) -> dict[str, Any]:
    """Return a result as one JSON object."""
    from dataclasses import asdict

    from ragloom.config.fingerprint import digest
    from ragloom.core.usage import as_json

    return {
        "question": result.question,
        "answer": result.answer,
        "reasoning": result.reasoning,
        "finish_reason": result.finish_reason,
        "citations": [asdict(citation) for citation in result.citations],
        "chunks": result.rows(),
        "timings_ms": {stage: round(value, 3) for stage, value in result.timings_ms.items()},
        "usage": as_json(result.usage, assembly.prices),
        "index": {"name": index.info.name, "fingerprint": digest(index.info.description), "alias": assembly.alias},
        "config": assembly.config.choices,
        "notes": [*assembly.notes, *result.notes],
    }
