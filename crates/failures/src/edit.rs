//! Editing a message that can only succeed when it is changed.
//!
//! The edited message is a record of its own, linked to the original both ways. Both
//! are written in one step, and the original is never sent from then on. What makes a
//! message the same message stays as it is: the idempotency key above all.

use contracts::schema::Schema;
use contracts::{
    CommandMessage, ContractError, DuplicateKeys, EventMessage, JsonFault, MessageType,
    parse_strict,
};
use domain::{EventKind, Step};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::change::{Actor, Change, Refused};
use crate::failure::{Failure, FailureId, HistoryEntry, Letter, Status};
use crate::mask::{TOKEN_MASK, without_token};

/// The attributes that an edit may not change, once they are there.
pub const PROTECTED: [&str; 6] = [
    "id",
    "source",
    "subject",
    "tasktoken",
    "correlationid",
    "causationid",
];

/// Why an edit is refused.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The record does not stand where it could be edited.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The new body is no JSON object.
    #[error("the edited body is not a JSON object")]
    NotAnObject(#[source] Option<JsonFault>),
    /// The new body has a key twice.
    #[error("in the edited body, {DuplicateKeys}")]
    DuplicateKeys,
    /// It changes what makes the message the same message.
    #[error(
        "{0} is protected and stays as it is: the message must remain the same message \
         (its id is the key by which an effect happens once)"
    )]
    Protected(&'static str),
    /// It changes what the message asks for.
    #[error("type is protected but for its version: another type would be another message")]
    Type,
    /// It brings a task token along.
    #[error("a task token cannot be given; leave tasktoken as {TOKEN_MASK:?} or leave it out")]
    Token,
    /// It breaks the contract of its type.
    #[error("the edited message breaks the contract of its type")]
    Contract(#[source] ContractError),
    /// It is what it was.
    #[error("nothing was changed")]
    Unchanged,
}

/// An edit that may be made: both records, to be stored in one step.
#[derive(Debug)]
pub struct Edit {
    /// The original in its next version. It is never sent again.
    pub original: Failure,
    /// The copy, version 1, which waits to be replayed.
    pub copy: Failure,
}

/// The body as it may be put into an editor: without its task token, indented where it
/// is JSON. It may hold personal data.
pub fn editable(failure: &Failure) -> String {
    let body = without_token(&failure.letter.body);
    match serde_json::from_str::<Value>(&body) {
        Ok(message) => format!("{message:#}"),
        Err(_) => body,
    }
}

/// Makes an edit out of the new body: with the mask in the place of the task token, or
/// without one.
///
/// # Errors
/// [`EditError`] says why it is refused; nothing is changed by then.
pub fn edit(
    failure: &Failure,
    body: &str,
    copy: FailureId,
    what: &str,
    actor: &Actor,
) -> Result<Edit, EditError> {
    let change = Change::Edit {
        copy: copy.clone(),
        what: what.to_owned(),
    };
    let original = failure.after(&change, actor)?;
    let edited = object(body)?;
    let before = serde_json::from_str::<Value>(&failure.letter.body).ok();
    if before
        .as_ref()
        .is_some_and(|before| is_same(before, &edited))
    {
        return Err(EditError::Unchanged);
    }
    let before = before.and_then(|before| match before {
        Value::Object(before) => Some(before),
        _ => None,
    });
    let before = before.unwrap_or_default();
    keeps_protected(&before, &edited)?;
    let edited = with_token(edited, &before)?;
    let body = Value::Object(edited).to_string();
    keeps_contract(&body).map_err(EditError::Contract)?;
    Ok(Edit {
        copy: copy_of(failure, copy, &body, what, actor),
        original,
    })
}

fn object(body: &str) -> Result<Map<String, Value>, EditError> {
    match parse_strict(body.as_bytes()) {
        Ok(Value::Object(message)) => Ok(message),
        Ok(_) => Err(EditError::NotAnObject(None)),
        Err(error) if error.to_string().starts_with(&DuplicateKeys.to_string()) => {
            Err(EditError::DuplicateKeys)
        }
        Err(error) => Err(EditError::NotAnObject(Some(error.into()))),
    }
}

/// The mask stands for the token, so a body that was only looked at is unchanged.
fn is_same(before: &Value, edited: &Map<String, Value>) -> bool {
    let shown = serde_json::from_str::<Value>(&without_token(&before.to_string()));
    shown.is_ok_and(|shown| shown.as_object() == Some(edited))
}

/// What is missing, or is no text, may be mended; what is there may not be changed.
fn keeps_protected(
    before: &Map<String, Value>,
    edited: &Map<String, Value>,
) -> Result<(), EditError> {
    for name in PROTECTED.into_iter().filter(|name| *name != "tasktoken") {
        let was = before.get(name).filter(|was| was.is_string());
        if was.is_some() && was != edited.get(name) {
            return Err(EditError::Protected(name));
        }
    }
    let kind = |message: &Map<String, Value>| {
        let text = message.get("type")?.as_str()?;
        MessageType::parse(text).map(|kind| kind.name.to_owned())
    };
    match (kind(before), kind(edited)) {
        (Some(was), now) if now.as_ref() != Some(&was) => Err(EditError::Type),
        _ => Ok(()),
    }
}

/// Puts the token back in the place of its mask.
fn with_token(
    mut edited: Map<String, Value>,
    before: &Map<String, Value>,
) -> Result<Map<String, Value>, EditError> {
    let mask = Value::String(TOKEN_MASK.to_owned());
    match (edited.get("tasktoken"), before.get("tasktoken")) {
        (Some(given), Some(token)) if *given == mask => {
            edited.insert("tasktoken".to_owned(), token.clone());
        }
        (Some(_), _) => return Err(EditError::Token),
        (None, Some(_)) => return Err(EditError::Protected("tasktoken")),
        (None, None) => {}
    }
    // A mask in any other place would be sent as it stands.
    let rest = edited.iter().filter(|(name, _)| *name != "tasktoken");
    let masks = rest.filter(|(_, value)| value.to_string().contains(TOKEN_MASK));
    match masks.count() {
        0 => Ok(edited),
        _ => Err(EditError::Token),
    }
}

/// Whether the consumers of its type can read it.
fn keeps_contract(body: &str) -> Result<(), ContractError> {
    let peeked = contracts::peek(body);
    let kind = peeked.message_type.as_deref().and_then(MessageType::parse);
    if kind.is_some_and(|kind| kind.name.parse::<Step>().is_ok()) {
        return CommandMessage::parse(body).map(drop);
    }
    let event = EventMessage::parse(body)?;
    match event.kind {
        EventKind::OrderPlaced => event.placed_order().map(drop),
        EventKind::OrderCompleted | EventKind::OrderFailed | EventKind::OrderNeedsAttention => {
            event.outcome().map(drop)
        }
        _ => Ok(()),
    }
}

fn copy_of(failure: &Failure, id: FailureId, body: &str, what: &str, actor: &Actor) -> Failure {
    let peeked = contracts::peek(body);
    let envelope = contracts::Envelope::parse(body).ok();
    let message_type = peeked.message_type.clone();
    let schema = message_type.as_deref().and_then(Schema::find);
    Failure {
        id,
        version: 1,
        status: Status::Waiting,
        letter: Letter {
            body: body.to_owned(),
            attributes: failure.letter.attributes.clone(),
            body_sha256: sha256(body),
        },
        event_id: peeked.id.clone(),
        correlation_id: peeked.correlationid,
        order_id: envelope.map(|envelope| envelope.order.to_string()),
        message_type,
        schema: schema.map(Schema::id),
        schema_hash: schema.map(Schema::hash),
        automatic_replays: 0,
        dead_letters: Vec::new(),
        replay: None,
        resolution: None,
        edit_of: Some(failure.id.clone()),
        edited_as: None,
        history: vec![HistoryEntry {
            at: actor.at,
            by: actor.name.clone(),
            action: "stored".to_owned(),
            detail: format!("as an edited copy of {}: {what}", failure.id),
        }],
        expires_at: None,
        ..failure.clone()
    }
}

/// SHA-256 of a body, in lowercase hexadecimal.
pub(crate) fn sha256(body: &str) -> String {
    let digest = Sha256::digest(body.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Trouble;
    use crate::group::group_of;
    use contracts::Timestamp;
    use serde_json::json;

    const CHARGE: &str = include_str!("../../contracts/samples/waybill.payment.charge.v1.json");

    fn actor() -> Actor {
        Actor {
            name: "ada".to_owned(),
            at: Timestamp::from_epoch_millis(1_795_283_775_859),
        }
    }

    fn failure(body: &str) -> Failure {
        let trouble = Trouble {
            class: "poison".to_owned(),
            name: "ContractBroken".to_owned(),
            cause: Vec::new(),
            attempts: 1,
            failed_at: actor().at,
            found_in: "quarantine".to_owned(),
            message_id: "f-1".to_owned(),
            source_queue: None,
            source_message_id: None,
        };
        Failure {
            id: FailureId::new("f-1"),
            version: 3,
            status: Status::Waiting,
            consumer: "payment".to_owned(),
            group: group_of("payment", &trouble),
            letter: Letter {
                body: body.to_owned(),
                attributes: Default::default(),
                body_sha256: sha256(body),
            },
            trouble,
            message_type: None,
            event_id: None,
            order_id: None,
            correlation_id: None,
            schema: None,
            schema_hash: None,
            first_seen: None,
            stored_at: actor().at,
            failed: 1,
            automatic_replays: 0,
            dead_letters: vec!["f-1".to_owned()],
            replay: None,
            resolution: None,
            edit_of: None,
            edited_as: None,
            note: None,
            history: Vec::new(),
            expires_at: None,
        }
    }

    /// The sample with an amount that is a text, which is poison.
    fn poison() -> Failure {
        let mut message: Value = serde_json::from_str(CHARGE).unwrap();
        message["data"]["amount"] = json!("2500");
        failure(&message.to_string())
    }

    fn try_edit(failure: &Failure, change: impl FnOnce(&mut Value)) -> Result<Edit, EditError> {
        let mut message: Value = serde_json::from_str(&editable(failure)).unwrap();
        change(&mut message);
        let copy = FailureId::new("f-2");
        edit(failure, &message.to_string(), copy, "the amount", &actor())
    }

    #[test]
    fn a_mended_message_is_a_copy_with_its_token_and_the_original_is_never_sent() {
        let poison = poison();
        let edited = try_edit(&poison, |message| message["data"]["amount"] = json!(2500)).unwrap();
        assert_eq!(edited.original.status, Status::Edited);
        assert_eq!(edited.original.edited_as, Some(FailureId::new("f-2")));
        assert_eq!(edited.original.version, poison.version + 1);
        let copy = edited.copy;
        assert_eq!((copy.version, copy.status), (1, Status::Waiting));
        assert_eq!(copy.edit_of, Some(FailureId::new("f-1")));
        assert_eq!(copy.letter.body_sha256, sha256(&copy.letter.body));
        let body: Value = serde_json::from_str(&copy.letter.body).unwrap();
        let sample: Value = serde_json::from_str(CHARGE).unwrap();
        assert_eq!(body, sample, "the token is back in its place");
        assert_eq!(
            copy.message_type.as_deref(),
            Some("waybill.payment.charge.v1")
        );
        let claim = Change::Claim {
            replay: crate::ReplayId::new("r"),
            destination: "payment".to_owned(),
            automatic: false,
            again: true,
        };
        assert!(edited.original.after(&claim, &actor()).is_err());
    }

    #[test]
    fn what_is_put_into_an_editor_has_no_token() {
        let shown = editable(&poison());
        assert!(
            shown.contains(TOKEN_MASK) && !shown.contains("EXAMPLE"),
            "{shown}"
        );
    }

    #[test]
    fn what_makes_the_message_the_same_message_is_protected() {
        for name in PROTECTED {
            let changed = try_edit(&poison(), |message| message[name] = json!("other"));
            let removed = try_edit(&poison(), |message| {
                message.as_object_mut().unwrap().remove(name);
            });
            for refused in [changed, removed] {
                let refused = refused.unwrap_err();
                let is_clear = refused.to_string().contains(name);
                assert!(
                    is_clear || matches!(refused, EditError::Token),
                    "{name}: {refused}"
                );
            }
        }
        let other_type = try_edit(&poison(), |message| {
            message["type"] = json!("waybill.payment.refund.v1");
        });
        assert!(matches!(other_type, Err(EditError::Type)));
    }

    #[test]
    fn a_version_that_nobody_reads_may_be_changed_to_one_that_is_read() {
        let mut message: Value = serde_json::from_str(CHARGE).unwrap();
        message["type"] = json!("waybill.payment.charge.v9");
        let edited = try_edit(&failure(&message.to_string()), |message| {
            message["type"] = json!("waybill.payment.charge.v1");
        });
        edited.unwrap();
    }

    #[test]
    fn what_is_missing_may_be_added() {
        let mut message: Value = serde_json::from_str(CHARGE).unwrap();
        message.as_object_mut().unwrap().remove("correlationid");
        let edited = try_edit(&failure(&message.to_string()), |message| {
            message["correlationid"] = json!("c-1");
        });
        assert_eq!(edited.unwrap().copy.correlation_id.as_deref(), Some("c-1"));
    }

    #[test]
    fn an_edit_that_leaves_the_message_broken_is_refused_with_the_reason() {
        let refused = try_edit(&poison(), |message| message["data"]["amount"] = json!(-1));
        assert!(matches!(refused, Err(EditError::Contract(_))));
        let refused = try_edit(&poison(), |_| ());
        assert!(matches!(refused, Err(EditError::Unchanged)));
        let poison = poison();
        for (body, reason) in [("[]", "not a JSON object"), (r#"{"a":1,"a":2}"#, "twice")] {
            let refused = edit(&poison, body, FailureId::new("f-2"), "", &actor());
            assert!(refused.unwrap_err().to_string().contains(reason));
        }
    }

    #[test]
    fn a_body_that_is_no_json_can_be_replaced_whole() {
        let junk = failure("{\"id\":");
        let mut message: Value = serde_json::from_str(CHARGE).unwrap();
        let with_token = edit(
            &junk,
            &message.to_string(),
            FailureId::new("f-2"),
            "",
            &actor(),
        );
        assert!(matches!(with_token, Err(EditError::Token)));
        message.as_object_mut().unwrap().remove("tasktoken");
        edit(
            &junk,
            &message.to_string(),
            FailureId::new("f-2"),
            "",
            &actor(),
        )
        .unwrap();
    }

    #[test]
    fn only_what_waits_is_edited() {
        for status in Status::ALL {
            let mut failure = poison();
            failure.status = status;
            let edited = try_edit(&failure, |message| message["data"]["amount"] = json!(2500));
            assert_eq!(edited.is_ok(), status == Status::Waiting, "{status}");
        }
    }
}
