//! Capacity units by DynamoDB's documented rules.
//!
//! A write takes a unit for each begun kilobyte of the larger of the old and the new item,
//! and twice as many in a transaction, also where its condition fails. Items only grow
//! here, so the new one counts. An order's item has the events of its timeline as they
//! were at that write: each write appends one.

use serde_json::Value;

use super::{Usage, number};
use crate::Environment;
use crate::proxy::Recorded;

/// An entry of the index `by-status` moves with each status: the old one is deleted, a new one put.
pub(super) const OF_INDEX: f64 = 2.0;

/// Adds up the units of one order's requests, in their order.
pub(super) struct Units<'a> {
    environment: &'a Environment,
    order: String,
    is_refused: bool,
    order_writes: usize,
    writes: f64,
    of_order: f64,
    reads: f64,
}

impl<'a> Units<'a> {
    /// Where all writes are refused, as those of a duplicate are, they meet what is stored.
    pub(super) fn of(environment: &'a Environment, order: &str, is_refused: bool) -> Self {
        Self {
            environment,
            order: order.to_owned(),
            is_refused,
            order_writes: 0,
            writes: 0.0,
            of_order: 0.0,
            reads: 0.0,
        }
    }

    pub(super) fn write_into(&self, usage: &mut Usage) {
        usage.write_units = self.writes;
        usage.order_units = self.of_order;
        usage.read_units = self.reads;
    }

    pub(super) async fn add(&mut self, call: &Recorded) {
        let body = &call.body;
        match call.operation.as_str() {
            "PutItem" | "UpdateItem" | "DeleteItem" => self.write(body, 1.0).await,
            "TransactWriteItems" => {
                let items = body["TransactItems"].as_array().cloned();
                for item in items.unwrap_or_default() {
                    let parts = item.as_object().cloned().unwrap_or_default();
                    for part in parts.values() {
                        self.write(part, 2.0).await;
                    }
                }
            }
            "GetItem" | "Query" => {
                let strong = body["ConsistentRead"] == true;
                // What is read on the way has less than 4 KB.
                self.reads += if strong { 1.0 } else { 0.5 };
            }
            other => panic!("nobody has said what {other} costs"),
        }
    }

    async fn write(&mut self, request: &Value, factor: f64) {
        let table = request["TableName"].as_str().unwrap_or_default();
        let is_order = table == self.environment.output("OrdersTableName");
        if is_order {
            self.order_writes += 1;
            let mut item = self.environment.order_item(&self.order).await;
            if let Some(timeline) = item["timeline"]["L"].as_array_mut()
                && !self.is_refused
            {
                timeline.truncate(self.order_writes);
            }
            let kilobytes = kilobytes(&item);
            self.of_order += kilobytes;
            self.writes += kilobytes * factor + self.of_index();
            return;
        }
        let item = match request.get("Item") {
            Some(item) => item.clone(),
            None => self.environment.item_at(table, &request["Key"]).await,
        };
        self.writes += kilobytes(&item) * factor;
    }
}

impl Units<'_> {
    fn of_index(&self) -> f64 {
        match self.order_writes {
            _ if self.is_refused => 0.0,
            1 => 1.0,
            _ => OF_INDEX,
        }
    }
}

/// The tables that a request names.
pub(super) fn tables(body: &Value) -> Vec<&str> {
    let mut tables: Vec<_> = body["TableName"].as_str().into_iter().collect();
    let items = body["TransactItems"].as_array().into_iter().flatten();
    for item in items.filter_map(Value::as_object) {
        tables.extend(item.values().filter_map(|part| part["TableName"].as_str()));
    }
    tables
}

/// The kilobytes that an item has begun, at least one.
pub(super) fn kilobytes(item: &Value) -> f64 {
    let bytes = members(item);
    number(bytes.div_ceil(1024).max(1))
}

fn members(map: &Value) -> usize {
    let members = map.as_object().into_iter().flatten();
    members.map(|(name, value)| name.len() + size(value)).sum()
}

/// The size of a value in DynamoDB's own JSON.
fn size(value: &Value) -> usize {
    let Some((kind, value)) = value.as_object().and_then(|it| it.iter().next()) else {
        return 0;
    };
    let text = value.as_str().map_or(0, str::len);
    match kind.as_str() {
        "S" => text,
        "N" => text.div_ceil(2) + 1,
        "B" => text.div_ceil(4) * 3,
        "L" => {
            let elements = value.as_array().into_iter().flatten();
            3 + elements.map(|element| 1 + size(element)).sum::<usize>()
        }
        "M" => 3 + value.as_object().map_or(0, serde_json::Map::len) + members(value),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_item_takes_a_unit_for_each_begun_kilobyte_of_names_and_values() {
        let item = |letters: usize| json!({ "id": { "S": "x".repeat(letters) } });
        assert_eq!(kilobytes(&json!({})), 1.0);
        assert_eq!(kilobytes(&item(1022)), 1.0);
        assert_eq!(kilobytes(&item(1023)), 2.0);
        let nested =
            json!({ "l": { "L": [{ "S": "ab" }, { "N": "123" }] }, "b": { "BOOL": true } });
        assert_eq!(members(&nested), (1 + 3 + (1 + 2) + (1 + 3)) + (1 + 1));
    }
}
