//! One module for each noun of the command line.

pub(crate) mod completions;
pub(crate) mod failures;
pub(crate) mod order;
pub(crate) mod queues;
pub(crate) mod saga;
pub(crate) mod sandbox;
pub(crate) mod stock;

use std::io::Read;
use std::path::Path;

use crate::failure::Failure;

/// Reads a file, or stdin where the path is `-`.
fn read_input(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut content)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut content))
    };
    match read {
        Ok(_) => Ok(content),
        Err(error) => Err(Failure::Input(format!(
            "{} cannot be read: {error}",
            path.display()
        ))),
    }
}
