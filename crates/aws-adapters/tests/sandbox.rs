//! The sandbox's payments against the emulator: one effect for each key, whatever is repeated.

#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test is its failure report"
)]

#[allow(dead_code, reason = "shared with other tests, which use more of it")]
mod emulator;

use aws_adapters::sandbox::{Ledger, SandboxPayments};
use domain::payment::{Charge, Refund};
use domain::{Currency, CustomerId, IdempotencyKey, Money, OrderId, PaymentMethod};
use ports::{ChargeRequest, PaymentProvider, ProviderError, RefundRequest};

use emulator::{Emulator, with_emulator};

struct Scene {
    emulator: Emulator,
    payments: SandboxPayments,
    effects: String,
    order: OrderId,
}

impl Scene {
    async fn new(emulator: Emulator) -> Self {
        let effects = emulator.table("effects", &["orderId", "key"], &[]).await;
        let state = emulator.table("state", &["key"], &[]).await;
        let (client, calls) = (emulator.dynamodb.clone(), emulator.calls.clone());
        let ledger = Ledger::new(client, calls, effects.clone(), state);
        let customer = CustomerId::new("cus_1").unwrap();
        let key = IdempotencyKey::new("k-1").unwrap();
        Self {
            emulator,
            payments: SandboxPayments::new(ledger),
            effects,
            order: OrderId::derive(&customer, &key),
        }
    }

    async fn charge(&self, method: &str) -> Result<Charge, ProviderError> {
        let request = ChargeRequest {
            key: "charge",
            order: self.order,
            money: Money {
                amount: 2500,
                currency: Currency::new("EUR").unwrap(),
            },
            method: &PaymentMethod::new(method).unwrap(),
        };
        self.payments.charge(&request).await
    }

    async fn refund(&self) -> Refund {
        let request = RefundRequest {
            key: "refund",
            charge_key: "charge",
            order: self.order,
        };
        self.payments.refund(&request).await.unwrap()
    }

    /// The kinds of what happened.
    async fn effects(&self) -> Vec<String> {
        let all = self.emulator.dynamodb.scan().table_name(&self.effects);
        let found = all.consistent_read(true).send().await.unwrap();
        let mut kinds: Vec<_> = found
            .items()
            .iter()
            .map(|item| item["kind"].as_s().unwrap().clone())
            .collect();
        kinds.sort();
        kinds
    }
}

fn is_captured(charge: &Charge) -> bool {
    matches!(charge, Charge::Captured { money, .. } if money.amount == 2500)
}

#[tokio::test]
async fn a_charge_that_is_repeated_is_told_again_and_has_happened_once() {
    with_emulator(async |emulator| {
        let scene = Scene::new(emulator).await;
        let first = scene.charge("pm_card_visa").await.unwrap();
        assert!(is_captured(&first));
        assert_eq!(scene.charge("pm_card_visa").await.unwrap(), first);
        assert_eq!(scene.effects().await, ["capture"]);
    })
    .await;
}

#[tokio::test]
async fn a_refund_gives_back_once_and_calls_off_what_comes_later() {
    with_emulator(async |emulator| {
        let scene = Scene::new(emulator).await;
        scene.charge("pm_card_visa").await.unwrap();
        let refunded = scene.refund().await;
        assert!(matches!(&refunded, Refund::Refunded { money, .. } if money.amount == 2500));
        assert_eq!(scene.refund().await, refunded);
        assert_eq!(scene.effects().await, ["capture", "refund"]);
    })
    .await;
}

#[tokio::test]
async fn a_charge_behind_its_refund_is_declined() {
    with_emulator(async |emulator| {
        let scene = Scene::new(emulator).await;
        assert_eq!(scene.refund().await, Refund::NothingToRefund);
        let late = scene.charge("pm_card_visa").await.unwrap();
        assert!(matches!(late, Charge::Declined { code, .. } if code == "called-off"));
        assert!(scene.effects().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_charge_whose_answer_was_lost_is_found_under_its_key() {
    with_emulator(async |emulator| {
        let scene = Scene::new(emulator).await;
        let lost = scene.charge("sandbox_ambiguous").await.unwrap_err();
        assert!(lost.is_outcome_unknown());
        let again = scene.charge("sandbox_ambiguous").await.unwrap();
        assert!(is_captured(&again));
        assert_eq!(scene.effects().await, ["capture"]);
    })
    .await;
}

/// A batch of ten looks at the sandbox's switch once, and not each record for itself.
#[tokio::test]
async fn charges_at_once_look_at_the_switch_once() {
    with_emulator(async |emulator| {
        let scene = Scene::new(emulator).await;
        scene.emulator.wire.requests();
        let (one, other) = tokio::join!(
            scene.charge("pm_card_chargeDeclined"),
            scene.charge("pm_card_chargeDeclined")
        );
        assert!(one.is_ok() && other.is_ok());
        assert_eq!(scene.emulator.wire.requests(), 1);
    })
    .await;
}
