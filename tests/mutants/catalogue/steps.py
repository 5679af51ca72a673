"""The steps of the saga in the workers, and the rules that they follow."""

from mutant import PROTOCOL, Mutant

CLAIMED = "crates/saga-step/src/claimed.rs"
ERROR = "crates/saga-step/src/error.rs"
HANDLER = "crates/saga-step/src/handler.rs"
STEP = "crates/saga-step/src/lib.rs"
TESTS = "saga-step/protocol"
REFUNDED = "2. captured and not completed means refunded"
UNDONE = "1. failed and fully undone"
ONE_EFFECT = "6. the same message n times is one effect"

MUTANTS = [
    Mutant(
        name="answer-without-commit",
        file=CLAIMED,
        find="        committed.map_err(commit_failed)?;\n        self.effects.answer(&done.result)",
        replace="        drop(committed.map_err(commit_failed));\n        self.effects.answer(&done.result)",
        breaks="the saga is answered though the result was not stored",
        promise="1. completed, or failed and fully undone",
        by=PROTOCOL,
    ),
    Mutant(
        name="undo-answer-without-commit",
        file=CLAIMED,
        find="""            .commit_undo(started, &done.result, done.change.as_ref())
            .await
            .map_err(commit_failed)?;""",
        replace="""            .commit_undo(started, &done.result, done.change.as_ref())
            .await
            .map_err(commit_failed)
            .ok();""",
        breaks="the saga is told of an undo that was not stored",
        promise=UNDONE,
        by=PROTOCOL,
    ),
    Mutant(
        name="claim-given-back-while-outcome-unknown",
        file=CLAIMED,
        find="    !matches!(error, StepError::Provider(error) if error.is_outcome_unknown())",
        replace="    !matches!(error, StepError::Superseded)",
        breaks="after a lost answer the claim is given back at once, so that an undo overtakes the call",
        promise=REFUNDED,
        by=(*PROTOCOL, TESTS),
    ),
    Mutant(
        name="order-end-not-met",
        file=CLAIMED,
        find="if let Err(why @ (CommitError::Short(_) | CommitError::OrderEnded)) = &committed {",
        replace="if let Err(why @ CommitError::Short(_)) = &committed {",
        breaks="an effect that comes after its order has ended is not taken back",
        promise=REFUNDED,
        by=(*PROTOCOL, TESTS),
    ),
    Mutant(
        name="action-and-undo-with-a-record-each",
        file=STEP,
        find="    step_id(message, message.step.action())",
        replace="    step_id(message, message.step)",
        breaks="an undo does not find the record of its action",
        promise=UNDONE,
        by=PROTOCOL,
    ),
    Mutant(
        name="held-claim-ends-the-message",
        file=ERROR,
        find="            Self::ClaimHeld { wait } | Self::Completing { wait } => Class::Deferred {",
        replace="            Self::ClaimHeld { .. } => Class::Business,\n            Self::Completing { wait } => Class::Deferred {",
        breaks="a delivery that meets the claim of another is done without being processed",
        promise="5. an accepted message is processed or waits",
        by=(*PROTOCOL, TESTS),
    ),
    Mutant(
        name="superseded-ends-the-message",
        file=ERROR,
        find="            Self::Abandoned\n            | Self::Superseded\n            | Self::Store(_)",
        replace="            Self::Superseded => Class::Business,\n            Self::Abandoned\n            | Self::Store(_)",
        breaks="a delivery that lost its claim is done, and nobody has the answer sent",
        promise="5. an accepted message is processed or waits",
        by=(*PROTOCOL, TESTS),
    ),
    Mutant(
        name="answer-that-failed-is-forgotten",
        file=HANDLER,
        find="        let answered = answering.map_err(StepError::Answer)?;",
        replace="        let answered = answering.unwrap_or(Answered::Stale);",
        breaks="a message is done though the saga did not get its answer",
        promise="5. an accepted message is processed or waits",
        by=(*PROTOCOL, TESTS),
    ),
    Mutant(
        name="poisoned-command-not-answered",
        file=HANDLER,
        find="        let Some(token) = peek(delivery.body()).task_token() else {\n            return;",
        replace="        let Some(token) = peek(\"\").task_token() else {\n            return;",
        breaks="the saga is not told that its command cannot be read",
        promise="a saga that can be told does not wait for its time limit",
        by=(TESTS,),
    ),
    Mutant(
        name="another-workers-command-carried-out",
        file=HANDLER,
        find="        if message.step.action() == self.action {",
        replace="        if message.step.action() == self.action || !message.envelope.id.is_empty() {",
        breaks="a worker takes commands that are for another",
        promise="6. a command has one consumer",
        by=(TESTS,),
    ),
    Mutant(
        name="undo-of-a-completed-order",
        file=CLAIMED,
        find="""        Completion::Completed => Ok(Some(Answer::Failure {
            error: contracts::saga::ORDER_COMPLETED,
            cause: "the order was completed before this step was undone".to_owned(),
        })),""",
        replace="        Completion::Completed => Ok(None),",
        breaks="an undo that comes after its order was completed is carried out",
        promise="1. exactly one of completed and undone",
        by=("simulation", TESTS),
    ),
    Mutant(
        name="undo-does-not-look-again",
        file=CLAIMED,
        find="        match undo_refusal(&self.journal, message).await? {\n            Some(refused) => Ok(refused),\n            None => self.undo_and_commit(message, started, call).await,\n        }",
        replace="        self.undo_and_commit(message, started, call).await",
        breaks="an undo does not see that its order is being completed meanwhile",
        promise="1. exactly one of completed and undone",
        by=("simulation", TESTS),
    ),
    Mutant(
        name="begun-without-time-left",
        file=CLAIMED,
        find="        if context.remaining() < PROVIDER_TIME_LIMIT {",
        replace="        if context.remaining() < Duration::ZERO {",
        breaks="a call is begun that the end of the invocation cuts off",
        promise="a call's outcome is known wherever it can be",
        by=(TESTS,),
    ),
    Mutant(
        name="outside-party-without-time-limit",
        file=CLAIMED,
        find="    match tokio::time::timeout(PROVIDER_TIME_LIMIT, effect).await {",
        replace="    match tokio::time::timeout(PROVIDER_TIME_LIMIT * 1000, effect).await {",
        breaks="a call may last longer than the claim under which it is made",
        promise=REFUNDED,
        by=(TESTS,),
    ),
    Mutant(
        name="lease-shorter-than-a-call",
        file=STEP,
        find="pub const LEASE: Duration = Duration::from_secs(20);",
        replace="pub const LEASE: Duration = Duration::from_secs(5);",
        breaks="a lease ends while the outside party may still be at work",
        promise=REFUNDED,
        by=(TESTS,),
    ),
    Mutant(
        name="command-data-not-compared",
        file=STEP,
        find="    Fingerprint::of_json_text(message.envelope.data.get())",
        replace="    Fingerprint::of_json_text(message.envelope.data.get().get(..0).map_or(\"1\", |_| \"2\"))",
        breaks="a command with the id of another and other data is answered as if it were the other",
        promise=ONE_EFFECT,
        by=(TESTS,),
    ),
    Mutant(
        name="charge-key-changes-with-the-delivery",
        file="crates/payment-worker/src/lib.rs",
        find="            key: &message.envelope.id,\n            order: message.envelope.order,\n            money",
        replace="            key: &format!(\"{}/{}\", message.envelope.id, self.clock.now().get()),\n            order: message.envelope.order,\n            money",
        breaks="a charge that is repeated has another key at the provider",
        promise="2. a payment is captured at most once",
        by=("simulation", "payment-worker/payments"),
    ),
    Mutant(
        name="charge-not-taken-back",
        file="crates/payment-worker/src/lib.rs",
        find="        let change = match self.give_back(message).await? {",
        replace="        let change = match Refund::NothingToRefund {",
        breaks="a charge whose order ended meanwhile is not given back",
        promise=REFUNDED,
        by=(*PROTOCOL, TESTS),
    ),
    Mutant(
        name="unknown-charge-not-refunded",
        file="crates/domain/src/payment.rs",
        find="""        Knowledge::NeverRan | Knowledge::Recorded(Charge::Declined { .. }) => {
            RefundDecision::Nothing
        }
        Knowledge::Recorded(Charge::Captured { .. }) | Knowledge::Unknown => {""",
        replace="""        Knowledge::NeverRan
        | Knowledge::Unknown
        | Knowledge::Recorded(Charge::Declined { .. }) => RefundDecision::Nothing,
        Knowledge::Recorded(Charge::Captured { .. }) => {""",
        breaks="a charge whose outcome is unknown is not refunded",
        promise=REFUNDED,
        by=PROTOCOL,
    ),
    Mutant(
        name="shipment-not-taken-back",
        file="crates/shipping-worker/src/lib.rs",
        find="        self.call_off(message).await?;\n        let (code, message)",
        replace="        let (code, message)",
        breaks="a shipment whose order ended meanwhile is not called off",
        promise=UNDONE,
        by=(*PROTOCOL, TESTS),
    ),
    Mutant(
        name="unknown-shipment-not-called-off",
        file="crates/domain/src/shipment.rs",
        find="        Knowledge::Unknown => CancelDecision::AskWarehouse { shipped: &[] },",
        replace="        Knowledge::Unknown => CancelDecision::Nothing,",
        breaks="a shipment whose outcome is unknown is not called off",
        promise=UNDONE,
        by=PROTOCOL,
    ),
    Mutant(
        name="shortage-not-recorded",
        file="crates/stock-worker/src/lib.rs",
        find="            Reserve::Short(skus) => self.reject(message, skus, claim).await,",
        replace="            Reserve::Short(skus) => answer(&stored(contracts::reservation::write(\n                &Reservation::OutOfStock { skus },\n            ))?),",
        breaks="an order is told that it is out of stock, and a duplicate may still take pieces",
        promise="3. what is reserved is shipped or released",
        by=(*PROTOCOL, "stock-worker/stock"),
    ),
    Mutant(
        name="stock-below-zero",
        file="crates/domain/src/stock.rs",
        find="        *from = from.checked_sub(pieces).ok_or(Shortage)?;",
        replace="        *from = from.saturating_sub(pieces);",
        breaks="pieces are taken that are not there",
        promise="3. stock never goes below zero",
        by=PROTOCOL,
    ),
    Mutant(
        name="released-pieces-vanish",
        file="crates/domain/src/stock.rs",
        find="            Movement::Release => (&mut next.reserved, &mut next.available),",
        replace="            Movement::Release => (&mut next.reserved, &mut next.shipped),",
        breaks="released pieces do not become available again",
        promise="3. what is reserved is shipped or released",
        by=PROTOCOL,
    ),
    Mutant(
        name="failed-order-not-final",
        file="crates/domain/src/status.rs",
        find="        matches!(self, Self::Completed | Self::Failed | Self::NeedsAttention)",
        replace="        matches!(self, Self::Completed | Self::NeedsAttention)",
        breaks="a step that comes after its order has failed is committed",
        promise="1. an order reaches exactly one end",
        by=PROTOCOL,
    ),
    Mutant(
        name="reservation-sets-no-status",
        file="crates/domain/src/status.rs",
        find="        EventKind::StockReserved => Some(OrderStatus::Reserved),",
        replace="        EventKind::StockReserved => None,",
        breaks="a reservation does not depend on whether its order has ended",
        promise="3. what is reserved is shipped or released",
        # Within the protocol a tombstone stands behind it: only a command put there by hand shows it.
        by=(*PROTOCOL, "saga-step/protocol"),
    ),
    Mutant(
        name="capture-sets-no-status",
        file="crates/domain/src/status.rs",
        find="        EventKind::PaymentCaptured => Some(OrderStatus::Paid),",
        replace="        EventKind::PaymentCaptured => None,",
        breaks="a charge does not depend on whether its order has ended",
        promise=REFUNDED,
        # Within the protocol a tombstone stands behind it: only a command put there by hand shows it.
        by=(*PROTOCOL, "saga-step/protocol"),
    ),
]
