//! A store that fails, and requests at the edge of what is accepted.

use domain::EventKind;
use serde_json::json;
use testkit::{Fault, Operation, World, fixtures};

use crate::client::{Request, send_signed};

#[tokio::test(start_paused = true)]
async fn an_order_that_could_not_be_stored_is_not_acknowledged_and_can_be_sent_again() {
    for (fault, is_stored) in [(Fault::ErrorBefore, false), (Fault::ErrorAfter, true)] {
        let world = World::new();
        world.fail(Operation::AcceptOrder, 0, fault);
        let refused = send_signed(&world, &Request::post()).await;
        assert_eq!(refused.status, 503, "{fault:?}");
        assert_eq!(refused.problem(), "unavailable");
        assert_eq!(refused.header("retry-after"), Some("2"));
        for internal in ["testkit", "injected", "AcceptOrder", "DynamoDB"] {
            assert!(!refused.text.contains(internal), "{internal}: {refused:?}");
        }

        let again = send_signed(&world, &Request::post()).await;
        assert_eq!(again.status, 202, "{fault:?}");
        let replayed = again.header("idempotency-replayed").is_some();
        assert_eq!(replayed, is_stored, "{fault:?}");
        let events = world.events(again.order_id());
        assert_eq!(events, [EventKind::OrderPlaced], "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_that_cannot_be_read_now_is_unavailable_and_not_unknown() {
    let world = World::new();
    let order = send_signed(&world, &Request::post()).await.order_id();
    world.fail(Operation::FindOrder, 0, Fault::ErrorBefore);
    let request = Request::get(&order.to_string());
    let refused = send_signed(&world, &request).await;
    assert_eq!((refused.status, refused.problem()), (503, "unavailable"));
    assert_eq!(refused.header("retry-after"), Some("2"));
    assert!(!refused.text.contains("injected"), "{refused:?}");
    assert_eq!(send_signed(&world, &request).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_none_is_not_looked_up() {
    let world = World::new();
    for wrong in ["", "7", "5520E7E7-394C-5DDD-8CF1-6D92723EA28E", "../orders"] {
        let answer = send_signed(&world, &Request::get(wrong)).await;
        assert_eq!((answer.status, answer.problem()), (404, "order-not-found"));
    }
    assert_eq!(world.calls(), []);
}

#[tokio::test(start_paused = true)]
async fn the_largest_body_is_accepted_and_one_more_byte_is_not() {
    const LARGEST: usize = 64 * 1024;
    for (length, status) in [(LARGEST, 202), (LARGEST + 1, 413)] {
        let order = fixtures::order_request().to_string();
        let padding = " ".repeat(length - order.len());
        let request = Request::post().text(&(order + &padding));
        assert_eq!(send_signed(&World::new(), &request).await.status, status);
        let mut encoded = request;
        let body = encoded.0["body"].as_str().unwrap();
        encoded.0["body"] = json!(aws_smithy_types::base64::encode(body));
        encoded.0["isBase64Encoded"] = json!(true);
        assert_eq!(send_signed(&World::new(), &encoded).await.status, status);
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_key_is_accepted_and_one_more_character_is_not() {
    for (key, status, problem) in [
        ("k".repeat(255), 202, None),
        ("k".repeat(256), 400, Some("invalid-idempotency-key")),
        (" ".to_owned(), 400, Some("invalid-idempotency-key")),
        (String::new(), 400, Some("missing-idempotency-key")),
    ] {
        let answer = send_signed(&World::new(), &Request::post().key(&key)).await;
        assert_eq!(answer.status, status, "{key}");
        if let Some(problem) = problem {
            assert_eq!(answer.problem(), problem, "{key}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_fault_of_an_order_is_listed_with_its_place() {
    let answer = send_signed(&World::new(), &Request::sample("post-order-invalid")).await;
    assert_eq!((answer.status, answer.problem()), (422, "invalid-order"));
    let errors = answer.body["errors"].as_array().unwrap();
    let mut places: Vec<_> = errors.iter().map(|error| &error["pointer"]).collect();
    places.sort_by_key(|place| place.to_string());
    let expected = [
        "/coupon",
        "/currency",
        "/items/0/quantity",
        "/items/0/sku",
        "/items/0/unitPrice",
        "/payment",
    ];
    assert_eq!(places, expected);
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_is_not_stored() {
    for sample in [
        "post-order-invalid",
        "post-order-malformed",
        "post-order-not-json",
        "post-order-without-key",
    ] {
        let world = World::new();
        let answer = send_signed(&world, &Request::sample(sample)).await;
        assert!((400..500).contains(&answer.status), "{sample}");
        assert_eq!(answer.body["correlationId"], "req-2026-11-21-0001");
        assert_eq!(world.calls(), [], "{sample}");
    }
}
