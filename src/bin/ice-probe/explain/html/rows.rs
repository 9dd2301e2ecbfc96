//! The rows of the page: pairs, connections and the course.

use std::collections::BTreeSet;

use floe::check::FailReason;
use floe::timer::Time;

use super::timeline::{Scale, legend, shape};
use super::{MAX_SHOWN, text};
use crate::explain::story::verdict::span;
use crate::explain::story::{Attempt, Mark, Pair, Story, words};

/// Moments of a row that are listed.
const MAX_MOMENTS: usize = 60;

/// A row for each pair, those of the highest priority first.
pub(super) fn pairs(story: &Story) -> String {
    if story.pairs.is_empty() {
        return "<div class=\"card\">There was no pair to check.</div>\n".into();
    }
    let scale = Scale::of(story);
    let mut out = format!("<div class=\"card\">\n{}{}", legend(), scale.axis());
    let mut pairs: Vec<&Pair> = story.pairs.iter().collect();
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.priority));
    for pair in pairs.iter().take(MAX_SHOWN) {
        out += &row(story, &scale, pair);
    }
    if let Some(left @ 1..) = pairs.len().checked_sub(MAX_SHOWN) {
        out += &format!("<p class=\"soft\">and {left} more pairs</p>\n");
    }
    out + "</div>\n"
}

fn row(story: &Story, scale: &Scale, pair: &Pair) -> String {
    let (class, words) = result(story, pair);
    let moments = pair.marks.iter().map(|(at, mark)| (*at, mark_words(*mark)));
    format!(
        "<div class=\"row\"><div class=\"title\"><span class=\"mono\">#{} {}</span>\
         <span class=\"badge {class}\">{}</span></div>\n{}{}{}</div>\n",
        pair.id,
        text(&pair.title()),
        text(&words),
        scale.pair(story, pair),
        pair.lost.map(|(_, reason)| why(reason)).unwrap_or_default(),
        moments_of(story, moments),
    )
}

fn mark_words(mark: Mark) -> String {
    match mark {
        Mark::Refused(code) => format!("answered with the error {code}"),
        mark => shape(mark).1.to_owned(),
    }
}

fn why(reason: FailReason) -> String {
    format!("<p class=\"soft\">{}</p>\n", text(&words::reason(reason)))
}

fn result(story: &Story, pair: &Pair) -> (&'static str, String) {
    let rtt = pair.rtt.map(|rtt| format!(", {rtt:.1} ms")).unwrap_or_default();
    match (pair.selected, pair.lost) {
        (Some(_), _) => ("good", format!("selected{rtt}")),
        (None, Some((_, FailReason::Superseded(_)))) => ("soft", format!("superseded{rtt}")),
        (None, Some(_)) => ("bad", "lost".into()),
        (None, None) if pair.has_worked() => ("good", format!("works{rtt}")),
        (None, None) => ("soft", story.stands(pair)),
    }
}

/// A row for each connection.
pub(super) fn attempts(story: &Story) -> String {
    if story.attempts.is_empty() {
        return String::new();
    }
    let scale = Scale::of(story);
    let mut out = format!("<h3>TCP connections</h3>\n<div class=\"card\">\n{}", scale.axis());
    for attempt in story.attempts.iter().take(MAX_SHOWN) {
        out += &attempt_row(story, &scale, attempt);
    }
    if let Some(left @ 1..) = story.attempts.len().checked_sub(MAX_SHOWN) {
        out += &format!("<p class=\"soft\">and {left} more connections</p>\n");
    }
    out + "</div>\n"
}

fn attempt_row(story: &Story, scale: &Scale, attempt: &Attempt) -> String {
    let outcome = attempt.outcome();
    let class = match outcome {
        "established" | "accepted" => "good",
        "waiting" | "dropped" => "soft",
        _ => "bad",
    };
    let syns = match attempt.tries() {
        0 => String::new(),
        1 => ", 1 SYN".into(),
        many => format!(", {many} times a SYN"),
    };
    format!(
        "<div class=\"row\"><div class=\"title\"><span class=\"mono\">{}</span>\
         <span class=\"badge {class}\">{outcome}{syns}</span></div>\n{}{}</div>\n",
        text(&attempt.title()),
        scale.attempt(story, attempt),
        moments_of(story, attempt.course().into_iter()),
    )
}

/// States, restarts and changes of the path.
pub(super) fn course(story: &Story) -> String {
    let scale = Scale::of(story);
    let components: BTreeSet<u16> = story.paths.iter().map(|path| path.component).collect();
    let lanes: String = components
        .iter()
        .take(MAX_SHOWN)
        .map(|component| {
            let title = format!("data of component {component} goes over");
            format!("<p class=\"soft\">{title}</p>\n{}", scale.path(story, *component))
        })
        .collect();
    let moments = story.course();
    let rows = table(story, moments.into_iter());
    format!("<h3>Course</h3>\n<div class=\"card\">{lanes}{rows}</div>\n")
}

fn moments_of(story: &Story, moments: impl Iterator<Item = (Time, String)>) -> String {
    let rows = table(story, moments);
    if rows.is_empty() {
        return rows;
    }
    format!("<details><summary>each moment</summary>{rows}</details>")
}

fn table(story: &Story, mut moments: impl Iterator<Item = (Time, String)>) -> String {
    let row = |(at, words): (Time, String)| {
        format!("<tr><td>{}</td><td>{}</td></tr>", span(story.since(at)), text(&words))
    };
    let rows: String = moments.by_ref().take(MAX_MOMENTS).map(row).collect();
    if rows.is_empty() {
        return rows;
    }
    let more = match moments.count() {
        0 => String::new(),
        left => format!("<tr><td></td><td>and {left} more</td></tr>"),
    };
    format!("<table>{rows}{more}</table>")
}
