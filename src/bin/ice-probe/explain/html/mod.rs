//! The story as one page that needs nothing else.

mod rows;
mod timeline;

use super::candidates::{self, Side};
use super::escape::html as text;
use super::kinds::NetworkKind;
use super::reading::Log;
use super::story::verdict::Verdict;
use super::story::{Found, Story};
use crate::words::{place, transport};

/// More of a kind is not shown.
const MAX_SHOWN: usize = 100;

/// The page of a log.
pub(crate) fn of_log(log: &Log, stories: &[Story]) -> String {
    let mut body = String::from("<h1>What happened</h1>\n");
    let events = log.lines.len();
    body += &format!("<p class=\"soft\">{}, {events} events</p>\n", text(&log.program));
    for note in &log.notes {
        body += &format!("<p class=\"soft\">Note: {}</p>\n", text(note));
    }
    if stories.is_empty() {
        body += "<p>The log has no events: nothing happened before it ends.</p>\n";
    }
    body += timeline::SHAPES;
    for story in stories {
        body += &section(story);
    }
    page("What happened", &body)
}

/// The page of candidates.
pub(crate) fn of_candidates(sides: &[Side]) -> String {
    let mut body = String::from("<h1>Candidates</h1>\n");
    body += &format!("<p>{}</p>\n", text(&candidates::sentence(sides)));
    for (title, lines) in candidates::lines(sides) {
        body += &format!("<h2>{}</h2>\n<div class=\"card\">{}</div>\n", text(&title), list(&lines));
    }
    page("Candidates", &body)
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'\">\n<title>{} - ice-probe explain</title>\n\
         <style>\n{}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        text(title),
        include_str!("style.css"),
    )
}

fn section(story: &Story) -> String {
    let Verdict { ending, sentence, reasons, advice } = Verdict::of(story);
    let mut out = format!("<section>\n<h2>{}</h2>\n", text(&story.heading()));
    let why = if reasons.is_empty() { String::new() } else { list(&reasons) };
    out += &format!(
        "<div class=\"verdict {}\"><p>{}</p>{why}</div>\n",
        ending.word(),
        text(&sentence)
    );
    if !advice.is_empty() {
        out += &format!("<h3>What to try</h3>\n<div class=\"card\">{}</div>\n", list(&advice));
    }
    out += "<h3>Checks of each pair</h3>\n";
    out += &rows::pairs(story);
    out += &rows::attempts(story);
    out += &rows::course(story);
    out += "<div class=\"columns\">\n";
    out += &found("Candidates of this side", &story.ours);
    out += &found("Candidates of the peer", &story.theirs);
    out += "</div>\n</section>\n";
    out
}

fn found(title: &str, found: &[Found]) -> String {
    let line = |found: &Found| {
        let candidate = &found.candidate;
        let address = candidate.address();
        let kind = address.map_or("a name", |a| NetworkKind::of(a.ip()).words());
        format!("{}, {}: {kind}", place(candidate), transport(candidate))
    };
    let mut lines: Vec<String> = found.iter().take(MAX_SHOWN).map(line).collect();
    if let Some(left @ 1..) = found.len().checked_sub(MAX_SHOWN) {
        lines.push(format!("and {left} more"));
    }
    if lines.is_empty() {
        lines.push("none".into());
    }
    format!(
        "<div><h3>{}</h3>\n<div class=\"card mono\">{}</div></div>\n",
        text(title),
        list(&lines)
    )
}

fn list(lines: &[String]) -> String {
    let items: String = lines
        .iter()
        .map(|line| format!("<li>{}</li>", coded(line.trim_start_matches("- "))))
        .collect();
    format!("<ul>{items}</ul>")
}

/// Text in which what stands between backticks is to be typed.
fn coded(line: &str) -> String {
    let mut parts = line.split('`');
    let mut out = text(parts.next().unwrap_or_default());
    while let Some(code) = parts.next() {
        match parts.next() {
            Some(rest) => out += &format!("<code>{}</code>{}", text(code), text(rest)),
            None => out += &format!("`{}", text(code)),
        }
    }
    out
}
