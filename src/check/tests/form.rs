//! Which pairs there are (RFC 8445 §6.1.2).

use std::net::SocketAddr;
use std::sync::Arc;

use super::fixture::{Set, local, remote};
use crate::candidate::{ComponentId, Foundation, Host, Kind};
use crate::check::{Fast, Local, PairState, Path, PeerRequest, Refused, Role, pair_priority};

#[test]
fn the_priority_formula_of_rfc_8445() {
    let (a, b) = (2_130_706_431, 1_694_498_815);
    assert_eq!(pair_priority(a, b), (1_694_498_815 << 32) + 2 * 2_130_706_431 + 1);
    assert_eq!(pair_priority(b, a), (1_694_498_815 << 32) + 2 * 2_130_706_431);
    assert_eq!(pair_priority(5, 5), (5 << 32) + 10);
    assert_eq!(pair_priority(u32::MAX, u32::MAX), u64::MAX);
}

#[test]
fn pairs_stay_within_component_and_family() {
    let mut set = Set::with(Role::Controlling, &[2], 100, Arc::new(Fast::default()));
    set.base(0, 1, 1);
    set.base(0, 2, 1);
    let v6: SocketAddr = "[2001:db8::1]:5000".parse().unwrap();
    set.checks.add_base(0, Local { address: v6, base: 9, ..local(1, 2) });
    set.checks.start(0);
    set.remote(0, 1, 1).unwrap();
    let mut far = remote(1, 2, Kind::Host);
    far.host = Host::Ip("2001:db8::2".parse().unwrap());
    set.checks.add_remote(0, &far, far.address().unwrap()).unwrap();
    let pairs = set.listed(0);
    assert_eq!(pairs.len(), 2);
    for id in pairs {
        let pair = set.pair(id);
        assert_eq!(pair.component, ComponentId::ONE);
        let (local, remote) = (set.checks.local(0, pair.local), set.checks.remote(0, pair.remote));
        assert_eq!(local.address.is_ipv4(), remote.address.is_ipv4());
    }
}

#[test]
fn link_local_pairs_only_with_link_local() {
    let mut set = Set::new(Role::Controlling);
    for (base, ip) in [(1, "fe80::1"), (2, "2001:db8::1")] {
        let address = SocketAddr::new(ip.parse().unwrap(), 5000);
        set.checks.add_base(0, Local { address, base, ..local(1, base as u8) });
    }
    set.checks.start(0);
    let mut candidate = remote(1, 1, Kind::Host);
    candidate.host = Host::Ip("fe80::2".parse().unwrap());
    set.checks.add_remote(0, &candidate, candidate.address().unwrap()).unwrap();
    assert_eq!(set.listed(0).len(), 1);
}

#[test]
fn an_image_of_a_base_forms_no_pairs() {
    let mut set = Set::started(Role::Controlling, 1);
    let reflexive = Local { kind: Kind::ServerReflexive, ..local(1, 9) };
    set.checks.add_image(0, reflexive).unwrap();
    set.remote(0, 1, 2).unwrap();
    assert_eq!(set.listed(0).len(), 2);
}

#[test]
fn of_each_foundation_the_lowest_component_waits_first() {
    let mut set = Set::with(Role::Controlling, &[2, 2], 100, Arc::new(Fast::default()));
    for stream in [0, 1] {
        for component in [1, 2] {
            set.base(stream, component, 1);
        }
    }
    // The candidates come in an order that is not that of the components.
    for stream in [0, 1] {
        for component in [2, 1] {
            set.remote(stream, component, 1).unwrap();
        }
    }
    set.checks.start(0);
    set.checks.start(1);
    let states: Vec<_> = [0, 1]
        .into_iter()
        .flat_map(|stream| set.listed(stream))
        .map(|id| (set.pair(id).stream, set.pair(id).component.number(), set.pair(id).state))
        .collect();
    let waiting: Vec<_> = states.iter().filter(|s| s.2 == PairState::Waiting).collect();
    assert_eq!(states.len(), 4);
    assert_eq!(waiting, [&(0, 1, PairState::Waiting)]);
}

#[test]
fn a_pair_of_a_foundation_that_succeeded_waits_at_once() {
    let mut set = Set::with(Role::Controlled, &[2], 100, Arc::new(Fast::default()));
    set.base(0, 1, 1);
    set.base(0, 2, 1);
    set.checks.start(0);
    set.remote(0, 1, 1).unwrap();
    let sent = set.run_to(0);
    set.answer(&sent[0].1);
    set.remote(0, 2, 1).unwrap();
    let pairs = set.listed(0);
    let second = pairs.iter().find(|id| set.pair(**id).component.number() == 2).unwrap();
    assert_eq!(set.pair(*second).state, PairState::Waiting);
}

#[test]
fn a_known_address_is_redundant() {
    let mut set = Set::started(Role::Controlling, 1);
    assert_eq!(set.remote(0, 1, 1), Err(Refused::Redundant));
    assert_eq!(set.remote(0, 2, 2), Err(Refused::Component));
}

#[test]
fn the_limit_counts_over_all_lists() {
    let mut set = Set::with(Role::Controlling, &[1, 1], 30, Arc::new(Fast::default()));
    for stream in [0, 1] {
        for n in 1..=6 {
            set.base(stream, 1, n);
        }
        set.checks.start(stream);
        for n in 1..=6 {
            set.remote(stream, 1, n).unwrap();
        }
    }
    assert_eq!(set.checks.listed(), 30);
    assert_eq!(set.listed(0).len() + set.listed(1).len(), 30);
}

/// Whatever the order in which candidates come, every base and every remote
/// candidate keeps a pair, and the best pair is there.
#[test]
fn under_the_limit_every_base_and_every_remote_keeps_a_pair() {
    for order in 0..4u8 {
        let mut set = Set::with(Role::Controlling, &[1], 100, Arc::new(Fast::default()));
        let mut numbers: Vec<u8> = (1..=50).collect();
        match order {
            1 => numbers.reverse(),
            2 => numbers.sort_by_key(|n| n.wrapping_mul(37)),
            3 => numbers.sort_by_key(|n| n.wrapping_mul(201)),
            _ => {}
        }
        if order % 2 == 0 {
            set.checks.start(0);
        }
        for n in &numbers {
            set.base(0, 1, *n);
        }
        for n in &numbers {
            set.remote(0, 1, *n).unwrap();
        }
        set.checks.start(0);
        let pairs: Vec<_> = set.listed(0).into_iter().map(|id| set.names(id)).collect();
        assert_eq!(pairs.len(), 100);
        for n in 1..=50 {
            assert!(pairs.iter().any(|p| p.0 == n), "base {n} has no pair, order {order}");
            assert!(pairs.iter().any(|p| p.1 == n), "remote {n} has no pair, order {order}");
        }
        assert!(pairs.contains(&(1, 1)), "order {order}");
    }
}

#[test]
fn in_the_order_of_their_priorities_pairs_are_kept_rank_by_rank() {
    let mut set = Set::with(Role::Controlling, &[1], 20, Arc::new(Fast::default()));
    for n in 1..=10 {
        set.base(0, 1, n);
    }
    set.checks.start(0);
    for n in 1..=10 {
        set.remote(0, 1, n).unwrap();
    }
    let pairs: Vec<_> = set.listed(0).into_iter().map(|id| set.names(id)).collect();
    for n in 1..=10 {
        assert!(pairs.contains(&(n, n)), "{pairs:?}");
    }
}

#[test]
fn remote_candidates_are_limited_best_and_diverse_first() {
    let mut set = Set::new(Role::Controlling);
    set.base(0, 1, 1);
    set.checks.start(0);
    let mut refused = 0;
    for n in 0..2_000u32 {
        let mut candidate = remote(1, 1, Kind::Host);
        candidate.host = Host::Ip(std::net::Ipv4Addr::from(0x0a02_0000 + n).into());
        candidate.priority = 1_000_000 - n;
        candidate.foundation = Foundation::from_number(n);
        let address = candidate.address().unwrap();
        refused += u32::from(set.checks.add_remote(0, &candidate, address).is_err());
    }
    assert_eq!(refused, 2_000 - 256);
    assert_eq!(set.checks.remotes(0).count(), 256);
    assert_eq!(set.checks.listed(), 100);
    // A better one takes the place of the worst, and so does another type.
    for (n, kind, priority) in [(1, Kind::Host, 2_000_000), (2, Kind::ServerReflexive, 5)] {
        let mut candidate = remote(1, n, kind);
        candidate.host = Host::Ip(super::fixture::ours(n).ip());
        candidate.priority = priority;
        let address = candidate.address().unwrap();
        set.checks.add_remote(0, &candidate, address).unwrap();
        assert_eq!(set.checks.remotes(0).count(), 256);
        assert!(set.checks.remotes(0).any(|(_, r)| r.address == address));
    }
}

#[test]
fn a_check_of_the_peer_finds_room_in_a_full_list() {
    let mut set = Set::with(Role::Controlled, &[1], 4, Arc::new(Fast::default()));
    let base = set.base(0, 1, 1);
    set.checks.start(0);
    for n in 1..=6 {
        set.remote(0, 1, n).unwrap();
    }
    set.run_to(100);
    assert!(set.listed(0).iter().all(|id| set.pair(*id).state == PairState::InProgress));
    let from = super::fixture::theirs(99);
    let request =
        PeerRequest { local: base, from, priority: 77, use_candidate: false, nomination: None };
    set.checks.peer_checked(0, &request, set.now).unwrap();
    assert_eq!(set.checks.listed(), 4);
    let sent = set.run_to(110);
    let found = sent.iter().find(|(_, s)| set.ends(s.pair).1 == from);
    assert!(found.is_some(), "{sent:?}");
}

#[test]
fn peer_reflexive_candidates_are_limited() {
    let mut set = Set::started(Role::Controlled, 1);
    let local = set.pair(set.listed(0)[0]).local;
    let check = |n: u16| {
        let from = SocketAddr::new(super::fixture::theirs(7).ip(), 10_000 + n);
        PeerRequest { local, from, priority: 77, use_candidate: false, nomination: None }
    };
    for n in 0..128 {
        // The list is full before the candidates are.
        let _ = set.checks.peer_checked(0, &check(n), set.now);
    }
    let refused = set.checks.peer_checked(0, &check(128), set.now);
    assert_eq!(refused, Err(Refused::TooManyFound));
    assert_eq!(set.checks.remotes(0).count(), 129);
    assert!(set.checks.listed() <= 100);
}

/// A relay must not learn an address that the peer hides behind a name
/// (draft-ietf-rtcweb-mdns-ice-candidates §3.3.2).
#[test]
fn a_path_through_a_third_party_is_not_paired_with_a_hidden_address() {
    for (indirect, named, pairs) in
        [(false, false, 1), (false, true, 1), (true, false, 1), (true, true, 0)]
    {
        let mut set = Set::new(Role::Controlling);
        let path = Path { indirect, ..Path::default() };
        set.checks.add_base(0, Local { path, ..local(1, 1) });
        let mut candidate = remote(1, 1, Kind::Host);
        let address = candidate.address().unwrap();
        if named {
            candidate.host = Host::Name("1f4712db-ea17-4bcf-a596-105139dfd8bf.local".into());
        }
        set.checks.add_remote(0, &candidate, address).unwrap();
        set.checks.start(0);
        assert_eq!(set.checks.listed(), pairs, "{indirect} {named}");
    }
}
