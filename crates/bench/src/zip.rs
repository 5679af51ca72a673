//! How large a function is as Lambda gets it: a zip file.

use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// What a zip file has beside each file's name, twice, and content: the header before
/// the content and the entry in the directory.
const PER_FILE: u64 = 30 + 46;
/// The end of the directory.
const END: u64 = 22;

/// The size of a zip file of these files, each with its name in it.
pub(crate) fn size(files: &[(String, Vec<u8>)]) -> io::Result<u64> {
    let mut total = END;
    for (name, content) in files {
        let mut encoder = DeflateEncoder::new(Counter(0), Compression::default());
        encoder.write_all(content)?;
        let names = 2 * u64::try_from(name.len()).unwrap_or(u64::MAX);
        total += PER_FILE + names + encoder.finish()?.0;
    }
    Ok(total)
}

/// A file, or all files below a folder, with names in it.
pub(crate) fn read(path: &Path, name: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    if !path.is_dir() {
        return Ok(vec![(name.to_owned(), std::fs::read(path)?)]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let inner = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.file_name() != "__pycache__" {
            files.extend(read(&entry.path(), &inner)?);
        }
    }
    Ok(files)
}

struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_zip_is_its_end_and_each_file_adds_headers_names_and_content() {
        assert_eq!(size(&[]).unwrap(), 22);
        // Deflate makes two bytes of nothing.
        let file = ("ab".to_owned(), Vec::new());
        assert_eq!(size(&[file]).unwrap(), 22 + 76 + 4 + 2);
    }

    #[test]
    fn what_repeats_is_small() {
        let file = ("a".to_owned(), vec![7; 1_000_000]);
        assert!(size(&[file]).unwrap() < 5_000);
    }
}
