//! What the values of the domain accept, how they read, and what an event makes of an order.

#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test is its failure report"
)]

use domain::{
    Address, Currency, CustomerId, EventKind, Item, MAX_TOTAL, Money, NewOrder, OrderFault,
    OrderStatus, PaymentMethod, Quantity, Sku, Step, UnitPrice, check_items, evolve,
};

fn item(quantity: u32, price: u64) -> Item {
    Item {
        sku: Sku::new("MUG-RED").unwrap(),
        quantity: Quantity::new(quantity).unwrap(),
        unit_price: UnitPrice::new(price).unwrap(),
    }
}

fn address() -> Address {
    Address::new("Ada", "Street 1", Some("Yard"), "Berlin", "10115", "DE").unwrap()
}

#[test]
fn an_address_keeps_each_of_its_parts() {
    let address = address();
    assert_eq!(address.name(), "Ada");
    assert_eq!(address.line1(), "Street 1");
    assert_eq!(address.line2(), Some("Yard"));
    assert_eq!(address.city(), "Berlin");
    assert_eq!(address.postal_code(), "10115");
    assert_eq!(address.country(), "DE");
}

#[test]
fn a_part_of_an_address_has_a_length_and_no_control_characters() {
    #[track_caller]
    fn check<E>(part: fn(&str) -> Result<String, E>, longest: usize) {
        let text = "ä".repeat(longest);
        assert!(part(&text).is_ok_and(|accepted| accepted == text));
        for refused in ["", "  ", "a\nb", &"ä".repeat(longest + 1)] {
            assert!(part(refused).is_err(), "{refused:?}");
        }
    }
    check(Address::check_name, 200);
    check(Address::check_line, 200);
    check(Address::check_postal_code, 20);
}

#[test]
fn a_country_is_two_upper_case_letters() {
    assert_eq!(Address::check_country("DE").unwrap(), "DE");
    for refused in ["", "D", "de", "D1", "DEU"] {
        assert!(Address::check_country(refused).is_err(), "{refused:?}");
    }
}

#[test]
fn an_order_keeps_what_was_ordered() {
    let customer = CustomerId::new("cus_42").unwrap();
    let currency = Currency::new("EUR").unwrap();
    let method = PaymentMethod::new("pm_card_visa").unwrap();
    let items = vec![item(2, 1250)];
    let order = NewOrder::new(customer, currency, items.clone(), method, address()).unwrap();
    assert_eq!(order.customer().as_str(), "cus_42");
    assert_eq!(order.currency(), currency);
    assert_eq!(order.items(), items);
    assert_eq!(order.payment_method().as_str(), "pm_card_visa");
    assert_eq!(*order.ship_to(), address());
    let amount = 2500;
    assert_eq!(order.total(), Money { amount, currency });
}

#[test]
fn the_largest_total_is_accepted_and_nothing_above_it() {
    let largest = item(100, 1_000_000_000);
    assert_eq!(check_items(std::slice::from_ref(&largest)), Ok(MAX_TOTAL));
    let one_more = [largest, item(1, 1)];
    assert_eq!(check_items(&one_more), Err(OrderFault::TotalTooLarge));
}

#[test]
fn money_reads_as_minor_units_and_currency() {
    let currency = Currency::new("EUR").unwrap();
    assert_eq!(currency.to_string(), "EUR");
    let amount = 2500;
    assert_eq!(Money { amount, currency }.to_string(), "2500 EUR");
}

#[test]
fn an_order_is_final_where_nothing_more_happens_by_itself() {
    let is_final = |status: &OrderStatus| status.is_final();
    let (ended, open): (Vec<_>, Vec<_>) = OrderStatus::ALL.into_iter().partition(is_final);
    assert_eq!(
        ended,
        [
            OrderStatus::Completed,
            OrderStatus::Failed,
            OrderStatus::NeedsAttention
        ]
    );
    assert_eq!(
        open,
        [
            OrderStatus::Accepted,
            OrderStatus::Paid,
            OrderStatus::Reserved,
            OrderStatus::Shipped
        ]
    );
}

#[test]
fn every_step_forward_and_every_end_sets_the_status_and_no_undo_does() {
    let statuses: Vec<_> = EventKind::ALL.into_iter().map(evolve).collect();
    assert_eq!(
        statuses,
        [
            Some(OrderStatus::Accepted),
            Some(OrderStatus::Paid),
            None,
            None,
            Some(OrderStatus::Reserved),
            None,
            None,
            Some(OrderStatus::Shipped),
            None,
            Some(OrderStatus::Completed),
            Some(OrderStatus::Failed),
            Some(OrderStatus::NeedsAttention),
        ]
    );
}

#[test]
fn names_are_shown_as_they_are_on_the_wire() {
    for status in OrderStatus::ALL {
        assert_eq!(status.to_string(), status.as_str());
    }
    for step in Step::ALL {
        assert_eq!(step.to_string(), step.as_str());
    }
    for kind in EventKind::ALL {
        assert_eq!(kind.to_string(), kind.as_str());
    }
    assert_eq!(OrderStatus::NeedsAttention.as_str(), "needs-attention");
    assert_eq!(Step::CancelShipment.as_str(), "shipment.cancel");
    assert_eq!(
        EventKind::OrderNeedsAttention.as_str(),
        "order.needs-attention"
    );
}

#[test]
fn an_id_is_visible_ascii_of_bounded_length() {
    let longest = "x".repeat(128);
    assert_eq!(CustomerId::new(&longest).unwrap().as_str(), longest);
    for refused in ["", "two words", "ä", "tab\t", &"x".repeat(129)] {
        assert!(CustomerId::new(refused).is_err(), "{refused:?}");
    }
}
