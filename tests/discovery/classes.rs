//! Every class of RFC 4787, with loss and without.

use floe::discovery::{Basis, Behavior, Dependence, Hairpin, Ports};

use crate::nat::{Nat, Rules};
use crate::world::{Manner, World, at};

const OUTSIDE: [u8; 4] = [203, 0, 113, 1];

fn behind(mapping: Dependence, filtering: Dependence, seed: u64) -> World {
    let rules = Rules { mapping, filtering, ..Rules::PORT_RESTRICTED };
    World::new(Some(Nat::new(rules, Some(OUTSIDE.into()), 40_000)), Manner::Full, seed)
}

fn classes() -> impl Iterator<Item = (Dependence, Dependence)> {
    Dependence::ALL
        .into_iter()
        .flat_map(|mapping| Dependence::ALL.map(|filtering| (mapping, filtering)))
}

#[test]
fn every_class_is_known_without_loss() {
    for (mapping, filtering) in classes() {
        let report = behind(mapping, filtering, 1).run();
        let name = format!("{mapping:?} {filtering:?}: {report:?}");
        assert_eq!(report.mapping.behavior, Behavior::Is(mapping), "{name}");
        assert_eq!(report.filtering.behavior, Behavior::Is(filtering), "{name}");
        assert_eq!(report.is_translated(), Some(true));
        assert!(report.mapping.confidence >= 1.0 && report.filtering.confidence >= 0.999, "{name}");
        // What cannot come in proves nothing of the server.
        let is_proven = mapping == Dependence::Endpoint || filtering == Dependence::Endpoint;
        let basis = if is_proven { Basis::Tests } else { Basis::Promised };
        assert_eq!(report.filtering.basis, basis, "{name}");
        assert_eq!(report.ports, Ports::Irregular);
        assert!(matches!(report.hairpin, Hairpin::No(_)));
        assert!(report.elapsed.as_secs() < 20, "{name}");
    }
}

/// Never a class that is not the true one, whatever was lost; and mostly the
/// true one.
#[test]
fn loss_is_never_taken_for_a_filter() {
    let (mut mappings, mut filters, mut all) = (0, 0, 0);
    for (mapping, filtering) in classes() {
        for seed in 0..100 {
            let mut world = behind(mapping, filtering, seed);
            world.loss = 0.2;
            let report = world.run();
            for (found, truth, known) in [
                (report.mapping.behavior, mapping, &mut mappings),
                (report.filtering.behavior, filtering, &mut filters),
            ] {
                let name = format!("{mapping:?} {filtering:?}, seed {seed}: {report:?}");
                match found {
                    Behavior::Is(is) => {
                        assert_eq!(is, truth, "{name}");
                        *known += 1;
                    }
                    Behavior::Dependent => assert_ne!(truth, Dependence::Endpoint, "{name}"),
                    Behavior::Unknown => {}
                }
            }
            assert!(!matches!(report.hairpin, Hairpin::Yes));
            all += 1;
        }
    }
    println!("of {all} runs the mapping was known in {mappings}, the filter in {filters}");
    assert!(
        mappings * 100 >= all * 95 && filters * 100 >= all * 90,
        "{mappings} {filters} of {all}"
    );
}

/// Where hardly anything arrives, nothing is said.
#[test]
fn much_loss_leaves_the_filter_unknown() {
    let mut wrong = 0;
    for seed in 0..50 {
        let mut world = behind(Dependence::Endpoint, Dependence::Endpoint, seed);
        world.loss = 0.6;
        let found = world.run().filtering.behavior;
        wrong +=
            u32::from(![Behavior::Unknown, Behavior::Is(Dependence::Endpoint)].contains(&found));
    }
    assert_eq!(wrong, 0);
}

#[test]
fn without_a_nat_nothing_is_translated() {
    let report = World::new(None, Manner::Full, 1).run();
    assert_eq!(report.is_translated(), Some(false));
    assert_eq!(report.mapping.behavior, Behavior::Is(Dependence::Endpoint));
    assert_eq!(report.filtering.behavior, Behavior::Is(Dependence::Endpoint));
    assert_eq!((report.ports, report.hairpin), (Ports::Preserved, Hairpin::None));
    // A firewall filters and does not map.
    for filtering in Dependence::ALL {
        let rules = Rules { filtering, ..Rules::PORT_RESTRICTED };
        let report = World::new(Some(Nat::new(rules, None, 0)), Manner::Full, 1).run();
        assert_eq!(report.is_translated(), Some(false));
        assert_eq!(report.mapping.behavior, Behavior::Is(Dependence::Endpoint));
        assert_eq!(report.filtering.behavior, Behavior::Is(filtering));
    }
}

#[test]
fn hairpinning_shows() {
    for hairpin in [false, true] {
        let rules = Rules { hairpin, ..Rules::PORT_RESTRICTED };
        let nat = Nat::new(rules, Some(OUTSIDE.into()), 40_000);
        let report = World::new(Some(nat), Manner::Full, 1).run();
        match report.hairpin {
            Hairpin::Yes => assert!(hairpin),
            Hairpin::No(confidence) => assert!(!hairpin && confidence >= 0.999),
            other => panic!("{other:?}"),
        }
    }
}

/// RFC 5780 §5: ten new transactions a second.
#[test]
fn no_more_is_asked_than_the_rfc_allows() {
    for filtering in Dependence::ALL {
        let mut world = behind(Dependence::AddressAndPort, filtering, 1);
        world.loss = 0.2;
        world.run();
        let mut began: Vec<_> = world.began.values().copied().collect();
        began.sort_unstable();
        assert!(began.len() > 11);
        for eleven in began.windows(11) {
            assert!(eleven[10] - eleven[0] >= std::time::Duration::from_secs(1), "{eleven:?}");
        }
    }
}

#[test]
fn a_gateway_that_changes_addresses_is_noticed() {
    for rewrites in [false, true] {
        let mut world = behind(Dependence::Endpoint, Dependence::Endpoint, 1);
        world.rewrites = rewrites;
        let report = world.run();
        assert_eq!(report.rewritten, Some(rewrites));
        assert_eq!(report.mapped.map(|mapped| mapped.ip()), Some(OUTSIDE.into()));
        assert_eq!(report.servers[0].other, Some(at(crate::world::OTHER)));
    }
}
