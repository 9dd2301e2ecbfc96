//! Lists that go, and what the others keep of them.

use std::sync::Arc;

use super::fixture::Set;
use crate::check::{FailReason, Fast, PairState, Role};

/// The groups of foundations are numbered anew once a list is gone; a pair
/// that was off its list then counts in its group when it comes back.
#[test]
fn a_pair_that_comes_back_is_counted_in_its_group() {
    let mut set = Set::with(Role::Controlled, &[1, 1], 100, Arc::new(Fast::default()));
    for (stream, base) in [(0, 1), (1, 2)] {
        set.base(stream, 1, base);
        set.checks.start(stream);
        set.remote(stream, 1, 2 * base).unwrap();
        set.remote(stream, 1, 2 * base + 1).unwrap();
    }
    for (_, start) in set.run_to(100) {
        set.answer(&start);
    }
    let [stays, comes_back] = set.listed(1)[..] else { panic!("two pairs") };
    set.checks.remove(comes_back, FailReason::Superseded(stays));
    set.checks.remove_stream(0);
    set.peer_checks(comes_back, false);
    assert_eq!(set.pair(comes_back).state, PairState::Waiting);
    for n in [6, 7, 8] {
        set.remote(1, 1, n).unwrap();
    }
    set.checks.remove_stream(1);
    assert_eq!(set.checks.listed(), 0);
}
