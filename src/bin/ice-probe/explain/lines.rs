//! Text in lines of at most 80 columns.

use std::fmt::{self, Write};

/// The width of a terminal that everybody has.
pub(crate) const WIDTH: usize = 80;

/// Writes `text` behind `first`, with its further lines behind `rest`, broken
/// between words. A word that is too long stands on a line of its own.
pub(crate) fn wrapped(out: &mut String, first: &str, rest: &str, text: &str) -> fmt::Result {
    let mut line = first.to_owned();
    let mut has_word = false;
    for word in text.split(' ') {
        if has_word && width(&line) + 1 + width(word) > WIDTH {
            writeln!(out, "{line}")?;
            line = rest.to_owned();
            has_word = false;
        }
        if has_word {
            line.push(' ');
        }
        line.push_str(word);
        has_word = true;
    }
    writeln!(out, "{}", line.trim_end())
}

/// Columns that a text takes, as far as its characters are narrow.
fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words() {
        let mut out = String::new();
        wrapped(&mut out, "- ", "  ", &"word ".repeat(40)).unwrap();
        wrapped(&mut out, "", "  ", &"x".repeat(100)).unwrap();
        let lines: Vec<&str> = out.lines().collect();
        assert!(lines[..3].iter().all(|line| line.len() <= WIDTH), "{out}");
        assert!(lines[0].starts_with("- word") && lines[1].starts_with("  word"));
        assert_eq!(lines.last().unwrap().len(), 100);
    }
}
