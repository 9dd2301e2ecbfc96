//! The requests, as they are written.

use std::net::SocketAddr;
use std::time::Duration;

use crate::net::Protocol;
use crate::stun::{AttributeType, Builder, Class, TransactionId};
use crate::turn::login::Session;
use crate::turn::transactions::Purpose;
use crate::turn::{Families, Settings};

/// UDP, as REQUESTED-TRANSPORT names it (RFC 8656 §18.8).
const UDP: [u8; 4] = [17, 0, 0, 0];

/// TCP, as REQUESTED-TRANSPORT names it (RFC 6062 §4.1).
const TCP: [u8; 4] = [6, 0, 0, 0];

/// IPv6, as REQUESTED-ADDRESS-FAMILY names it (RFC 8656 §18.6).
const IPV6: [u8; 4] = [2, 0, 0, 0];

/// What SOFTWARE says.
const SOFTWARE: &str = concat!("floe ", env!("CARGO_PKG_VERSION"));

/// The request for `purpose`, signed with `session`; a refresh from a new path
/// has the ticket (RFC 8016).
pub(super) fn write(
    purpose: Purpose,
    id: TransactionId,
    (settings, ticket): (&Settings, Option<&[u8]>),
    session: Option<&Session>,
) -> Vec<u8> {
    let mut out = Vec::new();
    let request = Builder::new(Class::Request, purpose.method(), id, &mut out);
    let request = match purpose {
        Purpose::Allocate => {
            let protocol = match settings.relays {
                Protocol::Udp => &UDP,
                Protocol::Tcp => &TCP,
            };
            let request = request.attribute(AttributeType::REQUESTED_TRANSPORT, protocol);
            let request = match settings.families {
                Families::V4 => request,
                Families::V6 => request.attribute(AttributeType::REQUESTED_ADDRESS_FAMILY, &IPV6),
                Families::Both => {
                    request.attribute(AttributeType::ADDITIONAL_ADDRESS_FAMILY, &IPV6)
                }
            };
            let request = with_ticket(request, settings.mobility.then_some(&[]));
            with_lifetime(request, settings.lifetime)
        }
        Purpose::Refresh => with_lifetime(with_ticket(request, ticket), settings.lifetime),
        Purpose::Return => software(request.number(AttributeType::LIFETIME, 0)),
        Purpose::Permission(peer) => {
            request.xored(AttributeType::XOR_PEER_ADDRESS, SocketAddr::new(peer, 0))
        }
        Purpose::Channel(peer, number) => request
            .number(AttributeType::CHANNEL_NUMBER, u32::from(number) << 16)
            .xored(AttributeType::XOR_PEER_ADDRESS, peer),
        Purpose::Connect(peer) => request.xored(AttributeType::XOR_PEER_ADDRESS, peer),
        Purpose::Bind(connection) => request.number(AttributeType::CONNECTION_ID, connection),
    };
    match session {
        Some(session) => session.sign(request),
        None => request.finish(),
    }
    out
}

/// An empty ticket asks for one.
fn with_ticket<'a>(request: Builder<'a>, ticket: Option<&[u8]>) -> Builder<'a> {
    match ticket {
        Some(ticket) => request.attribute(AttributeType::MOBILITY_TICKET, ticket),
        None => request,
    }
}

/// A lifetime of zero would give the allocation back.
fn with_lifetime(request: Builder<'_>, lifetime: Option<Duration>) -> Builder<'_> {
    let seconds = |wanted: Duration| u32::try_from(wanted.as_secs()).unwrap_or(u32::MAX).max(1);
    software(match lifetime.map(seconds) {
        Some(seconds) => request.number(AttributeType::LIFETIME, seconds),
        None => request,
    })
}

fn software(request: Builder<'_>) -> Builder<'_> {
    request.attribute(AttributeType::SOFTWARE, SOFTWARE.as_bytes())
}
