//! What a NAT lets in: RFC 5780 §4.4 as a table, for UDP and for TCP.

use super::{Behavior, Dependence};

/// Whether something that nobody inside has asked for comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sign {
    /// It came in.
    Heard,
    /// It was sent, and did not come in.
    Filtered,
    /// It may have been lost, or was never sent.
    Unknown,
}

/// How a NAT filters: what comes from another address and port (test II), and
/// what comes from the same address and another port (test III).
pub const fn conclude(elsewhere: Sign, other_port: Sign) -> Behavior {
    match (elsewhere, other_port) {
        (Sign::Heard, _) => Behavior::Is(Dependence::Endpoint),
        (Sign::Filtered, Sign::Heard) => Behavior::Is(Dependence::Address),
        (Sign::Filtered | Sign::Unknown, Sign::Filtered) => {
            Behavior::Is(Dependence::AddressAndPort)
        }
        (Sign::Filtered, Sign::Unknown) => Behavior::Dependent,
        (Sign::Unknown, Sign::Heard | Sign::Unknown) => Behavior::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::Sign::{Filtered, Heard, Unknown};
    use super::*;

    #[test]
    fn the_whole_table() {
        let open = Behavior::Is(Dependence::Endpoint);
        let address = Behavior::Is(Dependence::Address);
        let port = Behavior::Is(Dependence::AddressAndPort);
        let nothing = Behavior::Unknown;
        //                heard    filtered unknown
        for (elsewhere, behaviors) in [
            (Heard, [open, open, open]),
            (Filtered, [address, port, Behavior::Dependent]),
            (Unknown, [nothing, port, nothing]),
        ] {
            let concluded = [Heard, Filtered, Unknown].map(|sign| conclude(elsewhere, sign));
            assert_eq!(concluded, behaviors, "{elsewhere:?}");
        }
    }
}
