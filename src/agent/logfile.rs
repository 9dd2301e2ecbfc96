//! Event logs as files: JSON Lines, a header and then one record a line.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::agent::LogRecord;

/// The version of the format that this crate reads and writes: `version` in
/// the header.
pub const LOG_VERSION: u64 = 1;

/// A longer line is none of ours, in bytes.
const MAX_LINE: usize = 1 << 20;

/// A line of a log: a record, and whose it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// The agent's name, where the log is of more than one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Box<str>>,
    /// The record.
    #[serde(flatten)]
    pub record: LogRecord,
}

/// What a log file holds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LogFile {
    /// The lines behind the header.
    pub lines: Vec<LogLine>,
    /// The last line was not whole, and was left out: whoever wrote it was
    /// stopped.
    pub is_cut: bool,
}

/// Why a file is not a log that this version can read. Lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LogFileError {
    /// The first line is not the header of a log.
    #[error("the first line is not the header of an event log")]
    NoHeader,
    /// The format is another.
    #[error("the log has version {0}, and {LOG_VERSION} is known here")]
    Version(u64),
    /// The header says that the log cannot be replayed.
    #[error("the log's header does not say that it can be replayed")]
    NotReplayable,
    /// A line is no record, or one of a newer version.
    #[error("line {line}: {what}")]
    Line {
        /// Which line.
        line: usize,
        /// What is wrong with it.
        what: Box<str>,
    },
}

#[derive(Deserialize)]
struct Header {
    version: u64,
    #[serde(default)]
    replayable: bool,
}

impl LogFile {
    /// Reads the text of a log file.
    ///
    /// # Errors
    /// [`LogFileError`]; a last line that is not whole is none.
    pub fn parse(text: &str) -> Result<LogFile, LogFileError> {
        let mut lines = text.split_inclusive('\n').zip(1..);
        let header = lines.next().map(|(line, _)| serde_json::from_str::<Header>(line));
        match header {
            Some(Ok(Header { version: LOG_VERSION, replayable: true })) => {}
            Some(Ok(Header { version: LOG_VERSION, .. })) => {
                return Err(LogFileError::NotReplayable);
            }
            Some(Ok(Header { version, .. })) => return Err(LogFileError::Version(version)),
            Some(Err(_)) | None => return Err(LogFileError::NoHeader),
        }
        let mut file = LogFile { lines: Vec::new(), is_cut: false };
        for (text, line) in lines {
            let parsed = match text.len() {
                ..=MAX_LINE => serde_json::from_str(text).map_err(|e| e.to_string()),
                _ => Err("too long for a record".to_owned()),
            };
            match parsed {
                Ok(parsed) => file.lines.push(parsed),
                // Only the last line can lack its end.
                Err(_) if !text.ends_with('\n') => file.is_cut = true,
                Err(what) => return Err(LogFileError::Line { line, what: what.into() }),
            }
        }
        Ok(file)
    }

    /// The records of the agent with this name, or of the one without.
    pub fn of<'a>(&'a self, agent: Option<&'a str>) -> impl Iterator<Item = &'a LogRecord> {
        self.lines.iter().filter(move |l| l.agent.as_deref() == agent).map(|l| &l.record)
    }

    /// The names of the agents, in the order in which they appear.
    pub fn agents(&self) -> Vec<Option<&str>> {
        let mut agents = Vec::new();
        for line in &self.lines {
            if !agents.contains(&line.agent.as_deref()) {
                agents.push(line.agent.as_deref());
            }
        }
        agents
    }
}
