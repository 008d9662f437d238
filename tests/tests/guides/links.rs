//! Links between the pages of the repository lead somewhere.

use crate::page::root;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Pages of the repository: its own folder, and these with what is in them.
const FOLDERS: [&str; 4] = ["docs", "recipes", "assets", "tests/fixtures"];

fn pages(folder: &Path, deep: bool, found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() && deep {
            pages(&path, true, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// The heading's anchor, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept =
        heading.trim_start_matches('#').trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// What a page says in plain text: code is left out.
fn prose(page: &str) -> String {
    let mut code = false;
    let lines = page.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    });
    lines.flat_map(|line| line.split('`').step_by(2).chain(["\n"])).collect()
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut found = Vec::new();
    pages(root(), false, &mut found);
    FOLDERS.iter().for_each(|folder| pages(&root().join(folder), true, &mut found));
    assert!(found.len() > 20, "{found:?}");
    let mut broken = Vec::new();
    for page in &found {
        let text = prose(&fs::read_to_string(page).unwrap());
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            let (file, part) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let leads = path.exists()
                && (part.is_empty() || {
                    let other = fs::read_to_string(&path).unwrap();
                    other.lines().filter(|line| line.starts_with('#')).any(|heading| anchor(heading) == part)
                });
            if !leads {
                broken.push(format!("{}: {target}", page.strip_prefix(root()).unwrap_or(page).display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
