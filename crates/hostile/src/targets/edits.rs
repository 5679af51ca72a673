//! The failure store: what a person makes of a message, and what a person is shown of one.

use contracts::{CommandMessage, EventMessage};
use failures::edit::{PROTECTED, edit, editable};
use failures::mask::displayed;
use failures::{Actor, Failure, FailureId, Letter};
use serde_json::{Value, json};
use testkit::{VirtualClock, fixtures};

use super::{Target, Verdict, check_refusal};
use crate::corpus::seeds;

/// A new body for a message that was poison.
pub(super) const EDIT: Target = Target {
    name: "edit",
    seeds: || {
        let mut seeds = seeds("edit", &[]);
        let mut good: Value = serde_json::from_str(&editable(&poison())).unwrap();
        good["data"]["amount"] = json!(2500);
        seeds.push(good.to_string().into_bytes());
        seeds
    },
    check: check_edit,
};

/// A dead letter that is shown: any body at all.
pub(super) const SHOWN: Target = Target {
    name: "shown",
    seeds: || seeds("shown", &["crates/contracts/samples"]),
    check: check_shown,
};

/// A charge whose amount is a text.
fn poison() -> Failure {
    let mut failure = fixtures::failure("f-1");
    let mut body: Value = serde_json::from_str(&failure.letter.body).unwrap();
    body["data"]["amount"] = json!("2500");
    failure.letter = Letter::new(body.to_string(), failure.letter.attributes);
    failure
}

fn check_edit(input: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(input);
    let original = poison();
    let actor = Actor {
        name: "ada".to_owned(),
        at: fixtures::timestamp(VirtualClock::START),
    };
    let edited = match edit(&original, &text, FailureId::new("f-2"), "what", &actor) {
        Ok(edited) => edited,
        Err(why) => {
            check_refusal(&message_worker::cause_chain(&why).join(": "));
            return Verdict::Refused;
        }
    };
    let body = &edited.copy.letter.body;
    CommandMessage::parse(body).unwrap();
    let (before, after): (Value, Value) = (
        serde_json::from_str(&original.letter.body).unwrap(),
        serde_json::from_str(body).unwrap(),
    );
    for name in PROTECTED {
        assert_eq!(before[name], after[name], "{name} was changed");
    }
    Verdict::Accepted
}

/// The token of a message is not shown, however broken the rest of it is.
fn check_shown(input: &[u8]) -> Verdict {
    let body = String::from_utf8_lossy(input);
    let mut failure = fixtures::failure("f-1");
    failure.letter = Letter::new(body.to_string(), failure.letter.attributes);
    let token = contracts::peek(&body).task_token();
    for shown in [
        displayed(&body, true),
        displayed(&body, false),
        editable(&failure),
    ] {
        // An editor indents, so that a small body may become a few times larger.
        assert!(
            shown.len() <= body.len() * 300 + 1000,
            "{} bytes",
            shown.len()
        );
        if let Some(token) = token.as_ref().filter(|token| token.expose().len() > 20) {
            assert!(!shown.contains(token.expose()), "the token is shown");
        }
    }
    let is_read = CommandMessage::parse(&body).is_ok() || EventMessage::parse(&body).is_ok();
    match is_read {
        true => Verdict::Accepted,
        false => Verdict::Refused,
    }
}
