//! Finding, showing, noting, putting aside and exporting failures with `waybill failures`.

use serde_json::{Value, json};
use uuid::Uuid;
use waybill_tests::{QUICKLY, messages, wait_until};

use crate::operator_scene::{Scene, array, times};

#[tokio::test]
async fn failures_are_found_by_everything_that_is_known_of_them() {
    let scene = Scene::with(3, "pm_card_visa").await;
    let charge = &scene.charges[0];
    let group = scene.show(&charge.id).await["group"]
        .as_str()
        .unwrap()
        .to_owned();
    for (flags, expected) in [
        (vec!["--group", &group], 3),
        (vec!["--consumer", "payment"], 3),
        (vec!["--consumer", "stock"], 0),
        (vec!["--class", "business"], 3),
        (vec!["--class", "poison"], 0),
        (vec!["--type", "waybill.payment.charge.v1"], 3),
        (vec!["--order", &charge.order], 1),
        (vec!["--text", "TEST SAYS SO"], 3),
        (vec!["--text", &charge.order[..13]], 1),
        (vec!["--status", "resolved"], 0),
        (
            vec![
                "--since",
                "2026-11-21T17:00:00Z",
                "--until",
                "2026-11-21T18:00:00Z",
            ],
            3,
        ),
        (vec!["--until", "2026-11-21T17:00:00Z"], 0),
        (vec!["--sort", "stored"], 3),
        (vec!["--sort", "first-seen"], 3),
        (vec!["--limit", "2"], 2),
    ] {
        assert_eq!(scene.list(&flags).await.len(), expected, "{flags:?}");
    }
    let wrong = scene.failures(&["list", "--since", "yesterday"]).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    let unknown = scene.failures(&["show", "nobody-has-this-id"]).await;
    assert_eq!(unknown.code, 4, "{unknown:?}");
    done(&scene).await;
}

#[tokio::test]
async fn what_is_shown_and_exported_has_no_token_and_no_address() {
    let scene = Scene::with(0, "").await;
    let order = Uuid::new_v4().to_string();
    let mut ship = messages::command(&order, "shipment.create", messages::ship("MUG", 1));
    ship["tasktoken"] = json!("SECRET-TOKEN-OF-THE-TEST");
    let address = ship["data"]["shipTo"]["line1"].as_str().unwrap().to_owned();
    let id = scene.dead_letter("Shipping", &ship.to_string()).await;
    let cut = ship.to_string();
    let broken = scene.dead_letter("Shipping", &cut[..cut.len() - 10]).await;
    wait_until("they are in the store", QUICKLY, async || {
        let drained = scene.failures(&["drain", "shipping-dlq"]).await;
        match scene.failures(&["show", &id, &broken]).await.code {
            0 => Ok(()),
            _ => Err(format!("{drained:?}")),
        }
    })
    .await;
    for arguments in [
        vec!["show", &id, &broken],
        vec!["export", &id, &broken],
        vec!["export", &id, &broken, "--format", "csv"],
    ] {
        let shown = scene.failures(&arguments).await;
        assert_eq!(shown.code, 0, "{shown:?}");
        assert!(!shown.stdout.contains("SECRET"), "{arguments:?}");
        assert!(!shown.stdout.contains(&address), "{arguments:?}");
    }
    let personal = scene.failures(&["show", &id, &broken, "--personal"]).await;
    assert!(personal.stdout.contains(&address) && !personal.stdout.contains("SECRET"));
    let text = scene
        .environment
        .waybill_text(&["failures", "show", &id])
        .await;
    assert!(
        text.stdout.contains("history") && !text.stdout.contains("SECRET"),
        "{text:?}"
    );
    for id in [&id, &broken] {
        scene
            .failures(&["archive", id, "--why", "the test is over"])
            .await;
    }
}

#[tokio::test]
async fn what_is_archived_is_not_replayed_until_it_is_restored() {
    let scene = Scene::with(2, "pm_card_visa").await;
    let dry = scene
        .failures(&["archive", "--error", &scene.error, "--why", "not ours"])
        .await;
    assert_eq!(
        (dry.code, &dry.json()["messages"]),
        (0, &json!(2)),
        "{dry:?}"
    );
    assert_eq!(scene.list(&["--status", "waiting"]).await.len(), 2);
    let archived = scene
        .failures(&[
            "archive",
            "--error",
            &scene.error,
            "--why",
            "not ours",
            "--keep",
            "1d",
            "--yes",
        ])
        .await;
    assert_eq!(archived.code, 0, "{archived:?}");
    assert_eq!(array(&archived.json()["changed"]).len(), 2);
    let id = &scene.charges[0].id;
    let shown = scene.show(id).await;
    assert_eq!(shown["status"], "archived");
    assert!(shown["expiresAt"].is_string(), "{shown}");
    assert!(
        scene.list(&[]).await.is_empty(),
        "only the open ones are listed"
    );
    let refused = scene.failures(&["replay", id, "--yes"]).await;
    assert_eq!(refused.code, 3, "{refused:?}");
    let twice = scene.failures(&["archive", id, "--why", "again"]).await;
    assert_eq!(twice.code, 3, "{twice:?}");
    let restored = scene
        .failures(&["restore", "--error", &scene.error, "--yes"])
        .await;
    assert_eq!(array(&restored.json()["changed"]).len(), 2, "{restored:?}");
    assert_eq!(scene.list(&["--status", "waiting"]).await.len(), 2);
    assert!(scene.show(id).await["expiresAt"].is_null());
    done(&scene).await;
}

#[tokio::test]
async fn notes_and_resolutions_are_in_the_history_with_who_and_when() {
    let scene = Scene::with(1, "pm_card_visa").await;
    let id = scene.charges[0].id.clone();
    let noted = scene.failures(&["note", &id, "asked the provider"]).await;
    assert_eq!(noted.code, 0, "{noted:?}");
    let group = scene.show(&id).await["group"].as_str().unwrap().to_owned();
    let noted = scene
        .failures(&["note", "--group", &group, "known trouble"])
        .await;
    assert_eq!(noted.code, 0, "{noted:?}");
    let groups = array(&scene.failures(&["groups"]).await.json()["groups"]);
    let listed = groups
        .iter()
        .find(|known| known["id"] == group.as_str())
        .unwrap();
    assert_eq!(
        (&listed["note"], &listed["open"]),
        (&json!("known trouble"), &json!(1))
    );
    let by = listed["notes"][0]["by"].as_str().unwrap();
    assert!(by.contains("arn:aws"), "{listed}");
    let resolved = scene
        .failures(&["resolve", &id, "--why", "paid in cash"])
        .await;
    assert_eq!(resolved.code, 0, "{resolved:?}");
    let shown = scene.show(&id).await;
    assert_eq!(
        (&shown["status"], &shown["note"]),
        (&json!("resolved"), &json!("asked the provider"))
    );
    assert_eq!(
        (times(&shown, "noted"), times(&shown, "resolved-by-hand")),
        (1, 1)
    );
    for entry in array(&shown["history"]).iter().skip(1) {
        assert!(
            entry["by"]
                .as_str()
                .is_some_and(|by| by.starts_with("arn:")),
            "{entry}"
        );
        assert!(entry["at"].is_string());
    }
}

#[tokio::test]
async fn an_export_can_be_read_again() {
    let scene = Scene::with(3, "pm_card_visa").await;
    let lines = scene.failures(&["export", "--error", &scene.error]).await;
    let exported: Vec<Value> = lines
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut ids: Vec<_> = exported
        .iter()
        .map(|failure| failure["id"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    let mut expected: Vec<_> = scene
        .charges
        .iter()
        .map(|charge| charge.id.as_str())
        .collect();
    expected.sort_unstable();
    assert_eq!(ids, expected);

    let file = std::env::temp_dir().join(format!("waybill-{}.csv", scene.error));
    let path = file.to_str().unwrap();
    let written = scene
        .failures(&[
            "export",
            "--error",
            &scene.error,
            "--format",
            "csv",
            "--file",
            path,
        ])
        .await;
    assert_eq!(written.code, 0, "{written:?}");
    let mut reader = csv::Reader::from_path(&file).unwrap();
    let columns = reader.headers().unwrap().clone();
    let body = columns.iter().position(|column| column == "body").unwrap();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 3);
    for row in rows {
        serde_json::from_str::<Value>(&row[body]).unwrap();
    }
    let again = scene
        .failures(&["export", "--format", "csv", "--file", path])
        .await;
    assert_eq!(
        again.code, 2,
        "a file that is there is not overwritten: {again:?}"
    );
    std::fs::remove_file(&file).unwrap();
    done(&scene).await;
}

/// What waits for nobody is put aside.
async fn done(scene: &Scene) {
    let archived = scene
        .failures(&[
            "archive",
            "--error",
            &scene.error,
            "--why",
            "the test is over",
            "--yes",
        ])
        .await;
    assert_eq!(archived.code, 0, "{archived:?}");
}
