//! Rust source as the other tests want it: without comments, literals and
//! test code, but with every line where it was.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::{files, read};

/// A file under `src/`.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// Its code: comments, literals and test items are blanks.
    pub(crate) code: String,
}

impl Source {
    /// The module's path in the crate: `src/check/form.rs` is `[check, form]`.
    pub(crate) fn module(&self) -> Vec<String> {
        let mut parts: Vec<String> = self
            .path
            .with_extension("")
            .iter()
            .skip(1)
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        if parts.last().is_some_and(|last| last == "mod" || last == "lib" || last == "main") {
            parts.pop();
        }
        parts
    }

    /// The lines that have code, with their numbers.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(i, l)| (i + 1, l)).filter(|(_, l)| !l.trim().is_empty())
    }
}

/// All of `src/` but what is compiled for tests only.
pub(crate) fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    let mut tests = BTreeSet::new();
    for path in files("src", "rs") {
        let bare = without_comments(&read(&path));
        let (code, test_modules) = without_tests(&bare);
        for module in test_modules {
            tests.insert(submodule_dir(&path).join(module));
        }
        sources.push(Source { path, code });
    }
    sources.retain(|source| {
        let as_module = source.path.with_extension("");
        !tests.iter().any(|test| as_module.starts_with(test))
    });
    sources
}

/// Where the submodules of the module in `path` stand.
fn submodule_dir(path: &Path) -> PathBuf {
    let dir = path.parent().expect("a file has a directory");
    match path.file_stem().and_then(|stem| stem.to_str()) {
        Some("mod" | "lib" | "main") | None => dir.to_owned(),
        Some(stem) => dir.join(stem),
    }
}

/// `text` with comments and the insides of literals blanked.
pub(crate) fn without_comments(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let end = token_end(&chars, i);
        if end == i + 1 {
            out.push(chars[i]);
        } else {
            out.extend(chars[i..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        }
        i = end;
    }
    out
}

/// The end of the comment or literal at `i`; `i + 1` if there is none.
fn token_end(chars: &[char], i: usize) -> usize {
    let at = |k: usize| chars.get(k).copied().unwrap_or('\0');
    let word_before = i > 0 && (at(i - 1).is_alphanumeric() || at(i - 1) == '_');
    match at(i) {
        '/' if at(i + 1) == '/' => (i..chars.len()).find(|k| at(*k) == '\n').unwrap_or(chars.len()),
        '/' if at(i + 1) == '*' => block_comment_end(chars, i),
        '"' => string_end(chars, i + 1),
        'b' if at(i + 1) == '"' && !word_before => string_end(chars, i + 2),
        'r' if (at(i + 1) == '#' || at(i + 1) == '"') && (!word_before || at(i - 1) == 'b') => {
            let hashes = (i + 1..).take_while(|k| at(*k) == '#').count();
            if at(i + 1 + hashes) == '"' {
                raw_string_end(chars, i + 2 + hashes, hashes)
            } else {
                i + 1
            }
        }
        '\'' if at(i + 1) == '\\' => {
            (i + 3..chars.len()).find(|k| at(*k) == '\'').map_or(chars.len(), |k| k + 1)
        }
        '\'' if at(i + 2) == '\'' => i + 3,
        _ => i + 1,
    }
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut i = start;
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                i += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    chars.len()
}

fn string_end(chars: &[char], mut i: usize) -> usize {
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

fn raw_string_end(chars: &[char], start: usize, hashes: usize) -> usize {
    (start..chars.len())
        .find(|i| {
            chars[*i] == '"' && chars[i + 1..].iter().take_while(|c| **c == '#').count() >= hashes
        })
        .map_or(chars.len(), |i| i + 1 + hashes)
}

/// `bare` without the items under `#[cfg(test)]`, and the names of the
/// modules among them that stand in files of their own.
fn without_tests(bare: &str) -> (String, Vec<String>) {
    let mut code = bare.to_owned();
    let mut modules = Vec::new();
    while let Some(start) = ["#[cfg(test)]", "#[cfg(all(test"].iter().find_map(|a| code.find(a)) {
        let end = start + item_len(&code[start..]);
        let item = &code[start..end];
        if item.ends_with(';')
            && let Some((_, name)) = item.split_once("mod ")
        {
            modules.push(name.trim_end_matches(';').trim().to_owned());
        }
        let blank: String = item.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        code.replace_range(start..end, &blank);
    }
    (code, modules)
}

/// The length of the item with its attributes at the start of `text`.
fn item_len(text: &str) -> usize {
    let mut depth = 0usize;
    for (i, c) in text.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && c == '}' {
                    return i + 1;
                }
            }
            ';' if depth == 0 => return i + 1,
            _ => {}
        }
    }
    text.len()
}

/// The places in `code` where `word` stands, not as part of a longer name.
pub(crate) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let starts_name = word.starts_with(is_name);
        let ends_name = word.ends_with(is_name);
        !(starts_name && code[..*at].ends_with(is_name)
            || ends_name && code[at + word.len()..].starts_with(is_name))
    })
}

#[test]
fn comments_literals_and_tests_are_blanked() {
    let text = r####"let a = "crate::x"; // crate::y
/* crate::z /* nested */ */ let c = '"'; let l: &'static str = r#"a"b"#;
#[cfg(test)]
mod tests { fn f() { crate::w() } }
#[cfg(test)]
mod more;
fn rest() {}
"####;
    let bare = without_comments(text);
    assert_eq!(bare.lines().count(), text.lines().count());
    let (code, modules) = without_tests(&bare);
    assert!(!code.contains("crate"), "{code}");
    assert!(code.contains("&'static str"), "{code}");
    assert!(code.contains("fn rest() {}"));
    assert_eq!(modules, ["more"]);
}

#[test]
fn words_are_whole() {
    assert_eq!(words("OsRng, MyOsRng, OsRngs", "OsRng").collect::<Vec<_>>(), [0]);
    assert_eq!(words("a.bind(x); rebind(y)", ".bind(").collect::<Vec<_>>(), [1]);
}
