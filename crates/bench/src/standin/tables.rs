//! Tables in memory, and what a write costs.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::expression::{Condition, Item, Terms, Wrong, holds, project, update};

/// The tables, by name, and their items, by key.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    items: HashMap<String, HashMap<String, Item>>,
}

/// How a request ended.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The condition did not hold; the item that it met, where that was asked for.
    Condition(Option<Item>),
    /// The parts of a transaction that were refused, or not.
    Transaction(Vec<Option<Option<Item>>>),
    /// The request makes no sense, or is not known here.
    Wrong(Wrong),
}

impl From<Wrong> for Refusal {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

impl From<&str> for Refusal {
    fn from(wrong: &str) -> Self {
        Self::Wrong(wrong.to_owned())
    }
}

/// Write units by table.
pub(crate) type Units = Vec<(String, u64)>;

/// What a request did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) answer: Result<Value, Refusal>,
    pub(crate) units: Units,
}

impl Tables {
    /// Puts an item there, for nothing.
    pub(crate) fn seed(&mut self, table: &str, item: Item) -> Result<(), Wrong> {
        let key = key_of(table, &item)?;
        self.items
            .entry(table.to_owned())
            .or_default()
            .insert(key, item);
        Ok(())
    }

    /// Carries out a request.
    pub(crate) fn ask(&mut self, operation: &str, request: &Value) -> Done {
        let free = |answer| Done {
            answer,
            units: Units::new(),
        };
        match operation {
            "PutItem" | "UpdateItem" | "DeleteItem" => self.write_one(operation, request),
            "TransactWriteItems" => self.transact(request),
            "GetItem" => free(self.get(request)),
            "Query" => free(self.select(request, "KeyConditionExpression")),
            "Scan" => free(self.select(request, "FilterExpression")),
            other => free(Err(format!("DynamoDB's {other} is not known").into())),
        }
    }

    fn item(&self, table: &str, key: &str) -> Option<&Item> {
        self.items.get(table)?.get(key)
    }

    fn write_one(&mut self, operation: &str, request: &Value) -> Done {
        match self.plan(operation, request) {
            Ok(plan) => {
                let units = vec![(plan.table.clone(), plan.units)];
                let answer = match plan.refused {
                    Some(met) => Err(Refusal::Condition(met)),
                    None => Ok(self.apply(plan, request)),
                };
                Done { answer, units }
            }
            Err(wrong) => Done {
                answer: Err(wrong.into()),
                units: Units::new(),
            },
        }
    }

    /// What a write would do.
    fn plan(&self, operation: &str, request: &Value) -> Result<Plan, Wrong> {
        let table = text(request, "TableName")?.to_owned();
        let given = match operation {
            "PutItem" => object(request, "Item")?,
            _ => object(request, "Key")?,
        };
        let key = key_of(&table, given)?;
        let old = self.item(&table, &key);
        let empty = Item::new();
        let terms = terms(request);
        let is_refused = match request.get("ConditionExpression").and_then(Value::as_str) {
            Some(condition) => !holds(condition, old.unwrap_or(&empty), terms)?,
            None => false,
        };
        if is_refused {
            let wants = request["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD";
            return Ok(Plan {
                units: units(old, None),
                refused: Some(old.filter(|_| wants).cloned()),
                table,
                key,
                new: None,
                changed: Vec::new(),
            });
        }
        let mut changed = Vec::new();
        let new = match operation {
            "PutItem" => Some(given.clone()),
            "UpdateItem" => {
                let mut item = old.unwrap_or(given).clone();
                if let Some(expression) = request.get("UpdateExpression") {
                    let expression = expression.as_str().unwrap_or_default();
                    changed = update(expression, &mut item, terms)?;
                }
                Some(item)
            }
            "ConditionCheck" => old.cloned(),
            _ => None,
        };
        Ok(Plan {
            units: units(old, new.as_ref()),
            refused: None,
            table,
            key,
            new,
            changed,
        })
    }

    fn apply(&mut self, plan: Plan, request: &Value) -> Value {
        let items = self.items.entry(plan.table).or_default();
        let old = match plan.new.clone() {
            Some(new) => items.insert(plan.key, new),
            None => items.remove(&plan.key),
        };
        let attributes = match request["ReturnValues"].as_str() {
            Some("ALL_OLD") => old,
            Some("ALL_NEW") => plan.new,
            Some("UPDATED_NEW") => plan.new.map(|new| {
                let is_changed = |(name, _): &(String, Value)| plan.changed.contains(name);
                new.into_iter().filter(is_changed).collect()
            }),
            _ => None,
        };
        match attributes {
            Some(attributes) => json!({ "Attributes": attributes }),
            None => json!({}),
        }
    }

    /// Each part costs twice, also where the whole is refused.
    fn transact(&mut self, request: &Value) -> Done {
        let mut units = Units::new();
        let mut plans = Vec::new();
        let parts = request["TransactItems"].as_array().map(Vec::as_slice);
        for part in parts.unwrap_or_default() {
            let planned = part_of(part)
                .and_then(|(operation, inner)| Ok((self.plan(operation, inner)?, inner)));
            match planned {
                Ok((plan, inner)) => {
                    units.push((plan.table.clone(), 2 * plan.units));
                    plans.push((plan, inner));
                }
                Err(wrong) => {
                    let answer = Err(wrong.into());
                    return Done { answer, units };
                }
            }
        }
        if plans.iter().any(|(plan, _)| plan.refused.is_some()) {
            let reasons = plans.into_iter().map(|(plan, _)| plan.refused).collect();
            let answer = Err(Refusal::Transaction(reasons));
            return Done { answer, units };
        }
        for (plan, inner) in plans {
            self.apply(plan, inner);
        }
        let answer = Ok(json!({}));
        Done { answer, units }
    }

    fn get(&self, request: &Value) -> Result<Value, Refusal> {
        let table = text(request, "TableName")?;
        let key = key_of(table, object(request, "Key")?)?;
        let Some(item) = self.item(table, &key) else {
            return Ok(json!({}));
        };
        Ok(
            match request.get("ProjectionExpression").and_then(Value::as_str) {
                Some(projection) => json!({ "Item": project(projection, item, terms(request))? }),
                None => json!({ "Item": item }),
            },
        )
    }

    /// The items that fulfil the condition, as many as are wanted. They are in the order
    /// of `failedAt`, by which the indexes of this system's tables sort, then of their keys.
    fn select(&self, request: &Value, condition: &str) -> Result<Value, Refusal> {
        let table = text(request, "TableName")?;
        if condition == "KeyConditionExpression" && request.get("FilterExpression").is_some() {
            return Err("a query with a filter is not known".into());
        }
        let condition = request.get(condition).and_then(Value::as_str);
        let condition = condition.map(Condition::new).transpose()?;
        let mut found = Vec::new();
        for (key, item) in self.items.get(table).into_iter().flatten() {
            let is_meant = match &condition {
                Some(condition) => condition.holds(item, terms(request))?,
                None => true,
            };
            if is_meant {
                found.push((place(key, item), item));
            }
        }
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        if request["ScanIndexForward"] == false {
            found.reverse();
        }
        if let Some(start) = request.get("ExclusiveStartKey").and_then(Value::as_object) {
            let start = place(&key_of(table, start)?, start);
            let at = found.iter().position(|(place, _)| *place == start);
            found.drain(..=at.ok_or("the start of a page is not there")?);
        }
        let most = request["Limit"]
            .as_u64()
            .and_then(|it| usize::try_from(it).ok());
        let most = most.unwrap_or(usize::MAX);
        let last = (found.len() > most).then(|| last_key(table, found[most - 1].1));
        let page: Vec<_> = found.into_iter().take(most).map(|(_, item)| item).collect();
        let mut answer = json!({ "Items": page, "Count": page.len(), "ScannedCount": page.len() });
        if let Some(last) = last {
            answer["LastEvaluatedKey"] = Value::Object(last);
        }
        Ok(answer)
    }
}

/// Where an item is in an index.
fn place(key: &str, item: &Item) -> (Option<String>, String) {
    let sorted = item.get("failedAt").and_then(|value| value.get("S"));
    let sorted = sorted.and_then(Value::as_str).map(str::to_owned);
    (sorted, key.to_owned())
}

/// What a page's end is told by.
fn last_key(table: &str, item: &Item) -> Item {
    let attributes = key_attributes(table).iter().chain(&["failedAt"]);
    let found = attributes.filter_map(|name| Some(((*name).to_owned(), item.get(*name)?.clone())));
    found.collect()
}

/// A write that is not made yet.
struct Plan {
    table: String,
    key: String,
    new: Option<Item>,
    changed: Vec<String>,
    units: u64,
    /// The condition did not hold.
    refused: Option<Option<Item>>,
}

fn part_of(part: &Value) -> Result<(&'static str, &Value), Wrong> {
    const PARTS: [(&str, &str); 4] = [
        ("Put", "PutItem"),
        ("Update", "UpdateItem"),
        ("Delete", "DeleteItem"),
        ("ConditionCheck", "ConditionCheck"),
    ];
    let found = PARTS
        .iter()
        .find_map(|(name, operation)| Some((*operation, part.get(name)?)));
    found.ok_or_else(|| "a part of a transaction is not known".to_owned())
}

/// The attributes of a table's key.
fn key_attributes(table: &str) -> &'static [&'static str] {
    match table {
        "Orders" => &["orderId"],
        "Stock" => &["sku"],
        "Audit" => &["orderId", "entry"],
        "SandboxLedger" => &["orderId", "key"],
        "SandboxState" => &["key"],
        "Replays" => &["id", "part"],
        _ => &["id"],
    }
}

fn key_of(table: &str, item: &Item) -> Result<String, Wrong> {
    let mut key = String::new();
    for name in key_attributes(table) {
        let part = item.get(*name).and_then(|value| value.get("S"));
        let part = part.and_then(Value::as_str);
        key += part.ok_or_else(|| format!("the key of {table} has no {name}"))?;
        key.push('\n');
    }
    Ok(key)
}

fn text<'a>(request: &'a Value, name: &str) -> Result<&'a str, Wrong> {
    let found = request.get(name).and_then(Value::as_str);
    found.ok_or_else(|| format!("the request has no {name}"))
}

fn object<'a>(request: &'a Value, name: &str) -> Result<&'a Map<String, Value>, Wrong> {
    let found = request.get(name).and_then(Value::as_object);
    found.ok_or_else(|| format!("the request has no {name}"))
}

fn terms(request: &Value) -> Terms<'_> {
    let of = |name: &str| request.get(name).and_then(Value::as_object);
    Terms {
        names: of("ExpressionAttributeNames"),
        values: of("ExpressionAttributeValues"),
    }
}

/// A write costs a unit for each kilobyte begun of the larger of both items.
fn units(old: Option<&Item>, new: Option<&Item>) -> u64 {
    let largest = old.map_or(0, size).max(new.map_or(0, size));
    largest.div_ceil(1024).max(1)
}

/// The size of an item as DynamoDB counts it.
fn size(item: &Item) -> u64 {
    let of = |(name, value): (&String, &Value)| count(name.len()) + size_of_value(value);
    item.iter().map(of).sum()
}

fn size_of_value(value: &Value) -> u64 {
    let Some((kind, inner)) = value.as_object().and_then(|it| it.iter().next()) else {
        return 0;
    };
    match (kind.as_str(), inner) {
        ("N", Value::String(digits)) => count(digits.len().div_ceil(2)) + 1,
        ("S", Value::String(text)) => count(text.len()),
        ("B", Value::String(base64)) => count(base64.len() / 4 * 3),
        // Three bytes for the whole, and one for each part.
        ("L", Value::Array(parts)) => 3 + parts.iter().map(|it| 1 + size_of_value(it)).sum::<u64>(),
        ("M", Value::Object(parts)) => 3 + size(parts) + count(parts.len()),
        ("SS" | "NS" | "BS", Value::Array(parts)) => {
            let texts = parts.iter().filter_map(Value::as_str);
            texts.map(|it| count(it.len())).sum()
        }
        _ => 1,
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "the calls read better")]
mod tests {
    use super::*;

    fn put(condition: &str) -> Value {
        json!({
            "TableName": "T", "Item": { "id": { "S": "a" }, "x": { "S": "new" } },
            "ConditionExpression": condition,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD"
        })
    }

    #[test]
    fn a_refused_put_brings_the_item_that_it_met_and_costs_a_unit() {
        let mut tables = Tables::default();
        let first = tables.ask("PutItem", &put("attribute_not_exists(id)"));
        assert!(first.answer.is_ok());
        let second = tables.ask("PutItem", &put("attribute_not_exists(id)"));
        let Err(Refusal::Condition(Some(met))) = second.answer else {
            panic!("{second:?}");
        };
        assert_eq!(met["x"], json!({ "S": "new" }));
        assert_eq!(second.units, [("T".to_owned(), 1)]);
    }

    #[test]
    fn a_transaction_is_made_as_a_whole_or_not_at_all_and_costs_double() {
        let mut tables = Tables::default();
        let other = json!({
            "TableName": "Orders", "Key": { "orderId": { "S": "o" } },
            "UpdateExpression": "SET a = :one",
            "ConditionExpression": "attribute_exists(orderId)",
            "ExpressionAttributeValues": { ":one": { "N": "1" } }
        });
        let both = json!({ "TransactItems": [
            { "Put": put("attribute_not_exists(id)") }, { "Update": other }
        ]});
        let refused = tables.ask("TransactWriteItems", &both);
        let Err(Refusal::Transaction(reasons)) = refused.answer else {
            panic!("{refused:?}");
        };
        assert!(reasons[0].is_none() && reasons[1].is_some());
        assert_eq!(
            refused.units,
            [("T".to_owned(), 2), ("Orders".to_owned(), 2)]
        );
        let get = json!({ "TableName": "T", "Key": { "id": { "S": "a" } } });
        assert_eq!(tables.ask("GetItem", &get).answer.unwrap(), json!({}));

        let order = json!({ "orderId": { "S": "o" } });
        tables
            .seed("Orders", order.as_object().unwrap().clone())
            .unwrap();
        assert!(tables.ask("TransactWriteItems", &both).answer.is_ok());
        let found = tables.ask("GetItem", &get).answer.unwrap();
        assert_eq!(found["Item"]["x"], json!({ "S": "new" }));
    }

    #[test]
    fn an_update_gives_back_what_is_asked_for() {
        #[track_caller]
        fn check(wanted: &str, attributes: Value) {
            let mut tables = Tables::default();
            let item = json!({ "id": { "S": "a" }, "n": { "N": "1" } });
            tables.seed("T", item.as_object().unwrap().clone()).unwrap();
            let answer = tables.ask("UpdateItem", &json!({
                "TableName": "T", "Key": { "id": { "S": "a" } }, "UpdateExpression": "ADD n :one",
                "ExpressionAttributeValues": { ":one": { "N": "1" } }, "ReturnValues": wanted
            }));
            assert_eq!(answer.answer.unwrap()["Attributes"], attributes);
        }
        check("ALL_OLD", json!({ "id": { "S": "a" }, "n": { "N": "1" } }));
        check("ALL_NEW", json!({ "id": { "S": "a" }, "n": { "N": "2" } }));
        check("UPDATED_NEW", json!({ "n": { "N": "2" } }));
    }

    #[test]
    fn a_scan_gives_the_items_that_its_filter_lets_through() {
        let mut tables = Tables::default();
        for (id, number) in [("b", "2"), ("a", "1"), ("c", "3")] {
            let item = json!({ "id": { "S": id }, "n": { "N": number } });
            tables.seed("T", item.as_object().unwrap().clone()).unwrap();
        }
        let scan = json!({
            "TableName": "T", "FilterExpression": "n < :three",
            "ExpressionAttributeValues": { ":three": { "N": "3" } }
        });
        let answer = tables.ask("Scan", &scan).answer.unwrap();
        let ids: Vec<_> = answer["Items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| &it["id"]["S"])
            .collect();
        assert_eq!(ids, ["a", "b"]);
        let all = tables
            .ask("Scan", &json!({ "TableName": "T" }))
            .answer
            .unwrap();
        assert_eq!(all["Count"], 3);
    }

    #[test]
    fn a_query_goes_on_behind_the_page_before() {
        let mut tables = Tables::default();
        for (id, at) in [("a", "3"), ("b", "1"), ("c", "2"), ("d", "2")] {
            let item = json!({ "id": { "S": id }, "g": { "S": "x" }, "failedAt": { "S": at } });
            tables
                .seed("Failures", item.as_object().unwrap().clone())
                .unwrap();
        }
        let mut seen = Vec::new();
        let mut query = json!({
            "TableName": "Failures", "KeyConditionExpression": "g = :x", "Limit": 1,
            "ScanIndexForward": false, "ExpressionAttributeValues": { ":x": { "S": "x" } }
        });
        loop {
            let page = tables.ask("Query", &query).answer.unwrap();
            seen.push(page["Items"][0]["id"]["S"].as_str().unwrap().to_owned());
            match page.get("LastEvaluatedKey") {
                Some(last) => query["ExclusiveStartKey"] = last.clone(),
                None => break,
            }
        }
        assert_eq!(seen, ["a", "d", "c", "b"]);
    }

    #[test]
    fn a_write_costs_by_the_larger_item() {
        let item = |bytes: usize| {
            let item = json!({ "id": { "S": "a".repeat(bytes) } });
            item.as_object().unwrap().clone()
        };
        assert_eq!(units(None, Some(&item(1022))), 1);
        assert_eq!(units(None, Some(&item(1023))), 2);
        assert_eq!(units(Some(&item(3000)), Some(&item(1))), 3);
        assert_eq!(units(None, None), 1);
    }

    #[test]
    fn the_key_is_made_of_the_tables_attributes() {
        let item = json!({ "orderId": { "S": "o" }, "entry": { "S": "e" } });
        let item = item.as_object().unwrap();
        assert_eq!(key_of("Audit", item).unwrap(), "o\ne\n");
        assert!(key_of("Stock", item).is_err());
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let done = Tables::default().ask("BatchGetItem", &json!({ "TableName": "T" }));
        assert!(matches!(done.answer, Err(Refusal::Wrong(_))));
    }
}
