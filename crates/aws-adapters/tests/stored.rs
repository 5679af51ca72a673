//! What is in the tables is a contract over time: code that is deployed today reads what
//! was stored by any code before it. `stored/` holds items of each kind, as DynamoDB
//! gives them out.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test reports its failure"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use aws_adapters::{
    DynamoCircuits, DynamoFailures, DynamoGroups, DynamoJournal, DynamoOrders, DynamoPlans,
};
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use circuit::CircuitStore;
use failures::{FailureId, FailureStore, GroupId, GroupStore, PlanStore, ReplayId};
use idempotency::{ActionOutcome, Key, Record, State, Store};
use ports::OrderReader;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const ORDER: &str = "5520e7e7-394c-5ddd-8cf1-6d92723ea28e";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("stored")
}

fn stored(name: &str) -> Value {
    let path = folder().join(format!("{name}.json"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The names of all samples that begin so.
fn names(beginning: &str) -> Vec<String> {
    let files = fs::read_dir(folder()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let wanted = names.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned()));
    wanted.filter(|name| name.starts_with(beginning)).collect()
}

/// DynamoDB with one answer, which remembers what it was asked.
#[derive(Debug, Clone)]
struct Table {
    answer: String,
    requests: Arc<Mutex<Vec<Value>>>,
}

impl Table {
    fn holding(item: &Value) -> Self {
        let answer = match item {
            Value::Array(items) => json!({ "Items": items, "Count": items.len() }),
            item => json!({ "Item": item }),
        };
        Self {
            answer: answer.to_string(),
            requests: Arc::default(),
        }
    }

    fn client(&self) -> Client {
        let table = self.clone();
        let http = http_client_fn(move |_, _| SharedHttpConnector::new(table.clone()));
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
            .http_client(http);
        Client::from_conf(config.build())
    }

    /// The item that was put last.
    fn put(&self) -> Value {
        self.requests.lock().unwrap().last().unwrap()["Item"].clone()
    }
}

impl HttpConnector for Table {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        self.requests.lock().unwrap().push(body);
        let status = StatusCode::try_from(200).unwrap();
        let answer = HttpResponse::new(status, SdkBody::from(self.answer.as_str()));
        HttpConnectorFuture::ready(Ok(answer))
    }
}

#[test]
fn what_was_stored_once_stays_among_the_samples() {
    let list = fs::read_to_string(folder().join("PUBLISHED")).unwrap();
    let lines = list.lines().map(|line| line.split_once("  ").unwrap());
    let mut published: BTreeMap<_, _> = lines.map(|(hash, file)| (file, hash)).collect();
    for name in names("") {
        let file = format!("{name}.json");
        let digest = Sha256::digest(fs::read(folder().join(&file)).unwrap());
        let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let listed = published.remove(file.as_str());
        assert_eq!(
            listed,
            Some(hash.as_str()),
            "{file} is stored somewhere, and stays as it is"
        );
    }
    assert!(
        published.is_empty(),
        "still stored somewhere: {published:?}"
    );
}

#[tokio::test]
async fn stored_orders_are_read() {
    let id = ORDER.parse().unwrap();
    for (name, status, events) in [
        ("order.placed", "accepted", 1),
        ("order.failed", "failed", 5),
    ] {
        let item = stored(name);
        let orders = DynamoOrders::new(Table::holding(&item).client(), "orders".into());
        let order = orders.find(id).await.unwrap().unwrap();
        assert_eq!(order.status.as_str(), status, "{name}");
        assert_eq!(order.timeline.len(), events, "{name}");
        assert_eq!(order.total.to_string(), "2500 EUR");
        assert_eq!(order.reason.is_some(), status == "failed");
        let request = item["order"]["S"].as_str().unwrap();
        let placed = contracts::parse_order(request.as_bytes()).unwrap();
        assert_eq!(contracts::fingerprint(&placed), order.fingerprint);
    }
}

async fn record(name: &str) -> Record {
    let item = stored(name);
    let key = Key::new(item["id"]["S"].as_str().unwrap()).unwrap();
    let client = Table::holding(&item).client();
    let journal = DynamoJournal::new(client, "records", "orders".into(), None);
    journal.get(&key).await.unwrap().unwrap()
}

#[tokio::test]
async fn stored_results_of_steps_are_read() {
    let mut kinds = 0;
    for name in names("record.") {
        let State::Completed { result, .. } = record(&name).await.state else {
            continue;
        };
        let text = result.as_str();
        let rewritten = if name.contains("payment") {
            contracts::charge::write(&contracts::charge::read(text).unwrap())
        } else if name.contains("stock") {
            contracts::reservation::write(&contracts::reservation::read(text).unwrap())
        } else {
            contracts::shipment::write(&contracts::shipment::read(text).unwrap())
        };
        assert_eq!(rewritten, text, "{name}");
        kinds += 1;
    }
    assert_eq!(kinds, 6, "each outcome of each action");
}

#[tokio::test]
async fn stored_records_on_their_way_are_read() {
    let started = record("record.started").await.state;
    assert!(matches!(started, State::Started { .. }), "{started:?}");
    for name in ["record.undoing", "record.undone"] {
        match record(name).await.state {
            State::Undoing { action, .. } | State::Undone { action, .. } => {
                let ActionOutcome::Completed { result } = action else {
                    panic!("{name}: {action:?}");
                };
                contracts::charge::read(result.as_str()).unwrap();
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    let tombstone = record("record.undone-before-it-ran").await.state;
    assert!(matches!(
        tombstone,
        State::Undone {
            action: ActionOutcome::NeverRan,
            ..
        }
    ));
}

#[tokio::test]
async fn stored_failures_are_read_and_nothing_of_them_is_lost() {
    for name in names("failure.") {
        let item = stored(&name);
        let table = Table::holding(&item);
        let store = DynamoFailures::new(table.client(), "failures");
        let failure = store.get(&FailureId::new("f-1")).await.unwrap().unwrap();
        assert!(store.replace(&failure).await.unwrap());
        assert_eq!(table.put(), item, "{name}");
    }
}

#[tokio::test]
async fn stored_groups_are_read_and_nothing_of_them_is_lost() {
    let item = stored("group");
    let table = Table::holding(&item);
    let store = DynamoGroups::new(table.client(), "groups");
    let id = GroupId::new("payment.ProviderUnavailable.1f3a9c02");
    let group = store.get_group(&id).await.unwrap().unwrap();
    assert!(store.put_group(&group).await.unwrap());
    assert_eq!(table.put(), item);
}

#[tokio::test]
async fn stored_plans_are_read_and_nothing_of_them_is_lost() {
    let parts = stored("plan");
    let table = Table::holding(&parts);
    let store = DynamoPlans::new(table.client(), "replays");
    let plan = store
        .get_plan(&ReplayId::new("r-1"))
        .await
        .unwrap()
        .unwrap();
    assert!(store.put_progress(&plan).await.unwrap());
    assert_eq!(table.put(), parts[0]);
    store.create_plan(&plan).await.unwrap();
    assert_eq!(table.requests.lock().unwrap()[2]["Item"], parts[1]);
}

#[tokio::test]
async fn stored_circuits_are_read_and_nothing_of_them_is_lost() {
    for name in names("circuit.") {
        let mut item = stored(&name);
        let table = Table::holding(&item);
        let store = DynamoCircuits::new(table.client(), "circuits".into());
        let circuit = store.load("payment").await.unwrap();
        store.save(&circuit).await.unwrap();
        item["version"]["N"] = json!((circuit.version + 1).to_string());
        assert_eq!(table.put(), item, "{name}");
    }
}
