//! Whether two machines can have a direct path, from how their NATs behave.

use super::{Behavior, Dependence};

/// A kind of NAT that a peer may be behind, in the words that people use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerNat {
    /// None, and no firewall.
    Open,
    /// Endpoint-independent in both.
    FullCone,
    /// Endpoint-independent mapping, address-dependent filtering.
    AddressRestricted,
    /// Endpoint-independent mapping, address and port-dependent filtering.
    PortRestricted,
    /// Both address and port-dependent.
    Symmetric,
}

impl PeerNat {
    /// All of them.
    pub const ALL: [PeerNat; 5] = [
        PeerNat::Open,
        PeerNat::FullCone,
        PeerNat::AddressRestricted,
        PeerNat::PortRestricted,
        PeerNat::Symmetric,
    ];

    /// How it maps, and how it filters.
    pub const fn behavior(self) -> (Dependence, Dependence) {
        use Dependence::{Address, AddressAndPort, Endpoint};
        match self {
            PeerNat::Open | PeerNat::FullCone => (Endpoint, Endpoint),
            PeerNat::AddressRestricted => (Endpoint, Address),
            PeerNat::PortRestricted => (Endpoint, AddressAndPort),
            PeerNat::Symmetric => (AddressAndPort, AddressAndPort),
        }
    }
}

/// What is to be expected between two machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outlook {
    /// A direct path.
    Direct,
    /// A relay.
    Relay,
    /// It was not to be told.
    Unknown,
}

/// Whether checks from both ends meet, where ours maps and filters like this
/// and the peer is behind that.
///
/// A side with an endpoint-independent mapping is reached at the address that
/// it signalled. One with another mapping sends from an address that nobody was
/// told of: it comes in where the other's filter does not look at the port, or
/// at nothing, and is answered there.
pub const fn outlook(mapping: Behavior, filtering: Behavior, peer: PeerNat) -> Outlook {
    use Dependence::{AddressAndPort, Endpoint};
    let (their_mapping, their_filtering) = peer.behavior();
    let is_theirs_open = !matches!(their_filtering, AddressAndPort);
    let is_theirs_steady = matches!(their_mapping, Endpoint);
    match (mapping, filtering) {
        // We send to where they said that they are, and they answer.
        (_, _) if is_theirs_steady && is_theirs_open => Outlook::Direct,
        (Behavior::Is(Endpoint), _) if is_theirs_steady => Outlook::Direct,
        (Behavior::Is(Endpoint), Behavior::Is(Endpoint | Dependence::Address)) => Outlook::Direct,
        (Behavior::Is(Endpoint), Behavior::Is(AddressAndPort)) => Outlook::Relay,
        (Behavior::Is(Endpoint), _) => Outlook::Unknown,
        (Behavior::Is(_) | Behavior::Dependent, _) => Outlook::Relay,
        (Behavior::Unknown, _) => Outlook::Unknown,
    }
}
