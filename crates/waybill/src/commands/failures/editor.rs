//! The operator's own editor.

use std::io::Write;
use std::process::Command;

use crate::commands::input::{self, Limit};
use crate::failure::Failure;

/// Lets the operator edit a text, in a file that nobody else may read and that is
/// removed afterwards.
pub(super) fn edited(text: &str, limit: Limit) -> Result<String, Failure> {
    let mut file = tempfile::Builder::new()
        .prefix("waybill-")
        .suffix(".json")
        .tempfile()
        .map_err(|error| Failure::unexpected("no file could be made for the editor", error))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.flush())
        .map_err(|error| Failure::unexpected("the file for the editor cannot be written", error))?;
    let editor = editor();
    // Through a shell, as git does: the variable may hold options too.
    let ended = Command::new("sh")
        .arg("-c")
        .arg(format!("{editor} \"$@\""))
        .arg(&editor)
        .arg(file.path())
        .status()
        .map_err(|error| {
            Failure::unexpected(format!("the editor {editor} cannot be started"), error)
        })?;
    if !ended.success() {
        return Err(Failure::Input(format!(
            "the editor {editor} ended with {ended}"
        )));
    }
    // An editor may have put another file in its place, so it is read by its name.
    input::read_text(file.path(), limit)
}

fn editor() -> String {
    ["VISUAL", "EDITOR"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|editor| !editor.is_empty()))
        .unwrap_or_else(|| "vi".to_owned())
}
