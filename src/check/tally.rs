use std::time::Duration;

/// What statistics want to know of a pair, and nothing else does. The words
/// are those of the W3C's `RTCIceCandidatePairStats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Checks sent, without retransmissions and without consent.
    pub requests_sent: u32,
    /// Checks sent for consent (RFC 7675).
    pub consent_requests_sent: u32,
    /// The sum of the round trips that were measured.
    pub total_round_trip_time: Duration,
}
