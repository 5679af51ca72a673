//! A message that can only succeed when it is changed: `waybill failures edit`.

use std::process::Command;

use serde_json::{Value, json};
use uuid::Uuid;
use waybill_tests::{QUICKLY, messages, wait_until};

use crate::operator_scene::{Scene, array, times};

/// A charge whose amount is a text goes to quarantine at once. Gives its failure's id.
async fn poisoned(scene: &Scene, order: &str) -> String {
    let mut charge = messages::command(
        order,
        "payment.charge",
        messages::charge(100, "pm_card_visa"),
    );
    charge["data"]["amount"] = json!("100");
    let environment = &scene.environment;
    environment
        .put(environment.queue("Payment"), &charge.to_string())
        .await;
    wait_until("the poison is in the store", QUICKLY, async || {
        let drained = scene.failures(&["drain", "quarantine"]).await;
        let listed = scene.failures(&["list", "--order", order]).await.json();
        match listed["failures"][0]["id"].as_str() {
            Some(id) => Ok(id.to_owned()),
            None => Err(format!("{drained:?}")),
        }
    })
    .await
}

#[tokio::test]
async fn a_poisoned_message_is_edited_and_replayed_to_its_end() {
    let scene = Scene::with(0, "").await;
    let order = Uuid::new_v4().to_string();
    let id = poisoned(&scene, &order).await;
    let shown = scene.show(&id).await;
    assert_eq!(
        (&shown["class"], &shown["consumer"]),
        (&json!("poison"), &json!("payment"))
    );

    let patch = r#"[{"op":"replace","path":"/data/amount","value":100}]"#;
    let dry = scene.failures(&["edit", &id, "--patch", patch]).await;
    assert_eq!(
        (dry.code, &dry.json()["stored"]),
        (0, &json!(false)),
        "{dry:?}"
    );
    let edited = scene
        .failures(&["edit", &id, "--patch", patch, "--yes", "--why", "a number"])
        .await;
    assert_eq!(edited.code, 0, "{edited:?}");
    let edited = edited.json();
    let difference = edited["difference"].as_str().unwrap();
    assert!(
        difference.contains("-    \"amount\": \"100\"")
            && difference.contains("+    \"amount\": 100"),
        "{difference}"
    );
    let copy = edited["copy"].as_str().unwrap();

    let original = scene.show(&id).await;
    assert_eq!(
        (&original["status"], &original["editedAs"]),
        (&json!("edited"), &json!(copy))
    );
    let of_original = scene.failures(&["replay", &id, "--yes", "--again"]).await;
    assert_eq!(
        of_original.code, 3,
        "the original is never sent: {of_original:?}"
    );
    let again = scene
        .failures(&["edit", &id, "--patch", patch, "--yes"])
        .await;
    assert_eq!(again.code, 3, "{again:?}");

    let replayed = scene.failures(&["replay", copy, "--yes"]).await;
    assert_eq!(replayed.code, 0, "{replayed:?}");
    let copy = scene.has_status(copy, "resolved").await;
    assert_eq!(copy["editOf"], json!(id));
    assert_eq!(scene.environment.ledger(&order).await.len(), 1);
    assert_eq!(times(&scene.show(&id).await, "claimed"), 0);
    scene.environment.forget(&order).await;
}

#[tokio::test]
async fn what_would_make_it_another_message_or_a_broken_one_is_refused() {
    let scene = Scene::with(0, "").await;
    let order = Uuid::new_v4().to_string();
    let id = poisoned(&scene, &order).await;
    let replace = |path: &str, value: Value| {
        json!([{ "op": "replace", "path": path, "value": value }]).to_string()
    };
    let other = Uuid::new_v4().to_string();
    for (patch, word) in [
        (replace("/subject", json!(other)), "subject"),
        (
            replace("/id", json!(format!("{other}/payment.charge"))),
            "id",
        ),
        (replace("/type", json!("waybill.payment.refund.v1")), "type"),
        (replace("/data/amount", json!(-1)), "contract"),
    ] {
        let refused = scene
            .failures(&["edit", &id, "--patch", &patch, "--yes"])
            .await;
        assert_eq!(refused.code, 3, "{refused:?}");
        assert!(refused.stderr.contains(word), "{word}: {refused:?}");
    }
    let wrong = scene
        .failures(&["edit", &id, "--patch", "{", "--yes"])
        .await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert_eq!(scene.show(&id).await["status"], "waiting");
    scene
        .failures(&["archive", &id, "--why", "the test is over"])
        .await;
}

#[tokio::test]
async fn an_editor_gets_no_task_token_and_the_copy_has_it() {
    let scene = Scene::with(0, "").await;
    let order = Uuid::new_v4().to_string();
    let mut charge = messages::command(
        &order,
        "payment.charge",
        messages::charge(100, "pm_card_visa"),
    );
    charge["tasktoken"] = json!("SECRET-TOKEN-OF-THE-TEST");
    let id = scene.dead_letter("Payment", &charge.to_string()).await;
    wait_until("it is in the store", QUICKLY, async || {
        let drained = scene.failures(&["drain", "payment-dlq"]).await;
        match scene.failures(&["show", &id]).await.code {
            0 => Ok(()),
            _ => Err(format!("{drained:?}")),
        }
    })
    .await;
    let seen = std::env::temp_dir().join(format!("waybill-test-{id}"));
    let editor = format!(
        "sh -c 'cp \"$0\" {}; sed -i s/100/200/ \"$0\"'",
        seen.display()
    );
    let arguments = ["failures", "edit", &id, "--yes", "--output", "json"].map(str::to_owned);
    let edited = tokio::task::spawn_blocking(move || {
        Command::new("waybill")
            .args(arguments)
            .env_remove("VISUAL")
            .env("EDITOR", editor)
            .output()
    });
    let edited = edited.await.unwrap().unwrap();
    assert!(edited.status.success(), "{edited:?}");
    let was_shown = std::fs::read_to_string(&seen).unwrap();
    std::fs::remove_file(&seen).unwrap();
    assert!(
        was_shown.contains("(task token)") && !was_shown.contains("SECRET"),
        "{was_shown}"
    );

    let copy: Value = serde_json::from_slice(&edited.stdout).unwrap();
    let copy = copy["copy"].as_str().unwrap().to_owned();
    let replayed = scene.failures(&["replay", &copy, "--yes"]).await;
    assert_eq!(replayed.code, 0, "{replayed:?}");
    let shown = scene.has_status(&copy, "resolved").await;
    assert!(!shown.to_string().contains("SECRET"));
    let effects = scene.environment.ledger(&order).await;
    assert_eq!(
        effects
            .iter()
            .map(|effect| effect.amount)
            .collect::<Vec<_>>(),
        [200]
    );
    assert_eq!(
        array(&shown["history"]).first().unwrap()["action"],
        "stored"
    );
    scene.environment.forget(&order).await;
}
