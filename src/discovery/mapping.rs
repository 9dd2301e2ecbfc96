//! How a NAT maps: RFC 5780 §4.3 as a table, for UDP and for TCP.

use super::{Behavior, Dependence};

/// Which test is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MappingState {
    /// Test I: ask the server.
    First,
    /// Test II: ask its other address, at the same port.
    OtherAddress,
    /// Test III: ask its other address at its other port.
    OtherPort,
    /// None.
    Done(Behavior),
}

/// What came of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MappingEvent {
    /// Test I was answered, and the server has another address.
    Learnt,
    /// Test I was answered by a server without one.
    Alone,
    /// The mapping is that of the test before.
    Same,
    /// It is another.
    Different,
    /// There was no answer.
    Silent,
}

impl MappingState {
    /// The state after an event. What does not belong to the test changes
    /// nothing.
    pub const fn after(self, event: MappingEvent) -> Self {
        use MappingEvent as E;
        use MappingState as S;
        match (self, event) {
            (S::First, E::Learnt) => S::OtherAddress,
            (S::First | S::OtherAddress, E::Silent) | (S::First, E::Alone) => {
                S::Done(Behavior::Unknown)
            }
            (S::OtherAddress, E::Same) => S::Done(Behavior::Is(Dependence::Endpoint)),
            (S::OtherAddress, E::Different) => S::OtherPort,
            (S::OtherPort, E::Same) => S::Done(Behavior::Is(Dependence::Address)),
            (S::OtherPort, E::Different) => S::Done(Behavior::Is(Dependence::AddressAndPort)),
            // Tests I and II have seen two mappings.
            (S::OtherPort, E::Silent) => S::Done(Behavior::Dependent),
            (S::First, E::Same | E::Different)
            | (S::OtherAddress | S::OtherPort, E::Learnt | E::Alone)
            | (S::Done(_), _) => self,
        }
    }

    /// What is known, once no test is left.
    pub const fn behavior(self) -> Option<Behavior> {
        match self {
            MappingState::Done(behavior) => Some(behavior),
            MappingState::First | MappingState::OtherAddress | MappingState::OtherPort => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MappingEvent::{Alone, Different, Learnt, Same, Silent};
    use super::MappingState::{Done, First, OtherAddress, OtherPort};
    use super::*;

    const ENDPOINT: MappingState = Done(Behavior::Is(Dependence::Endpoint));
    const ADDRESS: MappingState = Done(Behavior::Is(Dependence::Address));
    const BOTH: MappingState = Done(Behavior::Is(Dependence::AddressAndPort));
    const DEPENDENT: MappingState = Done(Behavior::Dependent);
    const UNKNOWN: MappingState = Done(Behavior::Unknown);

    #[test]
    fn the_whole_table() {
        #[rustfmt::skip]
        let table = [
            //              learnt        alone      same       different  silent
            (First,        [OtherAddress, UNKNOWN,   First,     First,     UNKNOWN]),
            (OtherAddress, [OtherAddress, OtherAddress, ENDPOINT, OtherPort, UNKNOWN]),
            (OtherPort,    [OtherPort,    OtherPort, ADDRESS,   BOTH,      DEPENDENT]),
            (ENDPOINT,     [ENDPOINT;  5]),
            (DEPENDENT,    [DEPENDENT; 5]),
            (UNKNOWN,      [UNKNOWN;   5]),
        ];
        for (state, after) in table {
            let events = [Learnt, Alone, Same, Different, Silent];
            assert_eq!(events.map(|event| state.after(event)), after, "{state:?}");
            assert_eq!(state.behavior().is_some(), matches!(state, Done(_)));
        }
    }
}
