//! The story for a terminal of 80 columns.

mod waterfall;

use std::fmt::{self, Write};

use owo_colors::OwoColorize;

use super::kinds::NetworkKind;
use super::lines::wrapped;
use super::reading::Log;
use super::story::verdict::{Ending, Verdict, span};
use super::story::{Attempt, Found, Story};
use crate::words::{place, transport};

/// More of a kind is not shown.
const MAX_SHOWN: usize = 40;

/// More steps of a connection are not shown.
const MAX_STEPS: usize = 12;

/// What `log` and the stories of its agents say. Colours are in it.
pub(crate) fn write(log: &Log, stories: &[Story]) -> String {
    let mut out = String::new();
    let written = report(&mut out, log, stories);
    written.expect("invariant: writing to a string succeeds");
    out
}

fn report(out: &mut String, log: &Log, stories: &[Story]) -> fmt::Result {
    for note in &log.notes {
        wrapped(out, "Note: ", "      ", note)?;
    }
    if stories.is_empty() {
        writeln!(out, "The log has no events: nothing happened before it ends.")?;
    }
    for (at, story) in stories.iter().enumerate() {
        if at > 0 || !log.notes.is_empty() {
            writeln!(out)?;
        }
        write_story(out, story)?;
    }
    Ok(())
}

fn write_story(out: &mut String, story: &Story) -> fmt::Result {
    let verdict = Verdict::of(story);
    writeln!(out, "{}", story.heading().bold())?;
    let mut sentence = String::new();
    wrapped(&mut sentence, "", "", &verdict.sentence)?;
    match verdict.ending {
        Ending::Direct => write!(out, "{}", sentence.green())?,
        Ending::Relayed | Ending::Undecided => write!(out, "{}", sentence.yellow())?,
        Ending::Lost | Ending::Failed => write!(out, "{}", sentence.red())?,
    }
    for reason in &verdict.reasons {
        wrapped(out, "- ", "  ", reason)?;
    }
    if !verdict.advice.is_empty() {
        heading(out, "What to try")?;
        for advice in &verdict.advice {
            wrapped(out, "- ", "  ", advice)?;
        }
    }
    candidates(out, "Candidates of this side", &story.ours)?;
    candidates(out, "Candidates of the peer", &story.theirs)?;
    waterfall::write(out, story)?;
    attempts(out, story)?;
    course(out, story)?;
    if story.left_out > 0 {
        writeln!(out, "\n{} more things happened than are told here.", story.left_out)?;
    }
    Ok(())
}

fn heading(out: &mut String, text: &str) -> fmt::Result {
    writeln!(out, "\n{}", text.bold())
}

fn candidates(out: &mut String, title: &str, found: &[Found]) -> fmt::Result {
    heading(out, title)?;
    if found.is_empty() {
        return writeln!(out, "  none");
    }
    for Found { candidate, .. } in found.iter().take(MAX_SHOWN) {
        let address = candidate.address();
        let kind = address.map_or("a name", |a| NetworkKind::of(a.ip()).words());
        let text = format!("{}, {}: {kind}", place(candidate), transport(candidate));
        wrapped(out, "  ", "    ", &text)?;
    }
    more(out, found.len())
}

fn more(out: &mut String, count: usize) -> fmt::Result {
    match count.checked_sub(MAX_SHOWN) {
        None | Some(0) => Ok(()),
        Some(left) => writeln!(out, "  and {left} more"),
    }
}

fn attempts(out: &mut String, story: &Story) -> fmt::Result {
    if story.attempts.is_empty() {
        return Ok(());
    }
    heading(out, "TCP connections")?;
    for attempt in story.attempts.iter().take(MAX_SHOWN) {
        let text = format!("{}: {}", attempt.title(), attempt.outcome());
        wrapped(out, "  ", "    ", &text)?;
        write_steps(out, story, attempt)?;
    }
    more(out, story.attempts.len())
}

fn write_steps(out: &mut String, story: &Story, attempt: &Attempt) -> fmt::Result {
    let course = attempt.course();
    for (at, words) in course.iter().take(MAX_STEPS) {
        wrapped(out, &format!("{:>12}  ", span(story.since(*at))), &" ".repeat(14), words)?;
    }
    match course.len().checked_sub(MAX_STEPS) {
        None | Some(0) => Ok(()),
        Some(left) => writeln!(out, "{:>12}  and {left} steps more", ""),
    }
}

/// States, restarts and changes of the path, one a line.
fn course(out: &mut String, story: &Story) -> fmt::Result {
    heading(out, "Course")?;
    let moments = story.course();
    for (at, text) in moments.iter().take(MAX_SHOWN) {
        wrapped(out, &format!("{:>12}  ", span(story.since(*at))), &" ".repeat(14), text)?;
    }
    more(out, moments.len())
}
