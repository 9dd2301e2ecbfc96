//! An allocation: what a success response says of it, and how long it lasts
//! (RFC 8656 §7.3, §8.3).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::net::{self, Family};
use crate::stun::Message;
use crate::timer::Time;
use crate::turn::{Failure, Families};

/// What a server means that names no lifetime (RFC 8656 §6).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);

/// A lifetime is not believed to be longer: an allocation that is not heard of
/// for so long is as good as lost. It is the longest that RFC 8656 §7.2 wants a
/// server to give.
const MAX_LIFETIME: Duration = Duration::from_secs(3_600);

/// A shorter lifetime would only have the client refresh without end.
const MIN_LIFETIME: Duration = Duration::from_secs(4);

/// A longer ticket is not kept.
const MAX_TICKET: usize = 512;

/// An allocation is refreshed so long before it expires (RFC 8656 §8).
const MARGIN: Duration = Duration::from_secs(60);

/// What the server has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Allocation {
    /// One of a family.
    pub(super) relayed: Vec<SocketAddr>,
    pub(super) mapped: SocketAddr,
    pub(super) lifetime: Duration,
    pub(super) expires: Time,
    /// When it is refreshed; `None` while that is under way.
    pub(super) refresh: Option<Time>,
    /// What it may be refreshed with from another path (RFC 8016).
    pub(super) ticket: Option<Box<[u8]>>,
}

/// What a success response gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) allocation: Allocation,
    /// The family that is wanted, too, and was not allocated.
    pub(super) refused: Option<(Family, Failure)>,
}

impl Grant {
    /// What the answer to a request of `since` says.
    ///
    /// # Errors
    /// Why it is of no use, as the end of a sentence.
    pub(super) fn read(
        message: &Message<'_>,
        families: Families,
        since: Time,
    ) -> Result<Grant, &'static str> {
        let mapped = message.xor_mapped_address().filter(|mapped| is_usable(*mapped));
        let mapped = mapped.ok_or("has no mapped address that can be ours")?;
        let lifetime = lifetime(message).ok_or("says that the allocation has ended")?;
        let wanted = [Family::V4, Family::V6].into_iter().filter(|family| families.has(*family));
        let (mut relayed, mut refused) = (Vec::new(), None);
        for family in wanted {
            let is_of_family = |addr: &SocketAddr| Family::of(addr.ip()) == family;
            let mut usable = message.xor_relayed_addresses().filter(|addr| is_usable(*addr));
            match usable.find(is_of_family) {
                Some(addr) => relayed.push(addr),
                None => refused = Some((family, refusal(message, family))),
            }
        }
        if relayed.is_empty() {
            return Err("has no relayed address of a family that is wanted");
        }
        let (expires, refresh) = (since + lifetime, Some(refresh_at(since, lifetime)));
        let ticket = ticket(message);
        let allocation = Allocation { relayed, mapped, lifetime, expires, refresh, ticket };
        Ok(Grant { allocation, refused })
    }
}

impl Allocation {
    /// The answer to a Refresh request of `since` prolongs it; false if it says
    /// that it is gone.
    pub(super) fn prolong(&mut self, message: &Message<'_>, since: Time) -> bool {
        let Some(lifetime) = lifetime(message) else { return false };
        self.lifetime = lifetime;
        self.expires = since + lifetime;
        self.refresh = Some(refresh_at(since, lifetime));
        self.ticket = ticket(message).or(self.ticket.take());
        true
    }

    pub(super) fn has(&self, family: Family) -> bool {
        self.relayed.iter().any(|addr| Family::of(addr.ip()) == family)
    }
}

/// A minute before the end, or half way there if that is later.
fn refresh_at(since: Time, lifetime: Duration) -> Time {
    since + lifetime.saturating_sub(MARGIN).max(lifetime / 2)
}

/// LIFETIME, as far as it is believed; `None`: zero, so that it is gone.
fn lifetime(message: &Message<'_>) -> Option<Duration> {
    let lifetime = message.lifetime().unwrap_or(DEFAULT_LIFETIME);
    (!lifetime.is_zero()).then(|| lifetime.clamp(MIN_LIFETIME, MAX_LIFETIME))
}

/// MOBILITY-TICKET, if there is room for it in a request.
fn ticket(message: &Message<'_>) -> Option<Box<[u8]>> {
    let is_fitting = |ticket: &&[u8]| !ticket.is_empty() && ticket.len() <= MAX_TICKET;
    message.mobility_ticket().filter(is_fitting).map(Into::into)
}

fn refusal(message: &Message<'_>, family: Family) -> Failure {
    match message.address_error().filter(|(of, _)| *of == family) {
        Some((_, error)) => Failure::refused(error),
        None => Failure::useless("has no relayed address of this family"),
    }
}

/// Whether an address can be somebody's.
pub(super) fn is_usable(addr: SocketAddr) -> bool {
    let ip = net::canonical(addr).ip();
    let is_broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    addr.port() != 0 && !(ip.is_unspecified() || ip.is_multicast() || is_broadcast)
}
