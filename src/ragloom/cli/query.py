"""`run_query.py`: answer a question with checked citations."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragloom.cli.argument_parsing import parse_keys
from ragloom.cli.config_arguments import add_config_flags, config_arguments, config_of
from ragloom.cli.console import FAILED, OK, console, print_json, run_program, stdout_to_stderr
from ragloom.cli.prerequisites import require_file, require_inputs
from ragloom.core.redaction import redact, redact_override
from ragloom.core.suggested_commands import command, program
from ragloom.core.text_normalization import has_whole_characters
from ragloom.errors import ConfigError, DataError, RagloomError

if TYPE_CHECKING:
    from ragloom.assembly import Assembly
    from ragloom.components.vector_store.protocols import Index
    from ragloom.query.engine import CitedQueryEngine
    from ragloom.query.query_result import QueryResult

_OVERRIDE = re.compile(r"[+~]{0,2}([A-Za-z_]\w*)(?:[./@]\w+)*=")


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
        help="the question (`-` reads it from standard input), then overrides such as chunking=semantic",
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
    with stdout_to_stderr():
        from ragloom.assembly import Assembly
    with Assembly(config) as assembly:
        return _answer(question, assembly, overrides, options, as_json=as_json)


def _answer(
    question: str | None, assembly: Assembly, overrides: list[str], options: argparse.Namespace, *, as_json: bool
) -> int:
    """Answer the question, or a file of questions."""
    if options.ingest and assembly.alias is not None:
        raise ConfigError(
            f"--ingest must not go with vector_store.alias={assembly.alias}; it syncs this config's own index, "
            "which the alias need not name: leave one of them out"
        )
    with stdout_to_stderr():
        if options.ingest:
            if not options.retrieve_only:
                _ = assembly.llm  # a missing key is an error before an embedding is paid for
            _ingest(assembly)
        index = _open(assembly, overrides, options)
        engine = assembly.query_engine(index, answering=not options.retrieve_only)
    if options.file is not None:
        return _answer_file(options.file, engine, assembly, index, answering=not options.retrieve_only)
    question = question or ""
    on_text = None
    if options.stream:

        def on_text(text: str) -> None:
            sys.stdout.write(text)
            sys.stdout.flush()

    with stdout_to_stderr() if on_text is None else nullcontext():
        result = engine.search(question) if options.retrieve_only else engine.answer(question, on_text=on_text)
    if as_json:
        print_json(to_json(result, assembly, index))
    else:
        from ragloom.cli.render_answer import print_result

        if options.stream:
            sys.stdout.write("\n\n")
        print_result(console(), result, index, explain=options.explain, streamed=options.stream)
    return OK


def _split(options: argparse.Namespace) -> tuple[str | None, list[str]]:
    """Split the arguments into question and overrides.

    Raises:
        ConfigError: no question, or an override in its place.
    """
    arguments: list[str] = options.arguments
    if options.file is not None:
        return None, arguments
    if not arguments:
        raise ConfigError(
            f'a question must be given: {program("query")} "question" [options] [overrides], or --file questions.jsonl'
        )
    from ragloom.config.conf_folder import conf_folder

    question, overrides = arguments[0], arguments[1:]
    match = _OVERRIDE.match(question)
    known = {*conf_folder().groups(), "output", "cache", "extensions"}
    if match and not re.search(r"\s", question) and match[1] in known:
        raise ConfigError(
            f"the question must come before the overrides; {redact_override(question)!r} looks like an override. "
            f"If it is the question, pass it on standard input: {program('query')} -"
        )
    if question == "-":
        question = _from_standard_input()
    if not question.strip():
        raise ConfigError("the question must not be empty")
    if not has_whole_characters(question):
        raise ConfigError("the question must be whole characters of this terminal's encoding; write it in UTF-8")
    return question.strip(), overrides


def _from_standard_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError:
        raise ConfigError(
            f"the question on standard input must be written in {sys.stdin.encoding}, as this terminal is set; "
            "for UTF-8 set PYTHONIOENCODING=utf-8"
        ) from None


def _ingest(assembly: Assembly) -> None:
    from ragloom.cli.ingest import print_summary
    from ragloom.cli.progress import terminal_progress

    with terminal_progress(assembly) as progress:
        summary = assembly.ingest(progress)
    print_summary(console(stderr=True), summary, assembly)


def _open(assembly: Assembly, overrides: list[str], options: argparse.Namespace) -> Index:
    from ragloom.cli.upgrade_notice import upgrade_notice
    from ragloom.components.vector_store.record_types import IndexMissing

    arguments = config_arguments(options, overrides)
    try:
        index = assembly.open(or_older=True)
    except IndexMissing as error:
        first, *rest = error.problems
        raise IndexMissing(f"{first}; build it with: {command('ingest', arguments)}", *rest) from None
    if note := upgrade_notice(assembly, arguments):
        assembly.notes.append(note)
        sys.stderr.write(f"note: {redact(note)}\n")
    return index


def _answer_file(path: str, engine: CitedQueryEngine, assembly: Assembly, index: Index, *, answering: bool) -> int:
    """Answer a JSONL file of questions, in order.

    A failure is a line with `error`.
    """
    failures, number = 0, 0
    for number, line in _lines(path):
        shown: dict[str, Any] = {"line": number}
        try:
            question = _question(line, number)
            shown["question"] = question
            with stdout_to_stderr():
                result = engine.answer(question) if answering else engine.search(question)
            shown = to_json(result, assembly, index)
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
