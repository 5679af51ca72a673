"""The circuit breaker: it opens, and it always closes again."""

from mutant import Mutant

CIRCUIT = "crates/circuit/src/circuit.rs"
BREAKER = "crates/circuit/src/breaker.rs"
UNIT = "circuit/lib"
CONTROL = "circuit-control/control"

MUTANTS = [
    Mutant(
        name="open-circuit-lets-messages-pass",
        file=CIRCUIT,
        find="            State::Open(_) => Wanted::Disabled,",
        replace="            State::Open(_) => Wanted::Enabled(full),",
        breaks="an open circuit holds nothing back",
        promise="while an outside party is down, messages wait without using up receives",
        by=(UNIT, CONTROL),
    ),
    Mutant(
        name="circuit-open-for-ever",
        file=CIRCUIT,
        find="            if untested >= settings.untested_limit {",
        replace="            if untested == u32::MAX {",
        breaks="a circuit whose probes tell nothing never closes",
        promise="every circuit closes again",
        by=(UNIT, CONTROL),
    ),
    Mutant(
        name="half-open-for-ever",
        file=CIRCUIT,
        find="        if concurrency >= full {",
        replace="        if concurrency > full.saturating_mul(1000) {",
        breaks="the full concurrency never returns",
        promise="every circuit closes again",
        by=(UNIT, CONTROL),
    ),
    Mutant(
        name="two-probes-at-once",
        file=CIRCUIT,
        find="                (is_free && open.next_probe_at <= now).then_some(Due::Probe)",
        replace="                (open.next_probe_at <= now).then_some(Due::Probe).filter(|_| is_free || now.get() > 0)",
        breaks="a second probe is made while one is under way",
        promise="one probe at a time",
        by=(UNIT, CONTROL),
    ),
    Mutant(
        name="all-at-once-after-an-outage",
        file=CIRCUIT,
        find="        let concurrency = half.concurrency.saturating_mul(2);",
        replace="        let concurrency = half.concurrency.max(full);",
        breaks="the traffic does not return in steps",
        promise="an outside party that comes back is not flooded",
        by=(UNIT, CONTROL),
    ),
    Mutant(
        name="pause-ignored",
        file=CIRCUIT,
        find="        if self.pause.is_some() {\n            return Wanted::Disabled;",
        replace="        if self.pause.is_some() && full == 0 {\n            return Wanted::Disabled;",
        breaks="a person's order to stop is not carried out",
        promise="a paused consumer processes nothing",
        by=(UNIT, CONTROL),
    ),
    Mutant(
        name="tripped-and-calling",
        file=BREAKER,
        find="        self.held_until = Some(now.plus(hold));",
        replace="        self.held_until = Some(now.plus(hold / 1_000_000));",
        breaks="a worker that has opened the circuit goes on calling",
        promise="while an outside party is down, messages wait without using up receives",
        by=(UNIT, "saga-step/protocol"),
    ),
    Mutant(
        name="held-though-nobody-knows",
        file=BREAKER,
        find="                self.memory().held_until = None;\n            }\n        }\n    }\n\n    fn memory",
        replace="                drop(self.memory());\n            }\n        }\n    }\n\n    fn memory",
        breaks="a worker that could not open the circuit holds back its messages all the same",
        promise="a breaker that fails does not stop the orders",
        by=(UNIT, "saga-step/protocol"),
    ),
    Mutant(
        name="probed-by-both-controllers",
        file="crates/circuit-control/src/controller.rs",
        find="        if claimed.is_none() {\n            return Ok(());\n        }\n        // A probe",
        replace="        drop(claimed);\n        // A probe",
        breaks="of two controllers both probe",
        promise="one probe at a time",
        by=(CONTROL,),
    ),
]
