//! `waybill failures note`.

use clap::Args;
use failures::{Change, FailureId, GroupId, GroupNote, GroupStore};

use super::report::Report;
use super::store::{Changed, Store, now};
use crate::cli::Context;
use crate::failure::{Exit, Failure};

/// How often a change is tried over somebody else's.
const CONFLICTS: usize = 10;

/// `waybill failures note ID TEXT`, `waybill failures note --group GROUP TEXT`
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Note it about a group, not about one failure
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// The failure's id, unless --group is given, and the text
    #[arg(required = true, num_args = 1..=2, value_names = ["ID", "TEXT"])]
    words: Vec<String>,
}

impl Arguments {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let target = self.target()?;
        let store = Store::open(context).await?;
        let by = store.operator().await?;
        let mut report = Report::default();
        match target {
            (None, id, text) => {
                let text = text.to_owned();
                let changed = store
                    .change(&FailureId::new(id), &Change::Note { text }, &by)
                    .await?;
                report.add(id, &changed);
            }
            (Some(group), id, text) => {
                note_group(&store, &group, text, &by).await?;
                report.add(id, &Changed::Done);
            }
        }
        report.print("noted", context.output)
    }

    /// The group, or none; the id of the group or failure; the text.
    fn target(&self) -> Result<(Option<GroupId>, &str, &str), Failure> {
        match (&self.group, self.words.as_slice()) {
            (None, [id, text]) => Ok((None, id, text)),
            (Some(group), [text]) => Ok((Some(GroupId::new(group.clone())), group, text)),
            (None, _) => Err(Failure::Input(
                "give the failure's id and the text".to_owned(),
            )),
            (Some(_), _) => Err(Failure::Input(
                "with --group, give only the text (in quotes)".to_owned(),
            )),
        }
    }
}

async fn note_group(store: &Store, id: &GroupId, text: &str, by: &str) -> Result<(), Failure> {
    let groups = store.groups()?;
    for _ in 0..CONFLICTS {
        let group = groups.get_group(id).await.map_err(Failure::from_port)?;
        let group = group.ok_or_else(|| Failure::NotInStore(vec![format!("the group {id}")]))?;
        let next = group.noted(GroupNote {
            at: now(),
            by: by.to_owned(),
            text: text.to_owned(),
        });
        if groups.put_group(&next).await.map_err(Failure::from_port)? {
            return Ok(());
        }
    }
    Err(Failure::Busy {
        what: format!("the group {id}"),
        message: "others change it all the time".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_about_a_failure_or_about_a_group() {
        let note = |group: Option<&str>, words: &[&str]| Arguments {
            group: group.map(str::to_owned),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
        };
        assert!(note(None, &["f-1", "looked at"]).target().is_ok());
        assert!(note(None, &["looked at"]).target().is_err());
        assert!(note(Some("g"), &["looked at"]).target().is_ok());
        assert!(note(Some("g"), &["f-1", "looked at"]).target().is_err());
    }
}
