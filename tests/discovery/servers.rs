//! Servers that do less than RFC 5780 asks of them.

use floe::discovery::{Answer, Basis, Behavior, Dependence, Hairpin, Ports};

use crate::nat::{Nat, Rules};
use crate::world::{MAIN, Manner, OTHER, World};

fn nat(mapping: Dependence, filtering: Dependence) -> Option<Nat> {
    let rules = Rules { mapping, filtering, ..Rules::PORT_RESTRICTED };
    Some(Nat::new(rules, Some([203, 0, 113, 1].into()), 40_000))
}

/// A full cone, which such a server would make look like a filter.
#[test]
fn a_server_that_breaks_its_promise_tells_nothing_of_the_filter() {
    for manner in [Manner::Forgetful, Manner::Stubborn, Manner::Busy, Manner::Plain] {
        let report = World::new(nat(Dependence::Endpoint, Dependence::Endpoint), manner, 1).run();
        assert_eq!(report.filtering.behavior, Behavior::Unknown, "{manner:?}");
        let known = if manner == Manner::Plain {
            Behavior::Unknown
        } else {
            Behavior::Is(Dependence::Endpoint)
        };
        assert_eq!(report.mapping.behavior, known, "{manner:?}");
    }
}

#[test]
fn an_other_address_that_does_not_answer_tells_nothing_of_the_mapping() {
    let report =
        World::new(nat(Dependence::Endpoint, Dependence::AddressAndPort), Manner::Lame, 1).run();
    assert_eq!(report.mapping.behavior, Behavior::Unknown);
    assert_eq!(report.filtering.behavior, Behavior::Unknown);
    assert!(report.mapped.is_some());
}

#[test]
fn plain_servers_are_compared() {
    let servers = [
        (MAIN, None, Manner::Plain),
        ("198.51.100.7:3478", None, Manner::Plain),
        ("198.51.100.8:19302", None, Manner::Dead),
    ];
    for (mapping, behavior) in [
        (Dependence::Endpoint, Behavior::Is(Dependence::Endpoint)),
        (Dependence::Address, Behavior::Dependent),
        (Dependence::AddressAndPort, Behavior::Dependent),
    ] {
        let mut world = World::new(nat(mapping, Dependence::AddressAndPort), Manner::Plain, 1)
            .with_servers(&servers);
        let report = world.run();
        assert_eq!((report.mapping.behavior, report.mapping.basis), (behavior, Basis::Compared));
        assert_eq!(report.filtering.behavior, Behavior::Unknown);
        assert_eq!(report.servers[2].answer, Answer::None);
    }
    // Two ports of one address tell nothing of other addresses.
    let servers = [(MAIN, None, Manner::Plain), ("198.51.100.1:3480", None, Manner::Plain)];
    for (mapping, behavior) in [
        (Dependence::Address, Behavior::Unknown),
        (Dependence::AddressAndPort, Behavior::Dependent),
    ] {
        let mut world =
            World::new(nat(mapping, Dependence::Endpoint), Manner::Plain, 1).with_servers(&servers);
        assert_eq!(world.run().mapping.behavior, behavior);
    }
}

/// The tests are made with the one that has two addresses, wherever it stands.
#[test]
fn the_server_with_two_addresses_is_found() {
    let servers = [
        ("198.51.100.7:3478", None, Manner::Plain),
        ("198.51.100.8:3478", None, Manner::Dead),
        (MAIN, Some(OTHER), Manner::Full),
    ];
    let mut world = World::new(nat(Dependence::Endpoint, Dependence::Address), Manner::Full, 1)
        .with_servers(&servers);
    let report = world.run();
    assert_eq!(report.mapping.behavior, Behavior::Is(Dependence::Endpoint));
    assert_eq!(report.filtering.behavior, Behavior::Is(Dependence::Address));
    assert_eq!((report.mapping.basis, report.filtering.basis), (Basis::Tests, Basis::Tests));
}

#[test]
fn where_nothing_answers_nothing_is_known() {
    let report = World::new(nat(Dependence::Endpoint, Dependence::Endpoint), Manner::Dead, 1).run();
    assert_eq!(report.is_translated(), None);
    assert_eq!(report.mapping.behavior, Behavior::Unknown);
    assert_eq!(report.filtering.behavior, Behavior::Unknown);
    assert_eq!((report.ports, report.hairpin), (Ports::Unknown, Hairpin::Unknown));
    // Eight times, 500 ms apart, and then a second.
    assert_eq!(report.elapsed.as_millis(), 4_500);
}

#[test]
fn without_servers_it_ends_at_once() {
    let mut world = World::new(None, Manner::Dead, 1).with_servers(&[]);
    assert!(world.run().elapsed.is_zero());
    // Those of another family are none.
    let mut world = World::new(None, Manner::Dead, 1).with_servers(&[(
        "[2001:db8::1]:3478",
        None,
        Manner::Full,
    )]);
    assert!(world.run().servers.is_empty());
}
