//! Older versions of messages, read as the current one.
//!
//! Each step leads from the data of one version to the data of the next. The code that
//! reads types then knows the current version only, however many there have been.

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::envelope::{ContractError, MessageType};

/// Makes the data of one version into the data of the next. It invents nothing: what
/// does not fit is left as it is, and the reader of the current version refuses it.
pub(crate) type Upcast = fn(Value) -> Value;

/// The versions that there have been of each message: by `<noun>.<verb>`, the steps from
/// version 1 to 2, from 2 to 3, and so on. A message that is not here has had one version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Versions(pub(crate) &'static [(&'static str, &'static [Upcast])]);

/// The versions of this system's messages. There is one of each so far.
pub(crate) const VERSIONS: Versions = Versions(&[]);

/// The newest version of a message that is read, by `<noun>.<verb>`. All before it are
/// read as well.
pub fn newest_version(name: &str) -> u32 {
    VERSIONS.newest(name)
}

impl Versions {
    fn steps(self, name: &str) -> &'static [Upcast] {
        let mut known = self.0.iter();
        let found = known.find(|(known, _)| *known == name);
        found.map_or(&[], |(_, steps)| steps)
    }

    fn newest(self, name: &str) -> u32 {
        u32::try_from(self.steps(name).len() + 1).unwrap_or(u32::MAX)
    }

    /// Refuses a version that nobody has published, or that is newer than this code.
    pub(crate) fn check(self, kind: MessageType<'_>) -> Result<(), ContractError> {
        let newest = self.newest(kind.name);
        if (1..=newest).contains(&kind.version) {
            return Ok(());
        }
        Err(ContractError::UnknownVersion {
            name: kind.name.to_owned(),
            version: kind.version,
            newest,
        })
    }

    /// Data in the newest version. Where it is that already, nothing is done to it.
    pub(crate) fn upcast<'a>(
        self,
        kind: MessageType<'_>,
        data: &'a RawValue,
    ) -> Result<Cow<'a, RawValue>, ContractError> {
        self.check(kind)?;
        let passed = usize::try_from(kind.version - 1).unwrap_or(usize::MAX);
        let steps = self.steps(kind.name).get(passed..).unwrap_or_default();
        if steps.is_empty() {
            return Ok(Cow::Borrowed(data));
        }
        let broken = |error: serde_json::Error| ContractError::Data(error.into());
        let older = serde_json::from_str(data.get()).map_err(broken)?;
        let current = steps.iter().fold(older, |data, step| step(data));
        to_raw_value(&current).map(Cow::Owned).map_err(broken)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Version 2 put the amount and the currency together; version 3 named the payer.
    const PAST: Versions = Versions(&[("payment.charge", &[money_together, with_a_payer])]);

    fn money_together(mut data: Value) -> Value {
        if let Some(fields) = data.as_object_mut() {
            let amount = fields.remove("amount");
            let currency = fields.remove("currency");
            let money = json!({ "amount": amount, "currency": currency });
            fields.insert("money".into(), money);
        }
        data
    }

    fn with_a_payer(mut data: Value) -> Value {
        if let Some(fields) = data.as_object_mut() {
            fields.insert("payer".into(), json!("customer"));
        }
        data
    }

    fn charge(version: u32) -> MessageType<'static> {
        MessageType {
            name: "payment.charge",
            version,
        }
    }

    fn upcast(version: u32, data: &Value) -> Value {
        let data = to_raw_value(data).unwrap();
        let current = PAST.upcast(charge(version), &data).unwrap();
        serde_json::from_str(current.get()).unwrap()
    }

    #[test]
    fn each_version_becomes_the_newest_step_by_step() {
        let money = json!({ "amount": 1, "currency": "EUR" });
        let newest = json!({ "money": money, "payer": "customer", "note": "kept" });
        let first = json!({ "amount": 1, "currency": "EUR", "note": "kept" });
        let second = json!({ "money": money, "note": "kept" });
        for (version, data) in [(1, &first), (2, &second), (3, &newest)] {
            assert_eq!(upcast(version, data), newest, "from version {version}");
        }
    }

    #[test]
    fn the_newest_version_is_not_touched() {
        let spelled = RawValue::from_string(r#"{ "b":1.0, "a" : 1e2 }"#.into()).unwrap();
        for (versions, version) in [(VERSIONS, 1), (PAST, 3)] {
            let read = versions.upcast(charge(version), &spelled).unwrap();
            assert_eq!(read.get(), spelled.get());
        }
    }

    #[test]
    fn what_does_not_fit_is_left_for_the_reader_to_refuse() {
        for data in [json!(null), json!([1]), json!("text")] {
            assert_eq!(upcast(1, &data), data);
        }
    }

    #[test]
    fn a_version_that_is_not_known_is_refused_with_those_that_are() {
        for version in [0, 4, u32::MAX] {
            let refused = PAST.check(charge(version)).unwrap_err();
            assert_eq!(refused.name(), "UnknownVersion");
            let why = refused.to_string();
            assert!(why.contains(&format!("version {version} of payment.charge")));
            assert!(why.contains("1 to 3"), "{why}");
        }
        assert_eq!(PAST.newest("payment.refund"), 1);
    }
}
