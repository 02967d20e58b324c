//! How sources are written, where neither the compiler nor Clippy looks.

use std::fs;
use std::path::{Path, PathBuf};

/// The Rust sources below `folder`, built ones and dependencies apart.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with("target") && name != "node_modules" {
                sources(&path, found);
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn comments_are_within_a_hundred_columns() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    for folder in ["core", "host", "firmware", "tests", "benches"] {
        sources(&root.join(folder), &mut found);
    }
    assert!(found.len() > 200, "{} sources", found.len());
    let mut long = Vec::new();
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        // Commands to copy and rows of tables stay on one line.
        let mut fenced = false;
        for (i, line) in text.lines().enumerate() {
            let Some(comment) = line.trim_start().strip_prefix("//") else { continue };
            let comment = comment.trim_start_matches(['/', '!', ' ']);
            fenced ^= comment.starts_with("```");
            if !fenced && !comment.starts_with('|') && line.chars().count() > 100 {
                long.push(format!("{}:{}", path.display(), i + 1));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}
