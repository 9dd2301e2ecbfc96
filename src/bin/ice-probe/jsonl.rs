//! The lines of `ice-probe stdio`: JSON objects, one a line.

mod input;
mod output;

pub(crate) use input::{BadLine, Input, Remote};
pub(crate) use output::Output;

/// The longest line, in bytes without its end.
pub(crate) const MAX_LINE: usize = 64 * 1024;

/// The largest payload of a `send` or `received` line, in bytes.
pub(crate) const MAX_PAYLOAD: usize = 32_768;

/// `text` with the control characters escaped that JSON lets stand, so that
/// a peer's words do nothing to a terminal. They occur only inside strings,
/// where `\u` means the same.
pub(crate) fn escape_controls(text: &str) -> String {
    let is_control = |c: char| matches!(c, '\u{7f}'..='\u{9f}');
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_control(c) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
