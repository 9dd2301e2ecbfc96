//! When the controlling agent nominates, and what (RFC 8445 §8.1.1).

/// Decides which valid pair is nominated, and when.
pub trait NominationPolicy: std::fmt::Debug + Send {}

/// Nominate as soon as nothing better is likely to come.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Fast {}

impl NominationPolicy for Fast {}
