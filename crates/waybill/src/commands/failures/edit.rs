//! `waybill failures edit`.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use clap::Args;
use contracts::parse_strict;
use failures::edit::{Edit, EditError, edit, editable};
use failures::mask::displayed;
use failures::{Change, Failure as Record, FailureId, FailureStore};
use json_patch::Patch;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::difference::{coloured, difference};
use super::editor::edited;
use super::filter::failure_id;
use super::patch;
use super::show::pretty;
use super::store::{Store, actor};
use crate::cli::Context;
use crate::commands::input::{self, Limit};
use crate::failure::{Exit, Failure};
use crate::output::{Output, note, printable};

/// The bus carries no larger message.
const LIMIT: Limit = Limit {
    bytes: 256 * 1024,
    what: "a message",
};

/// So many changed places are named; more would fill the record's history.
const PLACES_NAMED: usize = 20;

/// So many characters of a place are told.
const LONGEST_PLACE: usize = 200;

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
    /// Show personal data in the difference too; a task token is never shown. An editor gets the
    /// body with its personal data in any case
    #[arg(long)]
    personal: bool,
}

/// What is to become of the body.
enum Wish {
    Patched(Patch),
    Replaced(String),
    /// An editor says.
    Edited,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Edited {
    original: String,
    /// The copy, which waits to be replayed; none where nothing was stored.
    copy: Option<String>,
    stored: bool,
    /// Which places of the body were changed: JSON Pointers, never their values.
    changed: String,
    /// A unified diff, masked like any body that is shown.
    difference: String,
}

impl Arguments {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let wish = self.wish()?;
        let store = Store::open(context).await?;
        let failure = store.get(&self.id).await?;
        let failure = failure.ok_or_else(|| Failure::NotInStore(vec![self.id.to_string()]))?;
        let copy = FailureId::new(Uuid::new_v4().to_string());
        may_be_edited(&failure, &copy)?;
        let by = store.operator().await?;

        let before = editable(&failure);
        let after = new_body(wish, &before)?;
        let changed = changed(&before, &after);
        let what = match &self.why {
            Some(why) => format!("{changed}: {why}"),
            None => changed.clone(),
        };
        let edit = edit(&failure, &after, copy, &what, &actor(&by)).map_err(refused)?;

        let shown = masked_difference(&before, &editable(&edit.copy), self.personal);
        let stored = self.is_wanted(&format!("{changed}\n{shown}"), context.output)?;
        if stored {
            store_both(&store, &edit).await?;
        }
        let edited = Edited {
            original: self.id.to_string(),
            copy: stored.then(|| edit.copy.id.to_string()),
            stored,
            changed,
            difference: shown,
        };
        context
            .output
            .result(&edited, |edited| text(edited, self.yes, context.output))?;
        Ok(Exit::Ok)
    }

    /// Reads what was given, before anything is asked of AWS.
    fn wish(&self) -> Result<Wish, Failure> {
        match (&self.patch, &self.body) {
            (Some(patch), _) => {
                let (name, text) = given("the patch", patch)?;
                Ok(Wish::Patched(patch::read(&name, &text)?))
            }
            (None, Some(body)) => {
                let (name, text) = given("the body", body)?;
                // What it says is judged with the original at hand.
                let value = parse_strict(text.as_bytes())
                    .map_err(|error| input::not_json(&name, text.as_bytes(), &error))?;
                match value.is_object() {
                    true => Ok(Wish::Replaced(text)),
                    false => Err(Failure::Input(format!("{name} is not a JSON object"))),
                }
            }
            (None, None) => Ok(Wish::Edited),
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

fn new_body(wish: Wish, before: &str) -> Result<String, Failure> {
    match wish {
        Wish::Patched(patch) => patch::apply(before, &patch, LIMIT.bytes),
        // A body that was copied out of an export or the editor may have the mask in it.
        Wish::Replaced(body) => Ok(body),
        Wish::Edited => edited(before, LIMIT),
    }
}

/// Which places were changed, never their values.
fn changed(before: &str, after: &str) -> String {
    let parse = |text: &str| serde_json::from_str::<Value>(text);
    match (parse(before), parse(after)) {
        (Ok(before), Ok(after)) => {
            let patch = json_patch::diff(&before, &after);
            let places = patch.iter().take(PLACES_NAMED);
            let places: Vec<_> = places.map(|step| place(step.path().as_str())).collect();
            let places = places.join(", ");
            match patch.len() {
                0..=PLACES_NAMED => format!("changed {places}"),
                all => format!("changed {places} and {} more", all - PLACES_NAMED),
            }
        }
        _ => "replaced the body".to_owned(),
    }
}

/// A place, cut where somebody has given a field a name that fills pages.
fn place(pointer: &str) -> String {
    let mut shown: String = pointer.chars().take(LONGEST_PLACE).collect();
    if shown.len() < pointer.len() {
        shown.push('…');
    }
    shown
}

/// Both sides are masked before they are compared, so the difference holds nothing that
/// the body itself would not show.
fn masked_difference(before: &str, after: &str, personal: bool) -> String {
    let shown = |body: &str| pretty(&displayed(body, personal));
    match difference(&shown(before), &shown(after)) {
        same if same.is_empty() => {
            "(only what is masked is changed; --personal shows personal data)".to_owned()
        }
        difference => difference,
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

/// A text as it was typed, or a file's, and what it is called.
fn given(what: &str, text: &str) -> Result<(String, String), Failure> {
    match text.strip_prefix('@') {
        None => Ok((what.to_owned(), text.to_owned())),
        Some(path) => {
            let path = Path::new(path);
            Ok((input::name(path), input::read_text(path, LIMIT)?))
        }
    }
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

/// What was asked about was shown already, unless nobody was asked.
fn text(edited: &Edited, unasked: bool, output: Output) -> String {
    let difference = coloured(&edited.difference, output);
    let changed = printable(&edited.changed);
    match &edited.copy {
        Some(copy) => {
            let shown = match unasked {
                true => format!("{changed}\n{difference}\n\n"),
                false => String::new(),
            };
            format!(
                "{shown}{copy} waits in place of {}; to send it: waybill failures replay {copy} --yes",
                edited.original
            )
        }
        None => format!("{changed}\n{difference}\n\nnothing was stored; --yes stores it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_holds_no_personal_data_unless_it_is_asked_for() {
        let before = r#"{"amount":"1","shipTo":{"name":"Ada","city":"Ulm"}}"#;
        let after = r#"{"amount":1,"shipTo":{"name":"Eve","city":"Ulm"}}"#;
        let shown = masked_difference(before, after, false);
        assert!(shown.contains("+  \"amount\": 1"), "{shown}");
        for hidden in ["Ada", "Eve", "Ulm"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
        let shown = masked_difference(before, after, true);
        assert!(shown.contains("Ada") && shown.contains("Eve"), "{shown}");
        assert_eq!(
            changed(before, after),
            "changed /amount, /shipTo/name",
            "the places are told"
        );
    }

    #[test]
    fn of_very_many_changed_places_only_the_first_are_named() {
        let body = |value: u32| serde_json::json!(vec![value; 1_000]).to_string();
        let told = changed(&body(1), &body(2));
        assert!(told.ends_with("/19 and 980 more"), "{told}");
        let body = |value: u32| serde_json::json!({ "x".repeat(10_000): value }).to_string();
        assert!(changed(&body(1), &body(2)).len() < 300);
    }

    #[test]
    fn a_change_of_personal_data_alone_is_told_without_it() {
        let body = |name: &str| format!(r#"{{"shipTo":{{"name":"{name}"}}}}"#);
        let shown = masked_difference(&body("Ada"), &body("Eve"), false);
        assert!(shown.contains("--personal"), "{shown}");
        assert!(!shown.contains("Ada") && !shown.contains("Eve"), "{shown}");
    }

    #[test]
    fn a_broken_body_is_withheld_in_a_difference_and_its_token_always() {
        let before = r#"{"shipTo":"Ada","t\u0061sktoken":"SECRET"#;
        let after = r#"{"amount":1}"#;
        let shown = masked_difference(before, after, false);
        assert!(shown.contains("-(withheld"), "{shown}");
        assert!(
            !shown.contains("Ada") && !shown.contains("SECRET"),
            "{shown}"
        );
        let shown = masked_difference(before, after, true);
        assert!(
            shown.contains("Ada") && !shown.contains("SECRET"),
            "{shown}"
        );
    }

    #[test]
    fn a_difference_in_a_json_document_has_no_colours() {
        let edited = Edited {
            original: "f-1".to_owned(),
            copy: None,
            stored: false,
            changed: "changed /a".to_owned(),
            difference: masked_difference(r#"{"a":1}"#, r#"{"a":2}"#, false),
        };
        assert!(edited.difference.contains("-  \"a\": 1"));
        let document = serde_json::to_string(&edited).unwrap();
        assert!(!document.contains("u001b"), "{document}");
        let told = text(
            &edited,
            false,
            Output::of(crate::output::Format::Table, true),
        );
        assert!(told.contains("\u{1b}[31m-  \"a\": 1"), "{told}");
    }
}
