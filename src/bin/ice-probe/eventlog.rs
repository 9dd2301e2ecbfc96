//! The event log of `--log FILE`: a header, then one JSON object an event.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use floe::agent::LogRecord;
use floe::timer::Time;
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};
use crate::jsonl::escape_controls;
use crate::{record, words};

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
            "version": 1,
            "program": concat!("ice-probe ", env!("CARGO_PKG_VERSION")),
            "command": command,
            // Seconds since 1970-01-01 UTC.
            "start": (since_epoch.as_secs_f64() * 1e3).round() / 1e3,
        });
        if let (Value::Object(fields), Value::Object(header)) = (&mut fields, header) {
            fields.extend(header.clone());
        }
        log.line(&fields);
        Ok(log)
    }

    /// Writes a record of the agent; `name` where there is more than one.
    pub(crate) fn record(&mut self, name: Option<&str>, record: &LogRecord) {
        let start = *self.start.get_or_insert(record.at);
        let mut fields = record::to_json(record);
        fields.insert("t".into(), json!(words::millis(record.at - start)));
        if let Some(name) = name {
            fields.insert("agent".into(), name.into());
        }
        self.line(&Value::Object(fields));
    }

    fn line(&mut self, fields: &Value) {
        let Some(file) = &mut self.file else { return };
        // One write a line: whoever reads along sees whole lines.
        let line = escape_controls(&fields.to_string()) + "\n";
        if let Err(error) = file.write_all(line.as_bytes()) {
            anstream::eprintln!("ice-probe: the log {} ends here: {error}", self.path.display());
            self.file = None;
        }
    }
}
