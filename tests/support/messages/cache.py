"""Wording of the messages of the embedding cache and of the stage cache."""

from messages import ANY


def unwritable_cache(path: str) -> str:
    return f"cache: cache.path={path} cannot be written"


def cache_held_by_other() -> str:
    return "cannot be read or written now"


def unknown_model(model: str) -> str:
    return f"--model={model} must be "


def nothing_to_prune_by() -> str:
    return "prune: --max-gb, --unused-days or --model must say what to remove"


def finite_number(setting: str) -> str:
    return f"{setting} must be a finite number"


def not_empty(setting: str) -> str:
    return f"{setting} must not be empty"


def true_or_false(setting: str) -> str:
    return f"{setting} must be true or false"


def embedded_line(texts: int, tokens: int, reported: int, answers: int, usd: str) -> str:
    return (
        f"embedded    {texts} texts, {tokens} tokens counted ({reported} reported by the provider in {answers} answers), "
        f"${usd}"
    )


def cache_line(hits: int, misses: int, saved: int, price: str) -> str:
    return f"{hits} hits, {misses} misses, {saved} tokens saved, {price}"


def cache_not_used(reason: str) -> str:
    return f"cache       not used: {reason}"


def removed_vectors(count: int, size: str) -> str:
    return f"removed {count} vectors; the file is {size}"


def set_aside() -> str:
    return "set aside; run cache.py verify"


def empty_cache(name: str, limit: int) -> str:
    return f"{name}: 0 vectors, 0.00 of at most {limit} MB, 0 hits\n"


def damaged_stage_file(file: str) -> str:
    return f"{file} cannot be read or written: {ANY}; remove its folder"


def stage_computed_elsewhere(stage: str) -> str:
    return f"another process computes the same {stage}"


def new_stage(stage: str, *differences: str) -> str:
    return f"{stage}: new; the nearest differs in {'; '.join(differences)}"


def first_stage(stage: str) -> str:
    return f"{stage}: new, and the first of its kind"


def cached_but_for(stage: str, items: int) -> str:
    return f"{stage}: cached, but for {items} of its items"
