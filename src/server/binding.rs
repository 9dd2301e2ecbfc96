use std::net::SocketAddr;

use super::behavior::Place;
use super::classic;
use crate::discovery::{CHANGE_REQUEST, Change, DIAL_BACK, DialBack};
use crate::stun::{
    self, AttributeType, Builder, Class, Fingerprint, Message, Method, TransactionId,
    UnknownAttributes,
};

/// A Binding request to be answered (RFC 8489 §6.3.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    id: TransactionId,
    with_fingerprint: bool,
    /// From where it wants its answer.
    pub(super) change: Change,
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// There is an answer, to be sent from there.
    Written(Change),
    /// Over a connection: the asker is to be called back from elsewhere first,
    /// and the answer is [`Request::conclude`]d then.
    DialBack(Request),
}

impl PartialEq for Request {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Request {}

/// Writes the answer to a Binding request; `None` if there is none to give.
///
/// An answer is never more than a few dozen bytes longer than its request, so
/// that the server is of no use for amplifying a flood. One with what RFC 5780
/// adds is given while `has_budget`, which is asked only where it matters;
/// beyond that a plain one, or to who wants it from elsewhere a 500, so that
/// our silence is never taken for a NAT's.
pub(super) fn respond(
    datagram: &[u8],
    from: SocketAddr,
    place: &Place,
    has_budget: impl FnOnce() -> bool,
    out: &mut Vec<u8>,
) -> Option<Reply> {
    let Ok(message) = Message::parse(datagram) else {
        return classic::respond(datagram, from, out).then_some(Reply::Written(Change::NONE));
    };
    if message.class() != Class::Request || message.method() != Method::BINDING {
        return None;
    }
    let id = message.transaction_id();
    let with_fingerprint = match message.fingerprint() {
        Fingerprint::Wrong => return None,
        Fingerprint::Valid => true,
        Fingerprint::Absent => false,
    };
    let unknown = unknown(&message, place);
    if !unknown.is_empty() {
        stun::write_error(id, 420, "Unknown Attribute", &unknown, None, out);
        return Some(Reply::Written(Change::NONE));
    }
    let change = message.attributes().find(|(kind, _)| *kind == CHANGE_REQUEST);
    let change = change.map_or(Some(Change::NONE), |(_, value)| Change::read(value))?;
    let request = Request { id, with_fingerprint, change };
    let Some(other) = place.other else {
        stun::write_mapped_address(id, from, with_fingerprint, out);
        return Some(Reply::Written(Change::NONE));
    };
    if place.is_proven && change != Change::NONE {
        return Some(Reply::DialBack(request));
    }
    match (place.is_proven || has_budget(), change) {
        (true, change) => {
            let origin = origin(place.local, other, change);
            request.write(from, (origin, other), None, out);
            Some(Reply::Written(change))
        }
        (false, Change::NONE) => {
            stun::write_mapped_address(id, from, with_fingerprint, out);
            Some(Reply::Written(Change::NONE))
        }
        (false, _) => {
            stun::write_error(id, 500, "Too Many", &[], None, out);
            Some(Reply::Written(Change::NONE))
        }
    }
}

/// What the request demands and is not known here. RFC 5780 §6: a server
/// without another address does not know CHANGE-REQUEST.
fn unknown(message: &Message<'_>, place: &Place) -> Vec<u16> {
    if !message.has_unknown_required() {
        return Vec::new();
    }
    let unknown = message.unknown_required();
    let is_known = |kind: &u16| *kind == CHANGE_REQUEST.0 && place.other.is_some();
    let all: Vec<u16> = unknown.iter().copied().collect();
    // Of those beyond the list nothing is known.
    if all.len() >= UnknownAttributes::MAX {
        return all;
    }
    all.into_iter().filter(|kind| !is_known(kind)).collect()
}

/// The source of an answer (RFC 5780 §6.1, table 1).
fn origin(local: SocketAddr, other: SocketAddr, change: Change) -> SocketAddr {
    let ip = if change.ip { other.ip() } else { local.ip() };
    SocketAddr::new(ip, if change.port { other.port() } else { local.port() })
}

impl Request {
    /// Writes the answer to who was called back; `None`: there was no room for
    /// it.
    pub(super) fn conclude(
        self,
        from: SocketAddr,
        place: &Place,
        outcome: Option<DialBack>,
        out: &mut Vec<u8>,
    ) {
        match (outcome, place.other) {
            (Some(outcome), Some(other)) => {
                self.write(from, (place.local, other), Some(outcome), out);
            }
            _ => stun::write_error(self.id, 500, "Too Many", &[], None, out),
        }
    }

    fn write(
        self,
        from: SocketAddr,
        (origin, other): (SocketAddr, SocketAddr),
        outcome: Option<DialBack>,
        out: &mut Vec<u8>,
    ) {
        let mut response = Builder::new(Class::Success, Method::BINDING, self.id, out)
            .xored(AttributeType::XOR_MAPPED_ADDRESS, from)
            .plain(AttributeType::MAPPED_ADDRESS, from)
            .plain(AttributeType::RESPONSE_ORIGIN, origin)
            .plain(AttributeType::OTHER_ADDRESS, other);
        if let Some(outcome) = outcome {
            response = response.attribute(DIAL_BACK, &outcome.value());
        }
        if self.with_fingerprint { response.seal(None) } else { response.finish() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TransactionId = TransactionId([3; 12]);

    fn from() -> SocketAddr {
        "[2001:db8::7]:4000".parse().unwrap()
    }

    fn alone() -> Place {
        let local = "[2001:db8::1]:3478".parse().unwrap();
        Place { local, other: None, is_proven: false }
    }

    fn with_other() -> Place {
        Place { other: Some("[2001:db8::2]:3479".parse().unwrap()), ..alone() }
    }

    /// A request with the raw attributes, without FINGERPRINT.
    fn request(attributes: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 1, 0, attributes.len() as u8, 0x21, 0x12, 0xa4, 0x42];
        bytes.extend_from_slice(&ID.0);
        bytes.extend_from_slice(attributes);
        bytes
    }

    fn plain(datagram: &[u8], out: &mut Vec<u8>) -> bool {
        respond(datagram, from(), &alone(), || panic!("nothing costs more"), out).is_some()
    }

    #[test]
    fn the_answer_has_the_mapped_address_and_fingerprint_as_the_request() {
        let mut with_fingerprint = Vec::new();
        stun::write_binding_request(ID, &mut with_fingerprint);
        let cases = [(request(&[]), Fingerprint::Absent), (with_fingerprint, Fingerprint::Valid)];
        for (request, fingerprint) in cases {
            let mut out = Vec::new();
            assert!(plain(&request, &mut out));
            let response = Message::parse(&out).unwrap();
            assert_eq!((response.class(), response.transaction_id()), (Class::Success, ID));
            assert_eq!(response.xor_mapped_address(), Some(from()));
            assert_eq!(response.fingerprint(), fingerprint);
            assert!(out.len() <= request.len() + 32);
        }
    }

    #[test]
    fn unknown_required_attributes_are_named() {
        let mut out = Vec::new();
        assert!(plain(&request(&[0x7f, 0x01, 0, 0, 0x7f, 0x02, 0, 0]), &mut out));
        let response = Message::parse(&out).unwrap();
        assert_eq!(response.error().map(|error| error.code), Some(420));
        let unknown = response.attributes().find(|(kind, _)| kind.0 == 0x000a);
        assert_eq!(unknown.map(|(_, value)| value), Some(&[0x7f, 0x01, 0x7f, 0x02][..]));
        // Unknown comprehension-optional ones are ignored.
        assert!(plain(&request(&[0xff, 0x01, 0, 0]), &mut out));
        assert_eq!(Message::parse(&out).unwrap().class(), Class::Success);
    }

    #[test]
    fn all_else_gets_no_answer() {
        let mut out = Vec::new();
        let mut wrong_fingerprint = Vec::new();
        stun::write_binding_request(ID, &mut wrong_fingerprint);
        *wrong_fingerprint.last_mut().unwrap() ^= 1;
        let mut indication = Vec::new();
        stun::write_indication(ID, &mut indication);
        let mut response = Vec::new();
        stun::write_mapped_address(ID, from(), true, &mut response);
        let mut allocate = request(&[]);
        allocate[1] = 3;
        let mut cut = request(&[]);
        cut.pop();
        for datagram in [wrong_fingerprint, indication, response, allocate, cut, Vec::new()] {
            assert!(!plain(&datagram, &mut out), "{datagram:x?}");
        }
    }

    const CHANGE_BOTH: [u8; 8] = [0, 3, 0, 4, 0, 0, 0, 6];

    #[test]
    fn without_another_address_change_request_is_unknown() {
        let mut out = Vec::new();
        assert!(plain(&request(&CHANGE_BOTH), &mut out));
        let response = Message::parse(&out).unwrap();
        assert_eq!(response.error().map(|error| error.code), Some(420));
        assert_eq!(response.other_address(), None);
        assert!(plain(&request(&[]), &mut out));
        assert_eq!(Message::parse(&out).unwrap().other_address(), None);
    }

    #[test]
    fn with_another_address_the_answer_says_all_that_rfc_5780_wants() {
        for (flags, change, origin) in [
            (0, Change::NONE, "[2001:db8::1]:3478"),
            (2, Change::PORT, "[2001:db8::1]:3479"),
            (4, Change::IP, "[2001:db8::2]:3478"),
            (6, Change::BOTH, "[2001:db8::2]:3479"),
        ] {
            let (mut out, request) = (Vec::new(), request(&[0, 3, 0, 4, 0, 0, 0, flags]));
            let reply = respond(&request, from(), &with_other(), || true, &mut out);
            assert_eq!(reply, Some(Reply::Written(change)));
            let response = Message::parse(&out).unwrap();
            assert_eq!(response.xor_mapped_address(), Some(from()));
            assert_eq!(response.mapped_address(), Some(from()));
            assert_eq!(response.response_origin(), origin.parse().ok());
            assert_eq!(response.other_address(), with_other().other);
        }
    }

    #[test]
    fn beyond_the_budget_answers_are_short_and_never_silent() {
        let mut out = Vec::new();
        let reply = respond(&request(&[]), from(), &with_other(), || false, &mut out);
        assert_eq!(reply, Some(Reply::Written(Change::NONE)));
        assert_eq!(Message::parse(&out).unwrap().xor_mapped_address(), Some(from()));
        assert!(out.len() <= request(&[]).len() + 32);
        let asking = request(&CHANGE_BOTH);
        let reply = respond(&asking, from(), &with_other(), || false, &mut out);
        assert_eq!(reply, Some(Reply::Written(Change::NONE)));
        assert_eq!(Message::parse(&out).unwrap().error().map(|error| error.code), Some(500));
        assert!(out.len() <= asking.len() + 32);
    }

    #[test]
    fn over_a_connection_a_change_is_a_call_back() {
        let place = Place { is_proven: true, ..with_other() };
        let never = || panic!("a connection has no budget");
        let mut out = Vec::new();
        let reply = respond(&request(&CHANGE_BOTH), from(), &place, never, &mut out);
        let Some(Reply::DialBack(request)) = reply else { panic!("{reply:?}") };
        assert_eq!(request.change, Change::BOTH);
        request.conclude(from(), &place, Some(DialBack::Refused), &mut out);
        let response = Message::parse(&out).unwrap();
        assert_eq!(DialBack::of(&response), Some(DialBack::Refused));
        assert_eq!(response.response_origin(), Some(place.local));
        request.conclude(from(), &place, None, &mut out);
        assert_eq!(Message::parse(&out).unwrap().error().map(|error| error.code), Some(500));
    }

    #[test]
    fn a_change_request_of_another_length_gets_no_answer() {
        let mut out = Vec::new();
        for attribute in [&[0, 3, 0, 0][..], &[0, 3, 0, 8, 0, 0, 0, 6, 0, 0, 0, 6]] {
            let reply = respond(&request(attribute), from(), &with_other(), || true, &mut out);
            assert_eq!(reply, None);
        }
    }
}
