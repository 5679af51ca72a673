//! The files to begin with: samples of what is good, and what was bad once.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// A folder of the repository.
fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The files of a folder and of those inside it, in the order of their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let inside = |path: PathBuf| match path.is_dir() {
        true => self::files(&path),
        false => vec![path],
    };
    files.into_iter().flat_map(inside).collect()
}

/// What a target begins with: samples from elsewhere in the repository, as `events/order-api`
/// or a file, and the files of its own.
pub fn seeds(target: &str, samples: &[&str]) -> Vec<Vec<u8>> {
    let samples = samples.iter().map(|sample| folder("../..").join(sample));
    let all = samples.chain([folder("corpus").join(target)]);
    let files = all.flat_map(|path| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    });
    files
        .filter(|path| !path.ends_with("PUBLISHED"))
        .map(|path| fs::read(path).unwrap())
        .collect()
}

/// Texts that have broken a parser somewhere, each in a file: JSON or not.
pub fn fragments() -> Vec<Vec<u8>> {
    let files = files(&folder("corpus/fragments")).into_iter();
    files.map(|path| fs::read(path).unwrap()).collect()
}

/// Keeps an input that broke something, so that it is tried first from now on.
pub fn keep(target: &str, input: &[u8]) -> PathBuf {
    let digest = Sha256::digest(input);
    let name: String = digest.iter().take(6).map(|b| format!("{b:02x}")).collect();
    let path = folder("corpus").join(target).join(format!("found-{name}"));
    fs::write(&path, input).unwrap();
    path
}
