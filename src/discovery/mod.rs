//! NAT Behavior Discovery (RFC 5780): how a NAT maps, what it lets in, and how
//! sure that is.
//!
//! A [`Discovery`] is a state machine for one address of this machine. It has
//! [`BASES`] sockets there, is handed what they receive and sends what it wants
//! sent; all methods that take `now` may put something behind
//! [`Discovery::poll_transmit`]. Drain it after each of them, then sleep until
//! [`Discovery::poll_timeout`], and take [`Discovery::report`] once there is
//! nothing to wait for.
//!
//! Silence has two causes, a filter and loss. So what may be filtered is asked
//! again and again beside a control that no filter stops, until loss alone
//! hardly explains the silence, and where that cannot be had the answer is
//! [`Behavior::Unknown`]. A server that promises answers from elsewhere and
//! gives none would look like a filter, too: it has to prove that it keeps its
//! promise, by answering through a filter that was opened for it.

mod asks;
mod filtering;
mod findings;
mod machine;
mod mapping;
mod message;
mod outlook;
mod report;
mod rounds;

pub use filtering::{Sign, conclude};
pub use machine::{BASES, Discovery, Transmit};
pub use mapping::{MappingEvent, MappingState};
pub use message::{CHANGE_REQUEST, Change, DIAL_BACK, DialBack, write_request};
pub use outlook::{Outlook, PeerNat, outlook};
pub use report::{Answer, Basis, Finding, Hairpin, Ports, Report, ServerReport};

/// What a mapping (RFC 4787 §4.1) or a filter (§5) depends on, beside the
/// endpoint inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dependence {
    /// On nothing.
    Endpoint,
    /// On the address outside.
    Address,
    /// On the address and port outside.
    AddressAndPort,
}

impl Dependence {
    /// All of them.
    pub const ALL: [Dependence; 3] =
        [Dependence::Endpoint, Dependence::Address, Dependence::AddressAndPort];

    /// RFC 4787's word for it. It stays the same in every version.
    pub const fn word(self) -> &'static str {
        match self {
            Dependence::Endpoint => "endpoint-independent",
            Dependence::Address => "address-dependent",
            Dependence::AddressAndPort => "address-and-port-dependent",
        }
    }
}

/// What is known of how a NAT maps or filters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Behavior {
    /// This.
    Is(Dependence),
    /// It is not endpoint-independent; on what it depends is not known.
    Dependent,
    /// Nothing.
    #[default]
    Unknown,
}

impl Behavior {
    /// The word for it. It stays the same in every version.
    pub const fn word(self) -> &'static str {
        match self {
            Behavior::Is(dependence) => dependence.word(),
            Behavior::Dependent => "dependent",
            Behavior::Unknown => "unknown",
        }
    }
}
