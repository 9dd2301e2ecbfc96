//! What RFC 5780 adds to Binding requests and responses, and one attribute of
//! ours.

use crate::stun::{AttributeType, Builder, Class, Message, Method, TransactionId};

/// CHANGE-REQUEST (RFC 5780 §7.2). No agent knows it, and refuses what has it.
pub const CHANGE_REQUEST: AttributeType = AttributeType(0x0003);

/// DIAL-BACK, of our own: in the response to a Binding request with
/// CHANGE-REQUEST that came over TCP, what became of the server's attempt to
/// connect to the asker ([`DialBack`] in the first byte, then three that are
/// zero). RFC 5780 §3 has no such test: there a server opens no connections.
pub const DIAL_BACK: AttributeType = AttributeType(0xC0F1);

/// From where the response is to come (RFC 5780 §7.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change {
    /// From the server's other address.
    pub ip: bool,
    /// From the server's other port.
    pub port: bool,
}

impl Change {
    /// From where the request went.
    pub const NONE: Change = Change { ip: false, port: false };
    /// From the other address.
    pub const IP: Change = Change { ip: true, port: false };
    /// From the other port.
    pub const PORT: Change = Change { ip: false, port: true };
    /// From the other address and port.
    pub const BOTH: Change = Change { ip: true, port: true };

    const IP_FLAG: u32 = 0x04;
    const PORT_FLAG: u32 = 0x02;

    /// The value of CHANGE-REQUEST; `None` if it has not the right length.
    /// Other bits are ignored.
    pub fn read(value: &[u8]) -> Option<Self> {
        let bits = u32::from_be_bytes(value.try_into().ok()?);
        Some(Change { ip: bits & Self::IP_FLAG != 0, port: bits & Self::PORT_FLAG != 0 })
    }

    fn value(self) -> u32 {
        let ip = if self.ip { Self::IP_FLAG } else { 0 };
        ip | if self.port { Self::PORT_FLAG } else { 0 }
    }
}

/// What became of the attempt of a server to connect to the asker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DialBack {
    /// It was accepted.
    Connected = 0,
    /// A RST came back.
    Refused = 1,
    /// Nothing came back.
    Silent = 2,
    /// Something on the way said that it leads nowhere.
    Unreachable = 3,
}

impl DialBack {
    /// All of them.
    pub const ALL: [DialBack; 4] =
        [DialBack::Connected, DialBack::Refused, DialBack::Silent, DialBack::Unreachable];

    /// The value of DIAL-BACK.
    pub fn value(self) -> [u8; 4] {
        [self as u8, 0, 0, 0]
    }

    /// What a response says of it.
    pub fn of(message: &Message<'_>) -> Option<Self> {
        let (_, value) = message.attributes().find(|(kind, _)| *kind == DIAL_BACK)?;
        let first = *value.first()?;
        Self::ALL.into_iter().find(|outcome| outcome.value() == [first, 0, 0, 0])
    }
}

/// Writes a Binding request whose response is to come from elsewhere; without
/// a change it has no CHANGE-REQUEST. `out` is cleared first.
pub fn write_request(id: TransactionId, change: Change, out: &mut Vec<u8>) {
    let request = Builder::new(Class::Request, Method::BINDING, id, out);
    let request = match change {
        Change::NONE => request,
        _ => request.number(CHANGE_REQUEST, change.value()),
    };
    request.seal(None);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TransactionId = TransactionId([4; 12]);

    #[test]
    fn the_flags_are_those_of_the_rfc() {
        for (change, value) in
            [(Change::NONE, 0), (Change::PORT, 2_u32), (Change::IP, 4), (Change::BOTH, 6)]
        {
            assert_eq!(Change::read(&value.to_be_bytes()), Some(change));
            assert_eq!(Change::read(&(value | 0xffff_fff9).to_be_bytes()), Some(change));
            let mut out = Vec::new();
            write_request(ID, change, &mut out);
            let message = Message::parse(&out).unwrap();
            let found = message.attributes().find(|(kind, _)| *kind == CHANGE_REQUEST);
            let found = found.map(|(_, value)| value.to_vec());
            assert_eq!(found, (value != 0).then(|| value.to_be_bytes().to_vec()));
        }
        for value in [&[][..], &[0; 3], &[0; 8]] {
            assert_eq!(Change::read(value), None);
        }
    }

    #[test]
    fn what_became_of_a_dial_back_reads_back() {
        let response = |value: &[u8]| {
            let mut out = Vec::new();
            let response = Builder::new(Class::Success, Method::BINDING, ID, &mut out);
            response.attribute(DIAL_BACK, value).seal(None);
            DialBack::of(&Message::parse(&out).unwrap())
        };
        for outcome in DialBack::ALL {
            assert_eq!(response(&outcome.value()), Some(outcome));
        }
        assert_eq!(response(&[]), None);
        assert_eq!(response(&[4, 0, 0, 0]), None);
    }
}
