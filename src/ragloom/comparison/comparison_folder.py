"""Folder of a comparison: verdict files and the recommended experiment."""

from __future__ import annotations

import json
from pathlib import Path

from ragloom.comparison import Comparison
from ragloom.comparison.experiment_file import NAME, write_recommendation
from ragloom.comparison.markdown_report import markdown
from ragloom.comparison.report import as_json, sections
from ragloom.config.project_file import ProjectFile
from ragloom.core.records import canonical_json, sha256
from ragloom.core.redaction import redact, redact_tree
from ragloom.core.suggested_commands import command
from ragloom.errors import DataError


def default_folder(comparison: Comparison) -> Path:
    """Return the folder of a comparison, shared by equal runs and settings."""
    named = canonical_json([sorted(run.name for run in comparison.runs), dict(comparison.settings)])
    return comparison.runs[0].folder.parent.parent / "comparisons" / sha256(named)[:12]


def save_comparison(
    comparison: Comparison, out: Path, config_dir: str | None, project: ProjectFile | None
) -> list[str]:
    """Write the comparison; return lines with paths and the recommended command."""
    recommended = out / "experiment" / f"{NAME}.yaml"
    try:
        recommended.parent.mkdir(parents=True, exist_ok=True)
        recommended.unlink(missing_ok=True)  # of an earlier verdict that recommended something
        text = json.dumps(redact_tree(as_json(comparison)), ensure_ascii=False, indent=1, allow_nan=False)
        (out / "verdict.json").write_text(text + "\n", encoding="utf-8")
        (out / "verdict.md").write_text(redact(markdown(sections(comparison))), encoding="utf-8")
    except OSError as error:
        raise DataError(f"compare: --out={out} must be a folder that can be written ({error.strerror})") from None
    notes = [f"tests, tags and questions: {out / 'verdict.md'} (verdict.json for programs)"]
    if comparison.choice.recommended is not None:
        write_recommendation(comparison, recommended, config_dir, project)
        run = command("ingest", ["--config-dir", str(out), f"experiment={NAME}"])
        notes.append(f"the recommendation is {recommended}; run it with: {run} source=...")
    return notes
