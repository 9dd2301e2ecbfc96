//! `ice-probe check`: what this machine's network lets happen.

mod args;
mod interfaces;
mod json;
mod outlooks;
mod port_mapping;
mod survey;
mod text;
mod verdict;
mod watch;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

pub(crate) use args::{EXAMPLES, Options};

use crate::exit::{Exit, Failure};
use crate::print;
use crate::signals::Signals;

/// Runs the command.
pub(crate) async fn run(options: &Options) -> Result<Exit, Failure> {
    let mut signals = Signals::new().map_err(|error| {
        Failure::new(Exit::Internal, format!("cannot listen for signals: {error}"))
    })?;
    let (report, exit) = tokio::select! {
        checked = check(options) => checked?,
        () = signals.wait() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
    };
    let Some(seconds) = options.watch else { return Ok(exit) };
    tokio::select! {
        watched = watch(options, report, Duration::from_secs(seconds)) => watched,
        // It has done what it is for.
        () = signals.wait() => Ok(exit),
    }
}

/// One check, printed; what programs are told of it, and the exit code.
async fn check(options: &Options) -> Result<(Value, Exit), Failure> {
    let survey = survey::survey(options).await?;
    let verdict = verdict::judge(&survey);
    let object = json::object(&survey, &verdict);
    let text = if options.json { format!("{object}\n") } else { text::write(&survey, &verdict) };
    print::text(&text)?;
    Ok((object, verdict.exit))
}

/// Checks again and again, and prints changes.
async fn watch(options: &Options, mut last: Value, pause: Duration) -> Result<Exit, Failure> {
    loop {
        tokio::time::sleep(pause).await;
        let survey = survey::survey(options).await?;
        let now = json::object(&survey, &verdict::judge(&survey));
        let changes = watch::changes(&last, &now);
        if !changes.is_empty() {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            print::text(&written(options, since.as_secs(), &changes))?;
        }
        last = now;
    }
}

fn written(options: &Options, seconds: u64, changes: &[watch::Change]) -> String {
    if options.json {
        let change = |change: &watch::Change| json!({"path": change.path, "from": change.from, "to": change.to});
        let changes: Vec<Value> = changes.iter().map(change).collect();
        return format!("{}\n", json!({"version": 1, "time": seconds, "changes": changes}));
    }
    let plain = |value: &Value| match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.escape_debug().to_string(),
        value => value.to_string(),
    };
    let clock = clock(seconds);
    let line = |change: &watch::Change| {
        let path = change.path.escape_debug();
        format!("{clock}  {path}: {} -> {}\n", plain(&change.from), plain(&change.to))
    };
    changes.iter().map(line).collect()
}

/// The time of day in UTC.
fn clock(seconds: u64) -> String {
    let [hours, minutes] = [seconds / 3_600 % 24, seconds / 60 % 60];
    format!("{hours:02}:{minutes:02}:{:02} UTC", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_day_is_read_from_seconds() {
        assert_eq!(clock(0), "00:00:00 UTC");
        assert_eq!(clock(1_700_000_000), "22:13:20 UTC");
    }
}
