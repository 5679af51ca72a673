"""The adapters on AWS and what is deployed: noticed by tests on the emulator, but for
the requests themselves, whose tests are a service."""

from mutant import Mutant

RECORDS = "crates/idempotency/src/dynamodb.rs"
JOURNAL = "crates/aws-adapters/src/dynamodb/journal.rs"
ORDERS = "crates/aws-adapters/src/dynamodb/orders.rs"
ON_TABLES = ("idempotency/dynamodb",)
CALLS = ("aws-adapters/calls",)
ON_FAILURES = ("aws-adapters/failures",)
ONE_EFFECT = "6. the same message n times is one effect"


def on_tables(name, file, find, replace, breaks, promise, by):
    """Noticed by tests that call the adapter themselves."""
    return Mutant(name, file, find, replace, breaks, promise, by, deployed=True)


def on_functions(name, file, find, replace, breaks, promise, test):
    """Noticed by tests that go through the deployed functions."""
    by = (f"waybill-tests/it:{test}",)
    return Mutant(name, file, find, replace, breaks, promise, by, deployed=True, redeploys=True)


MUTANTS = [
    on_tables(
        "table-takes-over-live-claims",
        RECORDS,
        "AND #fingerprint = :fingerprint AND #leaseUntil <= :takesOverUntil)\";\n\n/// `decide_begin_undo`",
        "AND #fingerprint = :fingerprint AND (#leaseUntil <= :takesOverUntil OR #leaseUntil > :takesOverUntil))\";\n\n/// `decide_begin_undo`",
        "a second delivery takes over a claim whose lease has not ended",
        ONE_EFFECT,
        ON_TABLES,
    ),
    on_tables(
        "table-completes-for-anybody",
        RECORDS,
        'const IS_HELD: &str = "#owner = :owner AND #state = :held";',
        'const IS_HELD: &str = "(#owner = :owner OR #owner <> :owner) AND #state = :held";',
        "whoever lost a claim completes or gives back the operation",
        ONE_EFFECT,
        ON_TABLES,
    ),
    on_tables(
        "table-undoes-a-running-action",
        RECORDS,
        "AND (#state = :completed OR (#state = :started AND #leaseUntil <= :now)",
        "AND (#state = :completed OR (#state = :started AND (#leaseUntil <= :now OR #leaseUntil > :now))",
        "an undo does not wait for the lease of its action",
        "2. captured and not completed means refunded",
        ON_TABLES,
    ),
    on_tables(
        "table-buries-what-is-there",
        RECORDS,
        'const ABSENT: &str = "attribute_not_exists(#id) OR #expiresAt <= :nowSeconds";',
        'const ABSENT: &str = "attribute_not_exists(#id) OR #expiresAt <= :nowSeconds OR #expiresAt > :nowSeconds";',
        "a tombstone covers an operation that was completed",
        "1. failed and fully undone",
        ON_TABLES,
    ),
    on_tables(
        "refused-write-does-not-say-why",
        RECORDS,
        """            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(unbuildable)
    }

    fn update(""",
        """            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::None)
            .build()
            .map_err(unbuildable)
    }

    fn update(""",
        "a duplicate does not get the stored result back",
        ONE_EFFECT,
        ON_TABLES,
    ),
    on_tables(
        "table-replaces-any-version",
        "crates/aws-adapters/src/failures/store.rs",
        '            .condition_expression("version = :before")',
        '            .condition_expression("version = :before OR attribute_exists(id)")',
        "of two changes of a failure at the same time one is lost",
        "of two replays at once one is refused",
        ON_FAILURES,
    ),
    on_tables(
        "table-stores-over-a-failure",
        "crates/aws-adapters/src/failures/store.rs",
        '            .condition_expression("attribute_not_exists(id) OR expiresAt <= :now")',
        '            .condition_expression("attribute_not_exists(id) OR expiresAt <= :now OR attribute_exists(id)")',
        "a drain that repeats overwrites what was done about a failure",
        "5. every message is processed, waiting or in the failure store",
        ON_FAILURES,
    ),
    on_tables(
        "dead-letter-without-metadata",
        "crates/message-worker/src/sqs/attributes.rs",
        "    for (name, value) in failure.into_iter().chain(summary) {",
        "    for (name, value) in failure.into_iter().take(0).chain(summary) {",
        "a dead letter does not say what went wrong",
        "a dead letter says why",
        ("message-worker/sqs",),
    ),
    on_functions(
        "table-overwrites-an-order",
        ORDERS,
        '            .condition_expression("attribute_not_exists(orderId)")',
        '            .condition_expression("attribute_not_exists(orderId) OR attribute_exists(orderId)")',
        "the same key with other content replaces an order that was accepted",
        "an accepted order is never lost",
        "intake::the_same_key",
    ),
    on_functions(
        "table-commits-after-the-end",
        ORDERS,
        '"attribute_not_exists(#status) OR NOT #status IN (:completed, :failed, :attention)"',
        '"attribute_not_exists(#status) OR attribute_exists(#status) OR #status IN (:completed, :failed, :attention)"',
        "a step that comes after its order has ended is committed",
        "1. an order reaches exactly one end",
        "ended::",
    ),
    on_functions(
        "table-sells-what-is-not-there",
        JOURNAL,
        '        .condition_expression("#from >= :pieces")',
        '        .condition_expression("#from >= :pieces OR #from < :pieces")',
        "pieces are taken that are not there",
        "3. stock never goes below zero",
        "completion::orders_that_want_the_last_pieces",
    ),
    on_functions(
        "late-answer-fails-the-message",
        "crates/aws-adapters/src/tasks.rs",
        "        Err(error) if error.as_service_error().is_some_and(is_stale) => Ok(Answered::Stale),",
        "        Err(error) if error.as_service_error().is_some_and(is_stale) && cfg!(test) => Ok(Answered::Stale),",
        "an answer that nobody waits for any more is tried until its message is a dead letter",
        "a late answer is done",
        "duplicates::a_shipment_delivered_again",
    ),
    on_functions(
        "two-sagas-for-one-order",
        "crates/aws-adapters/src/sagas.rs",
        "            .name(order.to_string())",
        '            .name(format!("{order}-{}", std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos()))',
        "an order whose event is delivered again has a second saga",
        ONE_EFFECT,
        "duplicates::an_order_placed_twice_over",
    ),
    on_functions(
        "message-audited-by-every-delivery",
        "crates/aws-adapters/src/dynamodb/audit.rs",
        '        let key = format!("{}#{}#{}", entry.time, entry.message_id, entry.message_type);',
        '        let key = format!("{}#{}#{}", entry.recorded_at, entry.message_id, entry.message_type);',
        "a message that is delivered again is in the audit trail again",
        ONE_EFFECT,
        "duplicates::a_message_delivered_again_is_audited_once",
    ),
    on_functions(
        "second-consumer-of-commands",
        "template.yaml",
        "          - waybill.stock.reserve.v1\n          - waybill.stock.release.v1\n\n  StockWorkerFunction:",
        "          - waybill.stock.reserve.v1\n          - waybill.stock.release.v1\n          - waybill.payment.charge.v1\n\n  StockWorkerFunction:",
        "a command reaches two consumers",
        "6. a command has one consumer",
        "wiring::",
    ),
    Mutant(
        "signed-with-the-key-of-another-day",
        "crates/aws-adapters/src/calls/sign.rs",
        "            Some(known) if known.0 == day => key.insert(known),",
        "            Some(known) if known.0.len() == day.len() => key.insert(known),",
        "from the first midnight on, an environment's requests are refused",
        "a request is signed as AWS wants it",
        ("aws-adapters/lib",),
    ),
    Mutant(
        "failed-attempt-is-the-last",
        "crates/aws-adapters/src/calls/resumed.rs",
        "            return self.connector.call(request);",
        "            drop(self.connector.call(request));\n            return HttpConnectorFuture::new(std::future::pending());",
        "a request that failed in passing is not made again",
        "what may pass is tried again",
        CALLS,
    ),
    Mutant(
        "failed-connection-is-used-again",
        "crates/aws-adapters/src/calls/resumed.rs",
        "            wanted.set_connection_retriever(move || connection.get());",
        "            drop((wanted, connection));",
        "requests go on over a connection to a host that answers with errors",
        "what may pass is tried again",
        CALLS,
    ),
    Mutant(
        "retries-end-for-good",
        "crates/aws-adapters/src/calls.rs",
        "TokenBucket::builder().refill_rate(100.0).build();",
        "TokenBucket::builder().refill_rate(0.0).build();",
        "an environment that has met some hundred errors repeats nothing any more",
        "what may pass is tried again",
        CALLS,
    ),
]
