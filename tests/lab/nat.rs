//! NATs and firewalls: how one maps, what it lets in, and what it does with
//! the rest. `rules.rs` makes them out of nftables.

use std::fmt;

/// How an inside endpoint gets its outer port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mapping {
    /// The same number for every destination: its own.
    Preserving,
    /// The same number for every destination, but not its own.
    Shifted,
    /// A number at random for each destination.
    Symmetric,
    /// No translation: a firewall (the only one of these for IPv6).
    Untouched,
}

/// Who may send to a mapped port from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filtering {
    /// Anyone: a full cone.
    Open,
    /// Who was sent to, from any port.
    Address,
    /// Who was sent to, from that port.
    AddressAndPort,
}

/// What becomes of a SYN that nobody inside has asked for. Datagrams are
/// dropped in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsolicited {
    /// It passes, if its port is mapped: TCP is filtered less than UDP.
    Pass,
    Drop,
    /// The sender gets a RST.
    Reset,
    /// The sender gets "port unreachable".
    Icmp,
}

/// What becomes of a bare SYN from outside towards a connection that an inside
/// host has begun: whether simultaneous open is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crossing {
    Pass,
    Drop,
    Reset,
}

/// What may go out at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Egress {
    All,
    /// UDP is blocked.
    NoUdp,
    /// TCP to port 443 alone.
    Tcp443,
}

/// One NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nat {
    pub(crate) mapping: Mapping,
    pub(crate) filtering: Filtering,
    pub(crate) unsolicited: Unsolicited,
    pub(crate) crossing: Crossing,
    pub(crate) egress: Egress,
    /// Two hosts behind it reach each other by their outer addresses, each
    /// seen from its own; whatever the filter.
    pub(crate) hairpin: bool,
    /// What arrives unasked is let in to the NAT itself, where it leaves an
    /// entry that pushes the inside host off its port later.
    pub(crate) poisoned: bool,
}

impl Nat {
    /// Endpoint-independent mapping that keeps the port, address-and-port-
    /// dependent filtering, silent about what it drops.
    pub(crate) const PORT_RESTRICTED: Self = Self {
        mapping: Mapping::Preserving,
        filtering: Filtering::AddressAndPort,
        unsolicited: Unsolicited::Drop,
        crossing: Crossing::Pass,
        egress: Egress::All,
        hairpin: false,
        poisoned: false,
    };
    /// The same with a port at random for each destination.
    pub(crate) const SYMMETRIC: Self =
        Self { mapping: Mapping::Symmetric, ..Self::PORT_RESTRICTED };
    /// Anyone may send to a mapped port.
    pub(crate) const FULL_CONE: Self = Self { filtering: Filtering::Open, ..Self::PORT_RESTRICTED };
    /// Port-restricted, and answers a SYN that comes unasked by a RST.
    pub(crate) const RESETTING: Self =
        Self { unsolicited: Unsolicited::Reset, ..Self::PORT_RESTRICTED };
    /// Port-restricted, and drops the SYN that crosses one of its own.
    pub(crate) const HOSTILE: Self = Self { crossing: Crossing::Drop, ..Self::PORT_RESTRICTED };
    /// Port-restricted, without the input filter that it should have.
    pub(crate) const POISONED: Self = Self { poisoned: true, ..Self::PORT_RESTRICTED };
    /// Lets out, and in what belongs to that: the usual one for IPv6.
    pub(crate) const FIREWALL: Self = Self { mapping: Mapping::Untouched, ..Self::PORT_RESTRICTED };
}

/// `MAPPING/FILTERING/UNSOLICITED`, and what else is unusual about it.
impl fmt::Display for Nat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mapping = match self.mapping {
            Mapping::Preserving => "keep",
            Mapping::Shifted => "shift",
            Mapping::Symmetric => "sym",
            Mapping::Untouched => "fw",
        };
        let filtering = match self.filtering {
            Filtering::Open => "open",
            Filtering::Address => "addr",
            Filtering::AddressAndPort => "port",
        };
        let unsolicited = match self.unsolicited {
            Unsolicited::Pass => "pass",
            Unsolicited::Drop => "drop",
            Unsolicited::Reset => "rst",
            Unsolicited::Icmp => "icmp",
        };
        write!(f, "{mapping}/{filtering}/{unsolicited}")?;
        let crossing = match self.crossing {
            Crossing::Pass => "",
            Crossing::Drop => "+so-drop",
            Crossing::Reset => "+so-rst",
        };
        let egress = match self.egress {
            Egress::All => "",
            Egress::NoUdp => "+no-udp",
            Egress::Tcp443 => "+tcp443",
        };
        let hairpin = if self.hairpin { "+hairpin" } else { "" };
        let poisoned = if self.poisoned { "+poisoned" } else { "" };
        write!(f, "{crossing}{egress}{hairpin}{poisoned}")
    }
}
