//! `waybill failures edit`.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use clap::Args;
use failures::edit::{Edit, EditError, edit, editable};
use failures::{Change, Failure as Record, FailureId, FailureStore};
use json_patch::Patch;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::difference::difference;
use super::editor::edited;
use super::filter::failure_id;
use super::store::{Store, actor};
use crate::cli::Context;
use crate::commands::read_input;
use crate::failure::{Exit, Failure};
use crate::output::{Output, note};

/// `waybill failures edit ID`
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The failure's id
    #[arg(value_name = "ID", value_parser = failure_id)]
    id: FailureId,
    /// Change the body by a JSON Patch (RFC 6902): [{"op": "replace", …}], or @FILE, or @- for
    /// stdin [default: open $VISUAL or $EDITOR]
    #[arg(long, value_name = "PATCH", conflicts_with = "body")]
    patch: Option<String>,
    /// Replace the body as a whole: JSON, or @FILE, or @- for stdin
    #[arg(long, value_name = "BODY")]
    body: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// Store it without asking
    #[arg(long)]
    yes: bool,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Edited {
    original: String,
    /// The copy, which waits to be replayed; none where nothing was stored.
    copy: Option<String>,
    stored: bool,
    /// A unified diff.
    difference: String,
}

impl Arguments {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let store = Store::open(context).await?;
        let failure = store.get(&self.id).await?;
        let failure = failure.ok_or_else(|| Failure::NotInStore(vec![self.id.to_string()]))?;
        let copy = FailureId::new(Uuid::new_v4().to_string());
        may_be_edited(&failure, &copy)?;
        let by = store.operator().await?;

        let before = editable(&failure);
        let after = self.new_body(&before)?;
        let what = self.what(&before, &after);
        let edit = edit(&failure, &after, copy, &what, &actor(&by)).map_err(refused)?;

        let shown = difference(&before, &editable(&edit.copy), context.output);
        let stored = self.is_wanted(&shown, context.output)?;
        if stored {
            store_both(&store, &edit).await?;
        }
        let edited = Edited {
            original: self.id.to_string(),
            copy: stored.then(|| edit.copy.id.to_string()),
            stored,
            difference: shown,
        };
        context
            .output
            .result(&edited, |edited| text(edited, self.yes))?;
        Ok(Exit::Ok)
    }

    fn new_body(&self, before: &str) -> Result<String, Failure> {
        if let Some(patch) = &self.patch {
            return patched(before, &given(patch)?);
        }
        match &self.body {
            // A body that was copied out of an export or the editor may have the mask in it.
            Some(body) => given(body),
            None => edited(before),
        }
    }

    /// For the history: which places were changed, never their values.
    fn what(&self, before: &str, after: &str) -> String {
        let parse = |text: &str| serde_json::from_str::<Value>(text);
        let places = match (parse(before), parse(after)) {
            (Ok(before), Ok(after)) => {
                let patch = json_patch::diff(&before, &after);
                let places: Vec<_> = patch.iter().map(|step| step.path().to_string()).collect();
                format!("changed {}", places.join(", "))
            }
            _ => "replaced the body".to_owned(),
        };
        match &self.why {
            Some(why) => format!("{places}: {why}"),
            None => places,
        }
    }

    fn is_wanted(&self, shown: &str, output: Output) -> Result<bool, Failure> {
        if self.yes {
            return Ok(true);
        }
        if output.is_json() || !io::stdin().is_terminal() {
            return Ok(false);
        }
        note(&format!(
            "the original is never sent again; the copy waits:\n{shown}"
        ));
        ask("store it? [y/N] ")
    }
}

/// Before an editor is opened: whoever edits for nothing is annoyed.
fn may_be_edited(failure: &Record, copy: &FailureId) -> Result<(), Failure> {
    let change = Change::Edit {
        copy: copy.clone(),
        what: String::new(),
    };
    match failure.after(&change, &actor("")) {
        Ok(_) => Ok(()),
        Err(error) => Err(refused(error.into())),
    }
}

/// What is refused because of what was typed is a wrong input; the rest is a rule.
fn refused(error: EditError) -> Failure {
    match error {
        EditError::Unchanged | EditError::NotAnObject(_) | EditError::DuplicateKeys => {
            Failure::Input(error.to_string())
        }
        EditError::Contract(source) => Failure::NotAllowed(
            "the edited message breaks the contract of its type".to_owned(),
            Some(source.into()),
        ),
        error => Failure::NotAllowed(error.to_string(), None),
    }
}

async fn store_both(store: &Store, edit: &Edit) -> Result<(), Failure> {
    let stored = store
        .failures
        .replace_and_create(&edit.original, &edit.copy)
        .await
        .map_err(Failure::from_port)?;
    if stored {
        return Ok(());
    }
    // The write may have been made, and its answer lost.
    let now = store.get(&edit.original.id).await?;
    match now.and_then(|now| now.edited_as) {
        Some(copy) if copy == edit.copy.id => Ok(()),
        _ => Err(Failure::NotAllowed(
            "somebody else changed the failure meanwhile; look at it again".to_owned(),
            None,
        )),
    }
}

/// A text as it was typed, or a file's.
fn given(text: &str) -> Result<String, Failure> {
    match text.strip_prefix('@') {
        None => Ok(text.to_owned()),
        Some(path) => {
            let content = read_input(Path::new(path))?;
            String::from_utf8(content).map_err(|_| Failure::Input(format!("{path} is not UTF-8")))
        }
    }
}

fn patched(before: &str, patch: &str) -> Result<String, Failure> {
    let patch: Patch = serde_json::from_str(patch)
        .map_err(|error| Failure::Input(format!("this is not a JSON Patch (RFC 6902): {error}")))?;
    let mut message: Value = serde_json::from_str(before).map_err(|_| {
        Failure::Input("the body is not JSON; replace it as a whole with --body".to_owned())
    })?;
    json_patch::patch(&mut message, &patch)
        .map_err(|error| Failure::Input(format!("the patch does not fit the body: {error}")))?;
    Ok(message.to_string())
}

fn ask(question: &str) -> Result<bool, Failure> {
    let unreadable = |error| Failure::unexpected("the answer cannot be read", error);
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question}")
        .and_then(|()| stderr.flush())
        .map_err(unreadable)?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(unreadable)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn text(edited: &Edited, asked: bool) -> String {
    match &edited.copy {
        Some(copy) => {
            let shown = if asked {
                format!("{}\n\n", edited.difference)
            } else {
                String::new()
            };
            format!(
                "{shown}{copy} waits in place of {}; to send it: waybill failures replay {copy} --yes",
                edited.original
            )
        }
        None => format!(
            "{}\n\nnothing was stored; --yes stores it",
            edited.difference
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use failures::mask::without_token;

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
        for (body, patch) in [
            ("{}", "{"),
            ("{}", r#"[{"op":"replace","path":"/a","value":1}]"#),
            ("junk", r#"[{"op":"add","path":"/a","value":1}]"#),
        ] {
            assert!(
                matches!(patched(body, patch), Err(Failure::Input(_))),
                "{body} {patch}"
            );
        }
    }
}
