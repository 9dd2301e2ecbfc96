//! What the requests of RFC 8656 ask for, of a client that has shown its
//! credentials, and the rules that they break.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::config::Limits;
use super::job::{Job, Outcome, Task, UDP, V4, V6, seconds};
use super::policy::Guard;
use super::table::{Allocation, Client, Full, Table};
use crate::net::Family;
use crate::stun::{AttributeType, Builder, Message, Method};

/// A request with the user that it is from.
pub(super) struct Request<'a> {
    pub(super) client: Client,
    /// The families that the leg relays.
    pub(super) families: &'a [u8],
    pub(super) message: &'a Message<'a>,
    pub(super) user: usize,
    pub(super) now: Instant,
}

/// How long an allocation lasts where the client says nothing, and at least,
/// if that is not beyond the limit (RFC 8656 §7.2).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);

/// The server behind takes an hour for its default.
const MAX_LIFETIME: Duration = Duration::from_secs(3_599);

/// What a CHANNEL-NUMBER may be (RFC 8656 §12).
const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x4fff;

/// What the server behind has to do; nothing where it did so before for the
/// same request. The error is the code of the answer.
pub(super) fn task(
    request: &Request<'_>,
    table: &mut Table,
    guard: &Guard,
    limits: &Limits,
) -> Result<Option<Task>, u16> {
    if !unknown(request.message).is_empty() {
        return Err(420);
    }
    if request.message.method() == Method::ALLOCATE {
        return allocate(request, table, limits);
    }
    let allocation = table.get(request.client, request.now).filter(|made| made.is_made());
    let allocation = allocation.ok_or(437_u16)?;
    if allocation.user != request.user {
        return Err(441);
    }
    match request.message.method() {
        Method::REFRESH => refresh(request, allocation, limits),
        Method::CREATE_PERMISSION => permit(request, allocation, guard),
        _ => bind(request, allocation, guard),
    }
    .map(Some)
}

/// The types for UNKNOWN-ATTRIBUTES. We do not set DF for clients, so we do
/// not know that attribute.
pub(super) fn unknown(message: &Message<'_>) -> Vec<u8> {
    let mut types = message.unknown_required().to_vec();
    if has(message, AttributeType::DONT_FRAGMENT) {
        types.push(AttributeType::DONT_FRAGMENT.0);
    }
    types.iter().flat_map(|kind| kind.to_be_bytes()).collect()
}

/// RFC 8656 §7.2.
fn allocate(
    request: &Request<'_>,
    table: &mut Table,
    limits: &Limits,
) -> Result<Option<Task>, u16> {
    let message = request.message;
    if let Some(allocation) = table.get(request.client, request.now) {
        let is_same = allocation.made_by == message.transaction_id();
        return if is_same && allocation.user == request.user { Ok(None) } else { Err(437) };
    }
    match message.requested_transport() {
        None => return Err(400),
        Some(UDP) => {}
        Some(_) => return Err(442),
    }
    let wanted = family(message, AttributeType::REQUESTED_ADDRESS_FAMILY);
    let additional = family(message, AttributeType::ADDITIONAL_ADDRESS_FAMILY);
    let has_token = has(message, AttributeType::RESERVATION_TOKEN);
    let is_contradiction = wanted.is_some() && (additional.is_some() || has_token)
        || has_token && has(message, AttributeType::EVEN_PORT)
        || additional.is_some_and(|family| family != V6);
    if is_contradiction {
        return Err(400);
    }
    // Pairs of ports are for RTP without multiplexing; there are none here.
    if has_token || has(message, AttributeType::EVEN_PORT) {
        return Err(508);
    }
    let family = wanted.unwrap_or(V4);
    if !request.families.contains(&family) {
        return Err(440);
    }
    let made_by = message.transaction_id();
    table.begin(request.client, request.user, made_by, limits, request.now).map_err(|full| {
        match full {
            Full::Quota => 486_u16,
            Full::Capacity => 508,
        }
    })?;
    let lifetime = granted(message.lifetime(), limits);
    Ok(Some(Task::Allocate { lifetime, family, refused: additional }))
}

/// RFC 8656 §8.2.
fn refresh(request: &Request<'_>, allocation: &Allocation, limits: &Limits) -> Result<Task, u16> {
    let wanted = family(request.message, AttributeType::REQUESTED_ADDRESS_FAMILY);
    if wanted.is_some() && wanted != allocation.relayed.map(|at| family_of(at.ip())) {
        return Err(443);
    }
    let lifetime = match request.message.lifetime() {
        Some(Duration::ZERO) => Duration::ZERO,
        lifetime => granted(lifetime, limits),
    };
    Ok(Task::Refresh { lifetime })
}

/// All of the peers or none (RFC 8656 §10.2).
fn permit(request: &Request<'_>, allocation: &mut Allocation, guard: &Guard) -> Result<Task, u16> {
    let mut peers: Vec<SocketAddr> = request.message.xor_peer_addresses().collect();
    peers.sort_by_key(SocketAddr::ip);
    peers.dedup_by_key(|peer| peer.ip());
    if peers.is_empty() {
        return Err(400);
    }
    peers.iter().try_for_each(|peer| judge_peer(peer.ip(), allocation, guard))?;
    let ips: Vec<IpAddr> = peers.iter().map(SocketAddr::ip).collect();
    if allocation.permit(&ips, request.now) { Ok(Task::Permit { peers }) } else { Err(508) }
}

/// RFC 8656 §12.2.
fn bind(request: &Request<'_>, allocation: &mut Allocation, guard: &Guard) -> Result<Task, u16> {
    let number = request.message.channel_number().filter(|number| CHANNELS.contains(number));
    let peer = request.message.xor_peer_addresses().next();
    let (Some(number), Some(peer)) = (number, peer) else { return Err(400) };
    judge_peer(peer.ip(), allocation, guard)?;
    if !guard.admits_destination(peer) {
        return Err(403);
    }
    allocation.bind_channel(number, peer, request.now)?;
    Ok(Task::Bind { number, peer })
}

fn judge_peer(ip: IpAddr, allocation: &Allocation, guard: &Guard) -> Result<(), u16> {
    if allocation.relayed.is_none_or(|at| Family::of(at.ip()) != Family::of(ip)) {
        return Err(443);
    }
    if guard.admits(ip) { Ok(()) } else { Err(403) }
}

/// What an answer without an error says.
pub(super) fn success<'a>(job: &Job, outcome: Outcome, mut answer: Builder<'a>) -> Builder<'a> {
    let lifetime = match &job.task {
        Task::Allocate { lifetime, .. } | Task::Refresh { lifetime } => lifetime,
        _ => return answer,
    };
    if let Outcome::Done { relayed: Some(relayed) } = outcome {
        answer = answer
            .xored(AttributeType::XOR_RELAYED_ADDRESS, relayed)
            .xored(AttributeType::XOR_MAPPED_ADDRESS, job.client.1);
    }
    answer = answer.number(AttributeType::LIFETIME, seconds(*lifetime));
    if let Task::Allocate { refused: Some(family), .. } = &job.task {
        answer = answer.attribute(AttributeType::ADDRESS_ERROR_CODE, &[*family, 0, 4, 40]);
    }
    answer
}

fn granted(asked: Option<Duration>, limits: &Limits) -> Duration {
    let longest = limits.lifetime.clamp(Duration::from_secs(1), MAX_LIFETIME);
    let shortest = DEFAULT_LIFETIME.min(longest);
    asked.unwrap_or(DEFAULT_LIFETIME).clamp(shortest, longest)
}

fn has(message: &Message<'_>, wanted: AttributeType) -> bool {
    message.attributes().any(|(kind, _)| kind == wanted)
}

fn family(message: &Message<'_>, wanted: AttributeType) -> Option<u8> {
    let (_, value) = message.attributes().find(|(kind, _)| *kind == wanted)?;
    value.first().copied()
}

pub(super) const fn family_of(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { V4 } else { V6 }
}
