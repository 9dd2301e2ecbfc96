//! "You against a peer behind X".

use floe::discovery::{Behavior, Outlook, PeerNat, outlook};
use floe::driver::discovery::Crossing;

use super::survey::Survey;

/// What is to be expected with a peer behind one kind of NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) peer: PeerNat,
    pub(crate) udp: Outlook,
    pub(crate) tcp: Outlook,
}

/// The rows for all kinds, over the family that lets more happen.
pub(crate) fn rows(survey: &Survey) -> Vec<Row> {
    let udp = survey.families.iter().filter_map(|family| {
        let report = family.udp.as_ref()?.as_ref().ok()?;
        Some((report.mapped.is_some(), report.mapping.behavior, report.filtering.behavior))
    });
    let tcp = survey.families.iter().filter_map(|family| {
        let report = family.tcp.as_ref()?.as_ref().ok()?;
        Some((report.mapped.is_some(), report.mapping, report.filtering))
    });
    let (udp, tcp): (Vec<_>, Vec<_>) = (udp.collect(), tcp.collect());
    let crosses = survey.crossing == Crossing::Yes;
    let row = |peer| Row {
        peer,
        udp: best(&udp, peer),
        // Without that only a listener can be reached, which takes an open peer.
        tcp: match best(&tcp, peer) {
            Outlook::Direct if !crosses && peer != PeerNat::Open => Outlook::Unknown,
            outlook => outlook,
        },
    };
    PeerNat::ALL.map(row).to_vec()
}

/// The best of the families: whether it is reached at all, how it maps, how it
/// filters.
fn best(families: &[(bool, Behavior, Behavior)], peer: PeerNat) -> Outlook {
    let reached = families.iter().filter(|(is_reached, ..)| *is_reached);
    let outlooks: Vec<Outlook> =
        reached.map(|(_, mapping, filtering)| outlook(*mapping, *filtering, peer)).collect();
    match outlooks {
        // Nothing answered: it is not known whether anything gets out.
        outlooks if outlooks.is_empty() => Outlook::Unknown,
        outlooks if outlooks.contains(&Outlook::Direct) => Outlook::Direct,
        outlooks if outlooks.contains(&Outlook::Unknown) => Outlook::Unknown,
        _ => Outlook::Relay,
    }
}

/// What a kind of NAT is called.
pub(crate) const fn peer_word(peer: PeerNat) -> &'static str {
    match peer {
        PeerNat::Open => "open",
        PeerNat::FullCone => "full-cone",
        PeerNat::AddressRestricted => "address-restricted",
        PeerNat::PortRestricted => "port-restricted",
        PeerNat::Symmetric => "symmetric",
    }
}

#[cfg(test)]
mod tests {
    use floe::discovery::Dependence;

    use super::*;

    #[test]
    fn the_better_family_counts() {
        let steady = Behavior::Is(Dependence::Endpoint);
        let symmetric = Behavior::Is(Dependence::AddressAndPort);
        let peer = PeerNat::PortRestricted;
        assert_eq!(best(&[], peer), Outlook::Unknown);
        assert_eq!(best(&[(false, steady, symmetric)], peer), Outlook::Unknown);
        assert_eq!(best(&[(true, symmetric, symmetric)], peer), Outlook::Relay);
        let both = [(true, symmetric, symmetric), (true, steady, symmetric)];
        assert_eq!(best(&both, peer), Outlook::Direct);
        let one = [(true, symmetric, symmetric), (true, Behavior::Unknown, symmetric)];
        assert_eq!(best(&one, peer), Outlook::Unknown);
    }
}
