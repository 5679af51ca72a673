//! Condition, update and key expressions of DynamoDB, as far as they are used here.
//!
//! What is not known is an error, so that a function cannot be measured on a store that
//! takes everything.

use serde_json::{Map, Value, json};

/// An item: attribute values by name, in DynamoDB's JSON.
pub(crate) type Item = Map<String, Value>;

/// What an expression's placeholders stand for.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) names: Option<&'a Map<String, Value>>,
    pub(crate) values: Option<&'a Map<String, Value>>,
}

/// Why an expression cannot be evaluated.
pub(crate) type Wrong = String;

/// Whether an item fulfils a condition.
pub(crate) fn holds(text: &str, item: &Item, terms: Terms<'_>) -> Result<bool, Wrong> {
    Condition::new(text)?.holds(item, terms)
}

/// A condition that many items are held against.
pub(crate) struct Condition<'a> {
    tokens: Vec<&'a str>,
}

impl<'a> Condition<'a> {
    pub(crate) fn new(text: &'a str) -> Result<Self, Wrong> {
        let tokens = tokens(text)?;
        Ok(Self { tokens })
    }

    pub(crate) fn holds(&self, item: &Item, terms: Terms<'_>) -> Result<bool, Wrong> {
        let mut parser = Parser::new(&self.tokens, item, terms);
        let result = parser.alternatives()?;
        parser.end()?;
        Ok(result)
    }
}

/// Changes an item; gives the names of the attributes that were changed.
pub(crate) fn update(text: &str, item: &mut Item, terms: Terms<'_>) -> Result<Vec<String>, Wrong> {
    let before = item.clone();
    let tokens = tokens(text)?;
    let mut parser = Parser::new(&tokens, &before, terms);
    let mut changed = Vec::new();
    while let Some(clause) = parser.next() {
        loop {
            let path = parser.path()?;
            match clause.to_ascii_uppercase().as_str() {
                "SET" => {
                    parser.expect("=")?;
                    let value = parser.assigned()?;
                    put(item, &path, value)?;
                }
                "REMOVE" => remove(item, &path)?,
                "ADD" => {
                    let more = parser.operand()?.ok_or("ADD needs a value")?;
                    let sum = match find(&before, &path) {
                        Some(old) => add(old, &more, 1.0)?,
                        None => add(&json!({ "N": "0" }), &more, 1.0)?,
                    };
                    put(item, &path, sum)?;
                }
                other => return Err(format!("the clause {other} is not known")),
            }
            changed.extend(path.into_iter().next());
            if !parser.take(",") {
                break;
            }
        }
    }
    Ok(changed)
}

/// The attributes that a projection names.
pub(crate) fn project(text: &str, item: &Item, terms: Terms<'_>) -> Result<Item, Wrong> {
    let tokens = tokens(text)?;
    let mut parser = Parser::new(&tokens, item, terms);
    let mut projected = Item::new();
    loop {
        let path = parser.path()?;
        let [name] = path.as_slice() else {
            return Err(format!("a projection into {path:?} is not known"));
        };
        if let Some(value) = item.get(name) {
            projected.insert(name.clone(), value.clone());
        }
        if !parser.take(",") {
            break;
        }
    }
    parser.end()?;
    Ok(projected)
}

type Path = Vec<String>;

/// Parses and evaluates in one go: an expression is used once.
struct Parser<'a> {
    tokens: &'a [&'a str],
    at: usize,
    item: &'a Item,
    terms: Terms<'a>,
}

impl<'a> Parser<'a> {
    fn new(tokens: &'a [&'a str], item: &'a Item, terms: Terms<'a>) -> Self {
        Self {
            tokens,
            at: 0,
            item,
            terms,
        }
    }

    fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.at).copied()
    }

    fn next(&mut self) -> Option<&'a str> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn take(&mut self, wanted: &str) -> bool {
        let found = self
            .peek()
            .is_some_and(|it| it.eq_ignore_ascii_case(wanted));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: &str) -> Result<(), Wrong> {
        if self.take(wanted) {
            return Ok(());
        }
        Err(format!("{wanted} is expected, not {:?}", self.peek()))
    }

    fn end(&self) -> Result<(), Wrong> {
        match self.peek() {
            None => Ok(()),
            Some(rest) => Err(format!("{rest} stands where nothing is expected")),
        }
    }

    fn alternatives(&mut self) -> Result<bool, Wrong> {
        let mut result = self.conjunction()?;
        while self.take("OR") {
            result |= self.conjunction()?;
        }
        Ok(result)
    }

    fn conjunction(&mut self) -> Result<bool, Wrong> {
        let mut result = self.single()?;
        while self.take("AND") {
            result &= self.single()?;
        }
        Ok(result)
    }

    fn single(&mut self) -> Result<bool, Wrong> {
        if self.take("NOT") {
            return Ok(!self.single()?);
        }
        if self.take("(") {
            let result = self.alternatives()?;
            self.expect(")")?;
            return Ok(result);
        }
        if self.is_call() {
            return self.function();
        }
        let left = self.operand()?;
        if self.take("IN") {
            self.expect("(")?;
            let among = self.arguments()?;
            return Ok(left.is_some_and(|left| among.contains(&Some(left))));
        }
        if self.take("BETWEEN") {
            let low = self.operand()?;
            self.expect("AND")?;
            let high = self.operand()?;
            return Ok(compare(left.as_ref(), ">=", low.as_ref())?
                && compare(left.as_ref(), "<=", high.as_ref())?);
        }
        let comparator = self.next().ok_or("a comparison has no comparator")?;
        let right = self.operand()?;
        compare(left.as_ref(), comparator, right.as_ref())
    }

    fn is_call(&self) -> bool {
        const FUNCTIONS: [&str; 4] = [
            "attribute_exists",
            "attribute_not_exists",
            "begins_with",
            "contains",
        ];
        self.peek().is_some_and(|it| FUNCTIONS.contains(&it))
    }

    fn function(&mut self) -> Result<bool, Wrong> {
        let name = self.next().unwrap_or_default();
        self.expect("(")?;
        let arguments = self.arguments()?;
        let text = |index: usize| {
            let value: Option<&Value> = arguments.get(index).and_then(Option::as_ref);
            value
                .and_then(|value| value.get("S"))
                .and_then(Value::as_str)
        };
        Ok(match (name, arguments.as_slice()) {
            ("attribute_exists", [value]) => value.is_some(),
            ("attribute_not_exists", [value]) => value.is_none(),
            ("begins_with", [_, _]) => match (text(0), text(1)) {
                (Some(whole), Some(start)) => whole.starts_with(start),
                _ => false,
            },
            ("contains", [_, _]) => match (text(0), text(1)) {
                (Some(whole), Some(part)) => whole.contains(part),
                _ => return Err("contains is known for texts only".to_owned()),
            },
            (name, arguments) => {
                return Err(format!("{name} has {} arguments", arguments.len()));
            }
        })
    }

    /// Up to the closing bracket.
    fn arguments(&mut self) -> Result<Vec<Option<Value>>, Wrong> {
        let mut arguments = vec![self.operand()?];
        while self.take(",") {
            arguments.push(self.operand()?);
        }
        self.expect(")")?;
        Ok(arguments)
    }

    /// A value or an attribute, which may be absent.
    fn operand(&mut self) -> Result<Option<Value>, Wrong> {
        let token = self.peek().ok_or("an operand is missing")?;
        if token.starts_with(':') {
            self.at += 1;
            let values = self.terms.values.and_then(|values| values.get(token));
            return match values {
                Some(value) => Ok(Some(value.clone())),
                None => Err(format!("{token} has no value")),
            };
        }
        let path = self.path()?;
        Ok(find(self.item, &path).cloned())
    }

    fn path(&mut self) -> Result<Path, Wrong> {
        let mut path = vec![self.name()?];
        while self.take(".") {
            path.push(self.name()?);
        }
        Ok(path)
    }

    fn name(&mut self) -> Result<String, Wrong> {
        let token = self.next().ok_or("a name is missing")?;
        if !token.starts_with('#') {
            let is_word = token.chars().all(|it| it.is_alphanumeric() || it == '_');
            return match is_word {
                true => Ok(token.to_owned()),
                false => Err(format!("{token} stands where a name is expected")),
            };
        }
        let name = self.terms.names.and_then(|names| names.get(token));
        match name.and_then(Value::as_str) {
            Some(name) => Ok(name.to_owned()),
            None => Err(format!("{token} has no name")),
        }
    }

    /// What stands right of `=` in an update.
    fn assigned(&mut self) -> Result<Value, Wrong> {
        let left = self.assigned_part()?;
        let sign = match self.peek() {
            Some("+") => 1.0,
            Some("-") => -1.0,
            _ => return Ok(left),
        };
        self.at += 1;
        add(&left, &self.assigned_part()?, sign)
    }

    fn assigned_part(&mut self) -> Result<Value, Wrong> {
        if self.take("if_not_exists") {
            self.expect("(")?;
            let old = self.operand()?;
            self.expect(",")?;
            let other = self.assigned_part()?;
            self.expect(")")?;
            return Ok(old.unwrap_or(other));
        }
        if self.take("list_append") {
            self.expect("(")?;
            let first = self.assigned_part()?;
            self.expect(",")?;
            let second = self.assigned_part()?;
            self.expect(")")?;
            let list = |value: &Value| value.get("L").and_then(Value::as_array).cloned();
            let (first, second) = (list(&first), list(&second));
            let mut both = first.ok_or("list_append needs lists")?;
            both.extend(second.ok_or("list_append needs lists")?);
            return Ok(json!({ "L": both }));
        }
        self.operand()?
            .ok_or_else(|| "an attribute that is not there has no value".to_owned())
    }
}

fn tokens(text: &str) -> Result<Vec<&str>, Wrong> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = |it: char| it.is_alphanumeric() || "_#:".contains(it);
        let length = if is_word(first) {
            rest.find(|it| !is_word(it)).unwrap_or(rest.len())
        } else if ["<=", ">=", "<>"].iter().any(|it| rest.starts_with(it)) {
            2
        } else if "=<>(),+-.".contains(first) {
            1
        } else {
            return Err(format!("{first:?} is not known in an expression"));
        };
        let (token, others) = rest.split_at(length);
        tokens.push(token);
        rest = others.trim_start();
    }
    Ok(tokens)
}

fn find<'a>(item: &'a Item, path: &[String]) -> Option<&'a Value> {
    let (first, others) = path.split_first()?;
    others
        .iter()
        .try_fold(item.get(first)?, |value, name| value.get("M")?.get(name))
}

/// The map that holds the last name of a path.
fn holder<'a, 'b>(
    item: &'a mut Item,
    path: &'b [String],
) -> Result<(&'a mut Item, &'b String), Wrong> {
    let (last, parents) = path.split_last().ok_or("a path is empty")?;
    let mut map = item;
    for name in parents {
        let inner = map.get_mut(name).and_then(|value| value.get_mut("M"));
        let inner = inner.and_then(Value::as_object_mut);
        map = inner.ok_or("a path leads through what is no map")?;
    }
    Ok((map, last))
}

fn put(item: &mut Item, path: &[String], value: Value) -> Result<(), Wrong> {
    let (map, name) = holder(item, path)?;
    map.insert(name.clone(), value);
    Ok(())
}

fn remove(item: &mut Item, path: &[String]) -> Result<(), Wrong> {
    let (map, name) = holder(item, path)?;
    map.remove(name);
    Ok(())
}

fn number(value: &Value) -> Option<f64> {
    value.get("N")?.as_str()?.parse().ok()
}

fn add(left: &Value, right: &Value, sign: f64) -> Result<Value, Wrong> {
    match (number(left), number(right)) {
        (Some(left), Some(right)) => Ok(json!({ "N": (left + sign * right).to_string() })),
        _ => Err("only numbers are added".to_owned()),
    }
}

/// An attribute that is absent compares as DynamoDB says: it differs from everything,
/// and is neither smaller nor larger.
fn compare(left: Option<&Value>, comparator: &str, right: Option<&Value>) -> Result<bool, Wrong> {
    let same = match (left.and_then(number), right.and_then(number)) {
        (Some(left), Some(right)) => left.total_cmp(&right).is_eq(),
        _ => left.is_some() && left == right,
    };
    let order = match (left, right) {
        (Some(left), Some(right)) => order(left, right),
        _ => None,
    };
    Ok(match comparator {
        "=" => same,
        "<>" => !same,
        "<" => order.is_some_and(std::cmp::Ordering::is_lt),
        "<=" => order.is_some_and(std::cmp::Ordering::is_le),
        ">" => order.is_some_and(std::cmp::Ordering::is_gt),
        ">=" => order.is_some_and(std::cmp::Ordering::is_ge),
        other => return Err(format!("{other} is no comparator")),
    })
}

fn order(left: &Value, right: &Value) -> Option<std::cmp::Ordering> {
    if let (Some(left), Some(right)) = (number(left), number(right)) {
        return left.partial_cmp(&right);
    }
    let text = |value: &Value| value.get("S").and_then(Value::as_str).map(str::to_owned);
    Some(text(left)?.cmp(&text(right)?))
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "the calls read better")]
mod tests {
    use super::*;

    fn map(value: Value) -> Item {
        value.as_object().unwrap().clone()
    }

    #[track_caller]
    fn check(text: &str, item: Value, wanted: bool) {
        let names = map(json!({ "#state": "state", "#id": "id", "#until": "until" }));
        let values = map(json!({
            ":now": { "N": "100" }, ":started": { "S": "started" }, ":done": { "S": "done" }
        }));
        let terms = Terms {
            names: Some(&names),
            values: Some(&values),
        };
        assert_eq!(holds(text, &map(item), terms), Ok(wanted), "{text}");
    }

    #[test]
    fn conditions_are_evaluated_as_dynamodb_does() {
        check("attribute_not_exists(#id)", json!({}), true);
        check(
            "attribute_not_exists(#id)",
            json!({ "id": { "S": "a" } }),
            false,
        );
        check("attribute_exists(id)", json!({ "id": { "S": "a" } }), true);
        let held = json!({ "state": { "S": "started" }, "until": { "N": "99" } });
        check("#state = :started AND #until <= :now", held.clone(), true);
        check("#state = :started AND #until > :now", held.clone(), false);
        check("#state IN (:done, :started)", held.clone(), true);
        check("NOT #state IN (:done)", held.clone(), true);
        check("#until BETWEEN :now AND :now", held.clone(), false);
        check("begins_with(#state, :started)", held, true);
    }

    #[test]
    fn and_binds_closer_than_or_and_brackets_closest() {
        let item = json!({ "id": { "S": "a" } });
        let text = "attribute_exists(id) OR attribute_exists(x) AND attribute_exists(y)";
        check(text, item.clone(), true);
        let text = "(attribute_exists(id) OR attribute_exists(x)) AND attribute_exists(y)";
        check(text, item, false);
    }

    #[test]
    fn numbers_are_compared_as_numbers_and_what_is_absent_is_only_different() {
        check("until < :now", json!({ "until": { "N": "9" } }), true);
        check("until = :now", json!({ "until": { "N": "100.0" } }), true);
        check("until < :now", json!({}), false);
        check("until >= :now", json!({}), false);
        check("until <> :now", json!({}), true);
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        for text in [
            "size(id) > :now",
            "#nobody = :now",
            "id = :nothing",
            "id",
            "id = :now x",
            "id ~ :now",
        ] {
            let values = map(json!({ ":now": { "N": "1" } }));
            let terms = Terms {
                names: None,
                values: Some(&values),
            };
            assert!(holds(text, &Item::new(), terms).is_err(), "{text}");
        }
    }

    #[track_caller]
    fn check_update(text: &str, item: Value, wanted: Value) {
        let names = map(json!({ "#a": "a" }));
        let values = map(json!({
            ":one": { "N": "1" }, ":list": { "L": [{ "S": "x" }] }, ":none": { "L": [] }
        }));
        let terms = Terms {
            names: Some(&names),
            values: Some(&values),
        };
        let mut item = map(item);
        update(text, &mut item, terms).unwrap();
        assert_eq!(Value::Object(item), wanted, "{text}");
    }

    #[test]
    fn updates_set_add_append_and_remove() {
        let a = |number: &str| json!({ "a": { "N": number } });
        check_update("SET #a = :one", json!({}), a("1"));
        check_update("SET #a = #a - :one", a("5"), a("4"));
        check_update("SET #a = if_not_exists(#a, :one) + :one", json!({}), a("2"));
        check_update("ADD #a :one", json!({}), a("1"));
        check_update("ADD #a :one", a("5"), a("6"));
        check_update("REMOVE #a", a("5"), json!({}));
        let appended = json!({ "l": { "L": [{ "S": "x" }] } });
        let text = "SET l = list_append(if_not_exists(l, :none), :list)";
        check_update(text, json!({}), appended);
        let text = "SET #a = :one, b = #a REMOVE c";
        let before = json!({ "a": { "N": "7" }, "c": { "N": "1" } });
        let after = json!({ "a": { "N": "1" }, "b": { "N": "7" } });
        check_update(text, before, after);
    }

    #[test]
    fn a_path_leads_into_a_map() {
        let before = json!({ "m": { "M": {} } });
        check_update(
            "SET m.x = :one",
            before,
            json!({ "m": { "M": { "x": { "N": "1" } } } }),
        );
    }
}
