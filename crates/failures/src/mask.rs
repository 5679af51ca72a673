//! What may be shown of a body.
//!
//! A task token is a capability, so it is never shown: not in a body that is cut off
//! or broken either, because whoever reads it there can use it all the same. Personal
//! data is shown only to those who ask for it. Where it stands is known in a JSON
//! object alone, so any other body is withheld from everybody else.

use contracts::parse_strict;
use serde_json::Value;

/// Stands for a task token. A body that is edited carries it in the token's place.
pub const TOKEN_MASK: &str = "(task token)";

/// Stands for a value that is personal data.
pub const PERSONAL_MASK: &str = "(personal data)";

/// Stands for a text inside a message that may hold personal data and cannot be taken
/// apart.
pub const WITHHELD: &str = "(withheld: no JSON, so it may hold personal data)";

/// Stands, after [`TOKEN_MASK`], for what follows a token's name in a text that is no
/// JSON: where the token ends cannot be known.
pub const REST_WITHHELD: &str = "(the rest is withheld)";

/// The letters of the name of the token's attribute.
const TOKEN: [char; 9] = ['t', 'a', 's', 'k', 't', 'o', 'k', 'e', 'n'];

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

/// A body as it may be shown: never with a task token, and with personal data only
/// where `personal` says so. What need not be hidden stays as it is, to the letter.
///
/// Without `personal`, a body that is no JSON object is withheld: its length in bytes
/// and its SHA-256 are told instead.
pub fn displayed(body: &str, personal: bool) -> String {
    if personal {
        return without_token(body);
    }
    // The token first: a mask in a name's place would hide what it is the name of.
    let shown = without_token(body);
    match serde_json::from_str::<Value>(&shown) {
        Ok(message) if message.is_object() => masked(&shown, message, &mask_personal),
        _ => withheld(body),
    }
}

/// A body without its task token, wherever in it a token is. A body without one stays
/// as it is, to the letter. Of a text that is no JSON, all that follows a token's name
/// is withheld.
pub fn without_token(body: &str) -> String {
    if body == TOKEN_MASK {
        return body.to_owned();
    }
    match serde_json::from_str::<Value>(body) {
        Ok(message) => masked(body, message, &mask_tokens),
        Err(_) => match token_name_end(body) {
            Some(end) => format!("{}{TOKEN_MASK} {REST_WITHHELD}", &body[..end]),
            None => body.to_owned(),
        },
    }
}

/// Of a name that is there twice, a reader keeps one and the text has both; so the text
/// stays only where each name is there once.
fn masked(body: &str, mut message: Value, mask: &dyn Fn(&mut Value)) -> String {
    let before = message.clone();
    mask(&mut message);
    match message == before && parse_strict(body.as_bytes()).is_ok() {
        true => body.to_owned(),
        false => message.to_string(),
    }
}

fn withheld(body: &str) -> String {
    format!(
        "(withheld: no JSON object, so it may hold personal data; {} bytes, SHA-256 {})",
        body.len(),
        crate::edit::sha256(body)
    )
}

fn mask_tokens(value: &mut Value) {
    match value {
        Value::Object(fields) if names_token(fields.values()) => {
            fields
                .values_mut()
                .for_each(|field| mask_whole(field, TOKEN_MASK));
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                if token_name_end(name).is_some() {
                    *field = Value::String(TOKEN_MASK.to_owned());
                } else {
                    mask_tokens(field);
                }
            }
        }
        Value::Array(items) if names_token(items.iter()) => {
            items
                .iter_mut()
                .for_each(|item| mask_whole(item, TOKEN_MASK));
        }
        Value::Array(items) => items.iter_mut().for_each(mask_tokens),
        // A message inside a text, as a topic wraps it.
        Value::String(text) => *text = without_token(text),
        _ => {}
    }
}

/// Whether one of these values is the token's name: the token is then its neighbour.
fn names_token<'a>(mut values: impl Iterator<Item = &'a Value>) -> bool {
    values.any(|value| {
        let text = value.as_str().filter(|text| *text != TOKEN_MASK);
        text.is_some_and(|text| {
            letters(text, Escapes::Skipped)
                .into_iter()
                .map(|(letter, _)| letter)
                .eq(TOKEN)
        })
    })
}

fn mask_personal(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if is_personal(&plain(name), field) {
                    mask_whole(field, PERSONAL_MASK);
                } else {
                    mask_personal(field);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask_personal),
        Value::String(text) => *text = without_personal_data(text),
        _ => {}
    }
}

/// A text inside a message: a message of its own, or a part of one, or plain words.
fn without_personal_data(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(inner) => masked(text, inner, &mask_personal),
        Err(_) if text.trim_start().starts_with(['{', '[']) => WITHHELD.to_owned(),
        Err(_) if text.contains(['{', '[', '"']) && mentions_personal_data(text) => {
            WITHHELD.to_owned()
        }
        Err(_) => text.to_owned(),
    }
}

/// Below a tree's name everything is personal; a field's name may also be that of an
/// object, whose own names then decide.
fn is_personal(name: &str, field: &Value) -> bool {
    PERSONAL_TREES.contains(&name) || (PERSONAL_FIELDS.contains(&name) && !field.is_object())
}

/// Masks each value and leaves the names: what is missing in an address can be seen.
fn mask_whole(value: &mut Value, mask: &str) {
    match value {
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|field| mask_whole(field, mask)),
        Value::Array(items) => items.iter_mut().for_each(|item| mask_whole(item, mask)),
        Value::Null => {}
        other => *other = Value::String(mask.to_owned()),
    }
}

/// A name as it is compared: `ship_to` and `shipTo` are one.
fn plain(name: &str) -> String {
    name.chars()
        .filter(|letter| letter.is_alphanumeric())
        .collect::<String>()
        .to_lowercase()
}

/// Names that are ordinary words count only as the name of a field.
fn mentions_personal_data(text: &str) -> bool {
    let lower = text.to_lowercase();
    let plain = plain(text);
    PERSONAL_TREES.iter().any(|name| plain.contains(name))
        || PERSONAL_FIELDS
            .iter()
            .any(|name| lower.contains(&format!("\"{name}")))
}

/// What a letter behind a backslash is: in a JSON text the end of an escape such as
/// `\n`, elsewhere a letter like any other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    Skipped,
    Letters,
}

/// Where the first name of a token ends, in bytes. Case, escapes and all that is no
/// letter do not count.
fn token_name_end(text: &str) -> Option<usize> {
    let ends = [Escapes::Skipped, Escapes::Letters].map(|escapes| {
        let letters = letters(text, escapes);
        let found = letters
            .windows(TOKEN.len())
            .find(|window| window.iter().map(|(letter, _)| *letter).eq(TOKEN));
        found.and_then(|window| window.last()).map(|(_, end)| *end)
    });
    ends.into_iter().flatten().min()
}

/// The letters of a text in lower case, each with the place where it ends in the text.
fn letters(text: &str, escapes: Escapes) -> Vec<(char, usize)> {
    let mut letters = Vec::new();
    let mut escaped = false;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let code_point = escaped.then(|| code_point(rest)).flatten();
        let (letter, length) = code_point.unwrap_or((first, first.len_utf8()));
        rest = &rest[length..];
        let skipped = escaped && code_point.is_none() && escapes == Escapes::Skipped;
        if letter.is_alphabetic() && !skipped {
            let end = text.len() - rest.len();
            letters.extend(letter.to_lowercase().map(|letter| (letter, end)));
        }
        // An escape may stand for the backslash of the next one.
        escaped = letter == '\\';
    }
    letters
}

/// The character that a `u` and four hexadecimal digits at the beginning of a text stand
/// for, and the length of these in bytes.
fn code_point(text: &str) -> Option<(char, usize)> {
    let digits = text.strip_prefix('u')?.get(..4)?;
    let code = u32::from_str_radix(digits, 16).ok()?;
    Some((char::from_u32(code)?, 1 + digits.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "AAAAKgAAAAIAAAAAAAAAAEX/MPLE+taskToken=";

    #[track_caller]
    fn hides(body: &str) -> String {
        assert!(body.contains("AAAAKg"), "the test has a token in {body}");
        let shown = displayed(body, true);
        for shown in [&shown, &displayed(body, false)] {
            assert!(
                !shown.contains("AAAAKg") && !shown.contains("MPLE"),
                "{shown}"
            );
        }
        assert!(shown.contains(TOKEN_MASK), "{shown}");
        assert_eq!(without_token(&shown), shown, "a mask is masked again");
        shown
    }

    #[test]
    fn a_token_is_never_shown_wherever_it_is() {
        hides(&format!(r#"{{"id":"a","tasktoken":"{SECRET}"}}"#));
        hides(&format!(r#"{{"data":{{"taskToken":"{SECRET}"}}}}"#));
        hides(&format!(r#"{{"data":{{"myTaskToken2":"{SECRET}"}}}}"#));
        hides(&format!(r#"[{{"task_token":["{SECRET}"]}}]"#));
        hides(&format!(
            r#"{{"Message":"{{\"tasktoken\":\"{SECRET}\",\"a\":1}}"}}"#
        ));
        hides(&format!(r#"{{"t\u0061sktoken":"{SECRET}"}}"#));
        hides(&format!(r#"{{"task\ntoken":"{SECRET}"}}"#));
        hides(&format!(r#"["tasktoken","{SECRET}"]"#));
        hides(&format!(r#"{{"Name":"taskToken","Value":"{SECRET}"}}"#));
    }

    #[test]
    fn what_follows_a_tokens_name_in_a_body_that_is_broken_is_withheld() {
        let shown = hides(&format!(
            r#"{{"id":"a","tasktoken":"{SECRET}","data":{{"amount":1"#
        ));
        assert_eq!(
            shown,
            format!(r#"{{"id":"a","tasktoken{TOKEN_MASK} {REST_WITHHELD}"#)
        );
        hides(&format!(r#"{{"tasktoken" : "{SECRET}"#));
        hides(&format!(r#"{{"tasktoken":"AAAAKg\"{SECRET}""#));
        hides(&format!(r#"{{"tasktoken":["x","{SECRET}"],"#));
        hides(&format!(r#"{{"tasktoken":{{"Value":"{SECRET}"#));
        hides(&format!(r#""{{\"tasktoken\":\"{SECRET}\",\"data\":1"#));
        hides(&format!("tasktoken={SECRET}&a=1"));
        hides(&format!("{{'tasktoken': '{SECRET}', }}"));
        let escaped = SECRET.replace('/', "\\/");
        hides(&format!(r#"{{"tasktoken":"{escaped}","data"#));
    }

    #[test]
    fn a_tokens_name_is_known_however_it_is_written() {
        for name in [
            "t\\u0061sktoken",
            "\\u0074\\u0061\\u0073\\u006B\\u0074oken",
            "t\\\\u0061sktoken",
            "t\\u005cu0061sktoken",
            "TASK-TOKEN",
            "Task.\n Token",
            "task\\ntoken",
            "C:\\tasktoken",
            "tas\u{212a}token",
            "task_1_token",
        ] {
            hides(&format!("{{\"{name}\": {SECRET}"));
        }
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
            "\\u00",
            "\\u00ü",
        ] {
            assert_eq!(displayed(body, true), body);
        }
        let object = "{ \"b\": 1.0,  \"a\": \"\u{e9}\", \"c\": \"[ok]\" }";
        assert_eq!(displayed(object, true), object);
        let object = "{ \"b\": 1.0,  \"a\": \"plain words\" }";
        assert_eq!(displayed(object, false), object);
    }

    #[test]
    fn an_address_is_hidden_and_its_fields_stay_visible() {
        let body = r#"{"data":{"orderId":"o-1","shipTo":{"name":"Ada","line1":"Street 1","country":"DE"}}}"#;
        let shown = displayed(body, false);
        assert!(
            !shown.contains("Ada") && !shown.contains("Street"),
            "{shown}"
        );
        assert!(shown.contains("o-1") && shown.contains("line1"), "{shown}");
        assert!(displayed(body, true).contains("Ada"));
        let wrapped = serde_json::json!({ "Message": body }).to_string();
        assert!(!displayed(&wrapped, false).contains("Ada"));
        for body in [
            r#"{"ship_to":"Ada, Street 1"}"#,
            r#"{"data":{"shipTo":{"name":"Ada"}},"data":{}}"#,
            r#"{"Message":"{\"shipTo\":{\"name\":\"Ada"}"#,
            r#"{"Message":"got {\"shipTo\":{\"name\":\"Ada"}"#,
        ] {
            let shown = displayed(body, false);
            assert!(!shown.contains("Ada"), "{shown}");
        }
    }

    #[test]
    fn a_body_that_is_no_json_object_is_withheld_with_its_length_and_hash() {
        for body in [
            "",
            "Ada Lovelace, Street 1",
            r#"{"data":{"shipTo":{"n":"Ada"#,
            r#"["Ada"]"#,
            r#""Ada""#,
        ] {
            let shown = displayed(body, false);
            assert!(!shown.contains("Ada"), "{shown}");
            assert!(shown.contains(&format!("{} bytes", body.len())), "{shown}");
            assert!(shown.contains(&crate::edit::sha256(body)), "{shown}");
            assert_eq!(displayed(body, true), body);
        }
    }
}
