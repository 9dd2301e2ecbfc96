//! `ice-probe schema`: what the program's JSON looks like, as JSON Schemas
//! (draft 2020-12). Keys may be added with any version, so that readers have
//! to pass over what they do not know.

use clap::ValueEnum;

use crate::exit::{Exit, Failure};
use crate::print;

pub(crate) const EXAMPLES: &str = "Examples:
  ice-probe schema
  ice-probe schema explain > explain.schema.json";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Whose output; without it the names are listed
    #[arg(value_name = "NAME")]
    name: Option<Name>,
}

/// What has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// The object of `check --json`
    Check,
    /// The object of `demo --json`
    Demo,
    /// The object of `explain --json`
    Explain,
    /// A line that `stdio` prints
    Stdio,
    /// A line of an event log, `--log`
    Log,
}

impl Name {
    fn text(self) -> &'static str {
        match self {
            Name::Check => include_str!("check.json"),
            Name::Demo => include_str!("demo.json"),
            Name::Explain => include_str!("explain.json"),
            Name::Stdio => include_str!("stdio.json"),
            Name::Log => include_str!("log.json"),
        }
    }
}

/// Prints a schema, or the names of all.
pub(crate) fn run(options: &Options) -> Result<Exit, Failure> {
    let text = match options.name {
        Some(name) => name.text().to_owned(),
        None => Name::value_variants()
            .iter()
            .filter_map(|name| name.to_possible_value())
            .map(|name| {
                let help = name.get_help().map(ToString::to_string).unwrap_or_default();
                format!("{:<8}  {help}\n", name.get_name())
            })
            .collect(),
    };
    print::text(&text)?;
    Ok(Exit::Direct)
}
