//! The exit codes, which are part of the program's interface.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Connected directly, or the command did what it is for.
    Direct = 0,
    /// A fault of the program itself.
    Internal = 1,
    /// Wrong usage.
    Usage = 2,
    /// Works, but only through a relay.
    Relayed = 10,
    /// UDP is blocked, TCP works.
    UdpBlocked = 11,
    /// Credentials or a room secret were refused.
    Refused = 12,
    /// A server's name did not resolve.
    Unresolved = 13,
    /// This machine has no usable network.
    NoNetwork = 14,
    /// No pair worked before the time was over.
    NoPair = 15,
    /// The connection was lost.
    Lost = 16,
    /// A certificate or TLS was refused.
    Tls = 17,
    /// No server answered.
    NoServer = 18,
    /// Interrupted before connected.
    Interrupted = 130,
}

impl Exit {
    /// Every code, in the order of their numbers.
    pub(crate) const ALL: [Exit; 13] = [
        Exit::Direct,
        Exit::Internal,
        Exit::Usage,
        Exit::Relayed,
        Exit::UdpBlocked,
        Exit::Refused,
        Exit::Unresolved,
        Exit::NoNetwork,
        Exit::NoPair,
        Exit::Lost,
        Exit::Tls,
        Exit::NoServer,
        Exit::Interrupted,
    ];

    /// Where several hold, the first of these is the answer.
    const PRECEDENCE: [Exit; 11] = [
        Exit::Usage,
        Exit::NoNetwork,
        Exit::Unresolved,
        Exit::Refused,
        Exit::Tls,
        Exit::NoServer,
        Exit::NoPair,
        Exit::Lost,
        Exit::UdpBlocked,
        Exit::Relayed,
        Exit::Direct,
    ];

    /// The code that explains the end best, of those that hold.
    pub(crate) fn first_of(holding: &[Exit]) -> Exit {
        Self::PRECEDENCE.into_iter().find(|exit| holding.contains(exit)).unwrap_or(Exit::Direct)
    }

    /// The number that the shell sees.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// The meaning, in a few words.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Exit::Direct => "connected directly, or done",
            Exit::Internal => "internal error",
            Exit::Usage => "wrong usage, or an option that is not supported yet",
            Exit::Relayed => "works, but only through a relay",
            Exit::UdpBlocked => "UDP is blocked, TCP works",
            Exit::Refused => "credentials or room secret refused",
            Exit::Unresolved => "a server name did not resolve",
            Exit::NoNetwork => "no usable network",
            Exit::NoPair => "no pair worked before --timeout, or before the end of input",
            Exit::Lost => "lost after it was connected",
            Exit::Tls => "certificate or TLS refused",
            Exit::NoServer => "no server answered",
            Exit::Interrupted => "Ctrl-C before connected",
        }
    }

    /// The table that `--help` shows.
    pub(crate) fn table() -> String {
        let rows: Vec<String> = Self::ALL
            .iter()
            .map(|exit| format!("  {:>3}  {}", exit.code(), exit.meaning()))
            .collect();
        format!("Exit codes:\n{}", rows.join("\n"))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// Why a command gave up: an exit code and a sentence for stderr.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The code.
    pub(crate) exit: Exit,
    /// The sentence; empty where there is nothing to say.
    pub(crate) message: String,
}

impl Failure {
    /// A failure with a sentence.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Failure { exit, message: message.into() }
    }
}

impl From<std::io::Error> for Failure {
    /// Writing results failed. Where the reader has gone there is nobody to
    /// tell, and nothing went wrong.
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::new(Exit::Direct, ""),
            _ => Failure::new(Exit::Internal, format!("cannot write the results: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_the_promised_ones() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 10, 11, 12, 13, 14, 15, 16, 17, 18, 130]);
    }

    #[test]
    fn the_first_that_explains_the_failure_wins() {
        let order: Vec<u8> = Exit::PRECEDENCE.iter().map(|exit| exit.code()).collect();
        assert_eq!(order, [2, 14, 13, 12, 17, 18, 15, 16, 11, 10, 0]);
        for (index, first) in Exit::PRECEDENCE.iter().enumerate() {
            let mut holding = Exit::PRECEDENCE[index..].to_vec();
            holding.reverse();
            assert_eq!(Exit::first_of(&holding), *first);
        }
        assert_eq!(Exit::first_of(&[]), Exit::Direct);
    }
}
