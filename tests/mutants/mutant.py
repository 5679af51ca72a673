"""What a mutant is, and which checks there are."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """The tests of one target of one package, or some of them by name."""

    name: str
    package: str
    target: str
    tests: tuple = ()

    @staticmethod
    def named(name):
        """A check by its name: one of CHECKS, or package/target, or package/target:test."""
        if name in CHECKS:
            return CHECKS[name]
        path, _, test = name.partition(":")
        package, _, target = path.partition("/")
        return Check(name, package, target, (test,) if test else ())


@dataclass(frozen=True)
class Mutant:
    """One place of the real source, broken."""

    name: str
    file: str
    # Must be there exactly once, or the run fails: so the list cannot rot.
    find: str
    replace: str
    # The mechanism that no longer works.
    breaks: str
    # The promise that does not hold then.
    promise: str
    # The checks that are to notice, in the order in which they are asked.
    by: tuple
    # Why nobody notices, and why that is no gap. Then it must survive.
    survives: str = ""
    # Whether the checks run against the deployed template.
    deployed: bool = False
    # Whether the template must be deployed again for the checks to meet the mutant.
    redeploys: bool = False


# The model's other tests break the protocol themselves. Only those count here that
# look for an invariant that does not hold.
MODEL = Check(
    name="model",
    package="model",
    target="protocol",
    tests=(
        "the_invariants_hold",
        "from_every_state",
        "the_lease_alone",
        "a_barring_party",
        "each_event_is_published",
    ),
)

CIRCUIT_MODEL = Check(
    name="circuit-model",
    package="model",
    target="breaker",
    tests=("a_circuit_holds_messages_back", "from_every_state"),
)

INTAKE_MODEL = Check(
    name="intake-model",
    package="model",
    target="intake",
    tests=("a_key_makes_one_order", "from_every_state"),
)

SIMULATION = Check(
    name="simulation",
    package="simulation",
    target="seeds",
    tests=("the_invariants_hold",),
)

CHECKS = {check.name: check for check in (MODEL, CIRCUIT_MODEL, INTAKE_MODEL, SIMULATION)}

# What the two promises rest on must be noticed by one of these two.
PROTOCOL = ("model", "simulation")
