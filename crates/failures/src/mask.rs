//! What may be shown of a body.
//!
//! A task token is a capability, so it is never shown: not in a body that is cut off
//! or broken either, because whoever reads it there can use it all the same. Personal
//! data is shown only to those who ask for it.

use serde_json::Value;

/// Stands for a task token. A body that is edited carries it in the token's place.
pub const TOKEN_MASK: &str = "(task token)";

/// Stands for a value that is personal data.
pub const PERSONAL_MASK: &str = "(personal data)";

/// Stands for a body that may hold personal data and cannot be taken apart.
pub const WITHHELD: &str = "(no JSON, and it may hold personal data)";

/// The name of the token's attribute, in lower case.
const TOKEN: &str = "tasktoken";

/// What lies below these names is personal data as a whole.
const PERSONAL_TREES: [&str; 3] = ["shipto", "address", "shippingaddress"];

/// These are personal data wherever they stand.
const PERSONAL_FIELDS: [&str; 9] = [
    "name",
    "line1",
    "line2",
    "street",
    "city",
    "postalcode",
    "email",
    "phone",
    "recipient",
];

/// A body without its task token, wherever in it a token is. A body without one stays
/// as it is, to the letter.
pub fn without_token(body: &str) -> String {
    if !mentions(body, &[TOKEN]) && !body.contains("\\u") {
        return body.to_owned();
    }
    match serde_json::from_str::<Value>(body) {
        Ok(mut message) => {
            let before = message.clone();
            mask_tokens(&mut message);
            // Of a name that is there twice, a reader keeps one and the text has both.
            if message == before && !mentions(body, &[TOKEN]) {
                return body.to_owned();
            }
            message.to_string()
        }
        Err(_) => mask_tokens_in_text(body),
    }
}

/// A body without personal data. What is no JSON and has a name of personal data in it
/// is withheld as a whole.
pub fn without_personal_data(body: &str) -> String {
    match serde_json::from_str::<Value>(body) {
        Ok(mut message) => {
            let before = message.clone();
            mask_personal(&mut message);
            if message == before {
                return body.to_owned();
            }
            message.to_string()
        }
        Err(_) if mentions_personal_data(body) => WITHHELD.to_owned(),
        Err(_) => body.to_owned(),
    }
}

fn mask_tokens(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if plain(name) == TOKEN {
                    *field = Value::String(TOKEN_MASK.to_owned());
                } else {
                    mask_tokens(field);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask_tokens),
        // A message inside a text, as a topic wraps it.
        Value::String(text) => *text = without_token(text),
        _ => {}
    }
}

fn mask_personal(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if is_personal(&plain(name), field) {
                    mask_whole(field);
                } else {
                    mask_personal(field);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask_personal),
        Value::String(text) if text.trim_start().starts_with(['{', '[']) => {
            *text = without_personal_data(text);
        }
        _ => {}
    }
}

/// Below a tree's name everything is personal; a field's name may also be that of an
/// object, whose own names then decide.
fn is_personal(name: &str, field: &Value) -> bool {
    PERSONAL_TREES.contains(&name) || (PERSONAL_FIELDS.contains(&name) && !field.is_object())
}

/// Masks each value and leaves the names: what is missing in an address can be seen.
fn mask_whole(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(mask_whole),
        Value::Array(items) => items.iter_mut().for_each(mask_whole),
        Value::Null => {}
        other => *other = Value::String(PERSONAL_MASK.to_owned()),
    }
}

/// A name as it is compared: `ship_to` and `shipTo` are one.
fn plain(name: &str) -> String {
    name.chars()
        .filter(|letter| letter.is_alphanumeric())
        .collect::<String>()
        .to_ascii_lowercase()
}

fn mentions(text: &str, names: &[&str]) -> bool {
    let text = plain(text);
    names.iter().any(|name| text.contains(name))
}

/// Names that are ordinary words count only as the name of a field.
fn mentions_personal_data(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    mentions(text, &PERSONAL_TREES)
        || PERSONAL_FIELDS
            .iter()
            .any(|name| lower.contains(&format!("\"{name}")))
}

/// Masks what follows the token's name in a text that is no JSON: to the end of the
/// quotation that it stands in, or to the end of the word, or to the end of the text.
fn mask_tokens_in_text(text: &str) -> String {
    // Bytes stay in their places.
    let lower = text.to_ascii_lowercase();
    let mut masked = String::new();
    let mut from = 0;
    while let Some(found) = find_token_name(&lower[from..]) {
        let name_end = from + found;
        let rest = &text[name_end..];
        let quote = rest
            .find(|letter: char| {
                !matches!(
                    letter,
                    '"' | '\'' | '\\' | ':' | '=' | ' ' | '\t' | '\n' | '\r'
                )
            })
            .unwrap_or(rest.len());
        let delimiter = opening_quotation(&rest[..quote]);
        let value = &rest[quote..];
        let length = value_length(value, delimiter);
        masked.push_str(&text[from..name_end + quote]);
        masked.push_str(TOKEN_MASK);
        from = name_end + quote + length;
    }
    masked.push_str(&text[from..]);
    masked
}

/// Where the first name of a token ends.
fn find_token_name(lower: &str) -> Option<usize> {
    ["tasktoken", "task_token", "task-token", "task token"]
        .iter()
        .filter_map(|name| Some(lower.find(name)? + name.len()))
        .min()
}

/// The quotation mark, with its backslashes, that opens a value.
fn opening_quotation(between: &str) -> Option<&str> {
    let quote = between.rfind(['"', '\''])?;
    // What closes the name is no opening: a colon lies between the two.
    let colon = between.rfind([':', '='])?;
    (colon < quote).then(|| between[colon + 1..=quote].trim_start())
}

fn value_length(value: &str, delimiter: Option<&str>) -> usize {
    let end = match delimiter {
        Some(delimiter) => value
            .match_indices(delimiter)
            .map(|(at, _)| at)
            .find(|&at| {
                // One backslash more means that the quotation mark belongs to the value.
                !value[..at].ends_with('\\')
            }),
        None => value.find(|letter: char| letter.is_whitespace() || ",}&;\"'".contains(letter)),
    };
    end.unwrap_or(value.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "AAAAKgAAAAIAAAAAAAAAAEX/MPLE+taskToken=";

    #[track_caller]
    fn hides(body: &str) -> String {
        assert!(body.contains("AAAAKg"), "the test has a token in {body}");
        let shown = without_token(body);
        assert!(
            !shown.contains("AAAAKg") && !shown.contains("MPLE"),
            "{shown}"
        );
        assert!(shown.contains(TOKEN_MASK), "{shown}");
        shown
    }

    #[test]
    fn a_token_is_never_shown_wherever_it_is() {
        hides(&format!(r#"{{"id":"a","tasktoken":"{SECRET}"}}"#));
        hides(&format!(r#"{{"data":{{"taskToken":"{SECRET}"}}}}"#));
        hides(&format!(r#"[{{"task_token":["{SECRET}"]}}]"#));
        hides(&format!(
            r#"{{"Message":"{{\"tasktoken\":\"{SECRET}\",\"a\":1}}"}}"#
        ));
        hides(&format!(r#"{{"t\u0061sktoken":"{SECRET}"}}"#));
    }

    #[test]
    fn a_token_is_hidden_in_a_body_that_is_broken_as_well() {
        let shown = hides(&format!(r#"{{"tasktoken":"{SECRET}","data":{{"amount":1"#));
        assert!(shown.ends_with(r#","data":{"amount":1"#), "{shown}");
        hides(&format!(r#"{{"tasktoken" : "{SECRET}"#));
        hides(&format!(r#"{{"tasktoken":"AAAAKg\"{SECRET}""#));
        hides(&format!(r#""{{\"tasktoken\":\"{SECRET}\",\"data\":1"#));
        hides(&format!("tasktoken={SECRET}&a=1"));
        hides(&format!("{{'tasktoken': '{SECRET}', }}"));
        let escaped = SECRET.replace('/', "\\/");
        hides(&format!(r#"{{"tasktoken":"{escaped}","data"#));
    }

    #[test]
    fn of_a_token_that_is_there_twice_neither_is_shown() {
        hides(&format!(
            r#"{{"tasktoken":"{SECRET}","tasktoken":"other"}}"#
        ));
        let body = format!(r#"{{"data":{{"tasktoken":"{SECRET}"}},"data":{{}}}}"#);
        assert!(!without_token(&body).contains("AAAAKg"));
    }

    #[test]
    fn a_body_without_a_token_stays_as_it_is() {
        for body in [
            "",
            "junk",
            "{ \"b\": 1.0,  \"a\": 2 }",
            "[1, 2",
            "ünï\\u00e9",
        ] {
            assert_eq!(without_token(body), body);
            assert_eq!(without_personal_data(body), body);
        }
    }

    #[test]
    fn an_address_is_hidden_and_its_fields_stay_visible() {
        let body = r#"{"data":{"orderId":"o-1","shipTo":{"name":"Ada","line1":"Street 1","country":"DE"}}}"#;
        let shown = without_personal_data(body);
        assert!(
            !shown.contains("Ada") && !shown.contains("Street"),
            "{shown}"
        );
        assert!(shown.contains("o-1") && shown.contains("line1"), "{shown}");
        let wrapped = serde_json::json!({ "Message": body }).to_string();
        assert!(!without_personal_data(&wrapped).contains("Ada"));
        assert!(!without_personal_data(r#"{"ship_to":"Ada, Street 1"}"#).contains("Ada"));
    }

    #[test]
    fn a_broken_body_that_may_have_an_address_is_withheld() {
        let cut = r#"{"data":{"shipTo":{"name":"Ada"#;
        assert_eq!(without_personal_data(cut), WITHHELD);
        assert_eq!(
            without_personal_data(r#"e":"x","line1":"Street 1"}}"#),
            WITHHELD
        );
    }
}
