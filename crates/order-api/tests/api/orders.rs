//! Placing an order, once, and seeing it.

use contracts::{Event, EventMessage, Reason};
use domain::{EventKind, OrderStatus};
use serde_json::json;
use testkit::{Operation, VirtualClock, World, fixtures};

use crate::client::{Request, send_signed};

#[tokio::test(start_paused = true)]
async fn a_placed_order_is_stored_with_its_first_event_before_it_is_acknowledged() {
    let world = World::new();
    let answer = send_signed(&world, &Request::post()).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let order = answer.order_id();
    let place = format!("/orders/{order}");
    assert_eq!(answer.header("location"), Some(place.as_str()));
    assert_eq!(answer.header("idempotency-replayed"), None);
    let expected = json!({
        "orderId": order.to_string(),
        "status": "accepted",
        "correlationId": "req-2026-11-21-0001",
        "total": { "amount": 2500, "currency": "EUR" },
        "links": { "self": place },
    });
    assert_eq!(answer.body, expected);

    assert_eq!(world.calls(), [Operation::AcceptOrder]);
    assert_eq!(world.status(order), Some(OrderStatus::Accepted));
    let placed = EventMessage::parse(&world.timeline(order)[0].json).unwrap();
    assert_eq!(placed.kind, EventKind::OrderPlaced);
    assert_eq!(placed.placed_order().unwrap(), fixtures::new_order());
    assert_eq!(placed.envelope.id, format!("{order}/order.placed"));
    assert_eq!(placed.envelope.correlation.as_str(), "req-2026-11-21-0001");
}

#[tokio::test(start_paused = true)]
async fn the_same_key_and_content_get_the_same_answer_marked_as_a_replay() {
    let world = World::new();
    let first = send_signed(&world, &Request::post()).await;
    let pretty = serde_json::to_string_pretty(&fixtures::order_request()).unwrap();
    let request = Request::post()
        .text(&pretty)
        .header("x-correlation-id", "another-request");
    let mut again = send_signed(&world, &request).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    again
        .headers
        .retain(|(name, _)| name != "idempotency-replayed");
    assert_eq!(again, first);
    assert_eq!(world.events(first.order_id()), [EventKind::OrderPlaced]);
}

#[tokio::test(start_paused = true)]
async fn a_replay_answers_as_at_first_also_when_the_order_is_further() {
    let world = World::new();
    let first = send_signed(&world, &Request::post()).await;
    let at = fixtures::timestamp(VirtualClock::START);
    world.conclude(first.order_id(), &Event::OrderCompleted, at);
    let again = send_signed(&world, &Request::post()).await;
    assert_eq!((again.status, &again.body), (202, &first.body));
}

#[tokio::test(start_paused = true)]
async fn the_same_key_with_other_content_is_refused_and_changes_nothing() {
    let world = World::new();
    let first = send_signed(&world, &Request::post()).await;
    let mut other = fixtures::order_request();
    other["items"][0]["quantity"] = json!(3);
    let refused = send_signed(&world, &Request::post().body(&other)).await;
    assert_eq!(refused.status, 422);
    assert_eq!(refused.problem(), "idempotency-key-reused");
    assert_eq!(world.events(first.order_id()).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn another_key_or_another_customer_is_another_order() {
    let world = World::new();
    let first = send_signed(&world, &Request::post()).await;
    let other_key = send_signed(&world, &Request::post().key("other")).await;
    let mut order = fixtures::order_request();
    order["customerId"] = json!("cus_43");
    let other_customer = send_signed(&world, &Request::post().body(&order)).await;
    assert_ne!(first.order_id(), other_key.order_id());
    assert_ne!(first.order_id(), other_customer.order_id());
    assert_eq!((other_key.status, other_customer.status), (202, 202));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_the_gateway_encoded_is_the_same_order() {
    let world = World::new();
    let plain = send_signed(&world, &Request::sample("post-order")).await;
    let encoded = send_signed(&world, &Request::sample("post-order-base64")).await;
    assert_eq!(encoded.header("idempotency-replayed"), Some("true"));
    assert_eq!(encoded.body, plain.body);
}

#[tokio::test(start_paused = true)]
async fn an_order_is_shown_with_its_timeline_and_the_reason_of_its_failure() {
    let world = World::new();
    let order = send_signed(&world, &Request::post()).await.order_id();
    let reason = Reason {
        code: "out-of-stock".to_owned(),
        message: "not enough pieces in stock".to_owned(),
    };
    let at = fixtures::timestamp(VirtualClock::START);
    world.conclude(order, &Event::OrderFailed(reason), at);

    let shown = send_signed(&world, &Request::get(&order.to_string())).await;
    assert_eq!(shown.status, 200);
    assert_eq!(shown.body["status"], "failed");
    assert_eq!(shown.body["reason"]["code"], "out-of-stock");
    let time = "2026-11-21T17:56:15.859Z";
    assert_eq!(
        shown.body["timeline"],
        json!([
            { "type": "waybill.order.placed.v1", "time": time, "sequence": 1 },
            { "type": "waybill.order.failed.v1", "time": time, "sequence": 2 },
        ])
    );
}

#[tokio::test(start_paused = true)]
async fn an_order_shows_nothing_of_the_customers_address_or_means_of_payment() {
    let world = World::new();
    let order = send_signed(&world, &Request::post()).await.order_id();
    let shown = send_signed(&world, &Request::get(&order.to_string())).await;
    for secret in ["Ada", "Invalidenstra", "10115", "pm_card_visa"] {
        assert!(!shown.text.contains(secret), "{secret} is in {shown:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_usable_correlation_id_the_gateways_request_id_serves() {
    for given in [None, Some("has spaces in it"), Some("")] {
        let request = match given {
            Some(text) => Request::post().header("x-correlation-id", text),
            None => Request::post().without_header("x-correlation-id"),
        };
        let own = request.0["requestContext"]["requestId"].clone();
        let answer = send_signed(&World::new(), &request).await;
        assert_eq!(answer.body["correlationId"], own, "{given:?}");
        assert_eq!(answer.header("x-correlation-id"), own.as_str());
    }
}

#[tokio::test(start_paused = true)]
async fn without_any_id_of_the_request_the_orders_own_serves() {
    let mut request = Request::post().without_header("x-correlation-id");
    request.0["requestContext"]
        .as_object_mut()
        .unwrap()
        .remove("requestId");
    let answer = send_signed(&World::new(), &request).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.body["correlationId"], answer.body["orderId"]);
}

#[tokio::test(start_paused = true)]
async fn the_callers_trace_goes_on_and_otherwise_the_one_that_aws_began() {
    let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let xray = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    let taken_over = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
    for (traceparent, expected) in [(given, given), ("nonsense", taken_over)] {
        let world = World::new();
        let request = Request::post()
            .header("traceparent", traceparent)
            .header("x-amzn-trace-id", xray);
        let order = send_signed(&world, &request).await.order_id();
        let placed = EventMessage::parse(&world.timeline(order)[0].json).unwrap();
        assert_eq!(placed.envelope.trace.unwrap().as_str(), expected);
    }
}
