//! What is asked of the system, and what should come of it.

use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;
use waybill_tests::{Answer, Environment, Order, StockLevel, messages, unique};

/// An order of the script.
pub(crate) struct Act {
    /// What is special about it.
    pub(crate) title: &'static str,
    pub(crate) order: Order,
    /// The status in which it should end, with the reason where it fails.
    pub(crate) expected: (&'static str, &'static str),
}

/// A message put straight onto a queue that no consumer can process.
pub(crate) struct Garbage {
    pub(crate) title: &'static str,
    consumer: &'static str,
    body: String,
    marker: String,
}

/// The whole script.
pub(crate) struct Script {
    /// The articles, with how many there are.
    pub(crate) shelf: Vec<(String, i64)>,
    pub(crate) acts: Vec<Act>,
    pub(crate) garbage: Vec<Garbage>,
}

/// What the API said to it all.
pub(crate) struct Answers {
    /// To each act.
    pub(crate) accepted: Vec<Answer>,
    pub(crate) repeated: Answer,
    pub(crate) reused_key: Answer,
    pub(crate) invalid: Answer,
}

impl Answers {
    /// Whether each request was taken or refused as it must be.
    pub(crate) fn are_as_expected(&self) -> bool {
        self.accepted.iter().all(|answer| answer.status == 202)
            && self.repeated.status == 202
            && self.repeated.json() == self.accepted[0].json()
            && self.reused_key.status == 422
            && self.invalid.status == 422
    }
}

impl Script {
    /// Articles get new names, so that the demo can be repeated in one environment.
    pub(crate) fn write() -> Self {
        let [mug, plate, lamp] = ["MUG", "PLATE", "LAMP"].map(unique);
        let completed = ("completed", "");
        let act = |title, order, expected| Act {
            title,
            order,
            expected,
        };
        let declined = ("failed", "payment-declined");
        let acts = vec![
            act("two mugs", Order::of(&mug), completed),
            act(
                "two mugs and three plates",
                Order::of(&mug).and(&plate, 3, 990),
                completed,
            ),
            act("one plate", Order::of(&plate).pieces(1), completed),
            act(
                "a declined card",
                Order::of(&mug).paid_by("pm_card_chargeDeclined"),
                declined,
            ),
            act(
                "insufficient funds",
                Order::of(&plate).paid_by("pm_card_chargeDeclinedInsufficientFunds"),
                declined,
            ),
            act(
                "five lamps, of two",
                Order::of(&lamp).pieces(5),
                ("failed", "out-of-stock"),
            ),
            act(
                "an address nobody serves",
                Order::of(&mug).shipped_to("00000"),
                ("failed", "shipment-refused"),
            ),
            act(
                "a payment that fails twice",
                Order::of(&mug).paid_by("sandbox_flaky_2"),
                completed,
            ),
            act(
                "a charge whose answer is lost",
                Order::of(&plate).paid_by("sandbox_ambiguous"),
                completed,
            ),
        ];
        let shelf = vec![(mug, 20), (plate, 20), (lamp, 2)];
        Self {
            shelf,
            acts,
            garbage: garbage(),
        }
    }

    pub(crate) async fn seed(&self, environment: &Environment) {
        for (sku, pieces) in &self.shelf {
            environment.seed(sku, StockLevel::new(*pieces, 0, 0)).await;
        }
    }

    /// Sends everything: orders, the same again, faulty ones, and garbage onto the queues.
    pub(crate) async fn place(&self, environment: &Environment) -> Answers {
        let accepted = join_all(self.acts.iter().map(|act| environment.place(&act.order))).await;
        let first = &self.acts[0].order;
        let answers = Answers {
            accepted,
            repeated: environment.place(first).await,
            reused_key: environment.place(&first.clone().pieces(9)).await,
            invalid: environment.place(&invalid(first)).await,
        };
        for garbage in &self.garbage {
            environment
                .put(environment.queue(garbage.consumer), &garbage.body)
                .await;
        }
        answers
    }

    /// A text from each message that cannot be processed.
    pub(crate) fn strays(&self) -> Vec<String> {
        self.garbage
            .iter()
            .map(|garbage| garbage.marker.clone())
            .collect()
    }
}

fn invalid(good: &Order) -> Order {
    let mut order = Order {
        key: unique("key"),
        ..good.clone()
    };
    order.body["currency"] = json!("euro");
    order.body["items"][0]["quantity"] = json!(0);
    order.body["shipTo"]["zip"] = json!("10115");
    order
}

fn garbage() -> Vec<Garbage> {
    let marker = unique("half-a-message");
    let stranger = Uuid::new_v4().to_string();
    let unknown: Value = messages::command(&stranger, "stock.steal", messages::nothing_more());
    vec![
        Garbage {
            title: "half a JSON document, put onto the payment queue",
            consumer: "Payment",
            body: format!("{{\"id\": \"{marker}\", \"type\": \"waybill.payment."),
            marker,
        },
        Garbage {
            title: "a message of an unknown type, put onto the stock queue",
            consumer: "Stock",
            body: unknown.to_string(),
            marker: stranger,
        },
    ]
}
