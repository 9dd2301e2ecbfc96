//! The event log of `--log FILE`: a header, then one JSON object an event.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use floe::agent::{LOG_VERSION, LogLine, LogRecord};
use floe::timer::Time;
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};
use crate::jsonl::escape_controls;

/// A log file. A write that fails is reported once, and ends the log, not
/// the session.
pub(crate) struct EventLog {
    path: PathBuf,
    file: Option<File>,
    /// What `t` counts from: the time of the first record.
    start: Option<Time>,
}

impl EventLog {
    /// Creates the file and writes the header.
    pub(crate) fn create(path: &Path, command: &str, header: &Value) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|error| {
            Failure::new(Exit::Usage, format!("--log {}: {error}", path.display()))
        })?;
        let mut log = EventLog { path: path.to_owned(), file: Some(file), start: None };
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut fields = json!({
            "version": LOG_VERSION,
            "replayable": true,
            "program": concat!("ice-probe ", env!("CARGO_PKG_VERSION")),
            "command": command,
            // Seconds since 1970-01-01 UTC.
            "start": (since_epoch.as_secs_f64() * 1e3).round() / 1e3,
        });
        if let (Value::Object(fields), Value::Object(header)) = (&mut fields, header) {
            fields.extend(header.clone());
        }
        log.line(&fields.to_string());
        Ok(log)
    }

    /// Writes a record of the agent; `name` where there is more than one.
    pub(crate) fn record(&mut self, name: Option<&str>, record: &LogRecord) {
        let start = *self.start.get_or_insert(record.at);
        let record = LogRecord { at: Time::ZERO + (record.at - start), ..record.clone() };
        let line = serde_json::to_string(&LogLine { agent: name.map(Box::from), record });
        self.line(&line.unwrap_or_else(|error| json!({"ev": error.to_string()}).to_string()));
    }

    fn line(&mut self, line: &str) {
        let Some(file) = &mut self.file else { return };
        // One write a line: whoever reads along sees whole lines.
        let line = escape_controls(line) + "\n";
        if let Err(error) = file.write_all(line.as_bytes()) {
            anstream::eprintln!("ice-probe: the log {} ends here: {error}", self.path.display());
            self.file = None;
        }
    }
}
