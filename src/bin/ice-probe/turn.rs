//! The TURN servers of the command line: each with its user and password.

use std::path::{Path, PathBuf};

use clap::{ArgMatches, Args, Command, FromArgMatches};
use floe::agent::TurnServer;

use crate::exit::{Exit, Failure};

/// The variable of the environment that may hold the password.
pub(crate) const VARIABLE: &str = "ICE_PROBE_PASS";

/// The options as they are given, each repeatable.
#[derive(Args)]
struct Given {
    /// TURN servers.
    #[arg(
        long,
        value_name = "URI",
        help = "TURN server, as turn:HOST[:PORT][?transport=tcp] or turns:HOST[:PORT] for TLS; \
                repeatable"
    )]
    turn: Vec<String>,
    /// User at the TURN server named before
    #[arg(long, value_name = "USER", requires = "turn")]
    user: Vec<String>,
    /// Password of that user; other users of this machine can see it
    #[arg(long, value_name = "PASS", requires = "turn", allow_hyphen_values = true)]
    pass: Vec<String>,
    /// File whose first line is the password of that user; without it and
    /// --pass the variable ICE_PROBE_PASS
    #[arg(long, value_name = "FILE", requires = "turn")]
    pass_file: Vec<PathBuf>,
}

/// The TURN servers that were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct TurnOptions(Vec<Entry>);

#[derive(Clone, Default)]
struct Entry {
    uri: String,
    user: Option<String>,
    password: Option<Password>,
}

#[derive(Clone)]
enum Password {
    Given(String),
    File(PathBuf),
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("uri", &self.uri).finish_non_exhaustive()
    }
}

impl Args for TurnOptions {
    fn augment_args(command: Command) -> Command {
        Given::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Given::augment_args_for_update(command)
    }
}

/// What is given for the server before it.
enum Detail {
    User(String),
    Password(Password),
}

impl FromArgMatches for TurnOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = Given::from_arg_matches(matches)?;
        let places = |name: &str| matches.indices_of(name).into_iter().flatten();
        let mut entries: Vec<(usize, Entry)> = places("turn")
            .zip(given.turn)
            .map(|(at, uri)| (at, Entry { uri, ..Entry::default() }))
            .collect();
        let users = places("user").zip(given.user.into_iter().map(Detail::User));
        let passwords = given.pass.into_iter().map(Password::Given).map(Detail::Password);
        let passwords = places("pass").zip(passwords);
        let files = given.pass_file.into_iter().map(Password::File).map(Detail::Password);
        let files = places("pass_file").zip(files);
        for (at, detail) in users.chain(passwords).chain(files) {
            let before = entries.iter_mut().rev().find(|(turn, _)| *turn < at);
            let Some((_, entry)) = before else {
                return Err(misplaced("--user, --pass and --pass-file follow their --turn"));
            };
            let is_twice = match detail {
                Detail::User(user) => entry.user.replace(user).is_some(),
                Detail::Password(password) => entry.password.replace(password).is_some(),
            };
            if is_twice {
                return Err(misplaced("a --turn has one --user and one --pass or --pass-file"));
            }
        }
        Ok(TurnOptions(entries.into_iter().map(|(_, entry)| entry).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = TurnOptions::from_arg_matches(matches)?;
        Ok(())
    }
}

fn misplaced(rule: &str) -> clap::Error {
    clap::Error::raw(clap::error::ErrorKind::ArgumentConflict, format!("{rule}\n"))
}

impl TurnOptions {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What they are called.
    pub(crate) fn uris(&self) -> Vec<&str> {
        self.0.iter().map(|entry| entry.uri.as_str()).collect()
    }

    /// The servers, with the passwords read.
    pub(crate) fn servers(&self) -> Result<Vec<TurnServer>, Failure> {
        self.0.iter().map(server).collect()
    }
}

fn server(entry: &Entry) -> Result<TurnServer, Failure> {
    let Entry { uri, user, password } = entry;
    let usage = |why: String| Failure::new(Exit::Usage, why);
    let user = user.as_deref().ok_or_else(|| usage(format!("--turn {uri} needs a --user")))?;
    let password = match password {
        Some(Password::Given(password)) => password.clone(),
        Some(Password::File(file)) => read(file)?,
        None => std::env::var(VARIABLE).map_err(|_| {
            usage(format!("--turn {uri} needs --pass-file, --pass or the variable {VARIABLE}"))
        })?,
    };
    TurnServer::new(uri, user, &password).map_err(|error| usage(format!("--turn: {error}")))
}

/// The first line of a file.
pub(crate) fn read(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot read {}: {error}", file.display()))
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Options {
        #[command(flatten)]
        turn: TurnOptions,
    }

    fn parse(words: &[&str]) -> Result<TurnOptions, clap::Error> {
        Options::try_parse_from(["x"].iter().chain(words)).map(|options| options.turn)
    }

    #[test]
    fn users_and_passwords_belong_to_the_server_before_them() {
        let options = parse(&[
            "--turn",
            "turn:a.example",
            "--pass",
            "pa",
            "--user",
            "ua",
            "--turn",
            "turns:b.example",
            "--user",
            "ub",
            "--pass",
            "-pb",
        ]);
        let servers = options.unwrap().servers().unwrap();
        let told = servers.iter().map(|s| (&*s.host, &*s.secrets.username, &*s.secrets.password));
        let expected = [("a.example", "ua", "pa"), ("b.example", "ub", "-pb")];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_belongs_to_no_server_or_twice_to_one_is_refused() {
        for words in [
            &["--user", "u", "--turn", "turn:a"][..],
            &["--turn", "turn:a", "--user", "u", "--user", "v"],
            &["--turn", "turn:a", "--pass", "p", "--pass-file", "f"],
            &["--user", "u"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
        for words in [
            &["--turn", "turn:a", "--pass", "p"][..],
            &["--turn", "stun:a", "--user", "u", "--pass", "secret"],
        ] {
            let failure = parse(words).unwrap().servers().unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(!failure.message.contains("secret"), "{}", failure.message);
        }
    }
}
