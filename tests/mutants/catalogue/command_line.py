"""The command line: what it is given, and what it shows."""

from mutant import Mutant

HOSTILE = "waybill/hostile_input"
DECENT = "whoever gives an operator a file, an id or an answer drives neither terminal nor memory"

MUTANTS = [
    Mutant(
        name="input-without-limit",
        file="crates/waybill/src/commands/input.rs",
        find="        .take(most.saturating_add(1))",
        replace="        .take(most.saturating_add(u64::MAX))",
        breaks="a file or a stream is held in memory however large it is",
        promise=DECENT,
        by=(HOSTILE,),
    ),
    Mutant(
        name="order-sent-unread",
        file="crates/waybill/src/commands/order/place.rs",
        find="        parse_strict(&order)\n",
        replace='        parse_strict(b"{}")\n',
        breaks="a file that is no JSON is sent to the API as an order",
        promise=DECENT,
        by=(HOSTILE,),
    ),
    Mutant(
        name="keys-unchecked",
        file="crates/waybill/src/deployment.rs",
        find="load(loader).await.map(credentials::checked)",
        replace="load(loader).await",
        breaks="a key with a line end reaches the SDK, which panics over it",
        promise=DECENT,
        by=(HOSTILE,),
    ),
    Mutant(
        name="answer-without-limit",
        file="crates/waybill/src/api/mod.rs",
        find="            if read.len() + chunk.len() > LARGEST_ANSWER {",
        replace="            if read.len() + chunk.len() > LARGEST_ANSWER * 1000 {",
        breaks="the API's answer is held in memory however large it is",
        promise=DECENT,
        by=(HOSTILE,),
    ),
    Mutant(
        name="usage-shown-raw",
        file="crates/waybill/src/output.rs",
        find="    let is_safe = |char: char| char == '\\n' || !is_unseen(char);",
        replace="    let is_safe = |_: char| true;",
        breaks="what was typed wrong is shown with the characters that drive or deceive",
        promise=DECENT,
        by=(HOSTILE,),
    ),
]
