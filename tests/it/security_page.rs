//! The page on security names tests; they have to exist.

use std::fs;
use std::path::Path;

const PAGE: &str = include_str!("../../docs/security.md");

/// The names of all tests of the workspace, by the functions' signatures.
fn functions(folder: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, names);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let after_test = text.split("test]\n").skip(1);
            let signatures = after_test.filter_map(|rest| rest.split_once("fn "));
            names.extend(
                signatures
                    .filter_map(|(_, it)| it.split_once('('))
                    .map(|it| it.0.to_owned()),
            );
        }
    }
}

/// What stands between backquotes and is a sentence of at least four words.
fn named_tests(page: &str) -> Vec<&str> {
    let quoted = page.split('`').skip(1).step_by(2);
    quoted
        .filter(|it| it.matches('_').count() >= 3 && !it.contains(' '))
        .collect()
}

#[test]
fn every_test_that_the_page_on_security_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut known = Vec::new();
    functions(root, &mut known);
    functions(&root.join("../crates"), &mut known);
    let named = named_tests(PAGE);
    assert!(named.len() >= 15, "{named:?}");
    for name in named {
        assert!(
            known.iter().any(|it| it == name),
            "docs/security.md: there is no test {name}"
        );
    }
}

#[test]
fn every_reason_for_a_skipped_check_names_a_test_that_exists() {
    let skips = include_str!("../../infra/checkov.yaml");
    let mut known = Vec::new();
    functions(Path::new(env!("CARGO_MANIFEST_DIR")), &mut known);
    let named: Vec<_> = skips.split("Test: ").skip(1).collect();
    assert!(named.len() >= 6, "{named:?}");
    for name in named {
        let name = name.split('.').next().unwrap_or_default();
        assert!(
            known.iter().any(|it| it == name),
            "infra/checkov.yaml: there is no test {name}"
        );
    }
}
