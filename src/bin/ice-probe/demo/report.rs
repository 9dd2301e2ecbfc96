//! What a demo found: the object that `--json` prints and the text is made of.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exit::Exit;
use crate::jsonl::escape_controls;

/// All runs of a demo.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    version: u8,
    program: &'static str,
    /// The runs, in the order in which they were made.
    pub(crate) runs: Vec<Run>,
}

/// A run, made or not.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    /// `udp`, `tcp`, `tcp-so` or `relay`.
    pub(crate) name: &'static str,
    #[serde(flatten)]
    pub(crate) result: Outcome,
}

/// How a run ended.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// Both sides have their selected pairs, and data went both ways.
    Connected(Box<Details>),
    /// They have not, or data got lost.
    Failed {
        /// Why, in a sentence.
        reason: String,
        /// How far it came.
        #[serde(flatten)]
        details: Box<Details>,
    },
    /// The run was not made.
    Skipped {
        /// Why, in a sentence.
        reason: String,
    },
}

/// What happened in a run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Details {
    /// Where the run was made and what that means, where it needs to be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    /// Milliseconds from the start of the run until both were connected.
    pub(crate) connected_ms: Option<f64>,
    /// Milliseconds from the start of the run until both had completed.
    pub(crate) completed_ms: Option<f64>,
    /// The two agents.
    pub(crate) agents: Vec<AgentReport>,
    /// What passed between the two, where it was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wire: Option<Wire>,
    /// What was sent, a row for each direction and component.
    pub(crate) data: Vec<Transfer>,
    /// What happened when.
    pub(crate) timeline: Vec<Moment>,
}

/// One side of a run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AgentReport {
    /// `A` or `B`.
    pub(crate) name: String,
    /// `controlling` or `controlled`.
    pub(crate) role: String,
    /// Its candidate lines.
    pub(crate) candidates: Vec<String>,
    /// Servers that gave nothing, and addresses that could not be used.
    pub(crate) errors: Vec<String>,
    /// Its pairs, each as in a `stats` line.
    pub(crate) pairs: Vec<Value>,
    /// Its selected pairs.
    pub(crate) selected: Vec<Selected>,
}

/// A selected pair.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Selected {
    pub(crate) component: u16,
    pub(crate) local: String,
    pub(crate) remote: String,
}

/// What passed between two hosts with a delay and a NAT each.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Wire {
    /// Milliseconds from one host to the other.
    pub(crate) delay_ms: f64,
    /// Packets that set out.
    pub(crate) packets: u64,
    /// Packets that a NAT dropped, since its host had sent nothing there.
    pub(crate) dropped: u64,
    /// SYNs without ACK that each host sent.
    pub(crate) syns: [usize; 2],
    /// Two of one connection were under way at once, one from each host: both
    /// sides opened it.
    pub(crate) crossed: bool,
}

/// Data sent in one direction.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Transfer {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) component: u16,
    /// Bytes a datagram.
    pub(crate) size: usize,
    pub(crate) sent: usize,
    pub(crate) received: usize,
    /// The median round trip, in milliseconds.
    pub(crate) rtt_ms: Option<f64>,
}

/// A line of the timeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Moment {
    /// Milliseconds since the start of the run.
    pub(crate) t: f64,
    /// Whose it is, or `wire`.
    pub(crate) agent: String,
    pub(crate) event: String,
}

impl Run {
    /// A run that was not made.
    pub(crate) fn skipped(name: &'static str, reason: &str) -> Self {
        Run { name, result: Outcome::Skipped { reason: reason.into() } }
    }
}

impl Details {
    /// Whether a selected pair leads through a relay.
    pub(crate) fn is_relayed(&self) -> bool {
        let selected = self.agents.iter().flat_map(|agent| &agent.selected);
        let mut ends = selected.flat_map(|pair| [&pair.local, &pair.remote]);
        ends.any(|candidate| candidate.contains(" typ relay"))
    }
}

impl Report {
    /// A report of these runs.
    pub(crate) fn new(runs: Vec<Run>) -> Self {
        Report { version: 1, program: concat!("ice-probe ", env!("CARGO_PKG_VERSION")), runs }
    }

    /// Every run that this machine allows has to have connected.
    pub(crate) fn exit(&self) -> Exit {
        let failed = self.runs.iter().any(|run| matches!(run.result, Outcome::Failed { .. }));
        if failed { Exit::NoPair } else { Exit::Direct }
    }

    /// One JSON object, and a newline.
    pub(crate) fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("invariant: every key is a string");
        escape_controls(&text) + "\n"
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(result: Outcome) -> Run {
        Run { name: "udp", result }
    }

    #[test]
    fn only_a_run_that_failed_fails_the_demo() {
        let connected = || run(Outcome::Connected(Box::default()));
        let failed = run(Outcome::Failed { reason: "x".into(), details: Box::default() });
        let skipped = || Run::skipped("tcp", "not built yet");
        assert_eq!(Report::new(vec![connected(), skipped()]).exit(), Exit::Direct);
        assert_eq!(Report::new(vec![connected(), failed, skipped()]).exit(), Exit::NoPair);
    }

    #[test]
    fn the_object_has_its_version_and_runs() {
        let report = Report::new(vec![
            run(Outcome::Connected(Box::default())),
            run(Outcome::Failed { reason: "no answer".into(), details: Box::default() }),
            Run::skipped("tcp", "not built yet"),
        ]);
        let object: Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(object["version"], 1);
        assert_eq!(object["runs"][0]["result"], "connected");
        assert_eq!(object["runs"][0]["agents"], json!([]));
        assert_eq!(object["runs"][1]["result"], "failed");
        assert_eq!(object["runs"][1]["reason"], "no answer");
        assert_eq!(
            object["runs"][2],
            json!({"name":"tcp","result":"skipped","reason":"not built yet"})
        );
    }
}
