//! Dead letters for the tests of `waybill failures`, each of an order of its own.

use aws_sdk_sqs::types::MessageAttributeValue;
use serde_json::{Value, json};
use uuid::Uuid;
use waybill_tests::{Environment, QUICKLY, Ran, messages, unique, wait_until};

/// A charge that became a dead letter.
#[derive(Debug, Clone)]
pub(crate) struct DeadCharge {
    /// The id of its failure.
    pub(crate) id: String,
    /// The order that it is about.
    pub(crate) order: String,
}

/// An environment, and failures of one group in it.
pub(crate) struct Scene {
    pub(crate) environment: Environment,
    /// The name of their error, which nobody else's have.
    pub(crate) error: String,
    pub(crate) charges: Vec<DeadCharge>,
}

impl Scene {
    /// So many charges, paid by this method, in the failure store.
    pub(crate) async fn with(count: usize, method: &str) -> Self {
        let mut scene = Self {
            environment: Environment::connect().await,
            error: unique("Trouble").replace('-', ""),
            charges: Vec::new(),
        };
        scene.die(count, method).await;
        scene.drained().await;
        scene
    }

    /// Puts further charges into the dead-letter queue, as a worker does that gives up.
    pub(crate) async fn die(&mut self, count: usize, method: &str) {
        for _ in 0..count {
            let order = Uuid::new_v4().to_string();
            let charge = messages::command(&order, "payment.charge", messages::charge(100, method));
            let id = self.dead_letter("Payment", &charge.to_string()).await;
            self.charges.push(DeadCharge { id, order });
        }
    }

    /// Puts a body into a consumer's dead-letter queue. Gives the id of its failure.
    pub(crate) async fn dead_letter(&self, consumer: &str, body: &str) -> String {
        let id = Uuid::new_v4().to_string();
        let record = json!({
            "errorClass": "business", "errorName": self.error, "consumer": consumer.to_lowercase(),
            "cause": ["the test says so", "order 42 was not found"], "attempts": 5,
            "bodySha256": "", "messageId": id, "failedAt": "2026-11-21T17:56:15.859Z",
        });
        let attribute = MessageAttributeValue::builder()
            .data_type("String")
            .string_value(record.to_string())
            .build()
            .unwrap();
        self.environment
            .sqs
            .send_message()
            .queue_url(self.environment.dlq(consumer))
            .message_body(body)
            .message_attributes("failure", attribute)
            .send()
            .await
            .unwrap_or_else(|error| panic!("no dead letter: {error:?}"));
        id
    }

    /// Waits until all charges are in the failure store.
    pub(crate) async fn drained(&self) {
        let count = self.charges.len().to_string();
        wait_until("the dead letters are in the store", QUICKLY, async || {
            let drained = self.failures(&["drain", "payment-dlq"]).await;
            let listed = self.list(&["--status", "all", "--limit", "1000"]).await;
            match listed.len().to_string() == count {
                true => Ok(()),
                false => Err(format!("{} of {count}: {drained:?}", listed.len())),
            }
        })
        .await;
    }

    /// Runs `waybill failures`.
    pub(crate) async fn failures(&self, arguments: &[&str]) -> Ran {
        let arguments: Vec<_> = ["failures"].iter().chain(arguments).copied().collect();
        self.environment.waybill(&arguments).await
    }

    /// The failures with this scene's error.
    pub(crate) async fn list(&self, more: &[&str]) -> Vec<Value> {
        let mut arguments = vec!["list", "--error", &self.error];
        arguments.extend(more);
        let listed = self.failures(&arguments).await;
        assert_eq!(listed.code, 0, "{listed:?}");
        array(&listed.json()["failures"])
    }

    /// One failure, with everything that is known of it.
    pub(crate) async fn show(&self, id: &str) -> Value {
        let shown = self.failures(&["show", id]).await;
        assert_eq!(shown.code, 0, "{shown:?}");
        shown.json()["failures"][0].clone()
    }

    /// Waits until a failure has a status.
    pub(crate) async fn has_status(&self, id: &str, status: &str) -> Value {
        wait_until(&format!("{id} is {status}"), QUICKLY, async || {
            let shown = self.show(id).await;
            match shown["status"] == status {
                true => Ok(shown),
                false => Err(shown.to_string()),
            }
        })
        .await
    }

    /// Each charge was sent once, processed once, and had its effect once.
    pub(crate) async fn each_once(&self) {
        for charge in &self.charges {
            let shown = self.has_status(&charge.id, "resolved").await;
            assert_eq!(times(&shown, "claimed"), 1, "{shown:#}");
            self.one_effect(charge).await;
        }
    }

    /// The payment provider captured once.
    pub(crate) async fn one_effect(&self, charge: &DeadCharge) {
        let effects = self.environment.ledger(&charge.order).await;
        assert_eq!(effects.len(), 1, "{} has {effects:?}", charge.order);
    }

    /// Removes what the test made.
    pub(crate) async fn forget(&self) {
        for charge in &self.charges {
            self.environment.forget(&charge.order).await;
        }
    }
}

/// How often something was done to a failure.
pub(crate) fn times(shown: &Value, action: &str) -> usize {
    let history = array(&shown["history"]);
    history
        .iter()
        .filter(|entry| entry["action"] == action)
        .count()
}

pub(crate) fn array(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}
