//! `docs/correctness.md` names tests, conditions and files. They must exist.

#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test is its failure report"
)]

use std::fs;
use std::path::{Path, PathBuf};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The page, without what it shows of the output of commands.
fn page() -> String {
    let page = fs::read_to_string(project().join("docs/correctness.md")).unwrap();
    let outside = page.split("```").step_by(2);
    outside.collect()
}

/// All of the code in a folder.
fn code(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            code(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// What stands between two marks.
fn between(text: &str, mark: char) -> impl Iterator<Item = &str> {
    text.split(mark).skip(1).step_by(2)
}

#[test]
fn each_test_that_the_page_names_exists() {
    let mut all = String::new();
    for folder in ["crates", "tests/it", "tests/src"] {
        code(&project().join(folder), &mut all);
    }
    let page = page();
    let is_name = |text: &&str| text.matches('_').count() > 2 && !text.contains(['/', ' ']);
    let names: Vec<_> = between(&page, '`').filter(is_name).collect();
    assert!(names.len() > 40, "{names:?}");
    for name in names {
        let found = all.contains(&format!("fn {name}("));
        assert!(found, "there is no test {name}");
    }
}

#[test]
fn each_condition_that_the_page_names_is_one_of_the_model() {
    let mut model = String::new();
    code(&project().join("crates/model/src"), &mut model);
    let page = page();
    let conditions: Vec<_> = between(&page, '"').collect();
    assert!(conditions.len() > 20, "{conditions:?}");
    for condition in conditions {
        let found = model.contains(&format!("\"{condition}\""));
        assert!(found, "no model checks {condition:?}");
    }
}

#[test]
fn each_file_that_the_page_links_to_exists() {
    let page = page();
    let links = page.split("](").skip(1);
    let links: Vec<_> = links.filter_map(|link| link.split(')').next()).collect();
    assert!(links.len() > 15, "{links:?}");
    for link in links.iter().filter(|link| !link.starts_with("https:")) {
        let file = project().join("docs").join(link);
        assert!(file.exists(), "there is no {link}");
    }
}

/// In the words of ARCHITECTURE.md.
#[test]
fn the_page_has_a_part_for_each_invariant() {
    let page = page();
    for words in model::explored::invariants::ALL {
        let heading = format!("### {words}");
        let found = page.replace('*', "").contains(&heading);
        assert!(found, "{words}");
    }
}
