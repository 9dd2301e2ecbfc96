//! What a machine lacks skips a test, unless `FLOE_REQUIRE` names it. What is
//! heavy to build or to run is skipped unless `FLOE_PEERS` names it.

/// Says that a test is skipped because `tool` is not to be had.
///
/// # Panics
///
/// If the comma list in `FLOE_REQUIRE` names `tool`: where it is set, a
/// missing tool is a fault of the machine's setup.
pub(crate) fn lacking(tool: &str, why: &str) {
    assert!(!names("FLOE_REQUIRE", tool), "{tool} is required by FLOE_REQUIRE, but {why}");
    println!("skipped, because {why}");
}

/// Whether the comma list in `FLOE_PEERS` names `peer`; says that a test is
/// skipped where it does not.
pub(crate) fn asked_for(peer: &str) -> bool {
    let named = names("FLOE_PEERS", peer);
    if !named {
        println!("skipped, because FLOE_PEERS does not name {peer}");
    }
    named
}

fn names(list: &str, name: &str) -> bool {
    let list = std::env::var(list).unwrap_or_default();
    list.split(',').any(|one| one.trim() == name)
}
