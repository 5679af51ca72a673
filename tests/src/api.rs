//! The deployment's API, as a client sees it.

use serde_json::Value;

use crate::http::Target;
use crate::{Environment, Order, QUICKLY, Request, wait_until};

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers; names are in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value, if there is one.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{}: not JSON ({error}): {}", self.status, self.text()))
    }
}

/// An order as `GET /orders/{id}` shows it.
#[derive(Debug, Clone)]
pub struct OrderView {
    /// Where it stands.
    pub status: String,
    /// Why it failed, as a code; empty where it did not.
    pub reason: String,
    /// What happened, as `noun.verb`, in order.
    pub events: Vec<String>,
    /// The whole document.
    pub document: Value,
}

impl OrderView {
    /// Reads the document.
    pub fn read(document: Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let timeline = document["timeline"].as_array().cloned().unwrap_or_default();
        Self {
            status: text(&document["status"]),
            reason: text(&document["reason"]["code"]),
            events: timeline
                .iter()
                .map(|event| short_type(&text(&event["type"])))
                .collect(),
            document,
        }
    }

    /// Whether nothing more happens to it by itself.
    pub fn is_final(&self) -> bool {
        matches!(
            self.status.as_str(),
            "completed" | "failed" | "needs-attention"
        )
    }
}

/// `waybill.payment.captured.v1` as `payment.captured`.
pub(crate) fn short_type(message_type: &str) -> String {
    let name = message_type
        .strip_prefix("waybill.")
        .unwrap_or(message_type);
    name.rsplit_once(".v")
        .map_or(name, |(name, _)| name)
        .to_owned()
}

impl Environment {
    /// Sends a request to the API.
    pub async fn send(&self, request: &Request) -> Answer {
        self.http.send(&self.api(self.endpoint()), request).await
    }

    /// Sends a request to the API by way of a proxy, which may come between.
    ///
    /// # Errors
    /// What came between, where there is no whole answer.
    pub async fn send_by(&self, proxy: &str, request: &Request) -> Result<Answer, String> {
        self.http.attempt(&self.api(proxy), request).await
    }

    /// The API; where it is emulated, at the emulator or at a proxy before it.
    fn api<'a>(&'a self, emulator: &'a str) -> Target<'a> {
        let url = self.output("ApiUrl").trim_end_matches('/');
        let (_, host) = url.split_once("://").expect("ApiUrl is a URL");
        // Names under .localhost do not resolve everywhere; the emulator tells APIs by the header.
        let name = host.split(':').next().unwrap_or(host);
        let is_local = name.ends_with(".localhost");
        Target {
            service: "execute-api",
            host,
            origin: if is_local { emulator } else { url },
        }
    }

    /// Places an order.
    pub async fn place(&self, order: &Order) -> Answer {
        self.send(&order.request()).await
    }

    /// Places an order that must be accepted, and gives its id.
    pub async fn accept(&self, order: &Order) -> String {
        let answer = self.place(order).await;
        assert_eq!(
            answer.status,
            202,
            "the order was not accepted: {}",
            answer.text()
        );
        let id = answer.json()["orderId"]
            .as_str()
            .expect("an order id")
            .to_owned();
        assert_eq!(id, order.id(), "the id follows from customer and key");
        id
    }

    /// Reads an order.
    pub async fn order(&self, id: &str) -> OrderView {
        let answer = self.send(&Request::get(format!("/orders/{id}"))).await;
        assert_eq!(answer.status, 200, "order {id}: {}", answer.text());
        OrderView::read(answer.json())
    }

    /// Waits until an order has ended.
    pub async fn ended(&self, id: &str) -> OrderView {
        self.ended_within(id, QUICKLY).await
    }

    /// Waits until an order has ended, for so long.
    pub async fn ended_within(&self, id: &str, limit: std::time::Duration) -> OrderView {
        wait_until(&format!("order {id} ends"), limit, async || {
            let order = self.order(id).await;
            if order.is_final() {
                Ok(order)
            } else {
                Err(format!(
                    "{} after {}",
                    order.status,
                    order.events.join(", ")
                ))
            }
        })
        .await
    }
}
