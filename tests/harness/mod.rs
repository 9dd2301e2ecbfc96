//! What the tests with real processes share: agents behind JSON Lines, the
//! foreign agents among them, and namespaces of the test's own.

pub(crate) mod namespace;
pub(crate) mod peers;
pub(crate) mod programs;
pub(crate) mod requirement;
pub(crate) mod session;
