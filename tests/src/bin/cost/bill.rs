//! From what one order asks to dollars for a million of them.

use waybill_tests::cost::Usage;

use crate::prices::Prices;

/// Of the functions in the template.
const GIGABYTES: f64 = 0.25;
/// X-Ray records one trace of twenty, and one a second.
const TRACED: f64 = 0.05;
/// So much of published messages is one request.
const CHUNK: f64 = 65_536.0;
/// The claim and the completion.
const OF_IDEMPOTENCY: f64 = 2.0;

/// What one order is billed for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bill {
    http_requests: f64,
    invocations: f64,
    function_millis: f64,
    write_units: f64,
    read_units: f64,
    publishes: f64,
    filtered_bytes: f64,
    queue_requests: f64,
    transitions: f64,
    log_bytes: f64,
}

impl Bill {
    /// This design; `batch` messages come to a consumer together, and as many events to the relay.
    pub(crate) fn of(usage: &Usage, batch: f64) -> Self {
        let invocations = usage.sum("", "lambda:Invoke");
        let of_api = usage.sum("order-api lambda:", "");
        let deliveries = usage.sum("", "sqs:Delivery");
        let by_relay = usage.sum("outbox-relay sns:", "");
        let by_functions = usage.sum("", " sns:Publish") - usage.sum("order-saga sns:", "");
        // What a function asks of SQS itself, on top of what its trigger does.
        let own = usage
            .requests
            .iter()
            .filter(|(name, _)| name.contains(" sqs:"));
        let own = own.map(|(_, count)| count).sum::<f64>() - deliveries;
        Self {
            http_requests: usage.sum("client http-api:", ""),
            invocations: of_api + (invocations - of_api) / batch,
            function_millis: usage.function_millis,
            write_units: usage.write_units,
            read_units: usage.read_units,
            publishes: usage.sum("order-saga sns:", "") + by_functions + by_relay / batch,
            filtered_bytes: usage.filtered_bytes,
            // SNS sends each by itself; a batch is received once and deleted once.
            queue_requests: deliveries + own + 2.0 * deliveries / batch,
            transitions: usage.sum("order-saga states:Transition", ""),
            log_bytes: usage.log_bytes,
        }
    }

    /// The plain design, for an order that goes the same way. Its assumptions are on the page.
    pub(crate) fn plain(usage: &Usage) -> Self {
        let ours = |what: f64| what / usage.invocations;
        let tasks = usage.sum("order-saga sns:Publish", "");
        let events = usage.events;
        // The API, each task, the audit of each event, and the notifier.
        let own = 1.0 + tasks + events + 1.0;
        let deliveries = events + 1.0;
        let stock_writes = usage.sum("stock-worker dynamodb:TransactWriteItems", "");
        let of_index = 2.0 * events - 1.0;
        Self {
            http_requests: usage.sum("client http-api:", ""),
            invocations: own,
            function_millis: ours(usage.function_millis) * own,
            write_units: OF_IDEMPOTENCY * own
                + usage.order_units
                + of_index
                + stock_writes
                + events,
            read_units: 0.0,
            publishes: events + 1.0,
            filtered_bytes: 0.0,
            queue_requests: 3.0 * deliveries,
            transitions: usage.sum("order-saga states:Transition", ""),
            log_bytes: ours(usage.log_bytes) * own,
        }
    }

    /// Dollars for a million orders, by service.
    pub(crate) fn dollars(&self, prices: &Prices) -> Vec<(&'static str, f64)> {
        const MILLION: f64 = 1_000_000.0;
        let of = |name: &str| prices.of(name);
        let compute = self.function_millis / 1000.0 * GIGABYTES;
        let lambda =
            self.invocations * of("lambda request") + compute * of("lambda arm64 gigabyte-second");
        let dynamodb = self.write_units * of("dynamodb write unit")
            + self.read_units * of("dynamodb read unit");
        let sns = self.publishes * of("sns publish of 64 KB")
            + self.filtered_bytes * of("sns filtered byte");
        let one = [
            ("Step Functions", self.transitions * of("states transition")),
            ("DynamoDB", dynamodb),
            ("SQS", self.queue_requests * of("sqs request of 64 KB")),
            ("SNS", sns),
            ("Lambda", lambda),
            ("CloudWatch Logs", self.log_bytes * of("logs byte")),
            ("API Gateway", self.http_requests * of("http-api request")),
            ("X-Ray", self.invocations * TRACED * of("xray trace")),
        ];
        one.map(|(service, dollars)| (service, dollars * MILLION))
            .into()
    }
}

/// Whether a publish of ten such messages is still one request.
pub(crate) fn ten_fit(usage: &Usage) -> bool {
    // Five filters look at each message once.
    let messages = usage.sum("Audit sqs:Delivery", "");
    usage.filtered_bytes / 5.0 / messages * 10.0 <= CHUNK
}
