//! Replays by `waybill failures replay`, by several people at once, and with kills.

use std::process::{Command, Stdio};

use serde_json::Value;
use waybill_tests::{QUICKLY, SLOWLY, unique, wait_until};

use crate::operator_scene::{Scene, array, times};

#[tokio::test]
async fn a_replay_is_a_dry_run_until_somebody_says_yes() {
    let scene = Scene::with(2, "pm_card_visa").await;
    let dry = scene.failures(&["replay", "--error", &scene.error]).await;
    assert_eq!(dry.code, 0, "{dry:?}");
    let dry = dry.json();
    assert_eq!(dry["dryRun"], true);
    assert_eq!(array(&dry["messages"]).len(), 2);
    assert_eq!(dry["groups"][0]["canaries"], 1);
    assert!(dry["cutOff"].is_string());
    for charge in &scene.charges {
        assert_eq!(scene.show(&charge.id).await["status"], "waiting");
    }
    let nothing = scene.failures(&["replay", "--yes"]).await;
    assert_eq!(nothing.code, 2, "nothing is meant by nothing: {nothing:?}");

    let sent = scene
        .failures(&["replay", "--error", &scene.error, "--yes"])
        .await;
    assert_eq!(sent.code, 0, "{sent:?}");
    assert_eq!(sent.json()["processed"], 2);
    scene.each_once().await;
    let replays = scene.failures(&["replays", "--limit", "1000"]).await.json();
    let id = &sent.json()["replay"];
    let listed = array(&replays["replays"]);
    let listed = listed.iter().find(|replay| replay["id"] == *id).unwrap();
    assert_eq!(listed["processed"], 2, "{listed}");
    let shown = scene
        .failures(&["replays", "show", id.as_str().unwrap()])
        .await
        .json();
    assert!(
        array(&shown["messages"])
            .iter()
            .all(|message| message["state"] == "processed")
    );
    scene.forget().await;
}

#[tokio::test]
async fn two_operators_who_press_replay_at_once_send_each_message_once() {
    let scene = Scene::with(6, "pm_card_visa").await;
    let replay = ["replay", "--error", &scene.error, "--yes", "--rate", "50"];
    let (ada, bob) = tokio::join!(scene.failures(&replay), scene.failures(&replay));
    scene.each_once().await;
    let processed = |ran: &waybill_tests::Ran| ran.json()["processed"].as_u64().unwrap_or_default();
    assert_eq!(processed(&ada) + processed(&bob), 6, "{ada:?} {bob:?}");
    for ran in [&ada, &bob] {
        assert!([0, 3].contains(&ran.code), "{ran:?}");
    }
    scene.forget().await;
}

#[tokio::test]
async fn a_single_replay_inside_a_batch_duplicates_nothing() {
    let scene = Scene::with(5, "pm_card_visa").await;
    let last = scene.charges[4].id.clone();
    let batch = ["replay", "--error", &scene.error, "--yes", "--rate", "2"];
    let single = ["replay", &last, "--yes"];
    let (batch, single) = tokio::join!(scene.failures(&batch), scene.failures(&single));
    scene.each_once().await;
    assert!([0, 3].contains(&single.code), "{single:?}");
    assert_eq!(batch.code, 0, "{batch:?}");
    scene.forget().await;
}

#[tokio::test]
async fn a_replay_during_a_drain_loses_and_repeats_nothing() {
    let mut scene = Scene::with(4, "pm_card_visa").await;
    scene.die(4, "pm_card_visa").await;
    let replay = ["replay", "--error", &scene.error, "--yes"];
    let (drain, replayed) = tokio::join!(
        scene.failures(&["drain", "payment-dlq"]),
        scene.failures(&replay)
    );
    assert_eq!(
        (drain.code, replayed.code),
        (0, 0),
        "{drain:?} {replayed:?}"
    );
    scene.drained().await;
    // What the first plan did not have is for another.
    scene.failures(&replay).await;
    scene.each_once().await;
    scene.forget().await;
}

#[tokio::test]
async fn a_replay_that_was_killed_goes_on_where_it_was() {
    let scene = Scene::with(12, "pm_card_visa").await;
    let why = unique("why");
    let mut killed = Command::new("waybill")
        .args([
            "failures",
            "replay",
            "--error",
            &scene.error,
            "--yes",
            "--rate",
            "2",
            "--why",
            &why,
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("some are sent", QUICKLY, async || {
        let moved = scene.list(&["--status", "replaying,resolved"]).await.len();
        if moved >= 3 {
            Ok(())
        } else {
            Err(moved.to_string())
        }
    })
    .await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    let waiting = scene.list(&["--status", "waiting"]).await.len();
    assert!(waiting > 0, "it was killed in the middle");

    let replays = array(&scene.failures(&["replays", "--limit", "1000"]).await.json()["replays"]);
    let replay = replays.iter().find(|replay| replay["why"] == why).unwrap();
    let id = replay["id"].as_str().unwrap();
    let resumed = scene.failures(&["replay", "--resume", id, "--yes"]).await;
    assert_eq!(resumed.code, 0, "{resumed:?}");
    assert_eq!(resumed.json()["processed"], 12);
    for charge in &scene.charges {
        scene.has_status(&charge.id, "resolved").await;
        scene.one_effect(charge).await;
    }
    scene.forget().await;
}

#[tokio::test]
async fn a_canary_that_fails_again_keeps_the_rest_of_its_group_from_being_sent() {
    let scene = Scene::with(3, "sandbox_unavailable").await;
    let replayed = scene
        .failures(&["replay", "--error", &scene.error, "--yes"])
        .await;
    assert_eq!(replayed.code, 8, "{replayed:?}");
    let replayed = replayed.json();
    assert_eq!(
        (&replayed["failedAgain"], &replayed["processed"]),
        (&Value::from(1), &Value::from(0))
    );
    assert_eq!(array(&replayed["aborted"]).len(), 1);
    let mut failed_again = 0;
    for charge in &scene.charges {
        let shown = scene.show(&charge.id).await;
        assert_eq!(shown["status"], "waiting", "{shown:#}");
        failed_again += times(&shown, "failed-again");
        assert_eq!(
            times(&shown, "claimed"),
            times(&shown, "failed-again"),
            "{shown:#}"
        );
        let archived = scene
            .failures(&["archive", &charge.id, "--why", "the test is over"])
            .await;
        assert_eq!(archived.code, 0, "{archived:?}");
    }
    assert_eq!(failed_again, 1, "only the canary");
    scene.forget().await;
}

#[tokio::test]
async fn a_message_that_failed_again_is_counted_and_succeeds_the_next_time() {
    // Five failures use up the receives of the first replay.
    let scene = Scene::with(1, "sandbox_flaky_5").await;
    let id = scene.charges[0].id.clone();
    let first = scene.failures(&["replay", &id, "--yes"]).await;
    assert_eq!(first.code, 8, "{first:?}");
    let shown = scene.show(&id).await;
    assert_eq!(
        (&shown["failed"], &shown["status"]),
        (&Value::from(2), &Value::from("waiting"))
    );
    let second = scene.failures(&["replay", &id, "--yes"]).await;
    assert_eq!(second.code, 0, "{second:?}");
    scene.has_status(&id, "resolved").await;
    scene.one_effect(&scene.charges[0]).await;
    scene.forget().await;
}

#[tokio::test]
async fn a_message_goes_to_another_consumer_only_if_that_one_reads_it() {
    let scene = Scene::with(1, "pm_card_visa").await;
    let id = scene.charges[0].id.clone();
    let refused = scene
        .failures(&["replay", &id, "--to", "stock", "--yes"])
        .await;
    assert_eq!(refused.code, 3, "{refused:?}");
    assert_eq!(scene.show(&id).await["status"], "waiting");
    let sent = scene
        .failures(&["replay", &id, "--to", "audit", "--yes"])
        .await;
    assert_eq!(sent.code, 0, "{sent:?}");
    wait_until("the audit has it", SLOWLY, async || {
        match scene.environment.audit(&scene.charges[0].order).await.len() {
            0 => Err("nothing".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    assert!(
        scene
            .environment
            .ledger(&scene.charges[0].order)
            .await
            .is_empty()
    );
    scene.forget().await;
}
