"""The intake: the idempotency check, and what is accepted."""

from mutant import Mutant

API = "crates/order-api/src/api.rs"
ORDERS = "crates/aws-adapters/src/dynamodb/orders.rs"
TESTS = "order-api/api"

MUTANTS = [
    Mutant(
        name="accepted-before-stored",
        file=API,
        find="        let accepted = self.orders.accept(&acceptance).await;",
        replace="        let accepted = self.orders.accept(&acceptance).await.or(Ok::<_, Unavailable>(Accepted::New));",
        breaks="a customer is told that an order is accepted which was not stored",
        promise="an accepted order is never lost",
        by=("simulation", TESTS),
    ),
    Mutant(
        name="key-reused-for-another-order",
        file=API,
        find="    if stored.fingerprint != acceptance.fingerprint {",
        replace="    if stored.fingerprint.is_empty() {",
        breaks="another order under a used key is answered as if it were accepted",
        promise="an accepted order is never lost",
        by=("simulation", TESTS),
    ),
    Mutant(
        name="order-in-anothers-name",
        file=API,
        find="        self.check_customer(request, order.customer())?;\n        let id",
        replace="        let id",
        breaks="a customer orders in the name of another",
        promise="customers act for themselves",
        by=(TESTS,),
    ),
    Mutant(
        name="anothers-order-shown",
        file=API,
        find="        self.check_customer(request, &order.customer)\n            .map_err(|_| Problem::OrderNotFound)?;",
        replace="",
        breaks="a customer sees the order of another",
        promise="customers see their own orders only",
        by=(TESTS,),
    ),
    Mutant(
        name="total-without-limit",
        file="crates/domain/src/order.rs",
        find="        amount if amount > MAX_TOTAL => Err(OrderFault::TotalTooLarge),",
        replace="        amount if amount == u64::MAX => Err(OrderFault::TotalTooLarge),",
        breaks="an order is accepted that is larger than any may be",
        promise="what is accepted can be fulfilled",
        by=("domain/lib", TESTS),
    ),
    Mutant(
        name="free-order-accepted",
        file="crates/domain/src/order.rs",
        find="        0 => Err(OrderFault::NothingToPay),",
        replace="        u64::MAX => Err(OrderFault::NothingToPay),",
        breaks="an order is accepted whose payment no provider captures",
        promise="what is accepted can be fulfilled",
        by=("domain/lib", TESTS),
    ),
    Mutant(
        name="body-without-limit",
        file="crates/order-api/src/request.rs",
        find="    if body.len() > MAX_ORDER_BYTES {",
        replace="    if body.len() > MAX_ORDER_BYTES * 1000 {",
        breaks="a body is parsed whatever its size",
        promise="what is accepted can be fulfilled",
        by=(TESTS,),
    ),
    Mutant(
        name="other-body-under-a-used-key",
        file=API,
        find="    if stored.fingerprint != acceptance.fingerprint {",
        replace="    if stored.fingerprint.len() != acceptance.fingerprint.len() {",
        breaks="another order under a used key is answered with the order that is there",
        promise="an idempotency key makes one order",
        by=("intake-model",),
    ),
    Mutant(
        name="order-without-outbox",
        file=ORDERS,
        find="            texts([acceptance.placed.json.clone()]),",
        replace="            texts([]),",
        breaks="an order is stored without the event that it was placed",
        promise="4. each event of an order is published",
        by=("intake-model",),
    ),
    Mutant(
        name="order-over-another",
        file=ORDERS,
        find="            .condition_expression(\"attribute_not_exists(orderId)\")\n",
        replace="",
        breaks="an order is stored over the one that has its key",
        promise="an idempotency key makes one order",
        by=("intake-model",),
    ),
]
