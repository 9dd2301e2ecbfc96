//! What a machine lacks skips a test, unless `FLOE_REQUIRE` names it.

/// Says that a test is skipped because `tool` is not to be had.
///
/// # Panics
///
/// If the comma list in `FLOE_REQUIRE` names `tool`: where it is set, a
/// missing tool is a fault of the machine's setup.
pub(crate) fn lacking(tool: &str, why: &str) {
    let required = std::env::var("FLOE_REQUIRE").unwrap_or_default();
    let named = required.split(',').any(|name| name.trim() == tool);
    assert!(!named, "{tool} is required by FLOE_REQUIRE, but {why}");
    println!("skipped, because {why}");
}
