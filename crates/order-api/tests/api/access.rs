//! With tokens, customers act for themselves alone.

use order_api::Access;
use testkit::{Operation, World};

use crate::client::{Request, send, send_signed};

#[tokio::test(start_paused = true)]
async fn a_customer_places_and_sees_their_own_order() {
    let world = World::new();
    let placed = send(&world, Access::Jwt, &Request::sample("post-order-jwt")).await;
    assert_eq!(placed.status, 202, "{placed:?}");
    let shown = send(&world, Access::Jwt, &Request::sample("get-order-jwt")).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    assert_eq!(shown.order_id(), placed.order_id());
}

#[tokio::test(start_paused = true)]
async fn an_order_for_another_customer_is_refused_and_not_stored() {
    let world = World::new();
    let request = Request::sample("post-order-jwt-other-customer");
    let refused = send(&world, Access::Jwt, &request).await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.problem(), "not-your-order");
    assert_eq!(world.calls(), []);
}

#[tokio::test(start_paused = true)]
async fn the_order_of_another_customer_looks_as_if_there_were_none() {
    let world = World::new();
    let order = send_signed(&world, &Request::post()).await.order_id();
    let request = Request::get(&order.to_string());
    let others = send(&world, Access::Jwt, &request.clone().of_customer("cus_666")).await;
    let unknown = Request::sample("get-order-unknown").of_customer("cus_666");
    let none = send(&world, Access::Jwt, &unknown).await;
    assert_eq!((others.status, none.status), (404, 404));
    assert_eq!(others.body, none.body);

    let own = send(&world, Access::Jwt, &request.of_customer("cus_42")).await;
    assert_eq!(own.status, 200);
}

#[tokio::test(start_paused = true)]
async fn without_a_checked_token_a_customer_may_nothing() {
    let world = World::new();
    let order = send_signed(&world, &Request::post()).await.order_id();
    // The samples of IAM carry no token.
    let placed = send(&world, Access::Jwt, &Request::post().key("new")).await;
    assert_eq!(placed.status, 403);
    let shown = send(&world, Access::Jwt, &Request::get(&order.to_string())).await;
    assert_eq!(shown.status, 404);
    assert_eq!(
        world.calls(),
        [Operation::AcceptOrder, Operation::FindOrder]
    );
}

#[tokio::test(start_paused = true)]
async fn a_system_acts_for_all_customers() {
    let world = World::new();
    let order = send(&world, Access::Jwt, &Request::sample("post-order-jwt"))
        .await
        .order_id();
    let shown = send_signed(&world, &Request::get(&order.to_string())).await;
    assert_eq!(shown.status, 200);
}
