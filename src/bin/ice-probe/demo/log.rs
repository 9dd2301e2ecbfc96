//! The event log of all runs. Each agent of each run has a name of its own in
//! it: `udp A`, `tcp B`.

use std::time::SystemTime;

use floe::agent::LogLine;
use floe::timer::Time;
use serde_json::json;

use super::side::Named;
use crate::args::Shared;
use crate::eventlog::EventLog;
use crate::exit::Failure;

/// The log, if one is wanted.
pub(crate) struct Log {
    file: Option<EventLog>,
    /// The latest record so far, by its own clock and by the system's.
    latest: Option<(Time, SystemTime)>,
}

impl Log {
    /// Creates the file that `--log` names.
    pub(crate) fn create(shared: &Shared) -> Result<Self, Failure> {
        let file = match &shared.log {
            Some(path) => {
                let header = json!({"role": null, "options": shared.for_log()});
                Some(EventLog::create(path, "demo", &header)?)
            }
            None => None,
        };
        Ok(Log { file, latest: None })
    }

    /// Adds the records of a run that has just ended.
    pub(crate) fn add(&mut self, run: &str, records: &[Named]) {
        let Some(file) = &mut self.file else { return };
        for (agent, record) in records {
            file.record(Some(&format!("{run} {agent}")), record);
        }
        if let Some((_, last)) = records.last() {
            self.latest = Some((last.at, SystemTime::now()));
        }
    }

    /// Adds the records of a run that another process made and began at
    /// `started`: its clock is another.
    #[cfg(target_os = "linux")]
    pub(crate) fn add_told(&mut self, run: &str, started: SystemTime, lines: Vec<LogLine>) {
        let (Some(file), Some(first)) = (&mut self.file, lines.first()) else { return };
        let first = first.record.at;
        let base = match self.latest {
            Some((at, then)) => at + started.duration_since(then).unwrap_or_default(),
            None => first,
        };
        for LogLine { agent, mut record } in lines {
            record.at = base + (record.at - first);
            self.latest = Some((record.at, SystemTime::now()));
            file.record(Some(&format!("{run} {}", agent.unwrap_or_default())), &record);
        }
    }
}
