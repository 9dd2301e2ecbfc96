//! Text that others wrote, made harmless for where it is shown.

/// The longest text of others that is shown, in characters.
const MAX_TEXT: usize = 300;

/// `text` for a terminal: characters that control it, or the direction in
/// which it writes, are escaped, and what is too long is cut.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == MAX_TEXT {
            out.push('…');
            break;
        }
        if is_harmful(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// `text` as the text of an HTML page, or as the value of an attribute. What
/// is shown has been [`clean`]ed before.
pub(crate) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Control characters, those that change the direction of text (UAX #9), the
/// invisible ones beside them, and tags.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_move_a_cursor_or_turn_a_line_is_shown_as_its_number() {
        assert_eq!(clean("a\u{1b}[2Jb"), r"a\u{1b}[2Jb");
        assert_eq!(clean("a\u{202e}b\u{2066}c\u{9b}d\ne"), r"a\u{202e}b\u{2066}c\u{9b}d\u{a}e");
        assert_eq!(clean("Grüße, 世界"), "Grüße, 世界");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(clean(&"x".repeat(MAX_TEXT)).chars().count(), MAX_TEXT);
        assert_eq!(clean(&"x".repeat(9 * MAX_TEXT)).chars().count(), MAX_TEXT + 1);
    }

    #[test]
    fn a_page_takes_nothing_for_an_element() {
        let text = html("<script>alert('1 & \"2\"')</script>");
        assert_eq!(text, "&lt;script&gt;alert(&#39;1 &amp; &quot;2&quot;&#39;)&lt;/script&gt;");
    }
}
