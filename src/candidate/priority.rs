//! Candidate priorities (RFC 8445 §5.1.2, RFC 6544 §4.2).

use crate::candidate::{ComponentId, Kind, TcpType};
use crate::net::Protocol;

/// The largest priority that may be signalled: 2³¹ − 1 (RFC 8445 §5.1.2).
pub const MAX_PRIORITY: u32 = (1 << 31) - 1;

/// The largest type preference (RFC 8445 §5.1.2.1).
pub const MAX_TYPE_PREFERENCE: u8 = 126;

/// The largest `other-pref` of a TCP candidate (RFC 6544 §4.2).
pub const MAX_OTHER_PREFERENCE: u16 = 8191;

/// The recommended formula of RFC 8445 §5.1.2.1. The result is in
/// 1..=[`MAX_PRIORITY`]: a type preference above [`MAX_TYPE_PREFERENCE`]
/// counts as that, and a result of 0 as 1.
pub fn priority(type_preference: u8, local_preference: u16, component: ComponentId) -> u32 {
    let by_type = u32::from(type_preference.min(MAX_TYPE_PREFERENCE)) << 24;
    let by_address = u32::from(local_preference) << 8;
    let by_component = 256 - u32::from(component.number());
    (by_type + by_address + by_component).max(1)
}

/// The type preference of a candidate (RFC 8445 §5.1.2.2). TCP stands below
/// UDP as a whole: the transport matters more than the type (RFC 6544 §4.2).
/// A relayed candidate has 0 here; whoever knows how its server is reached
/// gives a better one.
pub const fn type_preference(kind: Kind, protocol: Protocol) -> u8 {
    match (protocol, kind) {
        (Protocol::Udp, Kind::Host) => MAX_TYPE_PREFERENCE,
        (Protocol::Udp, Kind::PeerReflexive) => 110,
        (Protocol::Udp, Kind::ServerReflexive) => 100,
        (Protocol::Tcp, Kind::Host) => 90,
        (Protocol::Tcp, Kind::PeerReflexive) => 85,
        (Protocol::Tcp, Kind::ServerReflexive) => 80,
        (_, Kind::Relayed) => 0,
    }
}

/// The local preference of a TCP candidate: its direction first, then
/// `other`, the preference of its address, which counts as
/// [`MAX_OTHER_PREFERENCE`] where it is above that (RFC 6544 §4.2).
pub fn tcp_local_preference(kind: Kind, tcp_type: TcpType, other: u16) -> u16 {
    (direction_preference(kind, tcp_type) << 13) + other.min(MAX_OTHER_PREFERENCE)
}

/// Behind a NAT a simultaneous open is the direction that works best; without
/// one, it has nothing over a plain connect (RFC 6544 §4.2).
const fn direction_preference(kind: Kind, tcp_type: TcpType) -> u16 {
    match (kind, tcp_type) {
        (Kind::Host | Kind::Relayed, TcpType::Active) => 6,
        (Kind::Host | Kind::Relayed, TcpType::Passive) => 4,
        (Kind::Host | Kind::Relayed, TcpType::SimultaneousOpen) => 2,
        (Kind::ServerReflexive | Kind::PeerReflexive, TcpType::SimultaneousOpen) => 6,
        (Kind::ServerReflexive | Kind::PeerReflexive, TcpType::Active) => 4,
        (Kind::ServerReflexive | Kind::PeerReflexive, TcpType::Passive) => 2,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tcp(type_preference: u8, kind: Kind, tcp_type: TcpType) -> u32 {
        let local = tcp_local_preference(kind, tcp_type, MAX_OTHER_PREFERENCE);
        priority(type_preference, local, ComponentId::ONE)
    }

    /// The priorities that the examples of RFC 6544 and RFC 8839 print.
    #[test]
    fn the_formula_gives_the_values_of_the_rfcs() {
        assert_eq!(tcp(126, Kind::Host, TcpType::Active), 2_128_609_279);
        assert_eq!(tcp(126, Kind::Host, TcpType::Passive), 2_124_414_975);
        assert_eq!(tcp(126, Kind::Host, TcpType::SimultaneousOpen), 2_120_220_671);
        assert_eq!(tcp(125, Kind::Host, TcpType::Active), 2_111_832_063);
        assert_eq!(tcp(99, Kind::ServerReflexive, TcpType::Active), 1_671_430_143);
        assert_eq!(tcp(99, Kind::ServerReflexive, TcpType::Passive), 1_667_235_839);
        let reflexive = [TcpType::Active, TcpType::Passive, TcpType::SimultaneousOpen]
            .map(|tcp_type| tcp(100, Kind::ServerReflexive, tcp_type));
        assert_eq!(reflexive, [1_688_207_359, 1_684_013_055, 1_692_401_663]);
        assert_eq!(priority(126, u16::MAX, ComponentId::ONE), 2_130_706_431);
        assert_eq!(priority(100, u16::MAX, ComponentId::ONE), 1_694_498_815);
    }

    #[test]
    fn types_are_preferred_in_the_order_of_the_rfc() {
        use Kind::{Host, PeerReflexive, Relayed, ServerReflexive};
        let order = [
            (Host, Protocol::Udp),
            (PeerReflexive, Protocol::Udp),
            (ServerReflexive, Protocol::Udp),
            (Host, Protocol::Tcp),
            (PeerReflexive, Protocol::Tcp),
            (ServerReflexive, Protocol::Tcp),
            (Relayed, Protocol::Udp),
        ];
        let preferences: Vec<_> = order.iter().map(|&(k, p)| type_preference(k, p)).collect();
        assert!(preferences.is_sorted_by(|a, b| a > b), "{preferences:?}");
        assert_eq!(preferences[0], 126);
    }

    proptest! {
        #[test]
        fn a_priority_can_always_be_signalled(preference: u8, local: u16, component in 1u16..=256) {
            let component = ComponentId::new(component).unwrap();
            prop_assert!((1..=MAX_PRIORITY).contains(&priority(preference, local, component)));
        }

        #[test]
        fn a_lower_component_comes_first(preference in 0u8..=126, local: u16, c in 1u16..256) {
            let [low, high] = [c, c + 1].map(|n| ComponentId::new(n).unwrap());
            prop_assert!(priority(preference, local, low) >= priority(preference, local, high));
        }
    }
}
