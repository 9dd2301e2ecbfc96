//! The options of `explain`.

use std::path::PathBuf;

pub(crate) const EXAMPLES: &str = "Examples:
  ice-probe explain agent.jsonl
  ice-probe explain agent.jsonl --html agent.html
  ice-probe explain demo.jsonl --agent 'tcp-so A' --pcap demo.pcapng
  ice-probe explain agent.jsonl --redact --log to-share.jsonl
  pbpaste | ice-probe explain -

An offer and an answer in one file, or two lists of candidates with an empty line between
them, are explained as the two sides that they are.";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Event log, session description or candidate lines; - is standard
    /// input. At most 64 MiB and 100000 events of it are read
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the same as one page, with a picture, to OUT
    #[arg(long, value_name = "OUT")]
    pub(crate) html: Option<PathBuf>,
    /// Write the messages to OUT, as a capture for Wireshark
    #[arg(long, value_name = "OUT")]
    pub(crate) pcap: Option<PathBuf>,
    /// Put stand-ins for addresses and names: the same for the same, of the
    /// same family and kind, in the same networks
    #[arg(long)]
    pub(crate) redact: bool,
    /// Write the log with the stand-ins to OUT
    #[arg(long, value_name = "OUT", requires = "redact")]
    pub(crate) log: Option<PathBuf>,
    /// Only the agent with this name, where the log is of several; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Vec<String>,
}

impl Options {
    /// Whether an agent of the log is to be told of.
    pub(crate) fn wants(&self, agent: Option<&str>) -> bool {
        self.agent.is_empty() || self.agent.iter().any(|own| Some(&**own) == agent)
    }
}
