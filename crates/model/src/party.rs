//! The outside parties, as the ports demand that they behave.

use crate::scenario::PartyRules;
use crate::state::{Fate, Party, Request};

/// What an outside party says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// The action was carried out, now or before.
    Done,
    /// The action was refused, now or before.
    Refused,
    /// The action was taken back, now or before.
    TakenBack,
    /// There was nothing to take back.
    Nothing,
}

impl Party {
    /// Whether a request would be decided on now: only then it can be refused.
    pub fn decides(&self, request: Request, rules: PartyRules) -> bool {
        match request {
            Request::Act { key } => match self.fate(key) {
                None => true,
                Some(fate) => fate == Fate::Refused && rules == PartyRules::Forgetful,
            },
            Request::CallOff { .. } => false,
        }
    }

    /// Reads a request, and has its effect once for each key.
    pub fn serve(&mut self, request: Request, refuse: bool, rules: PartyRules) -> Said {
        match request {
            Request::Act { key } => self.act(key, refuse, rules),
            Request::CallOff { key, of } => self.call_off(key, of, rules),
        }
    }

    fn act(&mut self, key: u8, refuse: bool, rules: PartyRules) -> Said {
        if self.decides(Request::Act { key }, rules) {
            let fate = if refuse { Fate::Refused } else { Fate::Done };
            self.settle(key, fate);
            self.done += u8::from(!refuse);
        }
        match self.fate(key) {
            Some(Fate::Done) => Said::Done,
            _ => Said::Refused,
        }
    }

    fn call_off(&mut self, key: u8, of: u8, rules: PartyRules) -> Said {
        if self.fate(of) == Some(Fate::Done) {
            if !self.undone.contains(&key) {
                self.undone.push(key);
            }
            return Said::TakenBack;
        }
        if rules != PartyRules::Prompt {
            self.settle(of, Fate::Barred);
        }
        Said::Nothing
    }

    fn fate(&self, key: u8) -> Option<Fate> {
        let mut keys = self.keys.iter();
        keys.find(|(known, _)| *known == key).map(|(_, fate)| *fate)
    }

    fn settle(&mut self, key: u8, fate: Fate) {
        self.keys.retain(|(known, _)| *known != key);
        self.keys.push((key, fate));
    }
}
