//! The options of `connect`.

use std::path::PathBuf;

use floe::rendezvous::Code;

use super::room::Url;
use crate::args::Shared;
use crate::exit::{Exit, Failure};

pub(crate) const EXAMPLES: &str = "Examples:
  ice-probe connect --via wss://meet.example.org
  ice-probe connect 417-copper-lantern-walrus --via wss://meet.example.org
  ice-probe connect 417-copper-lantern-walrus --via wss://meet.example.org --send photo.jpg
  ice-probe connect 417-copper-lantern-walrus --via wss://meet.example.org --receive Downloads
  ice-probe connect 417-copper-lantern-walrus --via wss://meet.example.org < backup.tar
  ice-probe connect 417-copper-lantern-walrus --via wss://meet.example.org > backup.tar
  ice-probe connect --stun stun:stun.example.org

The first side leaves CODE out: one is made, and shown. What is typed goes to the other side, as
with netcat: both ends of a pipe may be files. `ice-probe serve` is a rendezvous.

Without --via each side prints one line, which is pasted into the other, on the first line of its
stdin. Nothing but the way that the lines take keeps others from changing them.";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The code that both sides have, as name-secret [default: a new one is made]
    #[arg(value_name = "CODE", requires = "via")]
    code: Option<Text>,
    /// The rendezvous at which the two sides meet; without it they exchange
    /// lines by copy and paste
    #[arg(long, value_name = "URL")]
    via: Option<String>,
    #[command(flatten)]
    pub(crate) shared: Shared,
    /// Send FILE to the other side
    #[arg(long, value_name = "FILE", conflicts_with_all = ["receive", "throughput"])]
    pub(crate) send: Option<PathBuf>,
    /// Take a file that the other side sends, into DIR; nothing there is
    /// overwritten
    #[arg(long, value_name = "DIR", conflicts_with = "throughput")]
    pub(crate) receive: Option<PathBuf>,
    /// Measure how fast data goes to the other side, and back
    #[arg(long)]
    pub(crate) throughput: bool,
}

/// What was given as a code; it is not shown.
#[derive(Clone)]
struct Text(String);

impl From<String> for Text {
    fn from(text: String) -> Self {
        Text(text)
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Text(…)")
    }
}

impl Options {
    /// The rendezvous and the code; `None` where there is no rendezvous.
    pub(crate) fn rendezvous(&self) -> Result<Option<(Url, Option<Code>)>, Failure> {
        let usage = |why: String| Failure::new(Exit::Usage, why);
        let Some(via) = &self.via else { return Ok(None) };
        let url = via.parse().map_err(|rule| usage(format!("--via: {rule}")))?;
        let code = self.code.as_ref().map(|Text(code)| code.parse());
        let code = code.transpose().map_err(|error| usage(format!("CODE: {error}")))?;
        Ok(Some((url, code)))
    }

    /// Refuses what can come to nothing.
    pub(crate) fn supported(&self) -> Result<(), Failure> {
        self.shared.supported()?;
        if self.shared.components != 1 {
            return Err(Failure::new(Exit::Usage, "connect has one component"));
        }
        if let Some(directory) = self.receive.as_ref().filter(|directory| !directory.is_dir()) {
            let sentence = format!("--receive {}: there is no such directory", directory.display());
            return Err(Failure::new(Exit::Usage, sentence));
        }
        Ok(())
    }
}
