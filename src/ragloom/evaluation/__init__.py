"""Measures a config: asks every question of a dataset, scores what came of it, and writes it down. Knows no option.

step        the index holds what its source holds now
demands     what must hold before anything is paid
preflight   problems that all trials of a sweep share, found before the first
depth       rankings are read as far down as metrics look, by steps that only append
questions   one question is asked, or found among what was computed before
asking      all questions, several at once, none lost
found       what came of one
scoring     scored against the gold
written     means, counts, cost, lines
trec, run_folder, environment    what a run leaves
"""
