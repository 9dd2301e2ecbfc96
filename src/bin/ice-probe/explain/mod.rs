//! `ice-probe explain`: what an event log, or pasted candidates, say.

mod args;
mod candidates;
mod escape;
mod html;
mod json;
mod kinds;
mod lines;
mod pcap;
mod reading;
mod redact;
mod story;
mod text;

use std::path::Path;

pub(crate) use args::{EXAMPLES, Options};

use crate::exit::{Exit, Failure};
use crate::print;
use reading::{Log, Reading};
use redact::Redactor;
use story::{Story, tell};

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<Exit, Failure> {
    let mut redactor = options.redact.then(Redactor::default);
    let text = match reading::read(&options.file, redactor.as_mut())? {
        Reading::Log(log) => explain(options, &log)?,
        Reading::Candidates(sides) => {
            if options.pcap.is_some() || options.log.is_some() {
                let what = "candidates have no messages: --pcap and --log are for event logs";
                return Err(Failure::new(Exit::Usage, what));
            }
            if let Some(path) = &options.html {
                save(path, "--html", html::of_candidates(&sides).as_bytes())?;
            }
            match options.json {
                true => json::of_candidates(&sides),
                false => candidates::write(&sides),
            }
        }
    };
    print::text(&text)?;
    Ok(Exit::Direct)
}

fn explain(options: &Options, log: &Log) -> Result<String, Failure> {
    let stories = stories(options, log)?;
    if let Some(path) = &options.log {
        save(path, "--log", log.redacted.as_bytes())?;
    }
    if let Some(path) = &options.html {
        save(path, "--html", html::of_log(log, &stories).as_bytes())?;
    }
    if let Some(path) = &options.pcap {
        save(path, "--pcap", &pcap::of_log(log, |agent| options.wants(agent)))?;
    }
    Ok(match options.json {
        true => json::of_log(log, &stories),
        false => text::write(log, &stories),
    })
}

fn stories(options: &Options, log: &Log) -> Result<Vec<Story>, Failure> {
    let agents = log.agents();
    let is_there = |name: &&String| agents.contains(&Some(&***name));
    if let Some(name) = options.agent.iter().find(|name| !is_there(name)) {
        let names: Vec<String> =
            agents.iter().flatten().map(|name| format!("`{}`", escape::clean(name))).collect();
        let known = match names.is_empty() {
            true => "its only agent has no name".to_owned(),
            false => format!("it has {}", names.join(", ")),
        };
        let name = escape::clean(name);
        return Err(Failure::new(Exit::Usage, format!("the log has no agent `{name}`: {known}")));
    }
    let of = |agent: Option<&str>| {
        let lines = log.lines.iter().filter(move |line| line.agent.as_deref() == agent);
        tell(agent, lines.map(|line| &line.record))
    };
    Ok(agents.into_iter().filter(|agent| options.wants(*agent)).map(of).collect())
}

/// Writes a file that an option names.
fn save(path: &Path, option: &str, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes)
        .map_err(|error| Failure::new(Exit::Usage, format!("{option} {}: {error}", path.display())))
}
