//! What the file holds: an event log, or candidates.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use floe::agent::{LOG_VERSION, LogLine};
use serde_json::Value;

use super::candidates::{self, Side};
use super::escape::clean;
use super::redact::Redactor;
use crate::exit::{Exit, Failure};

/// More of a file is not read, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// More events of a log are not kept.
const MAX_EVENTS: usize = 100_000;

/// A longer line is no event, in bytes.
const MAX_LINE: usize = 1 << 20;

/// More agents of a log are not told of.
const MAX_AGENTS: usize = 64;

/// Lines that are no events and are told one by one.
const MAX_TOLD: usize = 3;

/// What was read.
pub(crate) enum Reading {
    /// An event log.
    Log(Log),
    /// Candidates, of one side or of two.
    Candidates(Vec<Side>),
}

/// An event log.
#[derive(Default)]
pub(crate) struct Log {
    /// `program` and `command` of its header.
    pub(crate) program: String,
    /// When it was begun, in seconds since 1970-01-01 UTC.
    pub(crate) start: Option<f64>,
    /// The events.
    pub(crate) lines: Vec<LogLine>,
    /// What is missing from it, in sentences.
    pub(crate) notes: Vec<String>,
    /// Its lines with stand-ins, where they were asked for.
    pub(crate) redacted: String,
}

/// Reads the file, or standard input for `-`.
pub(crate) fn read(path: &Path, redactor: Option<&mut Redactor>) -> Result<Reading, Failure> {
    let name = clean(&path.display().to_string());
    let wrong = |what: String| Failure::new(Exit::Usage, format!("{name}: {what}"));
    let mut bytes = Vec::new();
    let source: Box<dyn io::Read> = match path.as_os_str() == "-" {
        true => Box::new(io::stdin().lock()),
        false => Box::new(File::open(path).map_err(|error| wrong(error.to_string()))?),
    };
    source.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
    let is_cut = bytes.len() as u64 > MAX_BYTES;
    bytes.truncate(usize::try_from(MAX_BYTES).unwrap_or(usize::MAX));
    let text = String::from_utf8_lossy(&bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    what_it_is(text, is_cut, redactor).map_err(wrong)
}

fn what_it_is(
    text: &str,
    is_cut: bool,
    mut redactor: Option<&mut Redactor>,
) -> Result<Reading, String> {
    let Some(first) = text.lines().find(|line| !line.trim().is_empty()) else {
        return Err("it is empty. Logs are written with `--log FILE`".into());
    };
    let head = serde_json::from_str::<Value>(first).ok();
    if let Some(head) = head.filter(is_of_a_log) {
        let mut log = Log::default();
        log.header(&head)?;
        log.events(text, is_cut, redactor);
        log.note_agents();
        return Ok(Reading::Log(log));
    }
    let sides = match &mut redactor {
        Some(redactor) => candidates::read(&redactor.text(text)),
        None => candidates::read(text),
    };
    if !sides.is_empty() {
        return Ok(Reading::Candidates(sides));
    }
    let shown: String = clean(first).chars().take(60).collect();
    Err(format!(
        "it is no event log (as `--log FILE` writes), no session description and no candidate \
         lines; it begins with `{shown}`"
    ))
}

/// A header, or an event of a log that has lost its header.
fn is_of_a_log(head: &Value) -> bool {
    let is_header = head["version"].is_number()
        && (head.get("replayable").is_some() || head.get("command").is_some());
    is_header || (head["ev"].is_string() && head["t"].is_number())
}

impl Log {
    fn header(&mut self, head: &Value) -> Result<(), String> {
        match head["version"].as_u64() {
            Some(LOG_VERSION) => {}
            None if head.get("ev").is_some() => {
                self.notes.push("The log has no header: its beginning is missing.".into());
            }
            version => {
                let version = version.map_or("another".into(), |version| version.to_string());
                return Err(format!(
                    "the log has version {version}, and this is ice-probe {}, which knows \
                     version {LOG_VERSION}. Take the ice-probe that wrote it, or a newer one",
                    env!("CARGO_PKG_VERSION")
                ));
            }
        }
        let word = |key: &str| head[key].as_str().map(clean).unwrap_or_default();
        self.program = [word("program"), word("command")].join(" ").trim().to_owned();
        self.start = head["start"].as_f64();
        Ok(())
    }

    fn events(&mut self, text: &str, is_cut: bool, mut redactor: Option<&mut Redactor>) {
        let mut strange = 0;
        let lines = text.split_inclusive('\n').zip(1..);
        let mut lines = lines.filter(|(line, _)| !line.trim().is_empty()).peekable();
        if let Some((header, _)) = lines.next_if(|(line, _)| !line.contains("\"ev\"")) {
            let header = redactor.as_deref_mut().and_then(|redactor| redactor.header(header));
            self.keep(header);
        }
        while let Some((line, number)) = lines.next() {
            if self.lines.len() == MAX_EVENTS {
                self.notes.push(format!("Only the first {MAX_EVENTS} events were read."));
                return;
            }
            let parsed = match (line.len(), redactor.as_deref_mut()) {
                (MAX_LINE.., _) => Err("it is too long".to_owned()),
                (_, Some(redactor)) => redactor.line(line),
                (_, None) => serde_json::from_str(line).map_err(|error| error.to_string()),
            };
            match parsed {
                Ok(event) => {
                    if redactor.is_some() {
                        self.keep(serde_json::to_string(&event).ok());
                    }
                    self.lines.push(event);
                }
                Err(_) if lines.peek().is_none() && !line.ends_with('\n') => self.cut(number),
                Err(why) => {
                    strange += 1;
                    if strange <= MAX_TOLD {
                        self.notes.push(format!(
                            "Line {number} was passed over, it is damaged or of a newer version: \
                             {}",
                            clean(&why)
                        ));
                    }
                }
            }
        }
        if strange > MAX_TOLD {
            let more = strange - MAX_TOLD;
            self.notes.push(format!("{more} more lines like that were passed over."));
        }
        if is_cut {
            self.notes.push(format!("Only the first {} MiB were read.", MAX_BYTES >> 20));
        }
    }

    fn note_agents(&mut self) {
        let agents = self.agents();
        let is_told = |line: &LogLine| agents.contains(&line.agent.as_deref());
        if agents.len() == MAX_AGENTS && !self.lines.iter().all(is_told) {
            self.notes.push(format!("Only the first {MAX_AGENTS} agents are told of."));
        }
    }

    fn cut(&mut self, number: usize) {
        self.notes.push(format!(
            "The log is cut short: line {number} has no end. Whoever wrote it was stopped."
        ));
    }

    fn keep(&mut self, line: Option<String>) {
        if let Some(line) = line {
            self.redacted.push_str(&crate::jsonl::escape_controls(&line));
            self.redacted.push('\n');
        }
    }

    /// The names of the agents, in the order in which they appear; the first
    /// [`MAX_AGENTS`].
    pub(crate) fn agents(&self) -> Vec<Option<&str>> {
        let mut agents = Vec::new();
        for line in &self.lines {
            let agent = line.agent.as_deref();
            if agents.len() < MAX_AGENTS && !agents.contains(&agent) {
                agents.push(agent);
            }
        }
        agents
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"version":1,"replayable":true,"command":"stdio"}"#;
    const STATE: &str = r#"{"t":1.5,"ev":"state","state":"checking","reason":"checks-started"}"#;

    fn log(text: &str) -> Log {
        match what_it_is(text, false, None) {
            Ok(Reading::Log(log)) => log,
            Ok(Reading::Candidates(_)) => panic!("{text}: candidates"),
            Err(error) => panic!("{text}: {error}"),
        }
    }

    #[track_caller]
    fn refused(text: &str, word: &str) {
        let error = what_it_is(text, false, None).err().expect("it is refused");
        assert!(error.contains(word), "{error}");
    }

    #[test]
    fn a_whole_log_has_nothing_to_note() {
        let log = log(&format!("{HEADER}\n{STATE}\n"));
        assert_eq!((log.lines.len(), log.notes.len()), (1, 0));
    }

    #[test]
    fn what_is_missing_is_said() {
        let notes = |text: &str| log(text).notes.join(" ");
        assert!(notes(&format!("{HEADER}\n{STATE}\n{}", &STATE[..30])).contains("line 3"));
        assert!(notes(&format!("{STATE}\n")).contains("no header"));
        let newer = r#"{"t":2,"ev":"teleported"}"#;
        let text = format!("{HEADER}\n{STATE}\n{newer}\n{STATE}\n");
        assert!(notes(&text).contains("Line 3 was passed over"));
        assert_eq!(log(&text).lines.len(), 2);
        let many = format!("{HEADER}\n{}", format!("{newer}\n").repeat(9));
        assert!(notes(&many).contains("6 more lines"));
    }

    #[test]
    fn no_more_events_are_kept_than_the_bound() {
        let log = log(&format!("{HEADER}\n{}", format!("{STATE}\n").repeat(MAX_EVENTS + 5)));
        assert_eq!(log.lines.len(), MAX_EVENTS);
        assert!(log.notes[0].contains("first 100000 events"));
    }

    #[test]
    fn no_more_agents_are_told_of_than_the_bound() {
        let event = |number: usize| format!("{{\"agent\":\"{number}\",{}\n", &STATE[1..]);
        let of =
            |count: usize| log(&format!("{HEADER}\n{}", (0..count).map(event).collect::<String>()));
        assert_eq!((of(MAX_AGENTS).agents().len(), of(MAX_AGENTS).notes.len()), (MAX_AGENTS, 0));
        let more = of(MAX_AGENTS + 1);
        assert_eq!((more.agents().len(), more.notes.len()), (MAX_AGENTS, 1));
    }

    #[test]
    fn what_is_no_log_is_refused_in_a_sentence() {
        refused("", "empty");
        refused("\n \n", "empty");
        refused("hello\u{1b}[2J\n", r"`hello\u{1b}[2J`");
        refused("{\"version\":2,\"replayable\":true}\n", "version 2");
        refused("{\"version\":1}\n", "no event log");
        refused("[1,2,3]\n", "no event log");
    }
}
