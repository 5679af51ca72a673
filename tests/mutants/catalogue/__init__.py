"""The places that are broken on purpose, in the order of the pipeline."""

from . import adapters, api, circuit, command_line, failures, publication, records, saga, steps, template, worker

MUTANTS = [
    mutant
    for part in (records, steps, saga, publication, worker, failures, circuit, api, template, adapters, command_line)
    for mutant in part.MUTANTS
]
