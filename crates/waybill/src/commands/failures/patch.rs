//! A JSON Patch (RFC 6902) as it was given, carried out within bounds.

use json_patch::{Patch, PatchOperation, patch_unsafe};
use serde_json::Value;

use crate::commands::input;
use crate::failure::Failure;

/// Nobody writes more by hand, and no message needs more.
const MOST_STEPS: usize = 1_000;

/// JSON that is nested deeper is read by none of the consumers.
const DEEPEST: usize = 127;

/// Reads a patch. `name` says where it comes from.
pub(super) fn read(name: &str, text: &str) -> Result<Patch, Failure> {
    let value = contracts::parse_strict(text.as_bytes())
        .map_err(|error| input::not_json(name, text.as_bytes(), &error))?;
    let Value::Array(steps) = value else {
        return Err(Failure::Input(format!(
            "{name} is not a JSON Patch (RFC 6902), which is a list: \
             [{{\"op\": \"replace\", \"path\": \"/data/amount\", \"value\": 1}}]"
        )));
    };
    if steps.len() > MOST_STEPS {
        return Err(Failure::Input(format!(
            "{name} makes {} changes, and at most {MOST_STEPS} are carried out; \
             replace the body as a whole with --body",
            steps.len()
        )));
    }
    let read = steps.into_iter().zip(1..).map(|(step, number)| {
        // What the parser says would quote the step, which may hold personal data.
        serde_json::from_value(step).map_err(|_| {
            Failure::Input(format!(
                "change {number} of {name} is none of a JSON Patch (RFC 6902): \
                 it needs op, path, and by the op value or from"
            ))
        })
    });
    read.collect::<Result<_, _>>().map(Patch)
}

/// Carries out a patch.
///
/// A copy can double a body, and so can each further one: what it has come to is
/// measured after each step, before the next is made.
pub(super) fn apply(before: &str, patch: &Patch, most_bytes: usize) -> Result<String, Failure> {
    let mut message: Value = serde_json::from_str(before).map_err(|_| {
        Failure::Input("the body is not JSON; replace it as a whole with --body".to_owned())
    })?;
    for step in &patch.0 {
        carry_out(&mut message, step)?;
        if !fits(&message, DEEPEST, &mut { most_bytes }) {
            return Err(Failure::Input(format!(
                "the patch makes the body larger than {most_bytes} bytes, or deeper than {DEEPEST}"
            )));
        }
    }
    Ok(message.to_string())
}

fn carry_out(message: &mut Value, step: &PatchOperation) -> Result<(), Failure> {
    patch_unsafe(message, std::slice::from_ref(step))
        .map_err(|error| Failure::Input(format!("the patch does not fit the body: {error}")))
}

/// Whether a value is neither too deep nor too large. What it takes is counted from below,
/// and off what is left.
fn fits(value: &Value, depth: usize, bytes: &mut usize) -> bool {
    let (own, children): (usize, Vec<&Value>) = match value {
        Value::String(text) => (text.len() + 2, Vec::new()),
        Value::Array(values) => (2, values.iter().collect()),
        Value::Object(fields) => {
            let names: usize = fields.keys().map(|name| name.len() + 4).sum();
            (2 + names, fields.values().collect())
        }
        _ => (1, Vec::new()),
    };
    let Some(left) = bytes.checked_sub(own) else {
        return false;
    };
    *bytes = left;
    let Some(deeper) = depth.checked_sub(1) else {
        return false;
    };
    children.into_iter().all(|child| fits(child, deeper, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use failures::mask::without_token;
    use proptest::prelude::*;
    use serde_json::json;

    const MOST: usize = 10_000;

    fn patched(body: &str, patch: &str) -> Result<String, Failure> {
        apply(body, &read("the patch", patch)?, MOST)
    }

    #[test]
    fn a_patch_changes_the_body_that_is_shown() {
        let body = without_token(r#"{"tasktoken":"SECRET","data":{"amount":"1"}}"#);
        let patch = r#"[{"op":"replace","path":"/data/amount","value":1}]"#;
        let after: Value = serde_json::from_str(&patched(&body, patch).unwrap()).unwrap();
        assert_eq!(after["data"]["amount"], 1);
        assert!(!after.to_string().contains("SECRET"));
    }

    #[test]
    fn a_patch_that_does_not_fit_is_a_mistake_of_the_caller() {
        let twice = r#"[{"op":"add","path":"/a","value":1,"value":2}]"#;
        for (body, patch) in [
            ("{}", "{"),
            ("{}", ""),
            ("{}", "{}"),
            ("{}", "null"),
            ("{}", r#"[{"op":"replace","path":"/a","value":1}]"#),
            ("{}", r#"[{"op":"replace","path":"a","value":1}]"#),
            ("{}", r#"[{"op":"move","from":"","path":"/a"}]"#),
            ("{}", twice),
            ("junk", r#"[{"op":"add","path":"/a","value":1}]"#),
        ] {
            assert!(
                matches!(patched(body, patch), Err(Failure::Input(_))),
                "{body} {patch}"
            );
        }
    }

    /// So many copies of the whole into itself.
    fn doubling(steps: usize) -> String {
        let step = |number| json!({ "op": "copy", "from": "", "path": format!("/{number}") });
        Value::from_iter((0..steps).map(step)).to_string()
    }

    #[test]
    fn a_patch_that_doubles_the_body_again_and_again_is_stopped() {
        assert!(patched(r#"{"a":1}"#, &doubling(3)).is_ok());
        let refused = patched(r#"{"a":1}"#, &doubling(900)).unwrap_err();
        assert!(refused.to_string().contains("larger than 10000 bytes"));
    }

    #[test]
    fn a_patch_that_nests_the_body_ever_deeper_is_stopped() {
        let step = json!({ "op": "add", "path": "/a", "value": { "a": 1 } });
        let path = |depth: usize| "/a".repeat(depth + 1);
        let steps = (0..900).map(|depth| {
            let mut step = step.clone();
            step["path"] = path(depth).into();
            step
        });
        let refused = patched("{}", &Value::from_iter(steps).to_string()).unwrap_err();
        assert!(refused.to_string().contains("deeper than"), "{refused}");
    }

    #[test]
    fn more_steps_than_anybody_writes_are_refused_before_any_is_made() {
        let refused = read("the patch", &doubling(MOST_STEPS + 1)).unwrap_err();
        assert!(refused.to_string().contains("at most 1000"), "{refused}");
        assert!(read("the patch", &doubling(MOST_STEPS)).is_ok());
    }

    /// Paths that meet what is there, and some that do not.
    fn path() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just("a"),
            Just("b"),
            Just("0"),
            Just("1"),
            Just("-"),
            Just("01"),
            Just("~0"),
            Just("~2"),
            Just(""),
            Just("18446744073709551616")
        ];
        proptest::collection::vec(part, 0..4)
            .prop_map(|parts| parts.iter().map(|part| format!("/{part}")).collect())
    }

    fn step() -> impl Strategy<Value = Value> {
        let operation = prop_oneof![
            Just("add"),
            Just("remove"),
            Just("replace"),
            Just("move"),
            Just("copy"),
            Just("test")
        ];
        let value = prop_oneof![Just(json!(1)), Just(json!([1, 2])), Just(json!({ "a": 1 }))];
        (operation, path(), path(), value).prop_map(|(operation, path, from, value)| {
            json!({ "op": operation, "path": path, "from": from, "value": value })
        })
    }

    proptest! {
        #[test]
        fn whatever_a_patch_does_the_body_is_json_within_bounds_or_the_patch_is_refused(
            steps in proptest::collection::vec(step(), 0..40),
        ) {
            let body = r#"{"a":[1,{"b":[]}],"b":{"a":{"0":"x"}}}"#;
            match patched(body, &Value::from(steps).to_string()) {
                Ok(after) => {
                    prop_assert!(serde_json::from_str::<Value>(&after).is_ok());
                    prop_assert!(after.len() <= MOST * 2, "{}", after.len());
                }
                Err(refused) => prop_assert!(matches!(refused, Failure::Input(_))),
            }
        }

        #[test]
        fn no_text_in_the_place_of_a_patch_ends_in_a_panic(text in "\\PC{0,200}") {
            if let Err(refused) = read("the patch", &text) {
                prop_assert!(matches!(refused, Failure::Input(_)));
            }
        }
    }
}
