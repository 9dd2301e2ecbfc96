//! What belongs to an installed program: completions for shells, and its
//! manual page.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Args;
use crate::exit::{Exit, Failure};
use crate::print;

pub(crate) const COMPLETIONS_EXAMPLES: &str = "Examples:
  ice-probe completions bash > ~/.local/share/bash-completion/completions/ice-probe
  ice-probe completions zsh > ~/.zfunc/_ice-probe
  ice-probe completions fish > ~/.config/fish/completions/ice-probe.fish";

pub(crate) const MAN_EXAMPLES: &str = "Examples:
  ice-probe man > ice-probe.1
  ice-probe man | man -l -
  ice-probe man explain | man -l -";

#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// The page of this command; without it that of the program
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

/// Prints a shell's completions.
pub(crate) fn completions(options: &Completions) -> Result<Exit, Failure> {
    let mut out = Vec::new();
    clap_complete::generate(options.shell, &mut Args::command(), "ice-probe", &mut out);
    print::text(&String::from_utf8_lossy(&out))?;
    Ok(Exit::Direct)
}

/// Prints a manual page, in roff.
pub(crate) fn man(options: &Man) -> Result<Exit, Failure> {
    let mut program = Args::command();
    program.build();
    let command = match &options.command {
        None => program,
        Some(name) => {
            let known = program.get_subcommands().find(|command| command.get_name() == name);
            let Some(known) = known else {
                let names: Vec<&str> =
                    program.get_subcommands().map(clap::Command::get_name).collect();
                let name = name.escape_debug();
                let what =
                    format!("man: there is no command `{name}`; there are {}", names.join(", "));
                return Err(Failure::new(Exit::Usage, what));
            };
            known.clone()
        }
    };
    let mut out = Vec::new();
    clap_mangen::Man::new(command).render(&mut out)?;
    print::text(&String::from_utf8_lossy(&out))?;
    Ok(Exit::Direct)
}
